//! T: what templates and tools leave behind.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Check, Context, Mend, Needs, Rule, Sink};
use crate::finding::Edit;
use crate::finding::Severity::{Info, Warning};
use crate::model::{Document, Templates};
use crate::parse::body::Block;
use crate::text::Span;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "T001",
        name: "leftover-guidance",
        severity: Warning,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A paragraph is still the one of the template, which tells authors what to write there. Write that, or take the \
                paragraph out.",
        check: Check::Proposal(leftover),
    },
    Rule {
        id: "T002",
        name: "section-marker-left",
        severity: Warning,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A mark of the template, [Required] or [Optional], still stands below a heading. It is meant for authors, not for \
                readers.",
        check: Check::Proposal(marker),
    },
    Rule {
        id: "T003",
        name: "guidance-comment",
        severity: Info,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A comment of the template is left in the source: `dep:guide`, one that begins with [Required] or [Optional], or any \
                comment in the value of a field. Nobody sees it, and tools have to read around it.",
        check: Check::Proposal(comment),
    },
    Rule {
        id: "T004",
        name: "acronym-conflict",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "Two proposals expand one acronym differently.",
        check: Check::Later,
    },
    Rule {
        id: "T005",
        name: "unused-suppression",
        severity: Warning,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "A `dep:allow` comment hides nothing, or says no reason. Take it out, or write `reason=\"…\"`.",
        check: Check::Repository(unused_suppression),
    },
];

/// Whether a suppression was of use is known when all other rules have run and their findings were hidden: `lint` reports it.
fn unused_suppression(_: &Context<'_>, _: &mut Sink<'_>) {}

/// The paragraphs of templates, by their first word: most paragraphs of proposals are told from them by that alone.
#[derive(Debug, Default)]
pub(super) struct Guidance(HashMap<String, HashSet<String>>);

impl Guidance {
    fn of(templates: &Templates) -> Self {
        let mut guidance = Self::default();
        for template in &templates.documents {
            for (_, text) in paragraphs(template) {
                let plain = plain(text);
                if plain.chars().count() >= 25 && !is_label(&plain) && !is_marker(&plain) {
                    guidance.0.entry(first(text).into_owned()).or_default().insert(plain);
                }
            }
        }
        guidance
    }

    fn has(&self, text: &str) -> Option<String> {
        let known = self.0.get(&*first(text))?;
        Some(plain(text)).filter(|plain| known.contains(plain))
    }
}

/// Paragraphs below the metadata, those of list items as well; whether each is one of its own.
fn paragraphs(document: &Document) -> impl Iterator<Item = ((Span, bool), &str)> {
    let body = document.body();
    let own = body.blocks.iter().filter(|(block, _)| *block == Block::Paragraph).map(|(_, span)| (*span, true));
    let items = body.items.iter().map(|span| (*span, false));
    let block = document.head.block;
    own.chain(items).filter(move |(span, _)| span.start >= block.end).map(|found| (found, found.0.of(&document.source)))
}

/// Words with one blank between, without escapes: editors add and drop these.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('\\', "")
}

fn first(text: &str) -> Cow<'_, str> {
    let word = text.split_whitespace().next().unwrap_or_default();
    if word.contains('\\') { word.replace('\\', "").into() } else { word.into() }
}

/// `**Name:**` and nothing else.
fn is_label(plain: &str) -> bool {
    plain
        .strip_prefix("**")
        .and_then(|rest| rest.strip_suffix("**").or_else(|| rest.strip_suffix("**:")))
        .is_some_and(|inner| !inner.contains("**"))
}

/// `[Required…]` or `[Optional…]` and nothing else, emphasis left out.
fn is_marker(plain: &str) -> bool {
    let inner = plain.trim_matches(['*', '_', ' ']);
    begins_with_marker(inner) && inner.ends_with(']') && inner.matches(']').count() == 1
}

fn begins_with_marker(text: &str) -> bool {
    let begins = |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    begins("[required") || begins("[optional")
}

fn leftover(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let guidance = context.guidance.get_or_init(|| Guidance::of(&context.corpus.templates));
    for ((span, own), text) in paragraphs(document) {
        let Some(plain) = guidance.has(text) else { continue };
        let about = format!("{}: {plain}", section(document, span.start));
        let finding = sink.at(document, span, about, "this paragraph is the template's");
        finding.help = Some("write what it asks for, or take it out".to_owned());
        if own {
            finding.fix = without_lines(&document.source, span);
        }
    }
}

fn marker(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for ((span, own), text) in paragraphs(document) {
        if own && text.len() < 200 && text.starts_with(['[', '\\', '*', '_']) && is_marker(&plain(text)) {
            let finding =
                sink.at(document, span, format!("{}: {}", section(document, span.start), plain(text)), "a mark of the template is left");
            finding.help = Some("take it out".to_owned());
            finding.fix = without_lines(&document.source, span);
        }
    }
}

fn comment(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let source: &str = &document.source;
    let inside = |span: Span| {
        let text = span.of(source);
        text.strip_prefix("<!--").map_or("", |inner| inner.strip_suffix("-->").unwrap_or(inner)).trim().trim_start_matches(['\\', '*'])
    };
    let mut of_values: Vec<Span> = Vec::new();
    for field in &document.head.fields {
        for span in field.comments.iter().copied().filter(|span| !inside(*span).starts_with("dep:allow")) {
            let about = format!("{}: {}", super::m::called(field), span.of(source));
            let finding = sink.at(document, span, about, format!("a comment in the value of {}", super::m::called(field)));
            finding.fix = without(source, span);
            of_values.push(span);
        }
    }
    for span in &document.body().comments {
        let inner = inside(*span);
        if !(inner.starts_with("dep:guide") || begins_with_marker(inner)) || of_values.iter().any(|known| known.start == span.start) {
            continue;
        }
        let about = format!("{}: {}", section(document, span.start), span.of(source));
        sink.at(document, *span, about, "a comment for authors is left").fix = without(source, *span);
    }
}

/// The headings that a place stands below, from the top, with ` > ` between.
pub(super) fn section(document: &Document, at: usize) -> String {
    let (headings, sections) = (&document.body().headings, document.sections());
    let last = headings.partition_point(|heading| heading.span.start <= at).checked_sub(1);
    let up = |heading: &usize| sections.parents.get(*heading).copied().flatten();
    let mut path: Vec<&str> =
        std::iter::successors(last, up).filter_map(|heading| headings.get(heading)).map(|h| h.text.as_str()).collect();
    path.reverse();
    path.join(" > ")
}

/// Takes lines out, and one of the gaps around them. Nothing when what follows is indented: it would belong to what stands above.
fn without_lines(source: &str, span: Span) -> Vec<Edit> {
    let start = source[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = source[span.end..].find('\n').map_or(source.len(), |at| span.end + at + 1);
    let others = source[start..span.start].trim_start_matches('\u{feff}').trim().len() + source[span.end..end].trim().len();
    let rest = &source[end..];
    let next = rest.trim_start_matches(['\r', '\n']);
    if others > 0 || next.starts_with([' ', '\t']) || source[start..span.start].starts_with('\u{feff}') {
        return Vec::new();
    }
    let above = source[..start].trim_end_matches(['\r', '\n', ' ', '\t']);
    let is_gap_above = above.is_empty() || source[above.len()..start].matches('\n').count() > 1;
    if next.is_empty() && !above.is_empty() {
        // At the end the gap above goes, and the text ends with a line's end as before.
        let keep = source[above.len()..].find('\n').map_or(source.len(), |at| above.len() + at + 1);
        return vec![Edit::new(Span::new(keep.min(start), source.len()), "")];
    }
    let end = if is_gap_above { end + (rest.len() - next.len()) } else { end };
    vec![Edit::new(Span::new(start, end), "")]
}

/// Takes a comment out: its lines when it has them to itself, else the blanks before it, too.
fn without(source: &str, span: Span) -> Vec<Edit> {
    if !span.of(source).ends_with("-->") || span.of(source).len() < 7 {
        return Vec::new();
    }
    let line = source[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = &source[line..span.start];
    let after = source[span.end..].split('\n').next().unwrap_or_default();
    if before.trim_start_matches('\u{feff}').trim().is_empty() && after.trim().is_empty() {
        return without_lines(source, span);
    }
    let start = line + before.trim_end_matches([' ', '\t']).len();
    // Behind nothing, or before a word, a blank has to stay where it is.
    let start = if start == line { span.start } else { start };
    vec![Edit::new(Span::new(start, span.end), "")]
}

#[cfg(test)]
mod tests {
    use crate::rules::m::fixture::{Repository, count, mends};

    const TEMPLATE: &str = "# <Title>\n\n**Sponsor**: [Whoever looks after this proposal]\n\n# Summary\n\n**\\[Required \\- always, in all of them\\]**\n\n\
        Say in a few words what\nchanges, and **for whom**.\n\n* \\<a link with a title\\> goes here\n\n**Supported and unsupported:**\n\nToo short.\n";

    fn repository() -> Repository {
        Repository::with_template(TEMPLATE)
    }

    #[test]
    fn paragraphs_of_the_template() {
        let text = "# T\n\n**Sponsor**: @a\n\n# Summary\n\nSay in a few words what changes, and\n**for whom**. \n\nIt is so.\n\n**Supported and unsupported:**\n\nToo short.\n\n\
            > Say in a few words what changes, and **for whom**.\n";
        let wanted = text.replace("Say in a few words what changes, and\n**for whom**. \n\n", "");
        mends(&repository(), "T001", text, &wanted);
        let finding = &repository().find(text, |id| id == "T001")[0];
        assert_eq!(finding.context, "Summary: Say in a few words what changes, and **for whom**.");
        let item = "# T\n\n# A\n\n## B\n\n- \\<a link with a title> goes here\n";
        let findings = repository().find(item, |id| id == "T001");
        assert_eq!((findings.len(), findings[0].fix.len(), findings[0].context.starts_with("A > B: <a link")), (1, 0, true));
        let end = "# T\n\n# A\ntext\n\nSay in a few words what changes, and **for whom**.\n";
        mends(&repository(), "T001", end, "# T\n\n# A\ntext\n");
        let head = "# T\n\n**Sponsor**:\n\n* \\<a link with a title\\> goes here\n\nSay in a few words what changes, and **for whom**.\n\n# Summary\n";
        assert_eq!(repository().find(head, |id| id == "T001"), []);
        let code = "# T\n\n# A\n\nSay in a few words what changes, and **for whom**.\n\n    code\n";
        assert_eq!((repository().find(code, |id| id == "T001").len(), repository().mended(code, |id| id == "T001").as_str()), (1, code));
    }

    #[test]
    fn marks_of_the_template() {
        let none = Repository::default();
        mends(&none, "T002", "# T\n\n# A\n\n**\\[Optional \\- or not\\]**\n\nText\n", "# T\n\n# A\n\nText\n");
        mends(&none, "T002", "# T\n\n# A\n[required]\n\nText", "# T\n\n# A\n\nText");
        mends(&none, "T002", "# T\n\n# A\n\n\n[Required, if not so write N/A]", "# T\n\n# A\n");
        for good in [
            "# T\n\n# A\n\n- [Optional] x\n",
            "# T\n\n[Optional]: x\n\n[Optional](x)\n",
            "# T\n\n# A\n\n[Optional] words\n",
            "# T\n\n# A\n\n[Other]\n",
        ] {
            assert_eq!(count("T002", good), 0, "{good}");
        }
    }

    #[test]
    fn comments_for_authors() {
        let none = Repository::default();
        let text = "# T\n\n**Status**: Draft <!-- Draft | Approved -->\n\n**Sponsor**:<!-- a\nb --> @a\n\n# A\n\n<!-- [Required] why,\n\nand how -->\n\nText <!-- dep:guide x --> of it\n\n<!-- dep:guide é -->\n";
        mends(&none, "T003", text, "# T\n\n**Status**: Draft\n\n**Sponsor**: @a\n\n# A\n\nText of it\n");
        let good = "# T\n\n<!-- who knows -->\n\n**Status**: Draft <!-- dep:allow M001 reason=\"x\" -->\n\n# A\n\n<!-- a note -->\n\n`<!-- dep:guide -->`\n";
        assert_eq!(count("T003", good), 0);
        assert_eq!(count("T003", "# T\n\n**Status**: Draft <!-- never ends\n"), 1);
    }

    #[test]
    fn suppressions_are_reported_elsewhere() {
        assert_eq!(count("T005", "# T\n\n<!-- dep:allow S007 -->\n"), 0);
    }
}
