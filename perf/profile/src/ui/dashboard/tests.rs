//! Boards as people would see them, on screens of all sizes.

use dormouse_perf_load::timing::{Load, PhasePlan, SECOND};
use ratatui_core::backend::TestBackend;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier};
use ratatui_core::terminal::Terminal;
use ratatui_crossterm::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::board::{About, Board, Look, Panel};
use super::tap::Slot;
use super::view::{self, Palette};
use super::{Key, meaning};

fn plans() -> Vec<PhasePlan> {
    let mut warm = PhasePlan::new("warmup", Load::Closed);
    (warm.warmup, warm.stop.requests, warm.concurrency) = (true, Some(100), Some(16));
    let mut main = PhasePlan::new("profiling", Load::Closed);
    (main.stop.duration, main.concurrency) = (Some(60 * SECOND), Some(16));
    vec![warm, main]
}

fn about() -> About {
    About {
        model: "mock-model".to_owned(),
        endpoint: "chat, streaming".to_owned(),
        url: "http://127.0.0.1:8000/v1/chat/completions".to_owned(),
        load: "16 at a time, 1:00".to_owned(),
    }
}

/// What ended in a quarter of a second.
fn slot(phase: usize, requests: u64, failed: u64, anew: bool) -> Slot {
    let mut slot = Slot::new(2);
    for n in 0..requests - failed {
        for (times, us) in slot.times.iter_mut().zip([20_000 + n * 13, 5_000 + n, 100_000 + n * 31]) {
            times.record(us).unwrap();
        }
        slot.lateness.record(40 + n % 60).unwrap();
    }
    slot.tokens = Some((requests - failed) * 16);
    slot.phases[phase] = (requests, failed);
    slot.anew = anew;
    if failed > 0 {
        slot.problems.insert("429 TooManyRequests: slow down, or ask for a higher limit of requests in a minute".to_owned(), failed);
    }
    slot
}

/// A run that has gone on for so many quarters of a second.
fn board(about: About, quarters: u64, failed: u64) -> Board {
    let mut board = Board::new(about, &plans(), 5, 0);
    let warm = 8;
    for n in 1..=quarters {
        let now = n * SECOND / 4;
        let (phase, at) = if n <= warm { (0, n) } else { (1, n - warm) };
        let look = Look {
            now,
            phase,
            started: if phase == 0 { 1 } else { warm * SECOND / 4 },
            sent: at * 40 + 16,
            returned: at * 40,
            failed: at * failed,
            in_flight: 16,
            load_thread: Some((now / 10, now / 500)),
            own_cpu: now / 200,
            ending: false,
        };
        board.look(&look, &slot(phase, 40, failed, n == warm + 1));
    }
    board
}

fn screen(board: &Board, wide: u16, high: u16, colour: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(wide, high)).unwrap();
    terminal.draw(|frame| view::draw(board, Palette::new(colour), frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let wide = usize::from(buffer.area.width);
    let mut text = String::new();
    for row in buffer.content().chunks(wide.max(1)) {
        // A cell behind a wide one holds nothing of its own.
        let mut line = String::new();
        let mut skip = 0;
        for cell in row {
            if skip == 0 {
                line.push_str(cell.symbol());
                skip = super::text::width(cell.symbol()).saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Prints what is looked at: `cargo test -p dormouse-perf-profile dashboard -- --nocapture`.
fn seen(board: &Board, wide: u16, high: u16) -> String {
    let text = text(&screen(board, wide, high, false));
    println!("{wide}x{high}\n{text}");
    text
}

#[test]
fn everything_is_on_a_screen_of_80_columns() {
    let mut board = board(about(), 60, 1);
    board.say("search: concurrency 4: holds (ttft:p95<500ms: 21.1 ms)".to_owned());
    let text = seen(&board, 80, 24);
    for part in [
        "mock-model  chat, streaming",
        "running 0:15",
        "http://127.0.0.1:8000/v1/chat/completions",
        "16 at a time, 1:00",
        "warmup",
        "100 %",
        "profiling",
        "21 %",
        "2,080",
        "160.0",
        "0:47",
        "last 5 s",
        "TTFT",
        "ITL",
        "latency",
        "160.0 req/s",
        "2,496 tok/s",
        "p50 0.06, p99 0.08 ms",
        "busy 10 %, delayed 0.2 %",
        "4 errors",
        "60 429 TooManyRequests",
        "search: concurrency 4: holds",
        "q end",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn a_small_screen_has_what_matters() {
    let text = seen(&board(about(), 60, 1), 40, 10);
    for part in ["mock-model", "running 0:15", "profiling", "21 %", "0:47 left", "52 failed", "TTFT", "p99", "60 × 429", "q end"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 40));
}

#[test]
fn a_large_screen_is_filled() {
    let mut board = board(about(), 600, 0);
    (0..100).for_each(|n| board.say(format!("line {n}")));
    let text = seen(&board, 200, 50);
    assert!(text.contains("line 99") && !text.contains("─ 4 errors"));
    assert!(text.lines().filter(|line| line.contains('█')).count() > 8, "the curve is high\n{text}");
}

#[test]
fn before_the_first_request_there_is_a_screen_already() {
    let board = Board::new(about(), &plans(), 5, 0);
    let text = seen(&board, 80, 24);
    assert!(text.contains("starting 0:00") && text.contains("profiling"));
    seen(&board, 40, 10);
    // And where there is nothing to run.
    let nothing = Board::new(About::default(), &[], 5, 0);
    seen(&nothing, 80, 24);
}

#[test]
fn what_is_long_or_wide_stays_in_its_place() {
    let about = About {
        model: format!("组织/{}", "模型名字很长".repeat(20)),
        endpoint: "chat, streaming".to_owned(),
        url: format!("http://{}.example.com/v1/chat/completions", "a-long-name.".repeat(20)),
        load: "changing req/s, poisson, 1,024 at a time, 1,000,000 requests, 1:00:00, and so on and so on".to_owned(),
    };
    let mut board = board(about, 60, 1);
    board.phases[1].name = "相位的名字也很长很长很长很长很长很长".to_owned();
    board
        .problems
        .insert("500 错误: 内部错误 内部错误 内部错误 内部错误 内部错误 内部错误 内部错误 内部错误\u{1b}[31m\nand more".to_owned(), 3);
    board.say("一二三四五六七八九十".repeat(30));
    for (wide, high) in [(80, 24), (66, 18), (40, 10), (41, 10)] {
        let text = seen(&board, wide, high);
        assert!(text.contains('…') && text.contains("running 0:15"));
        for line in text.lines() {
            assert!(super::text::width(line) <= wide.into(), "{line}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}

#[test]
fn no_size_is_too_small() {
    let boards = [Board::new(about(), &plans(), 5, 0), board(about(), 60, 3), board(About::default(), 3, 0)];
    for mut board in boards {
        for panel in [None, Some(Panel::Progress), Some(Panel::Times), Some(Panel::Throughput), Some(Panel::Errors)] {
            for lines in [true, false] {
                (board.alone, board.shows_lines) = (panel, lines);
                for wide in [0, 1, 2, 3, 5, 8, 13, 20, 33, 34, 39, 40, 41, 60, 65, 66, 67, 77, 78, 80, 90, 200, 500] {
                    for high in (0..26).chain([60]) {
                        let mut buffer = Buffer::empty(Rect::new(0, 0, wide, high));
                        view::draw(&board, Palette::new(true), buffer.area, &mut buffer);
                    }
                }
            }
        }
    }
}

#[test]
fn a_panel_can_have_the_screen() {
    let mut board = board(about(), 60, 1);
    for (panel, parts) in [
        (Panel::Progress, ["1 progress", "warmup", "profiling"]),
        (Panel::Times, ["p99.9", "max", "count"]),
        (Panel::Throughput, ["3 throughput", "left late", "1.00 ms late at p99"]),
        (Panel::Errors, ["4 errors", "60 of 2,400, 2.5 %", "a minute"]),
    ] {
        board.alone = Some(panel);
        let text = seen(&board, 80, 24);
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}");
        assert!(text.contains("esc all"));
    }
}

#[test]
fn without_colour_there_is_none() {
    let mut board = board(about(), 60, 1);
    board.ending = true;
    let plain = screen(&board, 80, 24, false);
    assert!(plain.content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(plain.content().iter().any(|cell| cell.modifier.contains(Modifier::BOLD)));
    let coloured = screen(&board, 80, 24, true);
    assert!(coloured.content().iter().any(|cell| cell.fg == Color::Red));
    assert_eq!(text(&plain), text(&coloured));
    assert!(text(&plain).contains("ending") && text(&plain).contains("q at once"));
}

#[test]
fn a_board_follows_the_phases() {
    let board = board(about(), 60, 1);
    let (warm, main) = (&board.phases[0], &board.phases[1]);
    assert_eq!((warm.done, warm.in_flight, warm.share(board.now), warm.left(board.now)), (320, 0, Some(1.0), None));
    assert_eq!((main.done, main.in_flight, main.rate), (2080, 16, Some(160.0)));
    assert!((main.left(board.now).unwrap() - 47.0).abs() < 1e-9);
    assert_eq!(board.client.behind, 0);
    // The last five seconds, and all but the warm-up.
    assert_eq!((board.last[2].unwrap().count, board.whole[2].unwrap().count), (20 * 39, 52 * 39));
    assert!(!board.client.is_late());
}

#[test]
fn by_requests_what_is_left_follows_the_rate() {
    let mut plan = PhasePlan::new("profiling", Load::Closed);
    plan.stop.requests = Some(1000);
    let mut board = Board::new(about(), &[plan], 5, 0);
    for n in 1..=4 {
        let look = Look { now: n * SECOND, started: 1, returned: n * 100, sent: n * 100, ..Look::default() };
        board.look(&look, &Slot::new(1));
    }
    assert_eq!((board.phases[0].share(board.now), board.client.behind), (Some(0.4), 400));
    assert!((board.phases[0].left(board.now).unwrap() - 6.0).abs() < 0.01);
    // A phase whose end nobody knows has no bar.
    let mut board = Board::new(about(), &[PhasePlan::new("profiling", Load::Closed)], 5, 0);
    board.look(&Look { now: SECOND, started: 1, returned: 5, ..Look::default() }, &Slot::new(1));
    assert_eq!((board.phases[0].share(board.now), board.phases[0].left(board.now)), (None, None));
    seen(&board, 80, 24);
}

#[test]
fn keys_mean_what_the_last_line_says() {
    let plain = |c| meaning(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
    assert_eq!((plain('q'), plain('l'), plain('x')), (Some(Key::End), Some(Key::Lines), None));
    assert_eq!(plain('3'), Some(Key::Alone(Some(Panel::Throughput))));
    assert_eq!(meaning(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)), Some(Key::Alone(None)));
    assert_eq!(meaning(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::End));
    assert_eq!(plain('c'), None);
}
