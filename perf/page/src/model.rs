//! What is on a page: text and drawings, in the order in which they are read. Nothing here knows HTML.

use serde::Serialize;

/// A page.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// What stands above all.
    pub title: String,
    /// The runs, each with its letter and colour.
    pub runs: Vec<Mark>,
    /// Whether each may be believed.
    pub verdicts: Vec<Verdict>,
    /// What to know before a figure is quoted.
    pub notes: Vec<Note>,
    /// Everything else.
    pub sections: Vec<Section>,
    /// Who made it.
    pub made_by: String,
}

/// How a run is called on the page.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    /// Its letter; nothing where there is one run only.
    pub letter: String,
    /// The last part of its folder.
    pub name: String,
    /// Its colour and dashes.
    pub number: usize,
}

/// Whether a run may be believed.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Of which run.
    pub run: Mark,
    /// `good`, `bad` or `unknown`.
    pub tone: &'static str,
    /// In a word.
    pub title: String,
    /// In a sentence.
    pub meaning: &'static str,
    /// Why.
    pub reasons: Vec<String>,
    /// What else the run says of it.
    pub evidence: Vec<(String, String)>,
    /// The first figures that people ask for.
    pub tiles: Vec<(String, String)>,
}

/// Something to know.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// Of which runs; of all where there is none.
    pub runs: Vec<Mark>,
    /// What.
    pub text: String,
}

/// A part of the page.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Section {
    /// Its place in addresses.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What to know to read it.
    pub lead: Vec<String>,
    /// Its charts.
    pub charts: Vec<Chart>,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// A drawing with the figures behind it.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// For those who do not see it.
    pub alt: String,
    /// The drawing: SVG of ours, with no text of anybody else in it.
    pub svg: String,
    /// What its lines are.
    pub legend: Vec<Key>,
    /// What stands below it.
    pub remark: String,
    /// The figures behind it.
    pub table: Table,
}

/// A line of a legend.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// Of a series.
    pub number: usize,
    /// `line`, `thin`, `dot` or `cross`.
    pub look: &'static str,
    /// What it is.
    pub text: String,
}

/// A table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// What it says.
    pub caption: String,
    /// It is opened by the reader.
    pub folded: bool,
    /// Its cells are text, not figures.
    pub wordy: bool,
    /// Heads of columns, the first one included.
    pub head: Vec<String>,
    /// Its rows.
    pub rows: Vec<Line>,
}

/// A row.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its head.
    pub head: String,
    /// A cell for each column but the first.
    pub cells: Vec<Cell>,
}

/// A cell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What stands behind it, smaller.
    pub aside: String,
    /// `better`, `worse` or nothing.
    pub tone: &'static str,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl Line {
    pub(crate) fn of(head: impl Into<String>, cells: impl IntoIterator<Item = String>) -> Self {
        Self { head: head.into(), cells: cells.into_iter().map(Cell::from).collect() }
    }
}

impl Mark {
    /// In a legend, or at the head of a column.
    #[must_use]
    pub fn label(&self) -> String {
        if self.letter.is_empty() { self.name.clone() } else { format!("{} · {}", self.letter, self.name) }
    }
}
