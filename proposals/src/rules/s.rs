//! S: sections, what stands in them, and in which order.

mod children;
mod terms;
#[cfg(test)]
mod tests;

use super::{Check, Context, Mend, Needs, Rule, Sink, place};
use crate::finding::Related;
use crate::finding::Severity::{Error, Info, Warning};
use crate::model::Document;
use crate::parse::body::Heading;
use crate::parse::sections::{Found, SCHEMA, Schema, index};
use crate::parse::value;
use crate::text::without_comments;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "S001",
        name: "missing-required-section",
        severity: Error,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "Every proposal has Summary, Motivation, Proposal and Alternate Solutions, so that readers know where to look. In a \
                draft that is a warning: sections may come later.",
        check: Check::Proposal(missing),
    },
    Rule {
        id: "S002",
        name: "empty-required-section",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A required section has a heading and no text. N/A will do in Alternate Solutions alone: a proposal without a reason, \
                or without a proposal, is none. In a draft that is a warning.",
        check: Check::Proposal(empty),
    },
    Rule {
        id: "S003",
        name: "section-order",
        severity: Warning,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "Sections stand in the order of the template. Move the one that is named, with all below it.",
        check: Check::Proposal(order),
    },
    Rule {
        id: "S004",
        name: "section-depth",
        severity: Warning,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "A section's heading has a level of its own, the main ones level one. At another level it is still read as that \
                section; headings below it may have to move with it.",
        check: Check::Proposal(depth),
    },
    Rule {
        id: "S005",
        name: "section-parent",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A section stands in another one than the template has it in: Goals belong to Motivation, References to Background.",
        check: Check::Proposal(parent),
    },
    Rule {
        id: "S006",
        name: "heading-variant",
        severity: Info,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "A heading is read as a section though it is written otherwise. Links to the heading break when it is renamed, so \
                nothing does that unasked.",
        check: Check::Proposal(variant),
    },
    Rule {
        id: "S007",
        name: "unknown-top-section",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A heading of level one is no section of the template. Its text may belong below Proposal or Background.",
        check: Check::Proposal(unknown),
    },
    Rule {
        id: "S008",
        name: "duplicate-section",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "One section stands there twice, at one level and in one place; the first is read. A second document may have been \
                pasted below the first.",
        check: Check::Proposal(twice),
    },
    Rule {
        id: "S009",
        name: "numbered-heading-form",
        severity: Info,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "Requirements, phases and alternatives are numbered plainly: REQ 1 Title, Phase 0, Alt 2 Title. What the template has \
                in <...>, and #, is to be replaced.",
        check: Check::Proposal(children::form),
    },
    Rule {
        id: "S010",
        name: "numbered-heading-sequence",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "Requirements and alternatives count from 1, phases from 0 or 1, each one more than the one before. Others cite them by \
                number.",
        check: Check::Proposal(children::sequence),
    },
    Rule {
        id: "S011",
        name: "requirement-keyword",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A requirement says how binding it is by a word of RFC 2119, in capitals and bold: **MUST**, **SHOULD**, **MAY**.",
        check: Check::Proposal(children::keyword),
    },
    Rule {
        id: "S012",
        name: "idle-optional-section",
        severity: Info,
        mend: Mend::Unsafe,
        needs: Needs::Nothing,
        about: "An optional section says nothing but N/A, TBD or the template's own mark. Leave it out, or fill it.",
        check: Check::Proposal(idle),
    },
    Rule {
        id: "S013",
        name: "alternative-without-verdict",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "An alternative does not say why it lost. **Reason Rejected:** is what later readers look for first.",
        check: Check::Proposal(children::verdict),
    },
    Rule {
        id: "S014",
        name: "phase-fields",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A phase names its Release Target, Effort Estimate and Work Item(s), each as a label in bold.",
        check: Check::Proposal(children::phase_fields),
    },
    Rule {
        id: "S015",
        name: "unsorted-terms",
        severity: Info,
        mend: Mend::Safe,
        needs: Needs::Nothing,
        about: "Terms and acronyms are looked up, so they stand in alphabetical order, upper and lower case alike.",
        check: Check::Proposal(terms::unsorted),
    },
];

/// The sections that were found, with their headings.
fn found(document: &Document) -> impl Iterator<Item = (&'static Schema, &Found, &Heading)> {
    let headings = &document.body().headings;
    document.sections().found.iter().filter_map(move |found| Some((SCHEMA.get(found.schema)?, found, headings.get(found.heading)?)))
}

/// A heading as it should be written.
fn written(schema: &Schema) -> String {
    format!("{} {}", "#".repeat(schema.level.into()), schema.name)
}

fn missing(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (number, schema) in SCHEMA.iter().enumerate().filter(|(_, schema)| schema.required) {
        if document.sections().get(number).is_none() {
            let finding = sink.absent(document, schema.name, format!("there is no section {:?}", schema.name));
            let or = if number == index::ALTERNATIVES { ", with N/A where there were none" } else { "" };
            finding.help = Some(format!("add \"{}\"{or}", written(schema)));
        }
    }
}

fn empty(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (schema, found, heading) in found(document).filter(|(schema, ..)| schema.required) {
        let texts = paragraphs(document, found.heading);
        let says_none = found.schema == index::ALTERNATIVES && texts.iter().any(|text| value::is_none(text));
        if texts.iter().all(|text| is_idle(text)) && !says_none {
            let finding = sink.at(document, heading.span, schema.name, format!("section {:?} says nothing", schema.name));
            finding.label = "nothing below".to_owned();
        }
    }
}

fn order(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let mut all: Vec<_> = found(document).collect();
    all.sort_by_key(|(_, found, _)| found.heading);
    // The first that stands behind one it should stand before.
    let wrong = all.windows(2).find(|pair| pair[1].1.schema < pair[0].1.schema);
    if let Some(&[(before, _, earlier), (schema, found, heading)]) = wrong {
        let message = format!("section {:?} stands behind {:?}", schema.name, before.name);
        let finding = sink.at(document, heading.span, place::path(document, found.heading), message);
        finding.label = format!("belongs before {:?}", before.name);
        finding.related.push(related(document, earlier, before.name));
    }
}

fn depth(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (schema, found, heading) in found(document).filter(|(_, found, _)| !found.at_level) {
        let message = format!("section {:?} has level {}, not {}", schema.name, heading.level, schema.level);
        let finding = sink.at(document, heading.span, format!("{} level {}", schema.name, heading.level), message);
        finding.label = format!("level {}", heading.level);
        finding.help = Some(format!("write \"{}\"{}", written(schema), if found.in_parent { "" } else { ", in its own section" }));
    }
}

fn parent(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (schema, found, heading) in found(document).filter(|(_, found, _)| !found.in_parent) {
        let within = document.sections().parents.get(found.heading).copied().flatten();
        let within = within.and_then(|at| document.body().headings.get(at));
        let is = within.map_or_else(|| "stands in no section".to_owned(), |within| format!("stands in {:?}", within.text));
        let message = format!("section {:?} {is}, not {}", schema.name, wanted(schema));
        let finding = sink.at(document, heading.span, place::path(document, found.heading), message);
        finding.label = schema.parent.map_or_else(|| "a main section".to_owned(), |parent| format!("belongs to {parent:?}"));
        finding.related.extend(within.map(|within| related(document, within, &within.text)));
    }
}

fn wanted(schema: &Schema) -> String {
    schema.parent.map_or_else(|| "alone".to_owned(), |parent| format!("in {parent:?}"))
}

fn variant(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (schema, found, heading) in found(document).filter(|(_, found, _)| !found.exact) {
        let message = format!("{:?} is read as section {:?}", heading.text, schema.name);
        let finding = sink.at(document, heading.span, place::path(document, found.heading), message);
        finding.label = format!("call it {:?}", schema.name);
        finding.help = Some(format!("write {:?}, and mend links to the old heading", schema.name));
    }
}

fn unknown(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (at, heading) in document.sections().unknown.iter().filter_map(|at| Some((*at, document.body().headings.get(*at)?))) {
        let message = format!("{:?} is no main section of the template", heading.text);
        let finding = sink.at(document, heading.span, place::path(document, at), message);
        finding.label = "not of the template".to_owned();
    }
}

fn twice(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let headings = &document.body().headings;
    for (again, first) in &document.sections().twice {
        let (Some(heading), Some(earlier)) = (headings.get(*again), headings.get(*first)) else { continue };
        let message = format!("section {:?} is there already", heading.text);
        let finding = sink.at(document, heading.span, place::path(document, *again), message);
        finding.label = "once more".to_owned();
        finding.related.push(related(document, earlier, "the one that is read"));
    }
}

fn idle(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (schema, found, heading) in found(document).filter(|(schema, ..)| !schema.required) {
        // A heading below says something by itself.
        let alone = place::children(document, found.heading).is_empty();
        if alone && paragraphs(document, found.heading).iter().all(|text| is_idle(text)) {
            let message = format!("optional section {:?} says nothing", schema.name);
            let finding = sink.at(document, heading.span, place::path(document, found.heading), message);
            finding.label = "nothing below".to_owned();
            finding.help = Some("leave the section out, or fill it".to_owned());
        }
    }
}

fn related(document: &Document, heading: &Heading, label: &str) -> Related {
    Related { path: document.path.clone(), span: heading.span, label: label.to_owned() }
}

/// The text below a heading, paragraph by paragraph: without headings, comments, marks of lists and emphasis.
fn paragraphs(document: &Document, heading: usize) -> Vec<String> {
    let span = place::below(document, heading);
    let blanked = without_comments(span.of(&document.source));
    let mut all = vec![String::new()];
    for (line, text) in crate::text::lines(&blanked, 0) {
        let text = if place::heading_at(document, span.start + line.start).is_some() { "" } else { text.trim() };
        if text.is_empty() {
            all.push(String::new());
            continue;
        }
        if let Some(paragraph) = all.last_mut() {
            paragraph.push(' ');
            paragraph.push_str(plain(text));
        }
    }
    all.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// A line without marks around its text; of a line of marks alone nothing is left.
fn plain(line: &str) -> &str {
    let text = line.trim_start_matches(['>', '-', '+', '*', '_', ' ', '\t']);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.get(digits..).filter(|_| digits > 0).and_then(|rest| rest.strip_prefix(['.', ')'])).map_or(text, str::trim_start);
    text.trim_start_matches(['*', '_']).trim_end_matches(['*', '_', '.', '\\', ' ', '\t'])
}

/// Whether a text says that there is none, that it will come, or what the template says in that place.
fn is_idle(text: &str) -> bool {
    let marker = || {
        let bare = text.replace('\\', "").to_lowercase();
        bare.ends_with(']') && (bare.starts_with("[optional") || bare.starts_with("[required"))
    };
    value::is_none(text) || value::is_pending(text) || marker()
}
