//! The fields of a metadata block, and their names (proposals contract 1.3).

use crate::text::Span;

/// A field that the format knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// Where the proposal stands.
    Status,
    /// Who wrote it.
    Authors,
    /// What kind of decision it is.
    Category,
    /// What it takes the place of.
    Replaces,
    /// What took its place.
    ReplacedBy,
    /// Who looks after it.
    Sponsor,
    /// Who must agree.
    Reviewers,
    /// When it is decided.
    ReviewDate,
    /// The proposal's own pull request.
    PullRequest,
    /// Where it is built.
    Implementation,
    /// What it builds on.
    Extends,
    /// Areas it is about.
    Area,
    /// Paths of code it is about.
    Watches,
    /// Who may see it.
    Visibility,
    /// Until when only those.
    DiscloseAfter,
    /// Why it ended as it did.
    Resolution,
    /// When somebody looked at it last.
    LastReviewed,
    /// When somebody will.
    NextReview,
    /// Numbers it once had.
    Formerly,
    /// Shipped before it was reviewed.
    Maturity,
}

/// Name, JSON key, canonical spelling, other spellings of blocks, other keys of front matter.
type Row = (Name, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const ROWS: [Row; 20] = [
    (Name::Status, "status", "Status", &[], &[]),
    (Name::Authors, "authors", "Authors", &["Author"], &["author"]),
    (Name::Category, "category", "Category", &[], &[]),
    (Name::Replaces, "replaces", "Replaces", &["Supersedes"], &["supersedes"]),
    (Name::ReplacedBy, "replaced_by", "Replaced By", &["Superseded By"], &["superseded_by"]),
    (Name::Sponsor, "sponsors", "Sponsor", &["Sponser", "Steward", "Sponsor / Steward", "Sponser / Steward"], &["sponsor", "pic"]),
    (Name::Reviewers, "reviewers", "Required Reviewers", &["Reviewers"], &["required_reviewers"]),
    (Name::ReviewDate, "review_date", "Review Date", &[], &[]),
    (Name::PullRequest, "pull_request", "Pull Request", &[], &[]),
    (
        Name::Implementation,
        "implementation",
        "Implementation PR / Tracking Issue",
        &["Implementation", "Issue(s)", "Implements Pull Requests"],
        &["implementation_prs"],
    ),
    (Name::Extends, "extends", "Extends", &[], &[]),
    (Name::Area, "areas", "Area", &[], &["area"]),
    (Name::Watches, "watches", "Watches", &[], &[]),
    (Name::Visibility, "visibility", "Visibility", &[], &[]),
    (Name::DiscloseAfter, "disclose_after", "Disclose After", &[], &[]),
    (Name::Resolution, "resolution", "Resolution", &[], &[]),
    (Name::LastReviewed, "last_reviewed", "Last Reviewed", &[], &[]),
    (Name::NextReview, "next_review", "Next Review", &[], &[]),
    (Name::Formerly, "formerly", "Formerly", &[], &[]),
    (Name::Maturity, "maturity", "Maturity", &[], &[]),
];

/// The ten that always stand there, in order.
pub const CORE: [Name; 10] = [
    Name::Status,
    Name::Authors,
    Name::Category,
    Name::Replaces,
    Name::ReplacedBy,
    Name::Sponsor,
    Name::Reviewers,
    Name::ReviewDate,
    Name::PullRequest,
    Name::Implementation,
];

impl Name {
    fn row(self) -> &'static Row {
        // Each has its row, and they stand in order.
        &ROWS[self as usize]
    }

    /// As it is written.
    #[must_use]
    pub fn written(self) -> &'static str {
        self.row().2
    }

    /// Its key in records.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.row().1
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.0)
    }

    /// All names under which one is read, with the field.
    pub fn spellings() -> impl Iterator<Item = (&'static str, Self)> {
        ROWS.iter().flat_map(|(name, _, written, aliases, _)| {
            [*written].into_iter().chain(aliases.iter().copied()).map(|spelling| (spelling, *name))
        })
    }

    /// The field of a name in a block, whatever its case; `true` when it is written as it should be.
    #[must_use]
    pub fn read(text: &str) -> Option<(Self, bool)> {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let asked = words(text);
        ROWS.iter().find_map(|(name, _, written, aliases, _)| {
            let exact = *written == text;
            let same = exact || words(written) == asked || aliases.iter().any(|alias| words(alias) == asked);
            same.then_some((*name, exact))
        })
    }

    /// The field of a key of front matter, with `-` or `_`.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let key = key.trim().to_lowercase().replace('-', "_");
        ROWS.iter().find(|(_, known, _, _, others)| *known == key || others.contains(&key.as_str())).map(|row| row.0)
    }
}

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `**Name**: value`, a paragraph of its own.
    Canonical,
    /// In bold with the colon inside, in a list or a quotation, as a whole line in bold.
    Bold,
    /// Without bold.
    Plain,
    /// A heading, and a paragraph below.
    Heading,
    /// A row of a table.
    Table,
    /// A key of front matter.
    FrontMatter,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which; none when the format does not know it.
    pub name: Option<Name>,
    /// Its name as it was written.
    pub written: String,
    /// It is written as it should be.
    pub exact: bool,
    /// Where its name stands.
    pub name_span: Span,
    /// Words in brackets behind its name.
    pub qualifier: Option<String>,
    /// Its value: lines of it one below the other, without comments, without blanks around.
    pub value: String,
    /// Where that stands; an empty place behind the colon when there is none.
    pub value_span: Span,
    /// The whole of it, lines and all.
    pub span: Span,
    /// How it is written.
    pub form: Form,
    /// Comments in its value.
    pub comments: Vec<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found() {
        for (at, name) in Name::all().enumerate() {
            assert_eq!(name as usize, at);
            assert_eq!(Name::read(name.written()), Some((name, true)));
            assert_eq!(Name::of_key(name.key()), Some(name));
        }
        assert_eq!(Name::read("sponser / steward"), Some((Name::Sponsor, false)));
        assert_eq!(Name::read("Issue(s)"), Some((Name::Implementation, false)));
        assert_eq!(Name::read("status"), Some((Name::Status, false)));
        assert_eq!(Name::read("Release"), None);
        assert_eq!(Name::of_key("implementation-prs"), Some(Name::Implementation));
        assert_eq!(Name::of_key("pic"), Some(Name::Sponsor));
    }
}
