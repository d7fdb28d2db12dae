//! M012 to M018 and M021: what values say.

use super::{called, mend};
use crate::finding::Edit;
use crate::model::Document;
use crate::parse::body::Link;
use crate::parse::date::DateValue;
use crate::parse::fields::{Field, Form, Name};
use crate::parse::status::{CategoryValue, Status, StatusValue};
use crate::parse::value::Class;
use crate::rules::{Context, Sink};
use crate::text::{Span, lines, trimmed, without_comments};

/// The status fields that say something, and what.
fn statuses(document: &Document) -> impl Iterator<Item = (&Field, StatusValue)> {
    let fields = document.head.fields(Name::Status).filter(|field| !field.value.trim().is_empty());
    fields.map(|field| (field, StatusValue::read(&field.value)))
}

fn about(field: &Field) -> String {
    format!("{} {}", called(field), field.value)
}

pub(super) fn unknown_status(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, value) in statuses(document) {
        let StatusValue::Unknown(meant) = value else { continue };
        let finding = sink.at(document, field.value_span, about(field), format!("there is no status {:?}", field.value));
        match meant {
            Some(meant) => {
                finding.label = format!("write {}", meant.written());
                finding.notes.push(format!("other rules take it for {}", meant.written()));
            }
            None => {
                let known: Vec<&str> = Status::ALL.iter().map(|status| status.written()).collect();
                finding.message.push_str(&crate::config::nearest(&field.value, &known));
                finding.help = Some(format!("one of {}", known.join(", ")));
            }
        }
    }
}

pub(super) fn legacy_status(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, value) in statuses(document) {
        let StatusValue::Legacy(status) = value else { continue };
        // Front matter has no case.
        if field.form == Form::FrontMatter && field.value.eq_ignore_ascii_case(status.written()) {
            continue;
        }
        let finding = sink.at(document, field.value_span, about(field), format!("{:?} is written {:?} now", field.value, status.written()));
        finding.label = format!("write {}", status.written());
        finding.fix = mend::value(document, field, status.written());
    }
}

pub(super) fn status_choices(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, value) in statuses(document) {
        let StatusValue::Choices(ticked) = value else { continue };
        let finding = sink.at(document, field.value_span, about(field), "the status is a list to choose from");
        finding.label = ticked.map_or_else(|| "keep one".to_owned(), |ticked| format!("write {}", ticked.written()));
    }
}

pub(super) fn unknown_category(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for field in document.head.fields(Name::Category) {
        if matches!(context.corpus.templates.class(field), Class::Empty | Class::Template) {
            continue;
        }
        match CategoryValue::read(&field.value, &context.config.categories) {
            CategoryValue::Unknown => {
                let finding = sink.at(document, field.value_span, about(field), format!("there is no category {:?}", field.value));
                finding.help = Some(format!("one of {}", context.config.categories.join(", ")));
            }
            CategoryValue::Legacy(category) if field.form != Form::FrontMatter || !field.value.eq_ignore_ascii_case(&category) => {
                let message = format!("category {:?} is written {category:?} now", field.value);
                sink.at(document, field.value_span, about(field), message).label = format!("write {category}");
            }
            _ => {}
        }
    }
}

pub(super) fn compound_category(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for field in document.head.fields(Name::Category) {
        let CategoryValue::Compound { category, area } = CategoryValue::read(&field.value, &context.config.categories) else { continue };
        let finding = sink.at(document, field.value_span, about(field), "the category names an area as well");
        finding.label = format!("write {category}");
        finding.help = Some(format!("`**Area**: {area}` below the other fields"));
        // An area that stands there already is somebody's choice.
        if document.head.field(Name::Area).is_none() {
            let edits = (mend::value(document, field, &category), mend::field(document, Name::Area, &area));
            if let ([_], [_]) = (&edits.0[..], &edits.1[..]) {
                finding.fix = [edits.0, edits.1].concat();
            }
        }
    }
}

/// The dates of a document.
fn dates<'a>(context: &Context<'_>, document: &'a Document) -> impl Iterator<Item = (&'a Field, DateValue)> {
    let order = context.config.date_order.order();
    [Name::ReviewDate, Name::DiscloseAfter, Name::LastReviewed, Name::NextReview]
        .into_iter()
        .flat_map(|name| document.head.fields(name))
        .filter_map(move |field| Some((field, DateValue::read(&field.value, order)?)))
}

pub(super) fn date_format(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, value) in dates(context, document) {
        let DateValue::Readable(date) = value else { continue };
        let finding = sink.at(document, field.value_span, about(field), format!("{} is not written YYYY-MM-DD", called(field)));
        finding.label = format!("write {date}");
        // A note in brackets says more than the day.
        if !field.value.starts_with(['[', '(']) {
            finding.fix = mend::value(document, field, &date.to_string());
        }
    }
}

pub(super) fn date_ambiguous(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (field, value) in dates(context, document) {
        let DateValue::Ambiguous { month_first, day_first } = value else { continue };
        let finding = sink.at(document, field.value_span, about(field), format!("{} may be {month_first} or {day_first}", called(field)));
        finding.help = Some("write YYYY-MM-DD, or set date_order in dep.toml".to_owned());
        if let Some(added) = context.corpus.added(document) {
            let away = |date: &jiff::civil::Date| date.since(added).map_or(i32::MAX, |span| span.get_days().abs());
            let near = [month_first, day_first].into_iter().min_by_key(away).unwrap_or(month_first);
            finding.notes.push(format!("the file reached trunk on {added}; {near} is nearer to that"));
        }
    }
}

pub(super) fn link_form(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for field in [Name::PullRequest, Name::Implementation].into_iter().flat_map(|name| document.head.fields(name)) {
        if context.corpus.templates.class(field) != Class::Value {
            continue;
        }
        let span = field.value_span;
        let inside = |link: &&Link| span.start <= link.span.start && link.span.end <= span.end;
        let links: Vec<&Link> = document.body().links.iter().filter(inside).collect();
        for place in items(document, field) {
            let line = if field.form == Form::FrontMatter { field.value.as_str() } else { place.of(&document.source) };
            if Class::of(line, []) != Class::Value {
                continue;
            }
            let linked = links.iter().any(|link| place.start <= link.span.start && link.span.end <= place.end);
            // Numbers of front matter are numbers: `#` begins a comment there.
            let number = field.form == Form::FrontMatter && line.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' '));
            if !linked && !number && !is_link(line) {
                let message = format!("{} is no address, no link and no `#12`", called(field));
                let finding = sink.at(document, place, format!("{} {line}", called(field)), message);
                if let Some(number) = request(line) {
                    finding.label = format!("write #{number}");
                    if field.form != Form::FrontMatter {
                        finding.fix = vec![Edit::new(place, format!("#{number}"))];
                    }
                } else {
                    finding.help = Some("write an address, or a link to it".to_owned());
                }
            }
        }
        for link in links.iter().filter(|link| !link.bare && !link.image) {
            let (Some(shown), Some(meant)) = (request(&link.text), number_of(&link.url)) else { continue };
            if shown != meant {
                let message = format!("the link shows {shown} and leads to {meant}");
                let finding = sink.at(document, link.span, format!("{} {}", called(field), link.text), message);
                finding.label = format!("write {meant}");
                // The address is what readers follow.
                if let Some(at) = link.span.of(&document.source).find(shown).map(|at| link.span.start + at) {
                    finding.fix = vec![Edit::new(Span::new(at, at + shown.len()), meant)];
                }
            }
        }
    }
}

/// The lines of a value, without marks of lists and without comments; in front matter the whole of it.
fn items(document: &Document, field: &Field) -> Vec<Span> {
    if field.form == Form::FrontMatter {
        return vec![field.value_span];
    }
    let blanked = without_comments(document.source.get(..field.value_span.end).unwrap_or_default());
    let item = |(span, line): (Span, &str)| {
        let mark = line.len() - line.trim_start_matches(['-', '*', '+', ' ', '\t']).len();
        trimmed(&blanked, Span::new(span.start + mark, span.end))
    };
    lines(&blanked, field.value_span.start).map(item).filter(|span| span.start < span.end).collect()
}

/// Whether a text holds something that can be followed.
fn is_link(text: &str) -> bool {
    let numbered = text.split('#').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered || text.contains("://") || text.contains("](") || text.contains("][")
}

/// The number in `#12`, `PR 12`, `issue #12`, `12`, and in nothing with more words.
fn request(text: &str) -> Option<&str> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let words = text[..text.len() - digits.len()].trim().trim_end_matches(['#', '!']).trim().to_lowercase();
    let known = matches!(words.as_str(), "" | "pr" | "pull" | "pull request" | "mr" | "merge request" | "issue");
    (known && !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// The number of a request or an issue in an address of a forge.
fn number_of(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?;
    let mut parts = path.split('/').skip_while(|part| !matches!(*part, "pull" | "pulls" | "issues" | "merge_requests")).skip(1);
    parts.next().filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use crate::config::DateOrder;
    use crate::rules::m::fixture::{Repository, count, found, mends};

    fn field(name: &str, value: &str) -> String {
        format!("# T\n\n**{name}**: {value}\n\n# Summary\n")
    }

    fn mend(rule: &str, name: &str, value: &str, wanted: &str) {
        mends(&Repository::default(), rule, &field(name, value), &field(name, wanted));
    }

    #[test]
    fn statuses() {
        let finding = &Repository::default().find(&field("Status", "Published"), |id| id == "M012")[0];
        assert_eq!((finding.label.as_str(), finding.fix.len()), ("write Approved", 0));
        assert_eq!(found("M012", &field("Status", "Aproved")), ["there is no status \"Aproved\"; did you mean \"Approved\"?"]);
        assert_eq!(count("M012", &field("Status", "TBD")), 1);
        mend("M013", "Status", "in progress", "Draft");
        mend("M013", "Status", "Superseded <!-- by 9 -->", "Replaced <!-- by 9 -->");
        assert_eq!(count("M014", &field("Status", "[x] Draft | Approved")), 1);
        for good in ["Draft", "Under Review", ""] {
            let found = Repository::default().find(&field("Status", good), |id| matches!(id, "M012" | "M013" | "M014"));
            assert_eq!(found, [], "{good}");
        }
        let front = |status: &str| format!("---\nstatus: {status}\n---\n# T\n");
        assert_eq!((count("M013", &front("under review")), count("M013", &front("superseded"))), (0, 1));
        assert_eq!(Repository::default().mended(&front("superseded"), |id| id == "M013"), front("superseded"));
    }

    #[test]
    fn categories() {
        assert_eq!(found("M015", &field("Category", "CI/CD")), ["there is no category \"CI/CD\""]);
        assert_eq!(
            found("M015", &field("Category", "Architecture / Design")),
            ["category \"Architecture / Design\" is written \"Architecture\" now"]
        );
        assert_eq!((count("M015", &field("Category", "process")), count("M015", "---\ncategory: process\n---\n# T\n")), (1, 0));
        assert_eq!(count("M015", &field("Category", "Process")), 0);
        let text = "# T\n\n**Category**: Architecture - CI/CD\n\n**Pull Request**: #1\n\n# Summary\n";
        let wanted = "# T\n\n**Category**: Architecture\n\n**Pull Request**: #1\n\n**Area**: CI/CD\n\n# Summary\n";
        mends(&Repository::default(), "M016", text, wanted);
        let own = "# T\n\n**Category**: Process - x\n\n**Area**: y\n";
        assert_eq!((count("M016", own), Repository::default().mended(own, |id| id == "M016").as_str()), (1, own));
        assert_eq!(count("M016", &field("Category", "Process")), 0);
    }

    #[test]
    fn dates() {
        mend("M017", "Review Date", "Feb 11 2026", "2026-02-11");
        mend("M017", "Last Reviewed", "02/13/2026 <!-- x -->", "2026-02-13 <!-- x -->");
        let note = field("Review Date", "[targeted: Oct 9, 2025]");
        assert_eq!((count("M017", &note), Repository::default().mended(&note, |id| id == "M017")), (1, note.clone()));
        assert_eq!((count("M017", &field("Review Date", "2026-02-11")), count("M017", &field("Review Date", "TBD"))), (0, 0));
        let both = field("Review Date", "07/01/2025");
        assert_eq!(found("M018", &both), ["Review Date may be 2025-07-01 or 2025-01-07"]);
        assert_eq!((count("M017", &both), count("M018", &field("Review Date", "07/15/2025"))), (0, 0));
        // 2025-06-20.
        let finding = &Repository::added_at(1_750_377_600).find(&both, |id| id == "M018")[0];
        assert!(finding.notes[0].ends_with("2025-06-20; 2025-07-01 is nearer to that"), "{finding:?}");
        let mut told = Repository::default();
        told.config.date_order = DateOrder::Dmy;
        assert_eq!(told.find(&both, |id| id == "M018"), []);
        mends(&told, "M017", &both, &field("Review Date", "2025-01-07"));
    }

    #[test]
    fn links() {
        for (value, wanted) in [
            ("PR 12", "#12"),
            ("12", "#12"),
            ("issue 7", "#7"),
            ("[PR#1](https://x.org/a/b/pull/12)", "[PR#12](https://x.org/a/b/pull/12)"),
        ] {
            mend("M021", "Pull Request", value, wanted);
        }
        mend("M021", "Implementation", "\n  - #1\n  - PR 2", "\n  - #1\n  - #2");
        mend("M021", "Implementation", "\n  - #2025\n  - 20 <!-- 5 -->\n  - 5", "\n  - #2025\n  - #20 <!-- 5 -->\n  - #5");
        assert_eq!(count("M021", &field("Implementation", "ABC-12")), 1);
        assert_eq!(count("M021", "---\npull-request: 12\nimplementation-prs: [3, 4]\n---\n# T\n"), 0);
        for good in [
            "#12",
            "PR #12",
            "https://x.org/pull/3",
            "<https://x.org>",
            "[ABC-3](https://x.org/ABC-4)",
            "[#3](https://x.org/a/b/issues/3#c4)",
            "#1, #2",
            "N/A",
            "TBD",
            "",
            "org/repo#3",
        ] {
            assert_eq!(count("M021", &field("Pull Request", good)), 0, "{good}");
        }
    }
}
