//! The text of a new proposal: the repository's own template where it has one, filled with what is known; else ours (proposals contract 1.12).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::edit;
use crate::finding::Edit;
use crate::model::{Document, Templates};
use crate::parse::fields::{CORE, Name};
use crate::parse::sections::{Kind, SCHEMA};

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// The title.
    pub title: String,
    /// Values of fields.
    pub fields: Vec<(Name, String)>,
    /// Without words of advice.
    pub bare: bool,
}

impl New {
    fn value(&self, name: Name) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The words of a file's name for a title: NFKD, ASCII, lower case, hyphens, at most 60.
#[must_use]
pub fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.nfkd().filter(|c| !is_combining_mark(*c)) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') && c != '\'' {
            slug.push('-');
        }
    }
    slug.truncate(60);
    slug.trim_matches('-').to_owned()
}

/// The text.
#[must_use]
pub fn render(new: &New, kind: Kind, templates: &Templates) -> String {
    match templates.documents.iter().find(|template| template.path.contains(kind.name())) {
        Some(template) => filled(new, template),
        None => ours(new, kind),
    }
}

/// A template with its title and the fields that are known.
fn filled(new: &New, template: &Document) -> String {
    let mut edits = Vec::new();
    if let Some(title) = template.head.title {
        edits.push(Edit::new(title, new.title.clone()));
    }
    let mut missing = Vec::new();
    for (name, value) in &new.fields {
        match template.head.field(*name) {
            Some(field) if field.value.is_empty() => edits.push(Edit::insert(field.value_span.start, format!(" {value}"))),
            Some(field) => edits.push(Edit::new(field.value_span, value.clone())),
            None => missing.push((*name, value)),
        }
    }
    let line_end = if template.source.contains("\r\n") { "\r\n" } else { "\n" };
    let last = template.head.fields.last().map_or(template.head.block.start, |field| field.span.end);
    let more: String = missing.iter().map(|(name, value)| format!("{line_end}{line_end}**{}**: {value}", name.written())).collect();
    // The value of the last field may end where these begin.
    match edits.iter_mut().find(|edit| edit.end == last) {
        Some(edit) => edit.text += &more,
        None => edits.push(Edit::insert(last, more)),
    }
    edit::apply(&template.source, &edit::compatible(edits))
}

/// Advice of a section; `required` is said before it.
const ADVICE: [(&str, &str); 15] = [
    ("Summary", "Three sentences at most: what changes, for whom, and what it costs."),
    ("Motivation", "The problem, and what shows it: an issue, a trace, a figure. No solution yet."),
    ("Goals", "Bullets; one may be a direction rather than a measure."),
    ("Non Goals", "What a reader could expect here and will not find."),
    ("Requirements", "One heading each, so that it can be tested, with MUST or SHOULD in bold."),
    ("Proposal", "The whole first, then its parts. A picture says more than a page."),
    ("Implementation Details", "Signatures, formats, names of files: what is too fine for the overview."),
    ("Deferred to Implementation", "Questions that the review of the code will settle."),
    ("Implementation Phases", "Count them from 0; each is of use alone."),
    ("Related Proposals", "Relative links, one a bullet."),
    ("Alternate Solutions", "N/A if there were none. Say why each lost."),
    ("Background", "What a newcomer has to know."),
    ("References", "Bullets with titles, not bare addresses."),
    ("Terminology & Definitions", "A table of two columns, sorted; the term in bold."),
    ("Acronyms & Abbreviations", "A line each, sorted: the acronym in bold, a colon, what it stands for."),
];

fn ours(new: &New, kind: Kind) -> String {
    let mut blocks = vec![format!("# {}", new.title)];
    for name in CORE {
        let usual = match name {
            Name::Replaces | Name::ReplacedBy => "N/A",
            _ => "TBD",
        };
        blocks.push(format!("**{}**: {}", name.written(), new.value(name).unwrap_or(usual)));
    }
    let optional = new.fields.iter().filter(|(name, _)| !CORE.contains(name));
    blocks.extend(optional.map(|(name, value)| format!("**{}**: {value}", name.written())));
    for schema in SCHEMA.iter().filter(|schema| kind == Kind::Complete || schema.limited) {
        blocks.push(format!("{} {}", "#".repeat(usize::from(schema.level)), schema.name));
        if !new.bare {
            let advice = ADVICE.iter().find(|(name, _)| *name == schema.name).map_or("", |(_, advice)| advice);
            blocks.push(format!("<!-- dep:guide {}. {advice} -->", if schema.required { "required" } else { "optional" }));
        }
        let labels = |names: &[&str]| names.iter().map(|name| format!("**{name}**:")).collect::<Vec<_>>();
        match schema.name {
            "Requirements" if !new.bare => blocks.push("### REQ 1 First Requirement".to_owned()),
            "Implementation Phases" if !new.bare => {
                blocks.push("## Phase 0 First Slice".to_owned());
                blocks.extend(labels(&["Release Target", "Effort Estimate", "Work Item(s)", "Supported API / Behavior", "Not Supported"]));
            }
            "Alternate Solutions" if !new.bare => {
                blocks.push("## Alt 1 Name It".to_owned());
                blocks.extend(labels(&["Pros", "Cons", "Reason Rejected", "Notes"]));
            }
            _ => {}
        }
    }
    blocks.join("\n\n") + "\n"
}

/// How many sections a text of ours wants filled.
#[must_use]
pub fn required() -> usize {
    SCHEMA.iter().filter(|schema| schema.required).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::head::Head;

    #[test]
    fn titles_become_slugs() {
        assert_eq!(slug("Expire idle prefix cache blocks"), "expire-idle-prefix-cache-blocks");
        assert_eq!(slug("  Ärger's mit naïven Caches: 2.0! "), "argers-mit-naiven-caches-2-0");
        assert_eq!(slug("日本"), "");
        assert!(slug(&"long words ".repeat(20)).len() <= 60 && !slug(&"long words ".repeat(20)).ends_with('-'));
    }

    #[test]
    fn our_own_template_is_whole() {
        let new =
            New { title: "T".to_owned(), fields: vec![(Name::Status, "Draft".to_owned()), (Name::Area, "kv".to_owned())], bare: false };
        for kind in [Kind::Limited, Kind::Complete] {
            let text = render(&new, kind, &Templates::default());
            let document = Document::read("deps/0000-t.md", text.as_str()).unwrap();
            assert_eq!((document.title(), document.sections().kind()), (Some("T"), kind));
            let names: Vec<Name> = document.head.fields.iter().filter_map(|field| field.name).collect();
            assert_eq!(names, CORE.iter().copied().chain([Name::Area]).collect::<Vec<_>>());
            assert!(document.sections().found.iter().all(|found| found.exact && found.at_level && found.in_parent));
            let has_advice = |text: &str| text.contains("<!-- dep:guide");
            assert!(has_advice(&text) && !has_advice(&render(&New { bare: true, ..new.clone() }, kind, &Templates::default())));
        }
    }

    #[test]
    fn a_template_keeps_its_words() {
        let template = Document::read(
            "NNNN-limited-template.md",
            "# <Title>\r\n\r\n**Status**: Draft | Approved\r\n\r\n**Sponsor**:\r\n\r\n# Summary\r\n",
        )
        .unwrap();
        let templates = Templates { documents: vec![template] };
        let fields = vec![(Name::Status, "Draft".to_owned()), (Name::Sponsor, "@ada".to_owned()), (Name::Area, "kv".to_owned())];
        let text = render(&New { title: "T".to_owned(), fields, bare: false }, Kind::Limited, &templates);
        assert_eq!(text, "# T\r\n\r\n**Status**: Draft\r\n\r\n**Sponsor**: @ada\r\n\r\n**Area**: kv\r\n\r\n# Summary\r\n");
        assert_eq!(Head::read(&text).fields.len(), 3);
    }
}
