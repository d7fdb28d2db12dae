//! A run over time: what ended, was under way, left and failed in each of about a hundred pieces of it.
//!
//! A request counts where it ends; being under way and its tokens are spread over the time that they took, so that a long
//! request is no peak at its end. Exact however many requests there are, in one pass.

use dormouse_perf_metrics::catalog::Metric;
use dormouse_perf_metrics::record::Row;

use crate::spread::count;

/// Pieces that a chart shows well; of few requests fewer, or each would be a peak.
const PIECES: (usize, usize) = (10, 100);
const REQUESTS: usize = 4;

/// Where the pieces of a run begin and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    start_ns: u64,
    end_ns: u64,
    width_ns: u64,
    /// How many there are; the last one may be longer or shorter by half.
    pub(crate) pieces: usize,
}

impl Grid {
    /// How long a piece of a run should be that took so long with so many requests: 1, 2 or 5 of a power of ten.
    pub(crate) fn width_for(span_ns: u64, requests: usize) -> u64 {
        let pieces = (requests / REQUESTS).clamp(PIECES.0, PIECES.1);
        let wanted = count(span_ns) / count(pieces as u64);
        let powers = std::iter::successors(Some(1_000_000_u64), |power| power.checked_mul(10));
        let widths = powers.flat_map(|power| [1, 2, 5].map(|factor| power.saturating_mul(factor)));
        widths.into_iter().find(|width| count(*width) >= wanted).unwrap_or(u64::MAX)
    }

    /// Of a stretch of time.
    pub(crate) fn of(start_ns: u64, end_ns: u64, width_ns: u64) -> Self {
        let width_ns = width_ns.max(1);
        // A stretch needs a length.
        let start_ns = start_ns.min(u64::MAX - 1);
        let end_ns = end_ns.max(start_ns + 1);
        let pieces = (end_ns - start_ns).saturating_add(width_ns / 2) / width_ns;
        Self { start_ns, end_ns, width_ns, pieces: usize::try_from(pieces).unwrap_or(1).clamp(1, 1000) }
    }

    /// When a piece begins, in nanoseconds from the start of all; also of the one behind the last.
    pub(crate) fn edge(self, at: usize) -> f64 {
        if at >= self.pieces { count(self.end_ns - self.start_ns) } else { count(self.width_ns) * count(at as u64) }
    }

    fn seconds(self, at: usize) -> f64 {
        (self.edge(at + 1) - self.edge(at)) * 1e-9
    }

    fn offset(self, ns: u64) -> f64 {
        count(ns.clamp(self.start_ns, self.end_ns) - self.start_ns)
    }

    fn piece(self, offset: f64) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        let at = (offset / count(self.width_ns)) as usize;
        at.min(self.pieces - 1)
    }
}

/// What is drawn over time; a value for each piece.
#[derive(Debug)]
pub(crate) struct Timeline {
    pub(crate) grid: Grid,
    /// Good requests that ended, in a second.
    pub(crate) completed: Vec<f64>,
    /// Tokens that came, in a second.
    pub(crate) tokens: Vec<f64>,
    /// Requests under way, the mean over the piece.
    pub(crate) busy: Vec<f64>,
    /// Requests that failed, in a second.
    pub(crate) failed: Vec<f64>,
    /// Requests that were allowed to leave, in a second.
    pub(crate) offered: Vec<f64>,
    /// Requests that left, in a second.
    pub(crate) left: Vec<f64>,
    /// The longest that one waited between the two, nanoseconds.
    pub(crate) late: Vec<f64>,
    /// Answers are made of tokens.
    pub(crate) has_tokens: bool,
}

impl Timeline {
    /// Of these requests.
    pub(crate) fn of<'a>(rows: impl Iterator<Item = &'a Row>, grid: Grid) -> Self {
        let none = || vec![0.0; grid.pieces];
        let (mut completed, mut failed, mut offered, mut left) = (none(), none(), none(), none());
        let mut late: Vec<f64> = none();
        let (mut tokens, mut busy) = (Spans::new(grid), Spans::new(grid));
        let mut has_tokens = false;
        for row in rows {
            let (start, end) = (grid.offset(row.start_ns), grid.offset(row.end_ns));
            let ended = if row.failed { &mut failed } else { &mut completed };
            ended[grid.piece(end)] += 1.0;
            let credit = grid.piece(grid.offset(row.credit_ns));
            offered[credit] += 1.0;
            left[grid.piece(start)] += 1.0;
            late[credit] = late[credit].max(count(row.start_ns.saturating_sub(row.credit_ns)));
            busy.add(start, end, end - start);
            if let Some(amount) = row.values.get(Metric::OutputSequenceLength).filter(|n| *n > 0.0 && !row.failed) {
                has_tokens = true;
                let first = row.values.get(Metric::TimeToFirstToken).unwrap_or(end - start);
                tokens.add((start + first).min(end), end, amount);
            }
        }
        let per_second = |values: Vec<f64>| values.into_iter().enumerate().map(|(at, v)| v / grid.seconds(at)).collect();
        Self {
            grid,
            completed: per_second(completed),
            tokens: per_second(tokens.done()),
            // Nanoseconds of requests in a second.
            busy: per_second(busy.done()).into_iter().map(|v: f64| v * 1e-9).collect(),
            failed: per_second(failed),
            offered: per_second(offered),
            left: per_second(left),
            late,
            has_tokens,
        }
    }
}

/// Amounts that are spread evenly over stretches of time: one addition at each end, however long they are.
struct Spans {
    grid: Grid,
    amounts: Vec<f64>,
    /// How much more comes in a nanosecond from this piece on.
    rises: Vec<f64>,
}

impl Spans {
    fn new(grid: Grid) -> Self {
        Self { grid, amounts: vec![0.0; grid.pieces], rises: vec![0.0; grid.pieces + 1] }
    }

    fn add(&mut self, from: f64, to: f64, amount: f64) {
        let (first, last) = (self.grid.piece(from), self.grid.piece(to));
        if first == last || to <= from {
            self.amounts[last] += amount;
            return;
        }
        let rate = amount / (to - from);
        self.amounts[first] += rate * (self.grid.edge(first + 1) - from);
        self.amounts[last] += rate * (to - self.grid.edge(last));
        self.rises[first + 1] += rate;
        self.rises[last] -= rate;
    }

    fn done(self) -> Vec<f64> {
        let mut rate = 0.0;
        let of = |(at, amount): (usize, f64)| {
            rate += self.rises[at];
            // What is left of taking away what was added is no amount.
            (amount + (rate * (self.grid.edge(at + 1) - self.grid.edge(at))).max(0.0)).max(0.0)
        };
        self.amounts.into_iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn row(credit: u64, start: u64, end: u64) -> Row {
        Row { credit_ns: credit, start_ns: start, end_ns: end, ..Row::default() }
    }

    #[test]
    fn widths_are_round() {
        let widths = [0, 1, 100_000_001, 350_000_000, 60 * SECOND, 3600 * SECOND, u64::MAX].map(|span| Grid::width_for(span, 1_000));
        assert_eq!(Grid::width_for(60 * SECOND, 12), 10 * SECOND);
        assert_eq!(widths[..6], [1_000_000, 1_000_000, 2_000_000, 5_000_000, SECOND, 50 * SECOND]);
        assert!(widths[6] >= u64::MAX / 101);
    }

    #[test]
    fn what_is_spread_adds_up() {
        let grid = Grid::of(0, 10 * SECOND, SECOND);
        let rows = [row(0, SECOND / 2, 5 * SECOND), row(0, 0, SECOND / 4), Row { failed: true, ..row(7 * SECOND, 8 * SECOND, 8 * SECOND) }];
        let timeline = Timeline::of(rows.iter(), grid);
        assert_eq!(timeline.busy.len(), 10);
        assert!((timeline.busy.iter().sum::<f64>() - 4.75).abs() < 1e-9, "{:?}", timeline.busy);
        assert!((timeline.busy[1] - 1.0).abs() < 1e-9 && timeline.busy[6] == 0.0);
        assert_eq!((timeline.completed[5], timeline.failed[8], timeline.offered[0], timeline.late[7]), (1.0, 1.0, 2.0, 1e9));
    }

    #[test]
    fn times_that_cannot_be_are_no_trouble() {
        for (start, end) in [(0, 0), (u64::MAX, 0), (0, u64::MAX), (u64::MAX - 1, u64::MAX)] {
            let grid = Grid::of(start, end, Grid::width_for(end.saturating_sub(start), 2));
            let timeline = Timeline::of([row(end, start, end), row(start, end, start)].iter(), grid);
            assert!(timeline.busy.iter().chain(&timeline.completed).all(|v| v.is_finite()), "{start} {end}");
        }
    }
}
