//! People and teams (proposals contract 1.3).

use crate::text::{Span, trimmed};

/// One person or team, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Where.
    pub span: Span,
    /// The handle without `@`, `org/team` of a team, or the name as it is shown.
    pub name: String,
    /// How it was written.
    pub form: Form,
}

/// How a person was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `[@h](https://forge/h)`; the handle of the address, where it has one.
    Link {
        /// Of the address.
        handle: Option<String>,
    },
    /// `@h`.
    Handle,
    /// `@org/team`.
    Team,
    /// A word that is a handle, without its sign.
    Bare,
    /// A name that people have.
    Display,
}

impl Person {
    /// Whether two of them are the same; handles have no case.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
    }

    /// As it is shown: with its sign where it is a handle.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.form {
            Form::Display | Form::Bare => self.name.clone(),
            Form::Link { .. } | Form::Handle | Form::Team => format!("@{}", self.name),
        }
    }
}

/// A list of people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// In order.
    pub all: Vec<Person>,
    /// Some have nothing but a blank between them.
    pub blanks: bool,
}

impl People {
    /// Of the part `span` of a text, which is a value.
    #[must_use]
    pub fn read(text: &str, span: Span) -> Self {
        let mut people = Self::default();
        let mut begin = span.start;
        let mut depth = 0usize;
        let inside = span.of(text);
        let ends = inside.char_indices().filter_map(|(at, c)| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (matches!(c, ',' | ';' | '\n') && depth == 0).then_some(span.start + at)
        });
        for end in ends.collect::<Vec<_>>().into_iter().chain([span.end]) {
            people.part(text, trimmed(text, Span::new(begin, end)));
            begin = (end + 1).min(span.end);
        }
        people
    }

    /// What stands between two commas.
    fn part(&mut self, text: &str, mut part: Span) {
        let mut before = false;
        loop {
            // A value may be a list with marks.
            let inside = part.of(text);
            let mark = ["- ", "* ", "+ ", "and ", "& "].iter().find(|mark| inside.starts_with(**mark)).map_or(0, |mark| mark.len());
            part = trimmed(text, Span::new(part.start + mark, part.end));
            let inside = part.of(text);
            if inside.is_empty() {
                return;
            }
            let (length, person) = next(inside);
            self.blanks |= before;
            before = true;
            let span = Span::new(part.start, part.start + length);
            self.all.push(Person { span, ..person });
            part = trimmed(text, Span::new(span.end, part.end));
        }
    }
}

/// The first person of a text that begins with one, and how long it is.
fn next(text: &str) -> (usize, Person) {
    let person = |name: &str, form| Person { span: Span::default(), name: name.to_owned(), form };
    if let Some((label, address, length)) = link(text) {
        let handle = handle_of(address);
        let label = label.trim();
        let named = label.strip_prefix('@').unwrap_or(label);
        let form = match (named.contains('/'), named.contains(char::is_whitespace), &handle) {
            (true, false, _) => Form::Team,
            // A name over the address of a handle is that handle.
            (_, true, Some(handle)) => return (length, person(handle, Form::Link { handle: Some(handle.clone()) })),
            (_, true, None) => Form::Display,
            (false, false, _) => Form::Link { handle },
        };
        return (length, person(named, form));
    }
    if let Some(rest) = text.strip_prefix('@') {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '.'))).unwrap_or(rest.len());
        let name = &rest[..length];
        if !name.is_empty() {
            return (length + 1, person(name, if name.contains('/') { Form::Team } else { Form::Handle }));
        }
    }
    // Everything before the next link or sign.
    let length = text.char_indices().skip(1).find(|(at, c)| {
        let begins = *c == '@' || (*c == '[' && link(&text[*at..]).is_some());
        begins && text[..*at].ends_with(char::is_whitespace)
    });
    let length = length.map_or(text.len(), |(at, _)| at);
    let whole = text[..length].trim();
    let name = whole.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).map_or(whole, str::trim);
    let is_handle = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && (name.contains(['-', '_'])
            || name.bytes().any(|b| b.is_ascii_digit())
            || name.bytes().all(|b| b.is_ascii_lowercase())
            || whole != name);
    (whole.len().max(1).min(text.len()), person(name, if is_handle { Form::Bare } else { Form::Display }))
}

/// `[label](address)` at the beginning, and its length.
fn link(text: &str) -> Option<(&str, &str, usize)> {
    let inner = text.strip_prefix('[')?;
    let close = inner.find("](")?;
    let label = &inner[..close];
    if label.contains(['[', ']', '\n']) {
        return None;
    }
    let rest = &inner[close + 2..];
    let end = rest.find(')')?;
    Some((label, rest[..end].trim(), 1 + close + 2 + end + 1))
}

/// The handle in `https://forge/handle`.
fn handle_of(address: &str) -> Option<String> {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"))?;
    let (_, path) = rest.split_once('/')?;
    let path = path.trim_end_matches('/');
    (!path.is_empty() && !path.contains('/')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, &'static str)>, bool) {
        let people = People::read(text, Span::new(0, text.len()));
        let form = |form: &Form| match form {
            Form::Link { .. } => "link",
            Form::Handle => "handle",
            Form::Team => "team",
            Form::Bare => "bare",
            Form::Display => "display",
        };
        for person in &people.all {
            assert!(person.span.of(text).contains(person.name.split(' ').next().unwrap()), "{person:?}");
        }
        (people.all.iter().map(|person| (person.name.clone(), form(&person.form))).collect(), people.blanks)
    }

    #[test]
    fn lists_are_split() {
        let is = |list: &[(&str, &'static str)], blanks| (list.iter().map(|(n, f)| ((*n).to_owned(), *f)).collect::<Vec<_>>(), blanks);
        let two = is(&[("ada", "link"), ("brin", "link")], true);
        assert_eq!(read("[@ada](https://github.com/ada) [@brin](https://github.com/brin)"), two);
        assert_eq!(read("[ada](https://github.com/ada),[brin](https://github.com/brin)"), is(&[("ada", "link"), ("brin", "link")], false));
        assert_eq!(read("@ada @brin @org/kv"), is(&[("ada", "handle"), ("brin", "handle"), ("org/kv", "team")], true));
        assert_eq!(read("@ada, @org/DevOps"), is(&[("ada", "handle"), ("org/DevOps", "team")], false));
        assert_eq!(read("Ada Brook, Chen"), is(&[("Ada Brook", "display"), ("Chen", "display")], false));
        assert_eq!(read("saturn-hall, nn1, chen"), is(&[("saturn-hall", "bare"), ("nn1", "bare"), ("chen", "bare")], false));
        assert_eq!(read("[nv-tush]"), is(&[("nv-tush", "bare")], false));
        assert_eq!(read("- @ada\n- @brin"), is(&[("ada", "handle"), ("brin", "handle")], false));
        assert_eq!(read(""), is(&[], false));
        assert_eq!(read("Ada Brook @brin"), is(&[("Ada Brook", "display"), ("brin", "handle")], true));
    }

    #[test]
    fn the_address_is_kept() {
        let text = "[@ada](https://github.com/brin)";
        let people = People::read(text, Span::new(0, text.len()));
        assert_eq!(people.all[0].form, Form::Link { handle: Some("brin".to_owned()) });
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[\\[\\]()@, a-zé\n-]{0,40}") {
            let people = People::read(&text, Span::new(0, text.len()));
            for person in &people.all {
                assert!(text.get(person.span.range()).is_some());
            }
        }
    }
}
