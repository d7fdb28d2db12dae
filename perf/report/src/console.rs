//! Tables for people (perf contract 6.9): as wide as what is in them, the names on the right of their column, figures with two
//! digits and thousands apart.

use std::collections::BTreeMap;

use dormouse_perf_metrics::catalog::{Group, Metric};
use dormouse_perf_metrics::summary::{Adjusted, Summary, Value};
use dormouse_perf_metrics::unit::Unit;

use crate::records::Problem;

/// Columns behind the name.
const COLUMNS: [&str; 7] = ["avg", "min", "max", "p99", "p90", "p50", "std"];
/// A name that is longer has its unit below it.
const LONG: usize = 30;
/// What is not there.
const ABSENT: &str = "N/A";

/// Whose titles stand above the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Ours.
    #[default]
    Dormouse,
    /// The peer's, for scripts that look for them.
    Aiperf,
}

impl Style {
    fn title(self, what: &str) -> String {
        match self {
            Self::Dormouse => format!("Dormouse Perf | {what}"),
            Self::Aiperf => format!("NVIDIA AIPerf | {what}"),
        }
    }
}

/// All tables of a run: failures first, the main one last. `endpoint` is the title of what was asked, such as `LLM Metrics`.
#[must_use]
pub fn tables(summary: &Summary, problems: &[Problem], endpoint: &str, style: Style, http: bool) -> String {
    let mut text = String::new();
    if !problems.is_empty() {
        text.push('\n');
        text.push_str(&failures(problems, style));
        text.push('\n');
    }
    text.push('\n');
    let groups = [
        (Group::Http, "HTTP Trace Timing".to_owned()),
        (Group::Effective, format!("{endpoint}: Effective")),
        (Group::Active, format!("{endpoint}: Active")),
        (Group::Usage, format!("{endpoint}: Usage")),
        (Group::Main, endpoint.to_owned()),
    ];
    for (group, title) in groups.into_iter().filter(|(group, _)| http || *group != Group::Http) {
        let mut rows = rows(summary, group);
        if group == Group::Main {
            rows.extend(summary.adjusted().map(|(metric, a)| adjusted(metric, a)));
        }
        if !rows.is_empty() {
            let header = [vec!["Metric".to_owned()], COLUMNS.map(str::to_owned).to_vec()].concat();
            text.push_str(&boxed(&style.title(&title), &header, &rows, |_| true));
        }
    }
    text
}

fn rows(summary: &Summary, group: Group) -> Vec<Vec<String>> {
    let mut metrics: Vec<Metric> = summary.iter().map(|(m, _)| m).filter(|m| m.entry().group == group).collect();
    metrics.sort_by_key(|m| (m.entry().order, m.tag()));
    metrics.into_iter().filter_map(|metric| Some(row(metric, summary.get(metric)?))).collect()
}

fn row(metric: Metric, value: &Value) -> Vec<String> {
    let figures = match value {
        Value::Single(v) => [Some(*v), None, None, None, None, None, None],
        Value::Stats(s) => {
            let [.., p50, _, p90, _, p99] = s.percentiles;
            [s.avg, s.min, s.max, p99, p90, p50, s.std].map(Some)
        }
        Value::Weighted(w) => {
            let [p50, p90, _, p99] = w.percentiles;
            [w.avg, w.min, w.max, p99, p90, p50, w.std].map(Some)
        }
    };
    cells(metric.entry().header, metric.entry().unit, figures)
}

fn adjusted(metric: Metric, a: &Adjusted) -> Vec<String> {
    let [.., p50, _, p90, _, p99] = a.percentiles.map(|p| Some(p).filter(|p| p.is_finite()));
    let header = format!("{} (error-adjusted)", metric.entry().header);
    cells(&header, metric.entry().unit, [None, Some(a.min), None, p99, p90, p50, None])
}

fn cells(header: &str, unit: Unit, figures: [Option<f64>; COLUMNS.len()]) -> Vec<String> {
    let gap = if header.chars().count() > LONG { '\n' } else { ' ' };
    let name = format!("{header}{gap}({})", unit.shown());
    let figures = figures.map(|f| f.map_or_else(|| ABSENT.to_owned(), |base| thousands(unit.show(base))));
    std::iter::once(name).chain(figures).collect()
}

/// Two digits, and a comma between thousands.
#[must_use]
pub fn thousands(value: f64) -> String {
    let text = format!("{value:.2}");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let groups: Vec<&str> = whole.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    format!("{sign}{}.{rest}", groups.join(","))
}

fn failures(problems: &[Problem], style: Style) -> String {
    let mut counts: BTreeMap<&Problem, usize> = BTreeMap::new();
    problems.iter().for_each(|p| *counts.entry(p).or_default() += 1);
    let mut counts: Vec<(&Problem, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let row = |(p, count): &(&Problem, usize)| {
        let code = p.code.map_or_else(|| ABSENT.to_owned(), |c| c.to_string());
        vec![code, p.class.clone().unwrap_or_else(|| ABSENT.to_owned()), p.message.clone(), count.to_string()]
    };
    let rows: Vec<Vec<String>> = counts.iter().map(row).collect();
    let header = ["Code", "Type", "Message", "Count"].map(str::to_owned);
    boxed(&style.title("Error Summary"), &header, &rows, |column| column != 2)
}

/// A table with lines around it and its title above its middle. Cells may have several lines.
fn boxed(title: &str, header: &[String], rows: &[Vec<String>], to_the_right: impl Fn(usize) -> bool) -> String {
    let length = |text: &str| text.chars().count();
    let longest = |cell: &String| cell.lines().map(length).max().unwrap_or(0);
    let width = |i: usize| rows.iter().chain([&header.to_vec()]).map(|row| longest(&row[i])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let rule = |left: &str, line: &str, cross: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|w| line.repeat(w + 2)).collect();
        format!("{left}{}{right}\n", parts.join(cross))
    };
    let line = |edge: &str, row: &[String], at: usize| {
        let cell = |(i, text): (usize, &String)| {
            let (text, width) = (text.lines().nth(at).unwrap_or(""), widths[i]);
            if to_the_right(i) { format!(" {text:>width$} ") } else { format!(" {text:<width$} ") }
        };
        let parts: Vec<String> = row.iter().enumerate().map(cell).collect();
        format!("{edge}{}{edge}\n", parts.join(edge))
    };
    let total = widths.iter().map(|w| w + 3).sum::<usize>() + 1;
    let space = total.saturating_sub(length(title));
    let mut text = format!("{}{title}{}\n", " ".repeat(space / 2), " ".repeat(space - space / 2));
    text.push_str(&rule("┏", "━", "┳", "┓"));
    text.push_str(&line("┃", header, 0));
    text.push_str(&rule("┡", "━", "╇", "┩"));
    for row in rows {
        let lines = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(1);
        (0..lines.max(1)).for_each(|at| text.push_str(&line("│", row, at)));
    }
    text.push_str(&rule("└", "─", "┴", "┘"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let all = [0.0, -1.005, 999.994, 1_118.58, 1_234_567.0, -1_000.0].map(thousands);
        assert_eq!(all, ["0.00", "-1.00", "999.99", "1,118.58", "1,234,567.00", "-1,000.00"]);
    }

    #[test]
    fn failures_are_counted_most_first() {
        let problem = |code: i64, message: &str| Problem { code: Some(code), class: Some("T".to_owned()), message: message.to_owned() };
        let text = failures(&[problem(500, "a"), problem(503, "b"), problem(503, "b")], Style::Dormouse);
        let rows: Vec<&str> = text.lines().filter(|l| l.starts_with('│')).collect();
        assert_eq!(rows, ["│  503 │    T │ b       │     2 │", "│  500 │    T │ a       │     1 │"]);
        assert!(text.contains("Dormouse Perf | Error Summary"));
    }
}
