//! A board becomes a screen: where each panel lies, and what gives way where there is little room. Pure; it draws into a buffer.
//!
//! A screen of [`ROOMY`] and more has everything, from top to bottom: header, progress, times, throughput beside the client, errors,
//! lines, keys. What is left over goes to the lines, or to the throughput where they are hidden. On a smaller one the same is said
//! in as many lines as there are, the more important ones first.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::{Line, Span};

use super::board::{Board, Panel};
use super::panels;
use super::text::{clock, cut, width};

/// Columns and lines from which on there is room for panels.
const ROOMY: (u16, u16) = (66, 18);
/// Kinds of errors that are shown beside everything else.
const ERRORS: usize = 3;
/// Phases that are shown beside everything else.
const PHASES: usize = 3;

/// How things look that mean something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) title: Style,
    pub(super) strong: Style,
    pub(super) dim: Style,
    pub(super) bar: Style,
    pub(super) good: Style,
    pub(super) warn: Style,
    pub(super) bad: Style,
}

impl Palette {
    /// With colours, which are those that the terminal's owner chose, or without.
    pub(super) fn new(colour: bool) -> Self {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let dim = Style::new().add_modifier(Modifier::DIM);
        let plain = Style::new();
        if !colour {
            return Self { title: bold, strong: bold, dim, bar: plain, good: plain, warn: bold, bad: bold };
        }
        let of = |colour| plain.fg(colour);
        Self {
            title: bold.fg(Color::Cyan),
            strong: bold,
            dim,
            bar: of(Color::Cyan),
            good: of(Color::Green),
            warn: of(Color::Yellow),
            bad: of(Color::Red),
        }
    }
}

/// A part of the screen, and how to write on it.
pub(super) struct Sheet<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) area: Rect,
    pub(super) palette: Palette,
}

impl Sheet<'_> {
    pub(super) fn width(&self) -> usize {
        self.area.width.into()
    }

    pub(super) fn height(&self) -> usize {
        self.area.height.into()
    }

    /// Writes a line; what does not fit is not written.
    pub(super) fn line(&mut self, y: usize, line: &Line<'_>) {
        if let Some(y) = self.row(y) {
            self.buffer.set_line(self.area.x, y, line, self.area.width);
        }
    }

    /// Writes at a column.
    pub(super) fn at(&mut self, x: usize, y: usize, text: &str, style: Style) {
        let (Some(row), Some(room)) = (self.row(y), self.width().checked_sub(x)) else { return };
        let x = self.area.x.saturating_add(u16::try_from(x).unwrap_or(u16::MAX));
        self.buffer.set_stringn(x, row, text, room, style);
    }

    /// Writes so that it ends before a column.
    pub(super) fn until(&mut self, end: usize, y: usize, text: &str, style: Style) {
        self.at(end.saturating_sub(width(text)), y, text, style);
    }

    /// A rule with a title, and what is said beside it.
    pub(super) fn title(&mut self, title: &str, beside: &str) {
        let (wide, palette) = (self.width(), self.palette);
        self.at(0, 0, &"─".repeat(wide), palette.dim);
        self.at(1, 0, &format!(" {} ", cut(title, wide.saturating_sub(4))), palette.title);
        let taken = width(title) + 3;
        if !beside.is_empty() && wide > taken + 4 {
            let beside = format!(" {} ", cut(beside, wide - taken - 3));
            self.until(wide - 1, 0, &beside, Style::new());
        }
    }

    /// The part of it from this line on, with so many lines.
    pub(super) fn part(&mut self, from: usize, lines: usize) -> Sheet<'_> {
        self.cell(0, from, self.width(), lines)
    }

    /// A part of it.
    pub(super) fn cell(&mut self, x: usize, y: usize, wide: usize, high: usize) -> Sheet<'_> {
        let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        let at = |n: u16, more: usize| n.saturating_add(small(more));
        let wanted = Rect { x: at(self.area.x, x), y: at(self.area.y, y), width: small(wide), height: small(high) };
        Sheet { area: wanted.intersection(self.area), buffer: &mut *self.buffer, palette: self.palette }
    }

    fn row(&self, y: usize) -> Option<u16> {
        let y = u16::try_from(y).ok().filter(|y| *y < self.area.height)?;
        (self.area.width > 0).then(|| self.area.y.saturating_add(y))
    }
}

/// Draws all of it.
pub(super) fn draw(board: &Board, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let mut sheet = Sheet { buffer, area, palette };
    match board.alone {
        Some(panel) => alone(board, panel, &mut sheet),
        None if area.width >= ROOMY.0 && area.height >= ROOMY.1 => roomy(board, &mut sheet),
        None => small(board, &mut sheet),
    }
}

fn roomy(board: &Board, sheet: &mut Sheet<'_>) {
    let high = sheet.height();
    header(board, &mut sheet.part(0, 2));
    keys(board, &mut sheet.part(high - 1, 1));
    let phases = board.phases.len().clamp(1, PHASES);
    let errors = board.problems.len().min(ERRORS);
    let mut y = 2;
    let mut take = |lines: usize| {
        let from = y;
        y += lines;
        from
    };
    let (progress, times) = (2 + phases, 6);
    panels::progress(board, &mut sheet.part(take(progress), progress));
    panels::times(board, &mut sheet.part(take(times), times));
    // What is left is the client's, then that of errors, then that of lines.
    let left = high.saturating_sub(3 + progress + times);
    let mut rates = left.min(5);
    let mut errors = if errors > 0 { left.saturating_sub(rates).min(errors + 1) } else { 0 };
    if errors == 1 {
        // A title alone says nothing.
        (rates, errors) = if rates > 4 { (rates - 1, 2) } else { (rates + 1, 0) };
    }
    let mut lines = left.saturating_sub(rates + errors);
    if !board.shows_lines || board.lines.is_empty() || lines < 2 {
        (rates, lines) = (rates + lines, 0);
    } else if lines > 14 {
        // Of a high screen the curve has its share.
        let more = (lines - 14) / 2;
        (rates, lines) = (rates + more, lines - more);
    }
    panels::rates(board, &mut sheet.part(take(rates), rates));
    if errors > 0 {
        panels::errors(board, &mut sheet.part(take(errors), errors));
    }
    if lines > 0 {
        panels::lines(board, &mut sheet.part(take(lines), lines));
    }
}

fn alone(board: &Board, panel: Panel, sheet: &mut Sheet<'_>) {
    let high = sheet.height();
    let head = if high >= ROOMY.1.into() { 2 } else { 1 };
    let foot = usize::from(high > 4);
    header(board, &mut sheet.part(0, head));
    if foot > 0 {
        keys(board, &mut sheet.part(high - 1, 1));
    }
    let left = high.saturating_sub(head + foot);
    let mut room = sheet.part(head, left);
    match panel {
        Panel::Progress => panels::progress(board, &mut room),
        Panel::Times => panels::all_times(board, &mut room),
        Panel::Throughput => panels::rates(board, &mut room),
        Panel::Errors => {
            let lines = if board.shows_lines && left >= 8 { left / 2 } else { 0 };
            panels::errors_in_full(board, &mut room.part(0, left - lines));
            if lines > 0 {
                panels::lines(board, &mut room.part(left - lines, lines));
            }
        }
    }
}

/// The same in single lines.
fn small(board: &Board, sheet: &mut Sheet<'_>) {
    let high = sheet.height();
    header(board, &mut sheet.part(0, 1));
    panels::progress_in_words(board, &mut sheet.part(1, 2));
    panels::times_in_short(board, &mut sheet.part(3, 4));
    let mut y = 7;
    let foot = usize::from(high > 8);
    let mut left = high.saturating_sub(7 + foot);
    if left > 0 && !board.problems.is_empty() {
        panels::worst(board, &mut sheet.part(y, 1));
        (y, left) = (y + 1, left - 1);
    }
    if left > 0 {
        panels::rate_in_short(board, &mut sheet.part(y, 1));
        (y, left) = (y + 1, left - 1);
    }
    if left > 0 && board.shows_lines {
        panels::lines(board, &mut sheet.part(y, left));
    }
    if foot > 0 {
        keys(board, &mut sheet.part(high - 1, 1));
    }
}

fn header(board: &Board, sheet: &mut Sheet<'_>) {
    let (wide, palette) = (sheet.width(), sheet.palette);
    let state = board.state();
    let style = if board.ending { palette.warn } else { palette.good };
    let elapsed = clock(board.elapsed());
    let right = width(state) + 1 + width(&elapsed);
    let room = wide.saturating_sub(right + 2);
    let about = &board.about;
    // The model is what matters: the rest is said where there is room.
    let model = cut(&about.model, room);
    let rest = room.saturating_sub(width(&model) + 2);
    let endpoint = if rest > 3 { cut(&about.endpoint, rest) } else { "".into() };
    sheet.line(0, &Line::from(vec![Span::styled(model, palette.strong), Span::raw("  "), Span::raw(endpoint)]));
    sheet.until(wide, 0, &elapsed, palette.strong);
    sheet.until(wide.saturating_sub(width(&elapsed) + 1), 0, state, style);
    let load = cut(&about.load, (wide * 2 / 3).max(wide.saturating_sub(width(&about.url) + 2)));
    let room = wide.saturating_sub(width(&load) + 2);
    sheet.at(0, 1, &cut(&about.url, room), palette.dim);
    sheet.until(wide, 1, &load, Style::new());
}

fn keys(board: &Board, sheet: &mut Sheet<'_>) {
    let end = if board.ending { "q at once" } else { "q end" };
    let text = match board.alone {
        Some(_) => format!("{end}   1-4 another panel   esc all"),
        None if sheet.width() < ROOMY.0.into() => format!("{end}  1-4 one panel  l log"),
        None => format!("{end}   1 progress  2 times  3 throughput  4 errors   l log"),
    };
    let (wide, style) = (sheet.width(), sheet.palette.dim);
    sheet.at(0, 0, &cut(&text, wide), style);
}
