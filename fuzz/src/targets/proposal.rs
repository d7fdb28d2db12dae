//! Enhancement proposals: whatever a document says, it is read, judged and shown, and mending comes to an end.

use dormouse_proposals::config::Config;
use dormouse_proposals::edit;
use dormouse_proposals::lint::{Before, Options, Report, lint};
use dormouse_proposals::model::{Corpus, Document};
use dormouse_proposals::record::{counted, record};
use dormouse_proposals::report::{github, json, text};
use dormouse_proposals::rules::Relations;

use crate::memory;

/// What a document may take, of each byte of it, and at least.
const OF_A_BYTE: usize = 4096;
const LEAST: usize = 16 << 20;
/// As often as `--fix` does.
const ROUNDS: usize = 5;
/// Another proposal, so that relations have somebody.
const OTHER: &str = "# Other\n\n**Status**: Approved\n\n**Replaces**: [x](0001-a.md)\n\n# Summary\n\nA text.\n";

pub(crate) fn check(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    memory::at_most(LEAST + OF_A_BYTE * source.len(), || judged(source));
}

fn corpus(source: &str) -> Corpus {
    let read = |path: &str, text: &str| Document::read(path, text).unwrap();
    let template = read(
        "NNNN-limited-template.md",
        "# <Title>\n\n**Status**: Draft | Approved\n\n# Summary\n\nSay in a few words what changes, and for whom.\n",
    );
    let mut corpus = Corpus { documents: vec![read("deps/0001-a.md", source), read("deps/0002-b.md", OTHER)], ..Corpus::default() };
    corpus.templates.documents.push(template);
    corpus.paths = ["deps/0001-a.md", "deps/0002-b.md", "deps/0001-a/one.png"].map(str::to_owned).into();
    corpus
}

fn found(corpus: &Corpus) -> Report {
    let options = Options { trunk: true, ..Options::default() };
    lint(corpus, &Config::default(), &options, &Before::default())
}

fn judged(source: &str) {
    let first = corpus(source);
    let report = found(&first);
    for finding in &report.findings {
        let document = first.documents.iter().find(|document| document.path == finding.path);
        let Some(document) = document else { continue };
        assert!(document.source.get(finding.span.range()).is_some(), "{finding:?}");
        for edit in &finding.fix {
            assert!(edit.start <= edit.end && document.source.get(edit.start..edit.end).is_some(), "{finding:?}");
        }
    }
    let _ = text::full(&report, &first, text::Style { colour: false, notes: true });
    let _ = github::commands(&report, &first, true);
    assert!(serde_json::from_str::<serde_json::Value>(&json::document(&report, &first)).is_ok());
    let relations = Relations::of(&first);
    assert!(record(&first, &Config::default(), &relations, 0, &counted(&report.findings)).is_some());
    // Mending ends.
    let mut now = source.to_owned();
    for _ in 0..ROUNDS {
        let corpus = corpus(&now);
        let report = found(&corpus);
        let Some(edits) = report.edits().remove("deps/0001-a.md") else { return };
        now = edit::apply(&now, &edits);
    }
    let left = found(&corpus(&now));
    let left: Vec<&str> =
        left.fresh().filter(|finding| finding.path == "deps/0001-a.md" && !finding.fix.is_empty()).map(|f| f.id).collect();
    assert!(left.is_empty(), "mending does not end: {left:?} in {now:?}");
}
