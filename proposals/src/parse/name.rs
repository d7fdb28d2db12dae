//! What the name of a file says (proposals contract 1.1).

/// What a Markdown file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A proposal with this number; nought is a draft, or the document of the process.
    Numbered(u32),
    /// A draft in another spelling than `0000-`.
    Draft,
    /// A template, which is no proposal.
    Template,
    /// `README.md`.
    Readme,
    /// Any other.
    Other,
}

/// A file's name, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// What it is.
    pub kind: Kind,
    /// What stands behind the number, in lower case and without the ending; the whole name of others.
    pub slug: String,
    /// It is written exactly as it should be.
    pub exact: bool,
}

impl Name {
    /// Of the last part of a path; `None` when it is no Markdown.
    #[must_use]
    pub fn read(file: &str) -> Option<Self> {
        let stem = file.strip_suffix(".md").or_else(|| file.strip_suffix(".markdown"))?;
        let lower = stem.to_ascii_lowercase();
        let named = |kind, slug: &str, exact| Some(Self { kind, slug: slug.to_owned(), exact });
        if lower == "readme" {
            return named(Kind::Readme, &lower, true);
        }
        if lower.starts_with("nnnn") && lower.ends_with("template") {
            return named(Kind::Template, &lower, true);
        }
        let Some((number, slug)) = lower.split_once('-').filter(|(_, slug)| !slug.is_empty()) else {
            return named(Kind::Other, &lower, false);
        };
        let exact = is_slug(slug) && slug.len() + number.len() + 1 == stem.len() && stem.ends_with(slug) && file.ends_with(".md");
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        if digits && number.len() >= 4 {
            if let Some(slug) = slug.strip_prefix("tbd-").filter(|slug| !slug.is_empty()) {
                return named(Kind::Draft, slug, true);
            }
            // Four digits, and more only where four do not do.
            let exact = exact && (number.len() == 4 || (number.len() == 5 && !number.starts_with('0')));
            return match number.parse() {
                Ok(number) => named(Kind::Numbered(number), slug, exact),
                Err(_) => named(Kind::Other, &lower, false),
            };
        }
        let letter =
            |prefix: &str| number.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_alphabetic());
        if matches!(number, "nnnn" | "xxxx" | "0tbd") || letter("000") {
            return named(Kind::Draft, slug, is_slug(slug));
        }
        named(Kind::Other, &lower, false)
    }

    /// The number of a numbered file that is no draft.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self.kind {
            Kind::Numbered(number) if number > 0 => Some(number),
            _ => None,
        }
    }

    /// Whether it may be a proposal.
    #[must_use]
    pub fn is_proposal(&self) -> bool {
        matches!(self.kind, Kind::Numbered(_) | Kind::Draft)
    }
}

/// Lower case, digits, single hyphens between.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.split('-').all(part)
}

/// How a number is written.
#[must_use]
pub fn number(number: u32) -> String {
    format!("{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let read = |file: &str| Name::read(file).map(|name| (name.kind, name.slug, name.exact)).unwrap();
        let is = |kind, slug: &str, exact| (kind, slug.to_owned(), exact);
        assert_eq!(read("0017-expire-idle.md"), is(Kind::Numbered(17), "expire-idle", true));
        assert_eq!(read("0000-x.md"), is(Kind::Numbered(0), "x", true));
        assert_eq!(read("12345-x.md"), is(Kind::Numbered(12345), "x", true));
        assert_eq!(read("01234-x.md"), is(Kind::Numbered(1234), "x", false));
        assert_eq!(read("0001-Dynamo-UX.md"), is(Kind::Numbered(1), "dynamo-ux", false));
        assert_eq!(read("0001-a_b.md"), is(Kind::Numbered(1), "a_b", false));
        assert_eq!(read("0001-a--b.md"), is(Kind::Numbered(1), "a--b", false));
        for draft in ["NNNN-a-b.md", "XXXX-a-b.md", "000N-a-b.md", "000x-a-b.md", "0TBD-a-b.md", "0042-TBD-a-b.md"] {
            assert_eq!(read(draft), is(Kind::Draft, "a-b", true), "{draft}");
        }
        for template in ["NNNN-complete-template.md", "NNNN_limited_template.md"] {
            assert_eq!(read(template).0, Kind::Template);
        }
        for other in ["001-x.md", "AIP-001-Plugin.md", "notes.md", "0001.md", "0001-.md", "99999999999-x.md"] {
            assert_eq!((read(other).0, read(other).2), (Kind::Other, false), "{other}");
        }
        assert_eq!(read("README.md").0, Kind::Readme);
        assert!(Name::read("0001-x.txt").is_none());
        assert_eq!(number(17), "0017");
    }
}
