//! What the value of a field is, before it is anything (proposals contract 1.3).

/// A value's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing.
    Empty,
    /// `N/A` and its like.
    None,
    /// `TBD` and its like.
    Pending,
    /// What the template says there, or a list of choices.
    Template,
    /// All else.
    Value,
}

/// Whether a text says that there is none.
#[must_use]
pub fn is_none(text: &str) -> bool {
    let text = text.trim();
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    matches!(plain.as_str(), "n/a" | "na" | "none" | "-" | "—" | "–")
}

/// Whether a text says that it will come.
#[must_use]
pub fn is_pending(text: &str) -> bool {
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text).trim();
    matches!(inner.to_lowercase().as_str(), "tbd" | "tba" | "?")
}

impl Class {
    /// Of a value; `template` are the values of the same field in templates.
    #[must_use]
    pub fn of<'a>(value: &str, template: impl IntoIterator<Item = &'a str>) -> Self {
        let value = value.trim();
        if value.is_empty() {
            return Self::Empty;
        }
        if is_none(value) {
            return Self::None;
        }
        if is_pending(value) {
            return Self::Pending;
        }
        let choices = value.split('|').count() > 1 && !value.contains("](");
        if choices || template.into_iter().any(|template| template.trim() == value) {
            return Self::Template;
        }
        Self::Value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let of = |value| Class::of(value, ["[Date for review]"]);
        for none in ["N/A", "na", "N / A", "None", "-", "—"] {
            assert_eq!(of(none), Class::None, "{none}");
        }
        for pending in ["TBD", "[tba]", "?"] {
            assert_eq!(of(pending), Class::Pending, "{pending}");
        }
        assert_eq!(of("  "), Class::Empty);
        assert_eq!(of("[Date for review]"), Class::Template);
        assert_eq!(of("Architecture | Process"), Class::Template);
        assert_eq!(of("[ada-b]"), Class::Value);
        assert_eq!(of("None of them"), Class::Value);
    }
}
