//! Small repositories for the tests of rules.

use super::{Context, run};
use crate::config::Config;
use crate::edit;
use crate::finding::Finding;
use crate::model::{Corpus, Document};
use crate::parse::name::Kind;

/// A repository of these files; those of no Markdown are paths alone.
pub(super) fn corpus(files: &[(&str, &str)]) -> Corpus {
    let mut corpus = Corpus { paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(), ..Corpus::default() };
    for document in files.iter().filter_map(|(path, text)| Document::read(path, *text)) {
        match document.name.kind {
            Kind::Template => corpus.templates.documents.push(document),
            _ if document.path.starts_with("deps/") => corpus.documents.push(document),
            _ => {}
        }
    }
    corpus
}

/// What one rule finds.
pub(super) fn find(id: &str, files: &[(&str, &str)]) -> Vec<Finding> {
    let config = Config::default();
    let corpus = corpus(files);
    run(&Context::new(&corpus, &config), |rule| rule.id == id)
}

/// What one rule finds in a proposal that is alone: the texts of the places, and the messages.
pub(super) fn alone(id: &str, text: &str) -> Vec<(String, String)> {
    let told = |finding: Finding| (finding.span.of(text).to_owned(), finding.message);
    find(id, &[("deps/0001-a.md", text)]).into_iter().map(told).collect()
}

/// A text after its edits.
pub(super) fn apply(text: &str, findings: &[Finding]) -> String {
    edit::apply(text, &edit::chosen(findings.iter().map(|finding| finding.fix.as_slice())))
}

/// Mends the first file by one rule, and sees that nothing is left to mend, whatever the ends of lines are.
pub(super) fn mends(id: &str, files: &[(&str, &str)], wanted: &str) {
    for crlf in [false, true] {
        let ends = |text: &str| if crlf { text.replace('\n', "\r\n") } else { text.to_owned() };
        let texts: Vec<(&str, String)> = files.iter().map(|(path, text)| (*path, ends(text))).collect();
        let mut files: Vec<(&str, &str)> = texts.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let first = files[0];
        let found: Vec<Finding> = find(id, &files).into_iter().filter(|finding| finding.path == first.0).collect();
        assert!(!found.is_empty() && found.iter().all(|finding| !finding.fix.is_empty()), "{found:#?}");
        let mended = apply(first.1, &found);
        assert_eq!(mended, ends(wanted));
        files[0].1 = &mended;
        let again: Vec<Finding> = find(id, &files).into_iter().filter(|finding| finding.path == first.0).collect();
        assert_eq!(again, []);
    }
}
