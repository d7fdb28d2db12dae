//! Slices of time as files (perf contract 6.7).

use std::fmt::Write as _;

use dormouse_perf_metrics::slices::Slice;

use crate::json::{Json, Members};
use crate::summary;

/// All slices, and the configuration that they belong to.
#[must_use]
pub fn document(slices: &[Slice], input_config: &Json) -> Json {
    let slices = slices.iter().map(|slice| Json::Object(members(slice))).collect();
    Json::Object(vec![("timeslices".to_owned(), Json::Array(slices)), ("input_config".to_owned(), input_config.clone())])
}

fn members(slice: &Slice) -> Members {
    let mut members =
        vec![("start_ns".to_owned(), Json::from(slice.window.start_ns)), ("end_ns".to_owned(), Json::from(slice.window.end_ns))];
    if !slice.complete {
        members.push(("is_complete".to_owned(), Json::Bool(false)));
    }
    let (first, behind) = summary::members(&slice.summary);
    members.extend(first);
    members.extend(behind);
    members
}

/// One line for each figure of each metric of each slice.
#[must_use]
pub fn csv(slices: &[Slice]) -> String {
    let mut text = String::from("Timeslice,Start_NS,End_NS,Metric,Unit,Stat,Value\n");
    for (number, slice) in slices.iter().enumerate() {
        let (start, end) = (slice.window.start_ns, slice.window.end_ns);
        for line in summary::lines(&slice.summary) {
            let (header, unit) = (&line.header, line.unit.shown());
            for (name, shown) in summary::COLUMNS.iter().zip(line.figures).filter_map(|(name, f)| Some((name, f?))) {
                // To a string nothing fails.
                let _ = writeln!(text, "{number},{start},{end},{header},{unit},{name},{shown:.2}");
            }
        }
    }
    text
}
