//! R: reviews and decisions.

use jiff::civil::Date;

use super::{Check, Context, Mend, Needs, Rule, Sink};
use crate::finding::Severity::{Error, Info, Warning};
use crate::model::Document;
use crate::parse::date::DateValue;
use crate::parse::fields::{Field, Name};
use crate::parse::status::Status;
use crate::parse::value::Class;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "R001",
        name: "undecided-on-trunk",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Trunk,
        about: "A proposal that nobody has decided lies on trunk, where readers take what they find for what holds. Keep it in its pull \
                request until it is decided; a repository that wants it otherwise turns this off.",
        check: Check::Proposal(undecided),
    },
    Rule {
        id: "R002",
        name: "approved-incomplete",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "An approved proposal says who looks after it, who agreed, when, and in which pull request. Without these nobody can \
                tell how it was decided.",
        check: Check::Proposal(incomplete),
    },
    Rule {
        id: "R003",
        name: "review-overdue",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Clock,
        about: "A proposal is under review, and the day of its decision has passed, or was never set.",
        check: Check::Proposal(overdue),
    },
    later("R004", "review-window", Info, "The day of the decision is more than two weeks after the proposal was submitted."),
    later("R005", "review-quorum", Info, "A review waits for people."),
    Rule {
        id: "R006",
        name: "self-review",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "An author is among the reviewers whose agreement is needed, or every sponsor is an author: nobody else looks at it.",
        check: Check::Proposal(self_review),
    },
    Rule {
        id: "R007",
        name: "stale-draft",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Clock,
        about: "Nobody has touched this draft for so many days (maintenance.stale_days). Go on with it, defer it, or withdraw it.",
        check: Check::Proposal(stale),
    },
    Rule {
        id: "R008",
        name: "maintenance-due",
        severity: Info,
        mend: Mend::None,
        needs: Needs::Clock,
        about: "Nobody has looked at this decision for so many days (maintenance.maintenance_days), or the day of its next look has \
                passed. See whether it still holds, and write the day into Last Reviewed.",
        check: Check::Proposal(due),
    },
    Rule {
        id: "R009",
        name: "implemented-without-evidence",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "The status is Implemented, and no link says where it was built.",
        check: Check::Proposal(without_evidence),
    },
    later("R010", "illegal-transition", Error, "A status changed in a way that the process does not know."),
    later("R011", "decided-text-changed", Error, "The text of a decided proposal changed in what it says."),
    later("R012", "stale-approval", Warning, "A reviewer approved another text than this."),
    later("R013", "provisional-open", Warning, "What was shipped before its review waits for it still."),
];

const fn later(id: &'static str, name: &'static str, severity: crate::finding::Severity, about: &'static str) -> Rule {
    Rule { id, name, severity, mend: Mend::None, needs: Needs::Nothing, about, check: Check::Later }
}

fn status(document: &Document) -> Option<(&Field, Status)> {
    Some((document.head.field(Name::Status)?, document.effective()?))
}

fn undecided(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    if let Some((field, status @ (Status::Draft | Status::UnderReview))) = status(document) {
        sink.at(document, field.value_span, "Status", format!("a proposal on trunk is {}", status.written()));
    }
}

/// What has no value among some fields.
fn lacking(context: &Context<'_>, document: &Document, names: &[Name]) -> Vec<Name> {
    let has = |name: &&Name| document.head.fields(**name).any(|field| context.corpus.templates.class(field) == Class::Value);
    names.iter().filter(|name| !has(name)).copied().collect()
}

fn incomplete(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let Some((field, status)) = status(document).filter(|(_, status)| status.holds()) else { return };
    for name in lacking(context, document, &[Name::Sponsor, Name::Reviewers, Name::ReviewDate, Name::PullRequest]) {
        let message = format!("the proposal is {} and has no {}", status.written(), name.written());
        sink.at(document, field.value_span, format!("Status {}", name.written()), message);
    }
}

fn without_evidence(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let Some((field, Status::Implemented)) = status(document) else { return };
    if !lacking(context, document, &[Name::Implementation]).is_empty() {
        let message = format!("the proposal is Implemented, and {} links nothing", Name::Implementation.written());
        sink.at(document, field.value_span, "Status", message);
    }
}

fn self_review(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let [authors, sponsors, reviewers] = [Name::Authors, Name::Sponsor, Name::Reviewers].map(|name| document.people(name));
    let is_author = |person: &crate::parse::people::Person| authors.iter().any(|author| author.is(person));
    if let Some(person) = reviewers.iter().find(|person| is_author(person)) {
        let who: Vec<String> = reviewers.iter().filter(|person| is_author(person)).map(crate::parse::people::Person::shown).collect();
        let message = format!("{} wrote it and must agree to it", who.join(" and "));
        sink.at(document, person.span, "Required Reviewers", message);
    }
    if let Some(first) = sponsors.first().filter(|_| sponsors.iter().all(is_author)) {
        sink.at(document, first.span, "Sponsor", "every sponsor is an author");
    }
}

/// The date of a field, where there is one without a doubt.
pub(crate) fn date(context: &Context<'_>, document: &Document, name: Name) -> Option<Date> {
    DateValue::read(&document.head.field(name)?.value, context.config.date_order.order())?.date()
}

/// Whole days from one to another.
pub(crate) fn days(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

fn overdue(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let (Some((status, Status::UnderReview)), Some(today)) = (status(document), context.corpus.today) else { return };
    let span = document.head.field(Name::ReviewDate).map_or(status.value_span, |field| field.value_span);
    match date(context, document, Name::ReviewDate) {
        Some(date) if date < today => {
            let late = days(date, today);
            let unit = if late == 1 { "day" } else { "days" };
            sink.at(document, span, "Review Date", format!("the review was to end on {date}, {late} {unit} ago"));
        }
        Some(_) => {}
        None => {
            sink.at(document, span, "Review Date", "the proposal is under review, and no date says until when");
        }
    }
}

fn stale(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let (Some((field, Status::Draft)), Some(today)) = (status(document), context.corpus.today) else { return };
    let Some(idle) = context.corpus.touched(document).map(|touched| days(touched, today)) else { return };
    if idle > context.config.maintenance.stale_days {
        sink.at(document, field.value_span, "Status", format!("nobody has touched this draft for {idle} days"));
    }
}

/// The day on which somebody looked at a decision last, as far as it is known.
pub(crate) fn last_look(context: &Context<'_>, document: &Document, today: Date) -> Option<Date> {
    let written = [Name::LastReviewed, Name::ReviewDate].map(|name| date(context, document, name));
    written.into_iter().chain([context.corpus.touched(document)]).flatten().filter(|day| *day <= today).max()
}

fn due(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let (Some((field, status)), Some(today)) = (status(document), context.corpus.today) else { return };
    if !status.holds() {
        return;
    }
    if let Some(next) = date(context, document, Name::NextReview).filter(|next| *next < today) {
        sink.at(document, field.value_span, "Next Review", format!("its next look was to be on {next}"));
        return;
    }
    let Some(last) = last_look(context, document, today) else { return };
    let since = days(last, today);
    if since > context.config.maintenance.maintenance_days {
        sink.at(document, field.value_span, "Status", format!("nobody has looked at this decision since {last}, {since} days ago"));
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use crate::model::PathHistory;
    use crate::rules::testing::{Repository, found};

    const WHOLE: &str = "**Authors**: @ada\n\n**Sponsor**: @brin\n\n**Required Reviewers**: @chen\n\n**Review Date**: 2026-01-01\n\n**Pull Request**: #3\n\n";

    fn of(status: &str, rest: &str, trunk: bool) -> Vec<String> {
        let text = format!("# T\n\n**Status**: {status}\n\n{rest}# Summary\n");
        let mut repository = Repository::of(&[("deps/0001-a.md", text.as_str())]);
        repository.trunk = trunk;
        repository.clock = true;
        repository.corpus.today = Some(date(2026, 6, 1));
        // The first of March.
        repository.corpus.history.insert(
            "deps/0001-a.md".to_owned(),
            PathHistory { order: 0, added: 1_772_323_200, touched: 1_772_323_200, status: 1_772_323_200 },
        );
        found(&repository, "R").into_iter().map(|found| found[..4].to_owned()).collect()
    }

    #[test]
    fn what_is_decided_is_complete() {
        assert_eq!(of("Approved", WHOLE, true), Vec::<String>::new());
        assert_eq!(of("Accepted", &WHOLE.replace("@brin", "TBD"), true), ["R002"]);
        assert_eq!(of("Approved", "**Sponsor**: @ada\n\n", false), ["R002"; 3]);
        assert_eq!(of("Implemented", WHOLE, true), ["R009"]);
        assert_eq!(of("Implemented", &format!("{WHOLE}**Implementation**: #4\n\n"), true), Vec::<String>::new());
        assert_eq!(of("Draft", "", true), ["R001", "R007"]);
        assert_eq!(of("Under Review", &WHOLE.replace("2026-01-01", "2026-07-01"), false), Vec::<String>::new());
    }

    #[test]
    fn nobody_reviews_alone() {
        assert_eq!(of("Under Review", &WHOLE.replace("@chen", "@Ada, @chen").replace("2026-01-01", "2026-07-01"), false), ["R006"]);
        assert_eq!(of("Under Review", &WHOLE.replace("@brin", "@ada").replace("2026-01-01", "2026-07-01"), false), ["R006"]);
    }

    #[test]
    fn days_pass() {
        assert_eq!(of("Under Review", WHOLE, false), ["R003"]);
        assert_eq!(of("Under Review", &WHOLE.replace("2026-01-01", "TBD"), false), ["R003"]);
        assert_eq!(of("Approved", &format!("{WHOLE}**Next Review**: 2026-05-01\n\n"), false), ["R008"]);
        let old = Repository::of(&[("deps/0001-a.md", "# T\n\n**Status**: Approved\n\n**Last Reviewed**: 2025-01-01\n\n# Summary\n")]);
        let mut old = Repository { clock: true, ..old };
        old.corpus.today = Some(date(2026, 6, 1));
        assert!(found(&old, "R008").len() == 1);
    }
}
