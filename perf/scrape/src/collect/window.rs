//! The figures of a stretch of time.
//!
//! A phase is told by the scrapes around it: the *reference*, the last that was answered before it began, and the *final* one, the
//! first that was sent after its end. What grew is the difference of both, whole as the server counted it. Rates are of the phase itself:
//! what grew between its edges, by the line between the two scrapes around each, over its length; so that neither a pause before it
//! nor one behind it is in them.

use dormouse_perf_metrics::{Window, stats};

use super::estimate;
use super::history::{History, Metric, Series, Values};
use crate::parse::Kind;

/// Of a value of the moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// Mean of the samples.
    pub avg: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Standard deviation as of a sample, n - 1; 0 of one.
    pub std: f64,
    /// [`stats::PERCENTILES`].
    pub percentiles: [f64; 9],
    /// How many samples.
    pub count: usize,
}

/// Of a value that grows.
#[derive(Clone, Debug, PartialEq)]
pub struct Counter {
    /// What it grew by, from the reference to the final scrape.
    pub total: f64,
    /// Per second of the window.
    pub rate: f64,
    /// Mean, smallest, largest and sample deviation of the rates of whole slices, where there are slices.
    pub rates: Option<[f64; 4]>,
}

/// Of counts up to bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Observations from the reference to the final scrape.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Observations per second of the window.
    pub count_rate: f64,
    /// Their sum per second of the window.
    pub sum_rate: f64,
    /// Estimates of [`stats::PERCENTILES`]; none without observations.
    pub percentiles: Option<[f64; 9]>,
    /// Bounds as the server writes them, and the observations up to them.
    pub buckets: Vec<(String, u64)>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Figures {
    /// A value of the moment, or one of which no kind is known.
    Gauge(Gauge),
    /// A value that grows.
    Counter(Counter),
    /// Counts up to bounds.
    Histogram(Histogram),
}

/// A part of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// When it was.
    pub window: Window,
    /// It is as long as slices are; the last may be shorter.
    pub is_complete: bool,
    /// What it says: of gauges mean, smallest and largest only, of the rest what grew in it.
    pub figures: Figures,
}

/// One series in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Its metric.
    pub name: String,
    /// What that is.
    pub kind: Kind,
    /// What it is for.
    pub help: String,
    /// What its values are in, where the server says it.
    pub unit: String,
    /// Its labels, sorted.
    pub labels: Vec<(String, String)>,
    /// Its figures.
    pub figures: Figures,
    /// The same slice by slice; none unless asked for.
    pub slices: Vec<Slice>,
}

/// Everything that an endpoint said of a window, by name and labels; slices of this length, if any.
#[must_use]
pub fn figures(history: &History, window: Window, slice_ns: Option<u64>) -> Vec<Measured> {
    let Some(view) = View::of(history, window, slice_ns) else { return Vec::new() };
    let mut all: Vec<Measured> = history.metrics.iter().flat_map(|m| m.series.iter().filter_map(|s| view.series(m, s))).collect();
    all.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
    all
}

/// The scrapes that tell of a window: the reference, the first inside, the final one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) reference: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

impl Span {
    /// `None` where nothing was scraped.
    pub(crate) fn of(history: &History, window: Window) -> Option<Self> {
        let scrapes = &history.scrapes;
        let end = scrapes.len().checked_sub(1)?;
        let first = scrapes.partition_point(|s| s.when.answered_ns < window.start_ns).min(end);
        let last = scrapes.partition_point(|s| s.when.sent_ns < window.end_ns).min(end).max(first);
        // One that was answered as the phase began is both.
        let reference = if scrapes[first].when.answered_ns == window.start_ns { first } else { first.saturating_sub(1) };
        Some(Self { reference, first, last })
    }
}

/// A window over a history.
struct View<'a> {
    history: &'a History,
    span: Span,
    /// Where rates are measured: the window, as far as there are scrapes around it.
    edges: (f64, f64),
    slices: Vec<(Window, bool)>,
    times: Vec<f64>,
}

impl<'a> View<'a> {
    fn of(history: &'a History, window: Window, slice_ns: Option<u64>) -> Option<Self> {
        let span = Span::of(history, window)?;
        let origin = history.scrapes.first()?.when.middle_ns();
        let times: Vec<f64> = history.scrapes.iter().map(|s| seconds(origin, s.when.middle_ns())).collect();
        let known = (*times.get(span.reference)?, *times.get(span.last)?);
        let edge = |ns: u64| seconds(origin, ns).clamp(known.0, known.1);
        let edges = (edge(window.start_ns), edge(window.end_ns));
        let mut view = Self { history, span, edges, slices: Vec::new(), times };
        if let Some(length) = slice_ns.filter(|length| *length > 0) {
            view.slices = view.cut(window, length);
        }
        Some(view)
    }

    /// Slices of this length. Where scrapes are rarer than that, they would be mostly empty: then one from scrape to scrape.
    fn cut(&self, window: Window, length: u64) -> Vec<(Window, bool)> {
        let Window { start_ns, end_ns } = window;
        if end_ns <= start_ns {
            return Vec::new();
        }
        let inside = self.history.scrapes[self.span.first..=self.span.last].iter().map(|s| s.when.middle_ns());
        let inside: Vec<u64> = inside.filter(|at| (start_ns..end_ns).contains(at)).collect();
        let whole = usize::try_from((end_ns - start_ns) / length).unwrap_or(usize::MAX);
        let is_regular = whole <= inside.len() + 1;
        let mut edges: Vec<u64> = if is_regular { (0..=whole as u64).map(|i| start_ns + i * length).collect() } else { vec![start_ns] };
        if !is_regular {
            edges.extend(inside);
        }
        edges.push(end_ns);
        edges.dedup();
        let slice = |pair: &[u64]| {
            let window = Window { start_ns: pair[0], end_ns: pair[1] };
            (window, !is_regular || pair[1] - pair[0] == length)
        };
        edges.windows(2).map(slice).collect()
    }

    fn series(&self, metric: &Metric, series: &Series) -> Option<Measured> {
        let (figures, slices) = match (&series.values, metric.kind) {
            (Values::Histogram { .. }, _) => self.histogram(series)?,
            (Values::Scalar(_), Kind::Counter) => self.counter(series)?,
            (Values::Scalar(_), _) => self.gauge(series)?,
        };
        let labels = series.labels.clone();
        let (name, help, unit) = (metric.name.clone(), metric.help.clone(), metric.unit.clone());
        Some(Measured { name, kind: metric.kind, help, unit, labels, figures, slices })
    }

    fn rows(&self) -> impl Iterator<Item = u32> {
        self.history.scrapes.iter().map(|s| s.row)
    }

    fn gauge(&self, series: &Series) -> Option<(Figures, Vec<Slice>)> {
        let Values::Scalar(column) = &series.values else { return None };
        let Span { first, last, .. } = self.span;
        let scrapes = &self.history.scrapes[first..=last];
        let samples: Vec<(u64, f64)> =
            column.at(scrapes.iter().map(|s| s.row)).zip(scrapes).filter_map(|(v, s)| Some((s.when.middle_ns(), v?))).collect();
        let of = |samples: &[(u64, f64)]| gauge(&samples.iter().map(|(_, v)| *v).collect::<Vec<_>>());
        let slice = |(window, is_complete): &(Window, bool)| {
            let from = samples.partition_point(|(at, _)| *at < window.start_ns);
            let to = samples.partition_point(|(at, _)| *at < window.end_ns);
            Some(Slice { window: *window, is_complete: *is_complete, figures: Figures::Gauge(of(samples.get(from..to)?)?) })
        };
        let slices = self.slices.iter().filter_map(slice).collect();
        Some((Figures::Gauge(of(&samples)?), slices))
    }

    fn counter(&self, series: &Series) -> Option<(Figures, Vec<Slice>)> {
        let Values::Scalar(column) = &series.values else { return None };
        let values: Vec<Option<f64>> = column.at(self.rows()).collect();
        let grown = grown(&values, &restarts(&[&values]))?;
        self.was_there(&values)?;
        let slice = |(window, is_complete): &(Window, bool)| {
            let (from, to) = self.edges_of(*window);
            let total = self.at(&grown, to) - self.at(&grown, from);
            let figures = Figures::Counter(Counter { total, rate: per(total, window.seconds()), rates: None });
            Slice { window: *window, is_complete: *is_complete, figures }
        };
        let slices: Vec<Slice> = self.slices.iter().map(slice).collect();
        let rate_of = |slice: &Slice| match &slice.figures {
            Figures::Counter(counter) if slice.is_complete => Some(counter.rate),
            _ => None,
        };
        let rates: Vec<f64> = slices.iter().filter_map(rate_of).collect();
        let rates = gauge(&rates).map(|g| [g.avg, g.min, g.max, g.std]);
        let counter = Counter { total: self.total(&grown), rate: self.rate(&grown), rates };
        Some((Figures::Counter(counter), slices))
    }

    fn histogram(&self, series: &Series) -> Option<(Figures, Vec<Slice>)> {
        let Values::Histogram { buckets, sum, count } = &series.values else { return None };
        let count: Vec<Option<f64>> = count.at(self.rows()).collect();
        let sum: Vec<Option<f64>> = sum.at(self.rows()).collect();
        let bounds: Vec<Vec<Option<f64>>> = buckets.iter().map(|(_, _, column)| column.at(self.rows()).collect()).collect();
        self.was_there(&count)?;
        let restarts = restarts(&bounds.iter().chain([&count]).collect::<Vec<_>>());
        let (grown_count, grown_sum) = (grown(&count, &restarts)?, grown(&sum, &restarts).unwrap_or_else(|| vec![0.0; count.len()]));
        let grown_bounds: Vec<Vec<f64>> = bounds.iter().map(|b| grown(b, &restarts).unwrap_or_else(|| vec![0.0; count.len()])).collect();
        let between = |from: usize, to: usize| {
            let count = whole(grown_count[to] - grown_count[from]);
            let mut upto = 0;
            // Counts of one answer may have been taken one after the other: none is under the one before, nor over all.
            let mut bucket = |grown: &[f64]| {
                upto = whole(grown[to] - grown[from]).clamp(upto, count.max(upto));
                upto
            };
            let mut counts: Vec<u64> = grown_bounds.iter().map(|grown| bucket(grown)).collect();
            if let Some((_, last)) = buckets.last().zip(counts.last_mut()).filter(|((_, bound, _), _)| *bound == f64::INFINITY) {
                *last = count.max(*last);
            }
            (count, grown_sum[to] - grown_sum[from], counts)
        };
        let named = |counts: &[u64]| buckets.iter().map(|(le, _, _)| le.clone()).zip(counts.iter().copied()).collect();
        let slice = |(window, is_complete): &(Window, bool)| {
            // Whole observations: what the last scrape before each edge had counted.
            let upto = |ns: u64| {
                let seen = self.history.scrapes.partition_point(|s| s.when.middle_ns() <= ns);
                seen.saturating_sub(1).clamp(self.span.reference, self.span.last)
            };
            let (count, sum, counts) = between(upto(window.start_ns), upto(window.end_ns));
            let (count_rate, sum_rate) = (per(float(count), window.seconds()), per(sum, window.seconds()));
            let histogram = Histogram { count, sum, count_rate, sum_rate, percentiles: None, buckets: named(&counts) };
            Slice { window: *window, is_complete: *is_complete, figures: Figures::Histogram(histogram) }
        };
        let slices = self.slices.iter().map(slice).collect();
        let (count, sum, counts) = between(self.span.reference, self.span.last);
        let mut bounds: Vec<(f64, u64)> = buckets.iter().map(|(_, bound, _)| *bound).zip(counts.iter().copied()).collect();
        if bounds.last().is_none_or(|(bound, _)| bound.is_finite()) {
            bounds.push((f64::INFINITY, count));
        }
        let beyond =
            self.beyond(&grown_count, &grown_sum, grown_bounds.iter().zip(buckets).rfind(|(_, b)| b.1.is_finite()).map(|(g, _)| g));
        let percentiles = estimate::percentiles(&bounds, beyond);
        let (count_rate, sum_rate) = (self.rate(&grown_count), self.rate(&grown_sum));
        let histogram = Histogram { count, sum, count_rate, sum_rate, percentiles, buckets: named(&counts) };
        Some((Figures::Histogram(histogram), slices))
    }

    /// The mean of observations over the last finite bound, learnt where nothing else was observed from one scrape to the next.
    fn beyond(&self, count: &[f64], sum: &[f64], finite: Option<&Vec<f64>>) -> Option<f64> {
        let (mut seen, mut total) = (0.0, 0.0);
        for at in self.span.reference..self.span.last {
            let observed = count[at + 1] - count[at];
            if observed > 0.0 && finite.is_none_or(|finite| finite[at + 1] <= finite[at]) {
                seen += observed;
                total += sum[at + 1] - sum[at];
            }
        }
        (seen > 0.0).then(|| total / seen).filter(|mean| mean.is_finite())
    }

    /// `None` of what was gone before the window, or came behind it.
    fn was_there(&self, values: &[Option<f64>]) -> Option<()> {
        values[self.span.reference..=self.span.last].iter().any(Option::is_some).then_some(())
    }

    fn total(&self, grown: &[f64]) -> f64 {
        grown[self.span.last] - grown[self.span.reference]
    }

    fn rate(&self, grown: &[f64]) -> f64 {
        let (from, to) = self.edges;
        per(self.at(grown, to) - self.at(grown, from), to - from)
    }

    fn edges_of(&self, window: Window) -> (f64, f64) {
        let origin = self.history.scrapes.first().map_or(0, |s| s.when.middle_ns());
        (seconds(origin, window.start_ns), seconds(origin, window.end_ns))
    }

    /// On the line between the scrapes around a time; before the first and behind the last nothing grows.
    fn at(&self, grown: &[f64], time: f64) -> f64 {
        line(&self.times, grown, time)
    }
}

/// On the line between the points around a time.
pub(crate) fn line(times: &[f64], values: &[f64], time: f64) -> f64 {
    let behind = times.partition_point(|t| *t <= time);
    let (Some(before), last) = (behind.checked_sub(1), values.len().saturating_sub(1)) else {
        return values.first().copied().unwrap_or(0.0);
    };
    if before >= last {
        return values.last().copied().unwrap_or(0.0);
    }
    let part = (time - times[before]) / (times[behind] - times[before]);
    values[before] + (values[behind] - values[before]) * part
}

/// Where a server must have started again: something that only grows is less than before.
fn restarts(columns: &[&Vec<Option<f64>>]) -> Vec<bool> {
    let mut restarts = vec![false; columns.first().map_or(0, |c| c.len())];
    for column in columns {
        let mut before = None;
        for (value, restart) in column.iter().zip(&mut restarts) {
            if let Some(value) = value.filter(|v| v.is_finite()) {
                *restart |= before.is_some_and(|before| value < before);
                before = Some(value);
            }
        }
    }
    restarts
}

/// What a value had grown by at each scrape, since the first. A series that is not in an earlier answer had not begun to count;
/// one that is gone for a while stands still. `None` of none.
fn grown(values: &[Option<f64>], restarts: &[bool]) -> Option<Vec<f64>> {
    let (mut before, mut sum) = (None, 0.0);
    let mut grown = Vec::with_capacity(values.len());
    for (at, (value, restart)) in values.iter().zip(restarts).enumerate() {
        if let Some(value) = value.filter(|v| v.is_finite()) {
            sum += match before {
                Some(before) if !restart => value - before,
                None if at == 0 => 0.0,
                _ => value,
            };
            before = Some(value);
        }
        grown.push(sum);
    }
    before.map(|_| grown)
}

/// Of samples that are numbers; `None` of none.
pub(crate) fn gauge(samples: &[f64]) -> Option<Gauge> {
    let samples: Vec<f64> = samples.iter().copied().filter(|v| v.is_finite()).collect();
    let all = stats::Stats::of(&samples)?;
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let n = all.count as f64;
    let squares: Vec<f64> = samples.iter().map(|v| (v - all.avg) * (v - all.avg)).collect();
    let std = if all.count > 1 { (stats::sum(&squares) / (n - 1.0)).sqrt() } else { 0.0 };
    Some(Gauge { avg: all.avg, min: all.min, max: all.max, std, percentiles: all.percentiles, count: all.count })
}

fn per(value: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { value / seconds } else { 0.0 }
}

/// From one wall time to another; negative where the other is earlier.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a run: fewer than 2^53")]
pub(crate) fn seconds(origin: u64, at: u64) -> f64 {
    if at >= origin { (at - origin) as f64 * 1e-9 } else { -((origin - at) as f64 * 1e-9) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is not negative")]
fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

#[allow(clippy::cast_precision_loss, reason = "observations: fewer than 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
