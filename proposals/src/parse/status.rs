//! Statuses and categories (proposals contract 1.5, 1.8).

use serde::Serialize;

/// Where a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Status {
    /// Assigned, without a text.
    NotStarted,
    /// Being written.
    Draft,
    /// Before a decision.
    UnderReview,
    /// Accepted.
    Approved,
    /// Accepted, and shipped.
    Implemented,
    /// Not now.
    Deferred,
    /// Not at all.
    Rejected,
    /// Another one took its place.
    Replaced,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NotStarted,
        Self::Draft,
        Self::UnderReview,
        Self::Approved,
        Self::Implemented,
        Self::Deferred,
        Self::Rejected,
        Self::Replaced,
    ];

    /// As it is written.
    #[must_use]
    pub fn written(self) -> &'static str {
        match self {
            Self::NotStarted => "Not Started",
            Self::Draft => "Draft",
            Self::UnderReview => "Under Review",
            Self::Approved => "Approved",
            Self::Implemented => "Implemented",
            Self::Deferred => "Deferred",
            Self::Rejected => "Rejected",
            Self::Replaced => "Replaced",
        }
    }

    /// The normalised name: as written, without the blank.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::UnderReview => "UnderReview",
            other => other.written(),
        }
    }

    /// Nobody has decided yet.
    #[must_use]
    pub fn is_undecided(self) -> bool {
        matches!(self, Self::NotStarted | Self::Draft | Self::UnderReview)
    }

    /// It holds.
    #[must_use]
    pub fn holds(self) -> bool {
        matches!(self, Self::Approved | Self::Implemented)
    }
}

/// What the value of a status field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// Exactly one of them.
    Exact(Status),
    /// One of them in the older vocabulary, or in another case.
    Legacy(Status),
    /// A list of choices; perhaps one of them is ticked.
    Choices(Option<Status>),
    /// None of them; perhaps it means one.
    Unknown(Option<Status>),
}

impl StatusValue {
    /// What rules go by; none where nobody knows.
    #[must_use]
    pub fn effective(self) -> Option<Status> {
        match self {
            Self::Exact(status) | Self::Legacy(status) => Some(status),
            Self::Choices(status) | Self::Unknown(status) => status,
        }
    }

    /// Reads a value that is not empty.
    #[must_use]
    pub fn read(value: &str) -> Self {
        let value = value.trim();
        if value.contains('|') {
            let ticked = value.split('|').find_map(|choice| {
                let choice = choice.trim();
                choice.strip_prefix("[x]").or_else(|| choice.strip_prefix("[X]"))
            });
            return Self::Choices(ticked.and_then(|choice| Self::read(choice).effective()));
        }
        if let Some(status) = Status::ALL.into_iter().find(|status| status.written() == value) {
            return Self::Exact(status);
        }
        let plain = plain(value);
        let same = |status: &Status| plain == self::plain(status.written());
        if let Some(status) = Status::ALL.into_iter().find(same) {
            return Self::Legacy(status);
        }
        match plain.as_str() {
            "in progress" => Self::Legacy(Status::Draft),
            "superseded" => Self::Legacy(Status::Replaced),
            "accepted" | "published" | "final" | "active" => Self::Unknown(Some(Status::Approved)),
            "ready for review" | "in review" | "proposed" => Self::Unknown(Some(Status::UnderReview)),
            "wip" => Self::Unknown(Some(Status::Draft)),
            "withdrawn" | "abandoned" => Self::Unknown(Some(Status::Rejected)),
            "postponed" => Self::Unknown(Some(Status::Deferred)),
            _ => Self::Unknown(None),
        }
    }
}

/// Lower case, words with one blank between.
fn plain(text: &str) -> String {
    text.to_lowercase()
        .split(|c: char| c.is_whitespace() || matches!(c, '-' | '_'))
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A category as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CategoryValue {
    /// One of those that there are.
    Known(String),
    /// One of those that there are, and an area behind it.
    Compound {
        /// The category.
        category: String,
        /// The area.
        area: String,
    },
    /// One of the older process, or of another spelling; what it is now.
    Legacy(String),
    /// None that there is.
    Unknown,
}

impl CategoryValue {
    /// Reads a value; `known` are those that there are.
    #[must_use]
    pub fn read(value: &str, known: &[String]) -> Self {
        let value = value.trim();
        let find = |text: &str| known.iter().find(|known| plain(known) == plain(text)).cloned();
        if let Some(category) = known.iter().find(|known| *known == value) {
            return Self::Known(category.clone());
        }
        let older = match plain(value).as_str() {
            "architecture / design" | "architecture/design" => Some("Architecture"),
            "coding guidelines / design principles" | "coding guidelines/design principles" => Some("Guidelines"),
            "build / infrastructure" | "build/infrastructure" => Some("Build"),
            _ => None,
        };
        if let Some(category) = older.map_or_else(|| find(value), |older| known.iter().find(|known| *known == older).cloned()) {
            return Self::Legacy(category);
        }
        let parts = [" - ", " – ", " — "].iter().find_map(|dash| value.split_once(dash));
        match parts.and_then(|(category, area)| Some((find(category)?, area.trim().to_owned()))) {
            Some((category, area)) if !area.is_empty() => Self::Compound { category, area },
            _ => Self::Unknown,
        }
    }

    /// The category, where there is one.
    #[must_use]
    pub fn category(&self) -> Option<&str> {
        match self {
            Self::Known(category) | Self::Legacy(category) | Self::Compound { category, .. } => Some(category),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read() {
        for status in Status::ALL {
            assert_eq!(StatusValue::read(status.written()), StatusValue::Exact(status));
        }
        let read = StatusValue::read;
        assert_eq!(read("under review"), StatusValue::Legacy(Status::UnderReview));
        assert_eq!(read("In Progress"), StatusValue::Legacy(Status::Draft));
        assert_eq!(read("Superseded"), StatusValue::Legacy(Status::Replaced));
        assert_eq!(read("In-review"), StatusValue::Unknown(Some(Status::UnderReview)));
        assert_eq!(read("Accepted"), StatusValue::Unknown(Some(Status::Approved)));
        assert_eq!(read("[x] Draft | Under Review | Approved"), StatusValue::Choices(Some(Status::Draft)));
        assert_eq!(read("Draft | Under Review"), StatusValue::Choices(None));
        assert_eq!(read("Someday").effective(), None);
    }

    #[test]
    fn categories_are_read() {
        let known = ["Architecture", "Process", "Guidelines"].map(str::to_owned);
        let read = |value| CategoryValue::read(value, &known);
        assert_eq!(read("Process"), CategoryValue::Known("Process".to_owned()));
        assert_eq!(read("process"), CategoryValue::Legacy("Process".to_owned()));
        assert_eq!(read("Architecture / Design").category(), Some("Architecture"));
        assert_eq!(read("Architecture - CI/CD"), CategoryValue::Compound { category: "Architecture".to_owned(), area: "CI/CD".to_owned() });
        for unknown in ["CI/CD", "Test Design Proposal", "Build / Infrastructure", "X - Y"] {
            assert_eq!(read(unknown), CategoryValue::Unknown, "{unknown}");
        }
    }
}
