//! Small repositories for the tests of rules.

use crate::config::Config;
use crate::edit;
use crate::finding::Finding;
use crate::model::{Corpus, Document, Templates};
use crate::rules::{Context, run};

/// A repository with one document, and what is around it.
#[derive(Default)]
pub(in crate::rules) struct Repository {
    pub(in crate::rules) config: Config,
    templates: Vec<String>,
    added: Option<i64>,
}

impl Repository {
    /// One with a template.
    pub(in crate::rules) fn with_template(template: &str) -> Self {
        Self { templates: vec![template.to_owned()], ..Self::default() }
    }

    /// One whose document reached trunk at this second.
    pub(in crate::rules) fn added_at(second: i64) -> Self {
        Self { added: Some(second), ..Self::default() }
    }

    /// What rules find in a document.
    pub(in crate::rules) fn find(&self, text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Finding> {
        let read = |path: &str, text: &str| Document::read(path, text).unwrap();
        let mut corpus = Corpus { documents: vec![read("deps/0001-a.md", text)], ..Corpus::default() };
        let documents = self.templates.iter().map(|text| read("NNNN-limited-template.md", text)).collect();
        corpus.templates = Templates { documents };
        if let Some(added) = self.added {
            corpus
                .history
                .insert("deps/0001-a.md".to_owned(), crate::model::PathHistory { order: 0, added, touched: added, status: added });
        }
        let findings = run(&Context::new(&corpus, &self.config), |rule| wanted(rule.id));
        for finding in &findings {
            assert!(text.get(finding.span.range()).is_some(), "{finding:?}");
        }
        findings
    }

    /// Applies fixes until there are none, five times at most; edits that meet wait for the next time.
    pub(in crate::rules) fn mended(&self, text: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut text = text.to_owned();
        for _ in 0..8 {
            let findings = self.find(&text, &wanted);
            let mended = edit::apply(&text, &edit::chosen(findings.iter().map(|finding| finding.fix.as_slice())));
            if mended == text {
                return text;
            }
            text = mended;
        }
        panic!("fixes do not end: {text:?}");
    }
}

/// Names and values of the fields of a text.
pub(in crate::rules) fn fields(text: &str) -> Vec<(String, String)> {
    let document = Document::read("deps/0001-a.md", text).unwrap();
    document.head.fields.iter().map(|field| (super::called(field).to_owned(), field.value.clone())).collect()
}

/// Messages of a rule over a document of a repository without anything else.
pub(in crate::rules) fn found(rule: &str, text: &str) -> Vec<String> {
    Repository::default().find(text, |id| id == rule).into_iter().map(|finding| finding.message).collect()
}

/// How often a rule fires.
pub(in crate::rules) fn count(rule: &str, text: &str) -> usize {
    found(rule, text).len()
}

/// Checks a fix: what comes of it with LF and with CR LF, that the rule is silent then, and that once more changes nothing.
pub(in crate::rules) fn mends(repository: &Repository, rule: &str, text: &str, wanted: &str) {
    for (text, wanted) in [(text.to_owned(), wanted.to_owned()), (text.replace('\n', "\r\n"), wanted.replace('\n', "\r\n"))] {
        assert!(!repository.find(&text, |id| id == rule).is_empty(), "{rule} does not fire: {text:?}");
        let mended = repository.mended(&text, |id| id == rule);
        assert_eq!(mended, wanted, "{rule}");
        assert_eq!(repository.find(&mended, |id| id == rule), [], "{rule}");
    }
}
