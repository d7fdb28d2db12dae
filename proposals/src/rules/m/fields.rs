//! M001 to M011: which fields there are, in which order and form.

use super::{block, called, mend, rank};
use crate::finding::Related;
use crate::model::{Document, people};
use crate::parse::date::{DateValue, Order};
use crate::parse::fields::{Field, Form, Name};
use crate::parse::status::CategoryValue;
use crate::parse::value::Class;
use crate::rules::{Context, Sink};

pub(super) fn missing_core(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (name, example) in [(Name::Status, "Draft"), (Name::Authors, "@handle"), (Name::Category, "Architecture")] {
        if document.head.field(name).is_none() {
            let finding = sink.absent(document, name.written(), format!("there is no {}", name.written()));
            finding.help = Some(format!("write `**{}**: {example}` below the title", name.written()));
            if let Some(why) = &document.head.broken_front_matter {
                finding.notes.push(format!("front matter cannot be read: {}", why.lines().next().unwrap_or_default()));
            }
        }
    }
}

pub(super) fn missing_review(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for name in [Name::Sponsor, Name::Reviewers, Name::ReviewDate, Name::PullRequest] {
        if document.head.field(name).is_none() {
            let finding = sink.absent(document, name.written(), format!("there is no {}", name.written()));
            finding.help = Some(format!("write `**{}**: TBD` while nobody knows", name.written()));
        }
    }
}

pub(super) fn missing_link(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for name in [Name::Replaces, Name::ReplacedBy, Name::Implementation] {
        if document.head.field(name).is_none() {
            let finding = sink.absent(document, name.written(), format!("there is no {}", name.written()));
            finding.help = Some(format!("write `**{}**: N/A`", name.written()));
            finding.fix = mend::field(document, name, "N/A");
        }
    }
}

pub(super) fn empty(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let fields = document.head.fields.iter().filter(|field| field.name.is_some());
    for field in fields.filter(|field| Class::of(&field.value, []) == Class::Empty) {
        let finding = sink.at(document, field.name_span, called(field), format!("{} is empty", called(field)));
        finding.help = Some("write a value, `TBD` or `N/A`".to_owned());
    }
}

pub(super) fn pending(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let fields = document.head.fields.iter().filter(|field| field.name.is_some());
    for field in fields.filter(|field| Class::of(&field.value, []) == Class::Pending) {
        sink.at(document, field.value_span, called(field), format!("{} is still to come", called(field)));
    }
}

pub(super) fn template(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for field in &document.head.fields {
        let Some(name) = field.name else { continue };
        // A list of statuses is M014; `Draft` and a category are true even where the template says so.
        let holds = match name {
            Name::Status => true,
            Name::Category => CategoryValue::read(&field.value, &context.config.categories) != CategoryValue::Unknown,
            _ => false,
        };
        if !holds && context.corpus.templates.class(field) == Class::Template {
            let message = if field.value.contains('|') { "is a list to choose from" } else { "holds the words of the template" };
            let about = format!("{} {}", called(field), field.value);
            let finding = sink.at(document, field.value_span, about, format!("{} {message}", called(field)));
            finding.help = Some("write a value, `TBD` or `N/A`".to_owned());
        }
    }
}

pub(super) fn alias(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for field in block(document).filter(|field| !field.exact) {
        let Some(name) = field.name else { continue };
        let message = format!("{:?} is called {:?} here", field.written, name.written());
        let finding = sink.at(document, field.name_span, field.written.as_str(), message);
        finding.label = format!("write {}", name.written());
        // Two with one meaning are one list; under one name they would be two that differ (M009).
        if document.head.fields(name).count() == 1 {
            finding.fix = vec![crate::finding::Edit::new(field.name_span, name.written())];
        } else {
            finding.help = Some(format!("put what is said of it in several fields into one, {}", name.written()));
        }
    }
}

pub(super) fn unknown(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for field in document.head.fields.iter().filter(|field| field.name.is_none()) {
        // Other tools have these two in front matter, and both are known from elsewhere.
        let is_elsewhere = field.form == Form::FrontMatter && matches!(field.written.to_lowercase().as_str(), "title" | "dep");
        if !is_elsewhere {
            let meant = meant(&field.written).map(|meant| format!("; did you mean {:?}?", meant.written())).unwrap_or_default();
            let message = format!("there is no field {:?}{meant}", field.written);
            sink.at(document, field.name_span, field.written.as_str(), message);
        }
    }
}

/// The field that is most like a name, where one is.
fn meant(written: &str) -> Option<Name> {
    let written = written.to_lowercase();
    let near = Name::spellings().map(|(spelling, name)| (strsim::jaro_winkler(&written, &spelling.to_lowercase()), name));
    near.filter(|(near, _)| *near > 0.8).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

pub(super) fn duplicate(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let fields = &document.head.fields;
    for (at, field) in fields.iter().enumerate().filter(|(_, field)| field.name.is_some()) {
        let Some(first) = fields[..at].iter().find(|first| is_same_field(first, field)) else { continue };
        if !is_same_value(document, first, field) {
            let message = format!("{} stands twice, with different values", called(field));
            let finding = sink.at(document, field.name_span, format!("{} {}", called(field), field.value), message);
            let label = "here for the first time".to_owned();
            finding.related.push(Related { path: document.path.clone(), span: first.name_span, label });
        }
    }
}

/// Names with one meaning are read as one list; only what is written alike, or in front matter and in the block, is the same twice.
fn is_same_field(first: &Field, field: &Field) -> bool {
    let elsewhere = (first.form == Form::FrontMatter) != (field.form == Form::FrontMatter);
    let alike = first.written.eq_ignore_ascii_case(&field.written) && first.qualifier == field.qualifier;
    first.name == field.name && (elsewhere || alike)
}

/// Whether two values say the same, however they are written.
fn is_same_value(document: &Document, first: &Field, field: &Field) -> bool {
    let words = |field: &Field| field.value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let absent = |field: &Field| Class::of(&field.value, []) == Class::None;
    let handles = |field: &Field| people(&document.source, field).all.iter().map(|p| p.name.to_lowercase()).collect::<Vec<_>>();
    let date = |field: &Field| DateValue::read(&field.value, Order::None).and_then(DateValue::date);
    let alike = words(first) == words(field) || (absent(first) && absent(field));
    alike
        || match field.name {
            Some(Name::Authors | Name::Sponsor | Name::Reviewers) => handles(first) == handles(field),
            Some(Name::ReviewDate | Name::LastReviewed | Name::NextReview) => date(first).is_some() && date(first) == date(field),
            _ => false,
        }
}

pub(super) fn order(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let mut highest: Option<Name> = None;
    for field in block(document) {
        let Some(name) = field.name else { continue };
        if let Some(above) = highest.filter(|above| rank(name) < rank(*above)) {
            let message = format!("{} stands below {}", name.written(), above.written());
            let finding = sink.at(document, field.name_span, name.written(), message);
            finding.label = format!("before {}", above.written());
            finding.fix = mend::order(document);
            return;
        }
        highest = Some(name);
    }
}

pub(super) fn form(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let mut odd = None;
    let mut above: Option<&Field> = None;
    for field in block(document) {
        // Without a blank line between, two fields are one paragraph.
        let glued = above.is_some_and(|above| {
            let between = document.source.get(above.span.end..field.span.start);
            between.is_some_and(|between| between.trim().is_empty() && between.matches('\n').count() < 2)
        });
        if odd.is_none() && (field.form != Form::Canonical || glued) {
            odd = Some(field);
        }
        above = Some(field);
    }
    let Some(field) = odd else { return };
    let message = format!("{} is not written as `**Name**: value`, a paragraph of its own", called(field));
    let finding = sink.at(document, field.name_span, called(field), message);
    finding.label = format!("write `**{}**: …`, with blank lines around", called(field));
    finding.fix = block(document).filter_map(|field| mend::colon(document, field)).collect();
}

#[cfg(test)]
mod tests {
    use crate::rules::m::fixture::{self, Repository, count, found, mends};

    const GOOD: &str = "# Idle blocks\n\n**Status**: Draft\n\n**Authors**: @ada\n\n**Category**: Process\n\n**Replaces**: N/A\n\n\
        **Replaced By**: N/A\n\n**Sponsor**: @brin\n\n**Required Reviewers**: @chen, @org/kv\n\n**Review Date**: 2026-02-11\n\n\
        **Pull Request**: #12\n\n**Implementation PR / Tracking Issue**: https://x.org/pull/13\n\n**Area**: kv\n\n# Summary\n\nWords.\n";

    fn mend(rule: &str, text: &str, wanted: &str) {
        mends(&Repository::default(), rule, text, wanted);
    }

    #[test]
    fn nothing_is_found_in_a_good_head() {
        let found = Repository::default().find(GOOD, |id| id.starts_with(['M', 'P', 'T']));
        assert_eq!(found, []);
        assert_eq!(Repository::with_template(GOOD).find(GOOD, |id| id == "M006").len(), 7, "of a template that has values");
    }

    #[test]
    fn absent_fields_are_missed_one_by_one() {
        assert_eq!(found("M001", "# T\n\n**Status**: Draft\n"), ["there is no Authors", "there is no Category"]);
        assert_eq!(count("M002", "# T\n\n**Sponsor**: @a\n\n**Review Date**:\n"), 2);
        let missed = Repository::default().find("# T\n", |id| id == "M003");
        assert_eq!((missed.len(), missed[0].span.of("# T\n"), missed[0].fix.len()), (3, "T", 0));
        let broken = Repository::default().find("---\nstatus: [\n---\n# T\n", |id| id == "M001");
        assert!(broken[0].notes[0].starts_with("front matter cannot be read"), "{broken:?}");
    }

    #[test]
    fn what_links_is_added_as_none() {
        mend(
            "M003",
            "# T\n\n**Status**: Draft\n\n**Category**: Process\n\n**Sponsor**: @a\n\n# Summary\n",
            "# T\n\n**Status**: Draft\n\n**Category**: Process\n\n**Replaces**: N/A\n\n**Replaced By**: N/A\n\n**Sponsor**: @a\n\n\
             **Implementation PR / Tracking Issue**: N/A\n\n# Summary\n",
        );
        mend(
            "M003",
            "# T\n**Sponsor:** @a,\n@b\n**Replaced By:** 9\n**Implementation:** #1",
            "# T\n\n**Replaces**: N/A\n\n**Sponsor:** @a,\n@b\n**Replaced By:** 9\n**Implementation:** #1",
        );
        let heading = "# T\n\n## Status\n\nDraft\n\n---\n";
        assert_eq!(Repository::default().mended(heading, |id| id == "M003"), heading);
    }

    #[test]
    fn empty_pending_and_template() {
        let template = "# T\n\n**Sponsor**: [Who looks after it]\n\n**Status**: Draft | Approved\n\n**Category**: Process\n";
        let repository = Repository::with_template(template);
        let text = "# T\n\n**Status**: Draft | Approved\n\n**Authors**:\n\n**Category**: Process | Other\n\n**Sponsor**: [Who looks after it]\n\n**Review Date**: [TBD]\n\n**Other**:\n";
        let found = |rule: &str| repository.find(text, |id| id == rule).into_iter().map(|f| f.message).collect::<Vec<_>>();
        assert_eq!(found("M004"), ["Authors is empty"]);
        assert_eq!(found("M005"), ["Review Date is still to come"]);
        assert_eq!(found("M006"), ["Category is a list to choose from", "Sponsor holds the words of the template"]);
        let own = Repository::with_template("# T\n\n**Status**: Draft\n\n**Category**: Process\n\n**Replaces**: N/A\n\n**Sponsor**: TBD\n");
        assert_eq!(
            own.find("# T\n\n**Status**: Draft\n\n**Category**: Process\n\n**Replaces**: N/A\n\n**Sponsor**: TBD\n", |id| id == "M006"),
            []
        );
    }

    #[test]
    fn other_names_get_theirs() {
        mend("M007", "# T\n\n**Author:** @a\n\n- sponsor: @b\n", "# T\n\n**Authors:** @a\n\n- Sponsor: @b\n");
        let two = "# T\n\n**Implementation**: #1\n\n**Issue(s)**: #2\n";
        assert_eq!((count("M007", two), count("M009", two)), (2, 0));
        assert_eq!(Repository::default().mended(two, |id| id == "M007"), two);
        assert_eq!(count("M007", "---\npic: a\n---\n# T\n\n**Authors**: @a\n"), 0);
    }

    #[test]
    fn unknown_and_duplicate() {
        assert_eq!(found("M008", "# T\n\n**Reviewer**: @a\n"), ["there is no field \"Reviewer\"; did you mean \"Required Reviewers\"?"]);
        assert_eq!(found("M008", "# T\n\n**Colour**: x\n"), ["there is no field \"Colour\""]);
        assert_eq!(count("M008", "---\ntitle: x\ndep: 4\nlayout: y\n---\n# T\n"), 1);
        assert_eq!(found("M009", "# T\n\n**Status**: Draft\n\n**status**: Approved\n"), ["Status stands twice, with different values"]);
        assert_eq!(
            count(
                "M009",
                "---\nstatus: approved\nauthors: ['@a', '@b']\n---\n# T\n\n**Status**: Draft\n\n**Authors**: [@a](https://x.org/a) @B\n"
            ),
            1
        );
        for same in [
            "# T\n\n**Status**: Draft\n\n**Status**: draft\n",
            "# T\n\n**Replaces**: 1\n\n**Replaces** (partially): 2\n",
            "# T\n\n**Review Date**: 2026-02-11\n\n**Review Date**: Feb 11 2026\n",
        ] {
            assert_eq!(count("M009", same), 0, "{same}");
        }
    }

    #[test]
    fn fields_are_put_in_order() {
        mend(
            "M010",
            "# T\n\n**Status**: Draft\n\n**Implementation**:\n  - #1\n  - #2\n\n\n**Note**: of it\n\n**Sponsor**: @a\n\n**Category**: Process",
            "# T\n\n**Status**: Draft\n\n**Category**: Process\n\n\n**Sponsor**: @a\n\n**Implementation**:\n  - #1\n  - #2\n\n**Note**: of it",
        );
        let finding = &Repository::default().find("# T\n\n**Sponsor**: @a\n\n**Status**: x\n\n**Authors**: @a\n", |id| id == "M010")[0];
        assert_eq!((finding.context.as_str(), finding.message.as_str()), ("Status", "Status stands below Sponsor"));
        for left in ["# T\n\n**Sponsor**: @a\n**Status**: x\n", "# T\n\n**Sponsor**: @a\n\n<!-- c -->\n\n**Status**: x\n"] {
            assert_eq!((count("M010", left), Repository::default().mended(left, |id| id == "M010").as_str()), (1, left));
        }
        assert_eq!(count("M010", "---\nsponsor: a\nstatus: b\n---\n# T\n\n**Area**: x\n\n**Extends**: y\n"), 0);
    }

    #[test]
    fn colons_move_behind_the_name() {
        mend(
            "M011",
            "# T\n\n**Status:** Draft\n\n**Sponsor :**  @a\n\n**Area**: é\n",
            "# T\n\n**Status**: Draft\n\n**Sponsor**:  @a\n\n**Area**: é\n",
        );
        for odd in [
            "- **Status**: Draft",
            "> **Status**: Draft",
            "Status: Draft",
            "## Status\n\nDraft",
            "| Status | Draft |",
            "**Status**: Draft\n**Area**: x",
            "**Release: Mar 26**",
        ] {
            let text = format!("# T\n\n{odd}\n");
            assert_eq!((count("M011", &text), Repository::default().mended(&text, |id| id == "M011")), (1, text.clone()), "{odd}");
        }
        assert_eq!(count("M011", "---\nstatus: draft\n---\n# T\n\n**Sponsor**: @a\n@b\n"), 0);
    }

    #[test]
    fn nothing_else_changes() {
        let text = "\u{feff}# T\r\n\r\n**Author:** @a\t\r\n\r\n**Status**: in progress\r\n\r\n\r\n# Summary\r\n\ttext";
        let mended = Repository::default().mended(text, |id| id.starts_with('M') && id != "M003");
        assert_eq!(mended, "\u{feff}# T\r\n\r\n**Status**: Draft\r\n\r\n**Authors**: @a\t\r\n\r\n\r\n# Summary\r\n\ttext");
        assert_eq!(fixture::fields(&mended)[0], ("Status".to_owned(), "Draft".to_owned()));
    }
}
