//! How a search found its answer: what was measured at each level that was tried.

use std::collections::BTreeSet;

use dormouse_perf_report::json::Json;

use crate::chart::{Axes, Look, Series, draw};
use crate::model::{Chart, Key, Line, Section, Table};
use crate::shapes::next;
use crate::subject::Subject;
use crate::words::{ABSENT, line, number, plain};

/// Figures that are drawn; the table has them all.
const DRAWN: usize = 4;
/// Levels and figures that a table shows.
const LEVELS: usize = 200;
const FIGURES: usize = 24;

/// A level that was tried.
struct Try {
    level: f64,
    passed: Option<bool>,
    settled: String,
    requests: String,
    /// By name, in the order in which they stand there.
    figures: Vec<(String, f64)>,
}

impl Try {
    fn read(tried: &Json) -> Option<Self> {
        let flag = |name: &str| match tried.get(name) {
            Some(Json::Bool(value)) => Some(*value),
            _ => None,
        };
        let text = |name: &str| tried.get(name).and_then(plain).unwrap_or_else(|| ABSENT.to_owned());
        let mut figures = Vec::new();
        for (name, value) in tried.get("metrics").map(Json::members).unwrap_or_default() {
            match value.as_f64() {
                Some(figure) => figures.push((name.clone(), figure)),
                None => figures.extend(value.members().iter().filter_map(|(stat, v)| Some((format!("{name} {stat}"), v.as_f64()?)))),
            }
        }
        Some(Self {
            level: tried.get("level")?.as_f64()?,
            passed: flag("passed"),
            settled: text("settled"),
            requests: text("requests"),
            figures,
        })
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    fn verdict(&self) -> String {
        match self.passed {
            Some(true) => "passed",
            Some(false) => "failed",
            None => ABSENT,
        }
        .to_owned()
    }
}

/// The searches of all runs that have one.
pub(crate) fn section(subjects: &[Subject<'_>], ids: &mut usize) -> Section {
    let mut section = Section { id: "search", title: "Search", ..Section::default() };
    for subject in subjects {
        if let Some(history) = &subject.input.search {
            add(&mut section, subject, history, ids);
        }
    }
    section
}

fn add(section: &mut Section, subject: &Subject<'_>, history: &Json, ids: &mut usize) {
    let tried: Vec<Try> = match history.get("tried") {
        Some(Json::Array(list)) => list.iter().filter_map(Try::read).collect(),
        _ => Vec::new(),
    };
    let answer = history.get("answer");
    let level = |name: &str| answer.and_then(|a| a.get(name)).and_then(Json::as_f64);
    let words = match (level("level"), level("low"), level("high")) {
        (Some(at), Some(low), Some(high)) => format!("The answer is {}, between {} and {}.", number(at), number(low), number(high)),
        (Some(at), ..) => format!("The answer is {}.", number(at)),
        _ => "The search has no answer.".to_owned(),
    };
    section.lead.push(format!("{}{words}", subject.prefix()));
    let holds = match history.get("holds") {
        Some(Json::Bool(true)) => Some("The answer was tried again, and holds.".to_owned()),
        Some(Json::Bool(false)) => Some("The answer was tried again, and does not hold.".to_owned()),
        Some(other) => plain(other).or_else(|| Some(line(other, &[])).filter(|l| !l.is_empty())).map(|l| format!("Holds: {l}.")),
        None => None,
    };
    section.lead.extend(holds);
    let mut seen = BTreeSet::new();
    let names: Vec<&str> = tried.iter().flat_map(|t| &t.figures).map(|(n, _)| n.as_str()).filter(|n| seen.insert(*n)).collect();
    section.charts.extend(names.iter().take(DRAWN).filter_map(|name| chart(subject, &tried, name, level("level"), next(ids))));
    let head =
        ["Level", "Verdict", "Settled", "Requests"].into_iter().chain(names.iter().take(FIGURES).copied()).map(str::to_owned).collect();
    let row = |t: &Try| {
        let figures = names.iter().take(FIGURES).map(|name| t.figure(name).map_or_else(|| ABSENT.to_owned(), number));
        Line::of(number(t.level), [t.verdict(), t.settled.clone(), t.requests.clone()].into_iter().chain(figures))
    };
    let rows = tried.iter().take(LEVELS).map(row).collect();
    section.tables.push(Table {
        caption: format!("{}levels in the order in which they were tried", subject.prefix()),
        head,
        rows,
        ..Table::default()
    });
}

fn chart(subject: &Subject<'_>, tried: &[Try], name: &str, answer: Option<f64>, id: usize) -> Option<Chart> {
    let mut points: Vec<(f64, f64, Option<bool>)> = tried.iter().filter_map(|t| Some((t.level, t.figure(name)?, t.passed))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let of = |wanted: fn(Option<bool>) -> bool| points.iter().filter(|p| wanted(p.2)).map(|p| (p.0, p.1)).collect::<Vec<_>>();
    let series = [
        Series { number: 0, look: Look::Line, points: of(|_| true) },
        Series { number: 2, look: Look::Dots, points: of(|p| p != Some(false)) },
        Series { number: 1, look: Look::Crosses, points: of(|p| p == Some(false)) },
    ];
    let ends = points.first().zip(points.last()).map(|(a, b)| (a.0, b.0));
    let logarithmic = ends.is_some_and(|(low, high)| low > 0.0 && high / low > 20.0);
    let axes = Axes {
        x: if logarithmic { "level, logarithmic" } else { "level" },
        // A name of the file: it stands in the heading, where it is text of the page.
        y: String::new(),
        logarithmic,
        upright: answer.into_iter().collect(),
        ..Axes::default()
    };
    let svg = draw(&series, &axes, id)?;
    let key = |number: usize, look: &'static str, text: &str| Key { number, look, text: text.to_owned() };
    let rows = points.iter().map(|(level, figure, passed)| {
        let passed = passed.map_or(ABSENT, |p| if p { "passed" } else { "failed" });
        Line::of(number(*level), [number(*figure), passed.to_owned()])
    });
    Some(Chart {
        title: format!("{}{name} by level", subject.prefix()),
        alt: format!("{name} at each of {} levels that were tried.", points.len()),
        svg,
        legend: vec![key(2, "dot", "passed"), key(1, "cross", "failed")],
        remark: answer.map(|a| format!("Upright line: the answer, {}.", number(a))).unwrap_or_default(),
        table: Table {
            caption: "Levels".to_owned(),
            folded: true,
            head: vec!["Level".to_owned(), name.to_owned(), "Verdict".to_owned()],
            rows: rows.collect(),
            ..Table::default()
        },
    })
}
