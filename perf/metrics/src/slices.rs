//! A phase in slices of time (perf contract 6.7, with 0.2 item 10): a record belongs to the slice in which it left, and curves
//! are those of all records in that slice.

use crate::catalog::Metric;
use crate::columns::Columns;
use crate::curves::{Curves, Stamps};
use crate::record::Row;
use crate::summary::{Objective, Summary, Window};

/// One slice.
#[derive(Clone, Debug)]
pub struct Slice {
    /// When it was.
    pub window: Window,
    /// It is as long as the others; the last one may not be.
    pub complete: bool,
    /// What is said of it.
    pub summary: Summary,
}

/// More slices than this are no help to anybody.
const MOST: u64 = 100_000;
/// Nor are more than so many for each record: one record of a wrong time would make a day of empty ones.
const PER_RECORD: u64 = 10;
/// But so many in any case: few requests in a long run are no mistake.
const LEAST: u64 = 2_000;

/// Slices of so many nanoseconds, from the first start of a request to the last end; longer ones where there would be too many.
#[must_use]
pub fn of(rows: &[Row], length_ns: u64, objectives: &[Objective], stamps: Stamps) -> Vec<Slice> {
    of_columns(&rows.iter().collect(), length_ns, objectives, stamps)
}

/// The same of records that are kept as columns.
#[must_use]
pub fn of_columns(columns: &Columns, length_ns: u64, objectives: &[Objective], stamps: Stamps) -> Vec<Slice> {
    let moment = |ns: u64| u64::try_from(stamps.at(ns)).unwrap_or(0);
    let starts: Vec<u64> = columns.moments().map(|[_, start, _]| moment(start)).collect();
    let ends = columns.moments().map(|[_, _, end]| moment(end)).max();
    let (Some(first), Some(last)) = (starts.iter().copied().min(), ends) else { return Vec::new() };
    let most = (columns.len() as u64).saturating_mul(PER_RECORD).clamp(LEAST, MOST);
    let length = length_ns.max(last.saturating_sub(first) / most).max(1);
    let slice = |at: u64| (Window { start_ns: at, end_ns: at.saturating_add(length).min(last) }, at.saturating_add(length) <= last);
    let begins = std::iter::successors(Some(first), |at| at.checked_add(length)).take_while(|at| *at < last);
    let slices: Vec<(Window, bool)> = begins.map(slice).collect();
    let windows: Vec<Option<Window>> = slices.iter().map(|(window, _)| Some(*window)).collect();
    let number = |row: usize| starts.get(row).and_then(|start| usize::try_from((start - first) / length).ok()).unwrap_or(usize::MAX);
    let summaries = Summary::of_groups(columns, number, &windows, objectives, stamps);
    let curves = Curves::of_columns(columns, stamps);
    let complete = |((window, complete), mut summary): ((Window, bool), Summary)| {
        for absent in [Metric::CreditToStartLatency, Metric::EffectiveLatency] {
            summary.remove(absent);
        }
        summary.put_curves(curves.within(window));
        Slice { window, complete, summary }
    };
    slices.into_iter().zip(summaries).map(complete).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_belongs_to_where_it_left_and_its_curve_to_where_it_was() {
        let row = |start_ns: u64, end_ns: u64| Row { credit_ns: start_ns, start_ns, end_ns, ..Row::default() };
        let rows = [row(100, 250), row(190, 195), row(210, 220)];
        let slices = of(&rows, 100, &[], Stamps::Whole);
        let windows: Vec<_> = slices.iter().map(|s| (s.window.start_ns, s.window.end_ns, s.complete)).collect();
        assert_eq!(windows, [(100, 200, true), (200, 250, false)]);
        let counts: Vec<_> = slices.iter().map(|s| s.summary.single(Metric::RequestCount)).collect();
        assert_eq!(counts, [Some(2.0), Some(1.0)]);
        let Some(crate::Value::Weighted(busy)) = slices[1].summary.get(Metric::EffectiveConcurrency) else { panic!() };
        assert!((busy.avg - 1.2).abs() < 1e-12, "{busy:?}");
        assert!(slices[0].summary.get(Metric::EffectiveLatency).is_none());
        assert!(of(&[], 100, &[], Stamps::Whole).is_empty());
    }
}
