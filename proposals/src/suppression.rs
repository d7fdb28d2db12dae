//! Comments that suppress findings: `<!-- dep:allow S007 reason="…" -->` before a block, `dep:allow-file` for a whole document. One
//! without a reason suppresses nothing.

use crate::finding::{Edit, Finding};
use crate::model::Document;
use crate::rules::{self, Rule};
use crate::text::Span;

/// The comments of a document.
#[derive(Debug)]
pub(crate) struct Suppressions<'a> {
    document: &'a Document,
    all: Vec<Suppression>,
}

#[derive(Debug)]
struct Suppression {
    /// The comment.
    span: Span,
    /// What it covers; none is the whole document.
    covers: Option<Span>,
    /// Rules, and whether each was of use.
    rules: Vec<(String, bool)>,
    has_reason: bool,
}

impl<'a> Suppressions<'a> {
    /// Reads them.
    pub(crate) fn of(document: &'a Document) -> Self {
        // Most documents have none, and their bodies need not be read for that.
        let all = if document.source.contains("dep:allow") {
            document.body().comments.iter().filter_map(|span| Suppression::read(document, *span)).collect()
        } else {
            Vec::new()
        };
        Self { document, all }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether one of them covers a finding; it was of use then.
    pub(crate) fn cover(&mut self, finding: &Finding) -> bool {
        let mut covered = false;
        for suppression in self.all.iter_mut().filter(|suppression| suppression.has_reason) {
            let here = match suppression.covers {
                None => true,
                Some(block) => block.start <= finding.span.start && finding.span.start < block.end && finding.span != Span::default(),
            };
            for (_, used) in suppression.rules.iter_mut().filter(|(rule, _)| here && rule == finding.id) {
                *used = true;
                covered = true;
            }
        }
        covered
    }

    /// What is said of those that were of no use.
    pub(crate) fn unused(&self, rule: &'static Rule) -> Vec<Finding> {
        let mut findings = Vec::new();
        for suppression in &self.all {
            let idle: Vec<&str> = suppression.rules.iter().filter(|(_, used)| !used).map(|(rule, _)| rule.as_str()).collect();
            let message = if !suppression.has_reason {
                "a suppression without a reason suppresses nothing".to_owned()
            } else if suppression.rules.is_empty() {
                "a suppression names no rule".to_owned()
            } else if idle.is_empty() {
                continue;
            } else {
                let unknown = idle.iter().find(|id| rules::find(id).is_none());
                unknown.map_or_else(|| format!("{} suppresses nothing here", idle.join(", ")), |id| format!("there is no rule {id:?}"))
            };
            let mut finding = rules::finding(rule, &self.document.path, suppression.span, idle.join(" "), message);
            if !suppression.has_reason {
                finding.help = Some("say why: reason=\"…\"".to_owned());
            } else if idle.len() == suppression.rules.len() {
                finding.fix.push(Edit::new(line(&self.document.source, suppression.span), ""));
            } else {
                finding.help = Some(format!("take out {}", idle.join(", ")));
            }
            findings.push(finding);
        }
        findings
    }
}

impl Suppression {
    fn read(document: &Document, span: Span) -> Option<Self> {
        let inner = span.of(&document.source).strip_prefix("<!--")?.strip_suffix("-->")?.trim();
        let rest = inner.strip_prefix("dep:allow")?;
        let (file, rest) = rest.strip_prefix("-file").map_or((false, rest), |rest| (true, rest));
        let (rules, reason) = rest.split_once("reason=").map_or((rest, ""), |(rules, reason)| (rules, reason));
        let covers = (!file).then(|| {
            // The block behind the comment, or the one that it stands in.
            let blocks = document.body().blocks.iter().map(|(_, block)| *block);
            let covered = blocks
                .filter(|block| block.end > span.end && !(block.start <= span.start && block.end <= span.end + 1))
                .min_by_key(|block| block.start);
            covered.unwrap_or(Span::new(span.end, document.source.len()))
        });
        Some(Self {
            span,
            covers,
            rules: rules.split([' ', ',']).filter(|rule| !rule.is_empty()).map(|rule| (rule.to_owned(), false)).collect(),
            has_reason: !reason.trim().trim_matches('"').trim().is_empty(),
        })
    }
}

/// The lines of a comment, where nothing else stands in them, with one line end.
fn line(source: &str, span: Span) -> Span {
    let begin = source.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = source.get(span.end..).and_then(|behind| behind.find('\n')).map_or(source.len(), |at| span.end + at + 1);
    let alone = |part: Span| part.of(source).trim().is_empty();
    if alone(Span::new(begin, span.start)) && alone(Span::new(span.end, end)) { Span::new(begin, end) } else { span }
}
