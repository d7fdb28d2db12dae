//! Small repositories for the tests of rules.

use super::{Context, run};
use crate::config::Config;
use crate::edit;
use crate::model::{Corpus, Document, Templates};
use crate::parse::name::Kind;

/// A repository, and how it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) corpus: Corpus,
    pub(crate) config: Config,
    pub(crate) trunk: bool,
    pub(crate) clock: bool,
}

impl Repository {
    /// Of files; templates are known by their names.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut corpus = Corpus { paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(), ..Corpus::default() };
        let mut templates = Templates::default();
        for document in files.iter().filter_map(|(path, text)| Document::read(path, *text)) {
            if document.name.kind == Kind::Template { templates.documents.push(document) } else { corpus.documents.push(document) }
        }
        corpus.templates = templates;
        Self { corpus, ..Self::default() }
    }

    /// The texts once all that the rules of some letters mend is mended, as often as that brings something new.
    pub(crate) fn mended(&self, rules: &str) -> Vec<String> {
        let mut texts: Vec<String> = self.corpus.documents.iter().map(|document| document.source.to_string()).collect();
        for _ in 0..5 {
            let files = self.corpus.documents.iter().chain(&self.corpus.templates.documents).map(|document| document.path.as_str());
            let templates = self.corpus.templates.documents.iter().map(|document| document.source.to_string());
            let all: Vec<String> = texts.iter().cloned().chain(templates).collect();
            let files: Vec<(&str, &str)> = files.zip(all.iter().map(String::as_str)).collect();
            let mut now = Self::of(&files);
            (now.trunk, now.clock) = (self.trunk, self.clock);
            let context = now.context();
            let findings = run(&context, |rule| rule.id.starts_with(rules));
            let mend = |document: &Document| {
                let fixes = findings.iter().filter(|finding| finding.path == document.path).map(|finding| finding.fix.as_slice());
                edit::apply(&document.source, &edit::chosen(fixes))
            };
            let after: Vec<String> = now.corpus.documents.iter().map(mend).collect();
            if after == texts {
                return after;
            }
            texts = after;
        }
        panic!("mending does not come to an end: {texts:#?}");
    }

    fn context(&self) -> Context<'_> {
        let mut context = Context::new(&self.corpus, &self.config);
        context.trunk = self.trunk;
        context.clock = self.clock;
        context
    }
}

/// What rules whose numbers begin so find: `X001 deps/0001-a.md`, in order.
pub(crate) fn found(repository: &Repository, rules: &str) -> Vec<String> {
    let context = repository.context();
    let findings = run(&context, |rule| rule.id.starts_with(rules));
    for finding in &findings {
        let document = repository.corpus.documents.iter().find(|document| document.path == finding.path);
        assert!(document.is_none_or(|document| document.source.get(finding.span.range()).is_some()), "{finding:?}");
    }
    findings.iter().map(|finding| format!("{} {}", finding.id, finding.path)).collect()
}
