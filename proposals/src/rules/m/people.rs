//! M019, M020 and M022: who is named, and how.

use std::collections::BTreeSet;

use super::called;
use crate::finding::Edit;
use crate::model::{Document, people};
use crate::parse::fields::{Field, Form as FieldForm, Name};
use crate::parse::people::{Form, Person};
use crate::parse::value::Class;
use crate::rules::{Context, Sink};

/// The fields that name people, and whom.
fn named<'a>(context: &Context<'_>, document: &'a Document) -> Vec<(&'a Field, Vec<Person>)> {
    let fields = [Name::Authors, Name::Sponsor, Name::Reviewers].into_iter().flat_map(|name| document.head.fields(name));
    let values = fields.filter(|field| context.corpus.templates.class(field) == Class::Value);
    values.map(|field| (field, people(&document.source, field).all)).collect()
}

pub(super) fn form(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, all) in named(context, document) {
        let mut seen = BTreeSet::new();
        for person in all {
            let message = match person.form {
                Form::Bare => format!("{:?} has no @", person.name),
                Form::Display => format!("{:?} is no handle", person.name),
                Form::Link { .. } | Form::Handle | Form::Team => continue,
            };
            if seen.insert(person.name.to_lowercase()) {
                let finding = sink.at(document, person.span, format!("{} {}", called(field), person.name), message);
                finding.help = Some(match person.form {
                    Form::Bare => format!("write @{}, if that is the handle", person.name),
                    _ => "write the handle of this person, @name".to_owned(),
                });
            }
        }
    }
}

pub(super) fn mismatch(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, all) in named(context, document) {
        for person in all {
            let Form::Link { handle: Some(handle) } = &person.form else { continue };
            if !handle.eq_ignore_ascii_case(&person.name) {
                let message = format!("the link shows @{} and leads to @{handle}", person.name);
                sink.at(document, person.span, format!("{} {} {handle}", called(field), person.name), message);
            }
        }
    }
}

pub(super) fn separator(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, all) in named(context, document) {
        if field.form == FieldForm::FrontMatter {
            continue;
        }
        // `Ada Brook @ada` is more likely one person than two.
        let is_handle = |person: &Person| matches!(person.form, Form::Link { .. } | Form::Handle | Form::Team);
        let gaps = all.windows(2).filter(|pair| {
            let between = document.source.get(pair[0].span.end..pair[1].span.start).unwrap_or_default();
            is_handle(&pair[0]) && is_handle(&pair[1]) && between.trim().is_empty() && !between.contains('\n')
        });
        let ends: Vec<usize> = gaps.map(|pair| pair[0].span.end).collect();
        if !ends.is_empty() {
            let message = format!("people of {} stand between blanks alone", called(field));
            let finding = sink.at(document, field.value_span, format!("{} {}", called(field), field.value), message);
            finding.label = "write commas between them".to_owned();
            finding.fix = ends.iter().map(|end| Edit::insert(*end, ",")).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::m::fixture::{Repository, count, found, mends};

    fn field(name: &str, value: &str) -> String {
        format!("# T\n\n**{name}**: {value}\n\n# Summary\n")
    }

    #[test]
    fn people_have_handles() {
        let text = "# T\n\n**Authors**: Ada Brook, chen, Ada Brook\n\n**Sponsor**: [nv-ada], TBD\n";
        assert_eq!(found("M019", text), ["\"Ada Brook\" is no handle", "\"chen\" has no @", "\"nv-ada\" has no @"]);
        for good in ["@ada, @org/kv", "[ada](https://x.org/ada)", "[Ada Brook](https://x.org/ada)", "TBD", "N/A", ""] {
            assert_eq!(count("M019", &field("Sponsor", good)), 0, "{good}");
        }
        assert_eq!(count("M019", "---\nauthors: [ada, '@b']\n---\n# T\n"), 1);
        let template = Repository::with_template(&field("Sponsor", "[Who it is]"));
        assert_eq!(template.find(&field("Sponsor", "[Who it is]"), |id| id == "M019"), []);
    }

    #[test]
    fn a_link_leads_to_whom_it_shows() {
        assert_eq!(found("M020", &field("Authors", "[@ada](https://x.org/brin)")), ["the link shows @ada and leads to @brin"]);
        assert_eq!(count("M020", &field("Authors", "[@ada](https://x.org/Ada), [b](https://x.org/b/c), @c")), 0);
    }

    #[test]
    fn people_stand_between_commas() {
        let text = field("Sponsor", "@ada @brin <!-- both --> , [c](https://x.org/c)  [d](https://x.org/d) @é");
        let wanted = field("Sponsor", "@ada, @brin <!-- both --> , [c](https://x.org/c),  [d](https://x.org/d), @é");
        mends(&Repository::default(), "M022", &text, &wanted);
        let finding = &Repository::default().find(&text, |id| id == "M022")[0];
        assert!(finding.span.of(&text).starts_with("@ada @brin"));
        for good in ["@a, @b", "@a\n@b", "Ada Brook @ada", "@a and @b"] {
            assert_eq!(count("M022", &field("Authors", good)), 0, "{good}");
        }
    }
}
