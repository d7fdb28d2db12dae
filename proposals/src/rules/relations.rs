//! What proposals say of one another (proposals contract 1.10).

use std::collections::BTreeMap;

use crate::model::{Corpus, Document};
use crate::parse::body::{Body, Link};
use crate::parse::fields::Name;
use crate::parse::sections::index;
use crate::parse::value::Class;
use crate::text::Span;

/// How one belongs to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// It takes the other's place.
    Replaces,
    /// The other took its place.
    ReplacedBy,
    /// It builds on the other.
    Extends,
    /// It names the other among its relatives.
    Related,
    /// It names the other elsewhere.
    Mentions,
}

impl RelationKind {
    /// In words.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Replaces => "replaces",
            Self::ReplacedBy => "replaced by",
            Self::Extends => "extends",
            Self::Related => "related to",
            Self::Mentions => "mentions",
        }
    }
}

/// Where a relation leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a document; its place in [`Corpus::documents`].
    Document(usize),
    /// To several with one number.
    Ambiguous(u32),
    /// To none that there is: a path, or a number.
    Missing(String),
    /// Elsewhere: an address.
    Outside(String),
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Whose it is; its place in [`Corpus::documents`].
    pub from: usize,
    /// How.
    pub kind: RelationKind,
    /// To what.
    pub to: Target,
    /// Where it is said.
    pub span: Span,
    /// It is in part only.
    pub partial: bool,
}

/// All relations of a repository.
#[derive(Debug)]
pub struct Relations<'a> {
    /// Those of fields, document by document, in the order in which they are said.
    pub all: Vec<Relation>,
    index: Index<'a>,
}

impl<'a> Relations<'a> {
    /// Reads those of fields; the bodies are not asked.
    #[must_use]
    pub fn of(corpus: &'a Corpus) -> Self {
        let index = Index::of(corpus);
        let mut all = Vec::new();
        for (from, document) in corpus.documents.iter().enumerate().filter(|(_, document)| document.name.is_proposal()) {
            for (name, kind) in [
                (Name::Replaces, RelationKind::Replaces),
                (Name::ReplacedBy, RelationKind::ReplacedBy),
                (Name::Extends, RelationKind::Extends),
            ] {
                for field in document.head.fields(name).filter(|field| corpus.templates.class(field) == Class::Value) {
                    let partial = field.qualifier.is_some();
                    for (span, to) in index.targets(document, &field.value, field.value_span) {
                        all.push(Relation { from, kind, to, span, partial });
                    }
                }
            }
        }
        Self { all, index }
    }

    /// Those of fields, of a document.
    #[must_use]
    pub fn of_document(&self, document: usize) -> &[Relation] {
        let begin = self.all.partition_point(|relation| relation.from < document);
        let end = self.all.partition_point(|relation| relation.from <= document);
        self.all.get(begin..end).unwrap_or_default()
    }

    /// Those of a kind, of a document.
    pub fn from(&self, document: usize, kind: RelationKind) -> impl Iterator<Item = &Relation> {
        self.of_document(document).iter().filter(move |relation| relation.kind == kind)
    }

    /// What the body of a document names: relatives, and mentions elsewhere, by links and by `DEP-NNNN`.
    #[must_use]
    pub fn of_body(&self, corpus: &Corpus, from: usize) -> Vec<Relation> {
        let Some(document) = corpus.documents.get(from) else { return Vec::new() };
        let index = &self.index;
        let body = document.body();
        let related = document.sections().get(index::RELATED).and_then(|found| {
            let begin = body.headings.get(found.heading)?.span.end;
            let end = document.sections().ends.get(found.heading).and_then(|end| body.headings.get(*end));
            Some(Span::new(begin, end.map_or(document.source.len(), |heading| heading.span.start)))
        });
        let kind = |span: Span| match related {
            Some(related) if related.range().contains(&span.start) => RelationKind::Related,
            _ => RelationKind::Mentions,
        };
        let block = document.head.block;
        let links = body.links.iter().filter(|link| !link.image && !block.range().contains(&link.span.start));
        let linked = links.filter_map(|link| match index.of_address(document, &link.url)? {
            Target::Outside(_) | Target::Missing(_) => None,
            to => Some(Relation { from, kind: kind(link.span), to, span: link.span, partial: false }),
        });
        let mut all: Vec<Relation> = linked.collect();
        for (span, number) in mentions(&document.source, body).filter(|(span, _)| span.start >= block.end) {
            if !all.iter().any(|relation| relation.span.start <= span.start && span.end <= relation.span.end) {
                all.push(Relation { from, kind: kind(span), to: index.of_number(number), span, partial: false });
            }
        }
        all.sort_by_key(|relation| relation.span);
        all
    }
}

/// Documents by path and by number.
#[derive(Debug)]
struct Index<'a> {
    paths: BTreeMap<&'a str, usize>,
    numbers: BTreeMap<u32, Vec<usize>>,
}

impl<'a> Index<'a> {
    fn of(corpus: &'a Corpus) -> Self {
        let mut index = Self { paths: BTreeMap::new(), numbers: BTreeMap::new() };
        for (at, document) in corpus.documents.iter().enumerate().filter(|(_, document)| document.name.is_proposal()) {
            index.paths.insert(&document.path, at);
            if let Some(number) = document.number() {
                index.numbers.entry(number).or_default().push(at);
            }
        }
        index
    }

    fn of_number(&self, number: u32) -> Target {
        match self.numbers.get(&number).map(Vec::as_slice) {
            None | Some([]) => Target::Missing(format!("DEP-{number:04}")),
            Some([one]) => Target::Document(*one),
            Some(_) => Target::Ambiguous(number),
        }
    }

    /// Where an address leads; `None` when it is a place in the document itself.
    fn of_address(&self, document: &Document, url: &str) -> Option<Target> {
        if is_outside(url) {
            return Some(Target::Outside(url.to_owned()));
        }
        let path = url.split(['#', '?']).next().unwrap_or_default();
        if path.is_empty() {
            return None;
        }
        let path = resolve(&document.path, path)?;
        Some(self.paths.get(path.as_str()).map_or(Target::Missing(path), |at| Target::Document(*at)))
    }

    /// What the value of a relation's field names, with its places.
    fn targets(&self, document: &Document, value: &str, span: Span) -> Vec<(Span, Target)> {
        // Links of a value are read as those of a body: brackets, addresses, numbers.
        let lines = crate::text::Lines::of(value);
        let body = Body::read(value, &lines);
        let place = |inner: Span| {
            // A value of one line stands as it is; of several, lines were put below one another.
            let text = inner.of(value);
            let from = document.source.get(span.range()).and_then(|whole| whole.find(text));
            from.map_or(span, |at| Span::new(span.start + at, span.start + at + text.len()))
        };
        let of_link = |link: &Link| Some((place(link.span), self.of_address(document, &link.url)?));
        let mut all: Vec<(Span, Target)> = body.links.iter().filter_map(of_link).collect();
        let inside = |at: Span| body.links.iter().any(|link| link.span.start <= at.start && at.end <= link.span.end);
        for (at, number) in mentions(value, &body).filter(|(at, _)| !inside(*at)) {
            all.push((place(at), self.of_number(number)));
        }
        if all.is_empty() {
            for word in value.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()) {
                let digits = word.trim_start_matches("#").trim_start_matches('0');
                match digits.parse().ok().filter(|_| word.len() >= 4 || !word.starts_with('#')) {
                    Some(number) => all.push((span, self.of_number(number))),
                    None if word.ends_with(".md") => all.extend(self.of_address(document, word).map(|to| (span, to))),
                    None => {}
                }
            }
        }
        all
    }
}

/// Whether an address leads out of the repository.
#[must_use]
pub fn is_outside(url: &str) -> bool {
    let scheme = url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    });
    scheme || url.starts_with("//")
}

/// The path that a relative address means, from the root; `None` when it leads out of it.
#[must_use]
pub fn resolve(document: &str, address: &str) -> Option<String> {
    let address = percent_encoding::percent_decode_str(address).decode_utf8_lossy();
    let base = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if address.starts_with('/') { address.into_owned() } else { format!("{base}/{address}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// `DEP-0017`, `DEP 0017` and `DEP0017` outside code, with their places.
pub fn mentions<'a>(text: &'a str, body: &'a Body) -> impl Iterator<Item = (Span, u32)> + 'a {
    text.match_indices("DEP").filter_map(move |(at, _)| {
        let rest = text.get(at + 3..)?;
        let gap = usize::from(rest.starts_with(['-', ' ']));
        let digits = rest.get(gap..)?.bytes().take_while(u8::is_ascii_digit).count();
        let alone = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
        let number = rest.get(gap..gap + digits)?.parse().ok()?;
        (alone && (4..=5).contains(&digits) && number > 0 && !body.is_code(at)).then_some((Span::new(at, at + 3 + gap + digits), number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(files: &[(&str, &str)]) -> Corpus {
        let documents = files.iter().map(|(path, text)| Document::read(path, *text).unwrap()).collect();
        Corpus { documents, ..Corpus::default() }
    }

    #[test]
    fn fields_and_bodies_name_others() {
        let corpus = corpus(&[
            (
                "deps/0001-a.md",
                "# A\n\n**Replaced By** (partially): [DEP-0002 B](0002-b.md)\n\n# Related Proposals\n\n- [B](./0002-b.md#x)\n\n# Background\n\nDEP-0009 and `DEP-0002`, DEP 0002\n",
            ),
            ("deps/0002-b.md", "# B\n\n**Replaces**: DEP-0001, https://github.com/x/y/pull/3, [c](0007-c.md)\n\n**Extends**: 1\n"),
        ]);
        let relations = Relations::of(&corpus);
        let all: Vec<_> = relations.all.iter().map(|r| (r.from, r.kind, r.to.clone(), r.partial)).collect();
        let outside = Target::Outside("https://github.com/x/y/pull/3".to_owned());
        assert_eq!(
            all,
            [
                (0, RelationKind::ReplacedBy, Target::Document(1), true),
                (1, RelationKind::Replaces, outside, false),
                (1, RelationKind::Replaces, Target::Missing("deps/0007-c.md".to_owned()), false),
                (1, RelationKind::Replaces, Target::Document(0), false),
                (1, RelationKind::Extends, Target::Document(0), false),
            ]
        );
        let body: Vec<_> = relations.of_body(&corpus, 0).into_iter().map(|r| (r.kind, r.to)).collect();
        assert_eq!(
            body,
            [
                (RelationKind::Related, Target::Document(1)),
                (RelationKind::Mentions, Target::Missing("DEP-0009".to_owned())),
                (RelationKind::Mentions, Target::Document(1)),
            ]
        );
    }

    #[test]
    fn addresses_are_resolved() {
        assert_eq!(resolve("deps/0001-a.md", "../README.md").as_deref(), Some("README.md"));
        assert_eq!(resolve("deps/0001-a.md", "x%20y/z.png").as_deref(), Some("deps/x y/z.png"));
        assert_eq!(resolve("deps/0001-a.md", "/deps/b.md").as_deref(), Some("deps/b.md"));
        assert_eq!(resolve("deps/0001-a.md", "../../x"), None);
        for outside in ["https://x", "mailto:a@b", "//x.org"] {
            assert!(is_outside(outside));
        }
        assert!(!is_outside("a/b.md") && !is_outside("#c") && !is_outside("x y: z"));
    }
}
