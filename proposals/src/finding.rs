//! What a rule found, as plain data: whoever shows it, shows it in one of several forms.

use serde::Serialize;

use crate::text::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something to know.
    Info,
    /// Something to mend.
    Warning,
    /// Something that must not be.
    Error,
}

/// Bytes that take the place of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The first byte that goes.
    pub start: usize,
    /// Behind the last byte that goes.
    pub end: usize,
    /// What comes.
    pub text: String,
}

impl Edit {
    /// Text in the place of a stretch.
    #[must_use]
    pub fn new(span: Span, text: impl Into<String>) -> Self {
        Self { start: span.start, end: span.end, text: text.into() }
    }

    /// Text before a byte.
    #[must_use]
    pub fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { start: at, end: at, text: text.into() }
    }
}

/// Another place that belongs to a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Of which file.
    pub path: String,
    /// Where in it.
    pub span: Span,
    /// What is there.
    pub label: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub id: &'static str,
    /// Its severity, all things considered.
    pub severity: Severity,
    /// The file; that of the configuration, or none, where it is about the repository.
    pub path: String,
    /// Where in it.
    pub span: Span,
    /// In one sentence.
    pub message: String,
    /// What is written at the place itself.
    pub label: String,
    /// What else is to know.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Other places.
    pub related: Vec<Related>,
    /// Edits of the file that mend it without a doubt.
    pub fix: Vec<Edit>,
    /// What it is about, in words that stay when lines move: the field, or the section, and the text that is wrong.
    pub context: String,
    /// Of rule, slug and context, and the how many-th of them: set once all are there.
    pub fingerprint: String,
    /// It was there before the change that is looked at.
    pub inherited: bool,
}
