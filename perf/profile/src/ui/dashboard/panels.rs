//! The panels, each of which fits itself into the room that it is given.

use ratatui_core::style::Style;
use ratatui_core::text::{Line, Span};
use ratatui_core::widgets::Widget as _;
use ratatui_widgets::paragraph::{Paragraph, Wrap};
use ratatui_widgets::sparkline::{RenderDirection, Sparkline};

use super::board::{Board, Phase, QUANTILES, Times, float};
use super::text::{bar, clock, cut, decimals, number, percent, rate, width};
use super::view::Sheet;

/// What the lines of times are called.
const NAMES: [&str; 3] = ["TTFT", "ITL", "latency"];
/// What is said where nothing is known.
const NOTHING: &str = "-";

/// A line for each phase: a bar and counts.
pub(super) fn progress(board: &Board, sheet: &mut Sheet<'_>) {
    sheet.title("1 progress", "");
    let (wide, palette) = (sheet.width(), sheet.palette);
    // From the right: what is left, the rate, what is under way, failed, done, sent.
    let mut columns: Vec<(&str, usize)> = vec![("left", 8), ("req/s", 9), ("in flight", 10), ("failed", 8), ("done", 10), ("sent", 10)];
    if wide < 78 {
        columns.pop();
    }
    let counts: usize = columns.iter().map(|(_, wide)| wide).sum();
    let rest = wide.saturating_sub(counts);
    let longest = board.phases.iter().map(|phase| width(&phase.name)).max().unwrap_or(0);
    let names = longest.clamp(7, (rest / 2).max(7));
    let bars = rest.saturating_sub(names + 1);
    let mut end = wide;
    for (title, wide) in &columns {
        sheet.until(end, 1, title, palette.dim);
        end = end.saturating_sub(*wide);
    }
    // The phase under way is always seen.
    let room = sheet.height().saturating_sub(2);
    let current = board.phase.unwrap_or(0);
    let first = (current + 1).saturating_sub(room).min(board.phases.len());
    for (at, phase) in board.phases.iter().enumerate().skip(first).take(room) {
        let y = at - first + 2;
        let style = if at == current { palette.strong } else { palette.dim };
        sheet.at(0, y, &cut(&phase.name, names), style);
        gauge(board, phase, &mut sheet.cell(names + 1, y, bars, 1));
        let mut end = wide;
        for (column, wide) in columns.iter().enumerate() {
            let (text, style) = counted(board, phase, at == current, column, sheet);
            sheet.until(end, y, &text, style);
            end = end.saturating_sub(wide.1);
        }
    }
}

fn counted(board: &Board, phase: &Phase, current: bool, column: usize, sheet: &Sheet<'_>) -> (String, Style) {
    let plain = Style::new();
    if phase.begun.is_none() {
        return (if column == 0 { String::new() } else { NOTHING.to_owned() }, sheet.palette.dim);
    }
    match column {
        0 if phase.ended.is_some() => ("done".to_owned(), sheet.palette.dim),
        0 => (phase.left(board.now).filter(|_| current && !board.ending).map_or_else(|| NOTHING.to_owned(), clock), plain),
        1 => (phase.rate.map_or_else(|| NOTHING.to_owned(), rate), plain),
        2 => (number(phase.in_flight), plain),
        3 => (number(phase.failed), if phase.failed > 0 { sheet.palette.bad } else { plain }),
        4 => (number(phase.done), plain),
        _ => (number(phase.sent), plain),
    }
}

/// A bar and its share.
fn gauge(board: &Board, phase: &Phase, sheet: &mut Sheet<'_>) {
    let (wide, palette) = (sheet.width(), sheet.palette);
    if wide < 8 {
        return;
    }
    let share = if phase.begun.is_some() { phase.share(board.now) } else { Some(0.0) };
    let (full, rest) = bar(share.unwrap_or(0.0), wide - 6);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a hundred")]
    let said = share.map_or_else(|| NOTHING.to_owned(), |share| format!("{} %", (share * 100.0).floor() as u64));
    sheet.line(0, &Line::from(vec![Span::styled(full, palette.bar), Span::styled(rest, palette.dim), Span::raw(format!("{said:>6}"))]));
}

/// The phase under way in two lines.
pub(super) fn progress_in_words(board: &Board, sheet: &mut Sheet<'_>) {
    let (wide, palette) = (sheet.width(), sheet.palette);
    let Some(phase) = board.phases.get(board.phase.unwrap_or(0)) else { return };
    let left = phase.left(board.now).filter(|_| !board.ending).map(|left| format!("{} left", clock(left))).unwrap_or_default();
    let names = width(&phase.name).min(wide / 3);
    sheet.at(0, 0, &cut(&phase.name, names), palette.strong);
    let bars = wide.saturating_sub(names + 2 + width(&left));
    gauge(board, phase, &mut sheet.cell(names + 1, 0, bars, 1));
    sheet.until(wide, 0, &left, Style::new());
    let failed = if phase.failed > 0 { palette.bad } else { Style::new() };
    let words = vec![
        Span::raw(format!("{} done  ", number(phase.done))),
        Span::styled(format!("{} failed", number(phase.failed)), failed),
        Span::raw(format!("  {} in flight", number(phase.in_flight))),
    ];
    sheet.line(1, &Line::from(words));
}

/// Times of the last seconds beside those of the whole run.
pub(super) fn times(board: &Board, sheet: &mut Sheet<'_>) {
    sheet.title("2 times", "ms");
    let wide = sheet.width();
    let each = (wide.saturating_sub(11) / 8).clamp(6, 11);
    // The groups are apart.
    let half = 9 + 4 * each;
    let gap = wide.saturating_sub(half + 4 * each).min(8);
    let palette = sheet.palette;
    for (from, title, set) in [(9, format!("last {} s", board.window), &board.last), (half + gap, "all".to_owned(), &board.whole)] {
        sheet.until(from + 4 * each, 1, &ruled(&title, 4 * each - 2), palette.dim);
        group(board, set, from, each, 2, sheet);
    }
    for (at, name) in NAMES.iter().enumerate() {
        sheet.at(0, 3 + at, name, palette.strong);
    }
}

/// A title over so many columns.
fn ruled(title: &str, wide: usize) -> String {
    let sides = wide.saturating_sub(width(title) + 2);
    format!("{} {title} {}", "┄".repeat(sides / 2), "┄".repeat(sides - sides / 2))
}

/// Headings and three lines: p50, p90, p99 and the mean.
fn group(board: &Board, set: &[Option<Times>; 3], from: usize, each: usize, y: usize, sheet: &mut Sheet<'_>) {
    for (at, title) in ["p50", "p90", "p99", "avg"].iter().enumerate() {
        sheet.until(from + (at + 1) * each, y, title, sheet.palette.dim);
    }
    for (line, times) in set.iter().enumerate() {
        // The same number of digits in the whole line.
        let largest = [board.last[line], board.whole[line]].into_iter().flatten().map(|t| t.quantiles[3].max(t.mean)).fold(0.0, f64::max);
        let digits = decimals(largest);
        for at in 0..4 {
            let value = times.map(|times| [times.quantiles[0], times.quantiles[1], times.quantiles[3], times.mean][at]);
            let text = value.map_or_else(|| NOTHING.to_owned(), |ms| format!("{ms:.digits$}"));
            sheet.until(from + (at + 1) * each, y + 1 + line, &text, Style::new());
        }
    }
}

/// Times of the last seconds alone.
pub(super) fn times_in_short(board: &Board, sheet: &mut Sheet<'_>) {
    let each = (sheet.width().saturating_sub(8) / 4).clamp(6, 10);
    let said = format!("ms, {} s", board.window);
    let palette = sheet.palette;
    sheet.at(0, 0, &said, palette.dim);
    for (at, name) in NAMES.iter().enumerate() {
        sheet.at(0, 1 + at, name, palette.strong);
    }
    group(board, &board.last, 8, each, 0, sheet);
}

/// All that is known of times.
pub(super) fn all_times(board: &Board, sheet: &mut Sheet<'_>) {
    sheet.title("2 times", "ms");
    let (wide, palette) = (sheet.width(), sheet.palette);
    let titles: Vec<String> =
        QUANTILES.iter().map(|q| format!("p{}", q * 100.0)).chain(["avg", "max", "count"].map(str::to_owned)).collect();
    // Where all have no room the first ones have.
    let each = (wide.saturating_sub(9) / titles.len()).clamp(8, 12);
    let shown = (wide.saturating_sub(9) / each).min(titles.len());
    let mut y = 1;
    for (title, set) in [(format!("last {} s", board.window), &board.last), ("all".to_owned(), &board.whole)] {
        sheet.at(0, y, &title, palette.dim);
        for (at, title) in titles.iter().take(shown).enumerate() {
            sheet.until(9 + (at + 1) * each, y, title, palette.dim);
        }
        for (name, times) in NAMES.iter().zip(set) {
            y += 1;
            sheet.at(0, y, name, palette.strong);
            let Some(times) = times else { continue };
            let digits = decimals(times.max);
            let values = times.quantiles.iter().chain([&times.mean, &times.max]).map(|ms| format!("{ms:.digits$}"));
            for (at, text) in values.chain([number(times.count)]).take(shown).enumerate() {
                sheet.until(9 + (at + 1) * each, y, &text, Style::new());
            }
        }
        y += 2;
    }
    sheet.at(0, y, "TTFT: time to the first token; ITL: between tokens, mean of each request;", palette.dim);
    sheet.at(0, y + 1, "latency: of whole requests. Failed ones are in none of them.", palette.dim);
}

/// The curve of throughput beside the client's own health.
pub(super) fn rates(board: &Board, sheet: &mut Sheet<'_>) {
    let (wide, high) = (sheet.width(), sheet.height());
    let client = 35.min(wide / 2);
    let left = wide.saturating_sub(client + 1);
    throughput(board, &mut sheet.cell(0, 0, left, high));
    health(board, &mut sheet.cell(left + 1, 0, client, high));
}

fn throughput(board: &Board, sheet: &mut Sheet<'_>) {
    let said = last_rates(board);
    sheet.title("3 throughput", &said);
    let room = sheet.height().saturating_sub(1);
    curve(board, &mut sheet.part(1, room));
}

/// Requests, and tokens where they are counted, of the last seconds.
fn last_rates(board: &Board) -> String {
    let count = board.requests.len().min(board.window);
    if count == 0 {
        return String::new();
    }
    let mean = |sum: u64| float(sum) / float(count as u64);
    let requests = mean(board.requests.iter().rev().take(count).sum());
    let tokens: Option<u64> = board.tokens.iter().rev().take(count).copied().fold(None, |sum, n| match (sum, n) {
        (Some(a), Some(b)) => Some(a + b),
        (one, other) => one.or(other),
    });
    let tokens = tokens.map(|sum| format!("  {} tok/s", rate(mean(sum)))).unwrap_or_default();
    format!("{} req/s{tokens}", rate(requests))
}

fn curve(board: &Board, sheet: &mut Sheet<'_>) {
    let wide = sheet.width();
    if sheet.height() == 0 {
        return;
    }
    // The newest is at the right, whatever there is.
    let newest: Vec<u64> = board.requests.iter().rev().take(wide).copied().collect();
    Sparkline::default().data(newest).direction(RenderDirection::RightToLeft).style(sheet.palette.bar).render(sheet.area, sheet.buffer);
}

fn health(board: &Board, sheet: &mut Sheet<'_>) {
    let (client, palette) = (&board.client, sheet.palette);
    let late = client.is_late();
    sheet.title("client", if late { "late" } else { "" });
    let share = |share: Option<f64>| share.map_or_else(|| NOTHING.to_owned(), percent);
    let ms = |ms: f64| format!("{ms:.2}");
    let left =
        client.late.map_or_else(|| NOTHING.to_owned(), |late| format!("p50 {}, p99 {} ms", ms(late.quantiles[0]), ms(late.quantiles[3])));
    // They are handed on in batches: fewer than those of a second are no delay.
    let slow = client.behind > board.requests.back().copied().unwrap_or(u64::MAX);
    let waiting = if slow { format!("{} behind", number(client.behind)) } else { "in step".to_owned() };
    let lines = [
        ("left late", left, if late { palette.bad } else { Style::new() }),
        ("thread", format!("busy {}, delayed {}", share(client.load), share(client.kept)), busy(client.load, client.kept, sheet)),
        ("records", waiting, if slow { palette.warn } else { Style::new() }),
        ("screen", share(client.own), Style::new()),
        ("allowed", format!("{} ms late at p99", ms(client.allowed)), Style::new()),
    ];
    for (at, (what, said, style)) in lines.iter().enumerate() {
        sheet.at(0, 1 + at, what, palette.dim);
        sheet.at(10, 1 + at, said, *style);
    }
}

/// As the verdict has it: a thread without time left, or that did not get what it wanted.
fn busy(load: Option<f64>, kept: Option<f64>, sheet: &Sheet<'_>) -> Style {
    let much = load.is_some_and(|share| share > 0.95) || kept.is_some_and(|share| share > 0.25);
    if much { sheet.palette.bad } else { Style::new() }
}

/// Throughput in one line.
pub(super) fn rate_in_short(board: &Board, sheet: &mut Sheet<'_>) {
    let said = last_rates(board);
    let (wide, taken) = (sheet.width(), width(&said) + 1);
    sheet.at(0, 0, &said, Style::new());
    if taken < wide {
        curve(board, &mut sheet.cell(taken, 0, wide - taken, 1));
    }
}

/// Failed, of all that came back.
fn failed(board: &Board) -> String {
    let (done, failed) = board.phases.iter().fold((0, 0), |(done, failed), phase| (done + phase.done, failed + phase.failed));
    if failed == 0 {
        return "none".to_owned();
    }
    format!("{} of {}, {}", number(failed), number(done), percent(float(failed) / float(done.max(1))))
}

/// The most frequent failures, one a line.
pub(super) fn errors(board: &Board, sheet: &mut Sheet<'_>) {
    sheet.title("4 errors", &failed(board));
    let wide = sheet.width();
    for (at, (words, n)) in board.worst().into_iter().take(sheet.height().saturating_sub(1)).enumerate() {
        let count = format!("{:>7}", number(n));
        let style = sheet.palette.bad;
        sheet.at(0, 1 + at, &count, style);
        let from = width(&count) + 1;
        sheet.at(from, 1 + at, &cut(words, wide.saturating_sub(from)), Style::new());
    }
}

/// The most frequent failure.
pub(super) fn worst(board: &Board, sheet: &mut Sheet<'_>) {
    let Some((words, n)) = board.worst().first().copied() else { return };
    let (wide, style) = (sheet.width(), sheet.palette.bad);
    sheet.at(0, 0, &cut(&format!("{} × {words}", number(n)), wide), style);
}

/// All failures with all of their words.
pub(super) fn errors_in_full(board: &Board, sheet: &mut Sheet<'_>) {
    sheet.title("4 errors", &failed(board));
    let mut text = Vec::new();
    for (words, n) in board.worst() {
        let words = cut(words, usize::MAX).into_owned();
        text.push(Line::from(vec![Span::styled(format!("{:>7} ", number(n)), sheet.palette.bad), Span::raw(words)]));
    }
    let room = sheet.height().saturating_sub(1);
    let part = sheet.part(1, room);
    Paragraph::new(text).wrap(Wrap { trim: false }).render(part.area, part.buffer);
}

/// The last of what was said.
pub(super) fn lines(board: &Board, sheet: &mut Sheet<'_>) {
    let (wide, high) = (sheet.width(), sheet.height());
    // Where there is one line it is not for a title.
    let titles = usize::from(high > 1);
    if titles > 0 {
        sheet.title("log", "");
    }
    let first = board.lines.len().saturating_sub(high - titles.min(high));
    for (at, line) in board.lines.iter().skip(first).enumerate() {
        sheet.at(0, titles + at, &cut(line, wide), Style::new());
    }
}
