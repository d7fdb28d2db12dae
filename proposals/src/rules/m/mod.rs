//! M: metadata. Which fields there are and how they are written (`fields`), what their values say (`values`), who is named
//! (`people`), and the edits that mend them (`mend`).

mod fields;
#[cfg(test)]
pub(super) mod fixture;
mod mend;
mod people;
mod values;

use super::{Check, Mend, Needs, Rule};
use crate::finding::Severity::{self, Error, Info, Warning};
use crate::model::Document;
use crate::parse::fields::{CORE, Field, Form, Name};

const fn rule(id: &'static str, name: &'static str, severity: Severity, mend: Mend, about: &'static str, check: Check) -> Rule {
    Rule { id, name, severity, mend, needs: Needs::Nothing, about, check }
}

pub(super) static RULES: &[Rule] = &[
    rule(
        "M001",
        "missing-core-field",
        Error,
        Mend::None,
        "Status, Authors and Category say what a proposal is and whom to ask; lists and all other rules go by them. Add the field \
         below the title, as a paragraph `**Name**: value`.",
        Check::Proposal(fields::missing_core),
    ),
    rule(
        "M002",
        "missing-review-field",
        Warning,
        Mend::Unsafe,
        "Sponsor, Required Reviewers, Review Date and Pull Request say who decides, when and where. Write `TBD` while nobody \
         knows; an absent field looks forgotten.",
        Check::Proposal(fields::missing_review),
    ),
    rule(
        "M003",
        "missing-link-field",
        Info,
        Mend::Safe,
        "Replaces, Replaced By and Implementation PR / Tracking Issue stand in every proposal, with `N/A` where there is nothing: a \
         reader sees that somebody has thought of it.",
        Check::Proposal(fields::missing_link),
    ),
    rule(
        "M004",
        "empty-field",
        Warning,
        Mend::None,
        "A field has a name and no value. Write the value, `TBD` when it will come, or `N/A` when there is none.",
        Check::Proposal(fields::empty),
    ),
    rule(
        "M005",
        "pending-value",
        Info,
        Mend::None,
        "A value is still to come (`TBD`). That is right for a draft, and R002 refuses it in what is approved.",
        Check::Proposal(fields::pending),
    ),
    rule(
        "M006",
        "template-value",
        Error,
        Mend::None,
        "A field still holds what the template says there, or a list of choices. Write the value, `TBD` or `N/A`. A warning while \
         the proposal is a draft.",
        Check::Proposal(fields::template),
    ),
    rule(
        "M007",
        "field-alias",
        Info,
        Mend::Safe,
        "A field is read under another name, or in other case. One name for one thing lets everybody search for it.",
        Check::Proposal(fields::alias),
    ),
    rule(
        "M008",
        "unknown-field",
        Info,
        Mend::None,
        "The format has no field of this name. It is kept and shown as it stands, but nothing goes by it: look for a slip of the pen.",
        Check::Proposal(fields::unknown),
    ),
    rule(
        "M009",
        "duplicate-field",
        Error,
        Mend::None,
        "One field stands twice, in the block or in front matter and block, with different values. Nobody can tell which one holds: \
         keep one.",
        Check::Proposal(fields::duplicate),
    ),
    rule(
        "M010",
        "field-order",
        Info,
        Mend::Safe,
        "Fields stand in one order: Status, Authors, Category, Replaces, Replaced By, Sponsor, Required Reviewers, Review Date, Pull \
         Request, Implementation PR / Tracking Issue, then all others.",
        Check::Proposal(fields::order),
    ),
    rule(
        "M011",
        "field-form",
        Info,
        Mend::Safe,
        "Fields are read in many forms and written in one: `**Name**: value`, the colon behind the bold name, a paragraph each. \
         `--fix` moves colons; lists, tables and headings are left to people.",
        Check::Proposal(fields::form),
    ),
    rule(
        "M012",
        "unknown-status",
        Error,
        Mend::Unsafe,
        "The status is none of Not Started, Draft, Under Review, Approved, Implemented, Deferred, Rejected and Replaced. A word \
         that means one of them is taken for it by other rules, but it is not written like that.",
        Check::Proposal(values::unknown_status),
    ),
    rule(
        "M013",
        "legacy-status",
        Warning,
        Mend::Safe,
        "The status is a word of the older process (In Progress, Superseded), or its case is another one.",
        Check::Proposal(values::legacy_status),
    ),
    rule(
        "M014",
        "status-choice-list",
        Error,
        Mend::Unsafe,
        "The status is a list to choose from. Keep the one that holds.",
        Check::Proposal(values::status_choices),
    ),
    rule(
        "M015",
        "unknown-category",
        Warning,
        Mend::None,
        "The category is none of those in `categories` of dep.toml; without it: Architecture, Process, Guidelines. What the text is \
         about goes into `Area`.",
        Check::Proposal(values::unknown_category),
    ),
    rule(
        "M016",
        "compound-category",
        Info,
        Mend::Safe,
        "The category names an area as well (`Architecture - Networking`). The category stands alone, the area in a field `Area`.",
        Check::Proposal(values::compound_category),
    ),
    rule(
        "M017",
        "date-format",
        Warning,
        Mend::Safe,
        "A date is written YYYY-MM-DD: it sorts, and nobody takes the day for the month.",
        Check::Proposal(values::date_format),
    ),
    rule(
        "M018",
        "date-ambiguous",
        Warning,
        Mend::Unsafe,
        "Month and day of this date may be either. Write YYYY-MM-DD, or say in dep.toml which comes first (`date_order`); then \
         `--fix` writes it.",
        Check::Proposal(values::date_ambiguous),
    ),
    rule(
        "M019",
        "person-form",
        Info,
        Mend::Unsafe,
        "A person is written as a handle, `@name` or a link to it: a first name means several people, and nobody is notified by it.",
        Check::Proposal(people::form),
    ),
    rule(
        "M020",
        "person-link-mismatch",
        Warning,
        Mend::None,
        "A link shows one handle and leads to another. One of the two is wrong.",
        Check::Proposal(people::mismatch),
    ),
    rule(
        "M021",
        "link-form",
        Info,
        Mend::Safe,
        "Pull Request and Implementation PR / Tracking Issue hold addresses, Markdown links or `#12`, and the number that a link \
         shows is the one that it leads to.",
        Check::Proposal(values::link_form),
    ),
    rule(
        "M022",
        "list-separator",
        Info,
        Mend::Safe,
        "People of a list stand between commas, not between blanks alone.",
        Check::Proposal(people::separator),
    ),
];

/// The fields of the block: those of front matter are never rewritten, and have no form.
fn block(document: &Document) -> impl DoubleEndedIterator<Item = &Field> {
    document.head.fields.iter().filter(|field| field.form != Form::FrontMatter)
}

/// What a field is called: by the format, else as it is written.
pub(super) fn called(field: &Field) -> &str {
    field.name.map_or(field.written.as_str(), |name| name.written())
}

/// Where a field stands among the others; those that may be absent come last, in any order.
fn rank(name: Name) -> usize {
    CORE.iter().position(|core| *core == name).unwrap_or(CORE.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixture::{self, Repository};

    /// Heads as people might write them, with what is wrong in many ways.
    fn head() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "Status",
            "Authors",
            "Category",
            "Replaces",
            "Replaced By",
            "Sponsor",
            "sponser",
            "Required Reviewers",
            "Review Date",
            "Pull Request",
            "Implementation",
            "Issue(s)",
            "Area",
            "Noté",
            "Last Reviewed",
        ]);
        let value = prop::sample::select(vec![
            "",
            "Draft",
            "draft",
            "[x] Draft | Approved",
            "Architecture - CI/CD",
            "process",
            "N/A",
            "TBD",
            "@ada @brin",
            "@ada, Chen é",
            "[@ada](https://x.org/brin) [@b](https://x.org/b)",
            "Jul 9 2025",
            "07/01/2025",
            "[targeted: Oct 9, 2025]",
            "PR 12",
            "12",
            "[#12](https://x.org/pull/13)",
            "Draft <!-- [Optional] why -->",
            "<!-- a\n\n b --> c",
            "\n    - #1\n    - 2",
            "\u{a0}é",
        ]);
        let field = (name, value, 0..8usize).prop_map(|(name, value, form)| match form {
            0 => format!("**{name}:** {value}"),
            1 => format!("- **{name}**: {value}"),
            2 => format!("{name}: {value}"),
            3 => format!("## {name}\n\n{value}"),
            4 => format!("| {name} | {value} |"),
            _ => format!("**{name}**: {value}"),
        });
        let field = (field, prop::sample::select(vec!["\n\n", "\n\n", "\n\n", "\n", "\n\n\n", "\n\n<!-- c -->\n\n"]))
            .prop_map(|(field, gap)| field + gap);
        let begin =
            prop::sample::select(vec!["# T\n\n", "# T\n", "\u{feff}", "---\nstatus: draft\nauthors: [ada, '@b']\n---\n# T\n\n", ""]);
        let end = prop::sample::select(vec![
            "",
            "# Summary\n\n**[Required]**\n\ntext <!-- dep:guide x --> text\n",
            "---\n\n* Describe the whole of it in a few words.\n",
            "# Summary\nDescribe the whole of it in a few words.\n\n    code\n\n**\\[Optional \\- omit\\]**\n\n<!-- [Optional] x -->\n\ne",
        ]);
        (begin, prop::collection::vec(field, 0..8), end, any::<bool>()).prop_map(|(begin, fields, end, crlf)| {
            let text = format!("{begin}{}{end}", fields.concat());
            if crlf { text.replace('\n', "\r\n") } else { text }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_document_is_checked_and_mended_once(text in head()) {
            let repository = Repository::with_template("# T\n\n**Sponsor**: [who]\n\n# Summary\n\nDescribe the whole of it in a few words.\n");
            let once = repository.mended(&text, |id| id.starts_with(['M', 'T', 'P']));
            prop_assert_eq!(repository.mended(&once, |id| id.starts_with(['M', 'T', 'P'])), once.clone());
            if text.contains("\r\n") {
                prop_assert!(!once.replace("\r\n", "").contains('\n'), "{:?}", once);
            }
        }

        #[test]
        fn any_text_is_checked(text in "([#|*>:é\n -]|\\*\\*|Status|Authors|: |@a|\\[|\\]|\\(|\\)|https://|a:b@c|---\n|<!--|-->|#1|AKIA|\r\n){0,60}") {
            let repository = Repository::with_template(&text);
            let _ = repository.mended(&text, |id| id.starts_with(['M', 'T', 'P']));
        }

        #[test]
        fn one_rule_alone_leaves_the_other_fields_as_they_were(text in head(), rule in prop::sample::select(vec!["M003", "M007", "M010", "M011", "M013", "M016", "M017", "M021", "M022"])) {
            let (repository, before) = (Repository::default(), fixture::fields(&text));
            let mut left = fixture::fields(&repository.mended(&text, |id| id == rule));
            // Each takes its equal away; what has none was changed, and each finding changes one field.
            let changed = before.iter().filter(|field| match left.iter().position(|other| other == *field) {
                Some(at) => { left.remove(at); false }
                None => true,
            }).count();
            let mends = repository.find(&text, |id| id == rule).iter().filter(|finding| !finding.fix.is_empty()).count();
            let most = if matches!(rule, "M003" | "M007" | "M010" | "M011") { 0 } else { mends };
            prop_assert!(changed <= most, "{changed} of {before:?}");
            let new = if matches!(rule, "M003" | "M016") { mends } else { 0 };
            prop_assert_eq!(left.len(), changed + new, "{:?}", left);
        }
    }
}
