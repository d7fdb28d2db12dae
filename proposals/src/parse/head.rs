//! Title and metadata, from the lines as they are (proposals contract 1.2, 1.3).
//!
//! No tree of Markdown is asked: an indented list below a field is a paragraph to it, and lists of proposals want nothing but this
//! part of each. Comments are blanks of the same length here, so that a field inside one is absent and every place stays.

use super::fields::{Field, Form, Name};
use super::sections;
use crate::text::{Span, lines, trimmed, without_comments};

/// The head of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The title: its place, without marks.
    pub title: Option<Span>,
    /// The lines between which front matter stands.
    pub front_matter: Option<Span>,
    /// Why front matter could not be read.
    pub broken_front_matter: Option<String>,
    /// Fields, in order; those of front matter first.
    pub fields: Vec<Field>,
    /// From behind the title to the end of the metadata.
    pub block: Span,
}

impl Head {
    /// The fields of a name; several may have one meaning.
    pub fn fields(&self, name: Name) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.name == Some(name))
    }

    /// The first field of a name.
    #[must_use]
    pub fn field(&self, name: Name) -> Option<&Field> {
        self.fields(name).next()
    }

    /// Reads the head of a text.
    #[must_use]
    pub fn read(source: &str) -> Self {
        let mut head = Self::default();
        let begin = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let begin = head.front_matter(source, begin);
        // More than the head is rarely wanted: comments are blanked as far as it may reach.
        let blanked = without_comments(source);
        let begin = head.title(&blanked, begin);
        head.block(source, &blanked, begin);
        head
    }

    /// Reads front matter; where the rest begins.
    fn front_matter(&mut self, source: &str, begin: usize) -> usize {
        let mut all = lines(source, begin);
        if all.next().is_none_or(|(_, line)| line.trim_end() != "---") {
            return begin;
        }
        let inner = source.get(begin..).and_then(|text| text.find('\n')).map_or(source.len(), |at| begin + at + 1);
        let Some((end, _)) = all.find(|(_, line)| matches!(line.trim_end(), "---" | "...")) else { return begin };
        let text = source.get(inner..end.start).unwrap_or_default();
        let map = match serde_saphyr::from_str::<serde_json::Value>(text) {
            Ok(serde_json::Value::Object(map)) => map,
            Ok(serde_json::Value::Null) => serde_json::Map::new(),
            Ok(_) => {
                // Two thematic breaks with a paragraph between are no front matter.
                return begin;
            }
            Err(why) => {
                self.broken_front_matter = Some(why.to_string());
                serde_json::Map::new()
            }
        };
        self.front_matter = Some(Span::new(begin, end.end));
        for (span, line) in lines(source, inner).take_while(|(span, _)| span.start < end.start) {
            let Some((key, _)) = line.split_once(':').filter(|(key, _)| !key.starts_with([' ', '\t', '-', '#'])) else { continue };
            let Some(value) = map.get(key.trim().trim_matches(['"', '\''])) else { continue };
            let name_span = Span::new(span.start, span.start + key.len());
            let value_span = trimmed(source, Span::new(span.start + key.len() + 1, span.end));
            self.fields.push(Field {
                name: Name::of_key(key),
                written: key.trim().to_owned(),
                exact: true,
                name_span,
                qualifier: None,
                value: scalar(value),
                value_span,
                span,
                form: Form::FrontMatter,
                comments: Vec::new(),
            });
        }
        source.get(end.end..).and_then(|rest| rest.find('\n')).map_or(source.len(), |at| end.end + at + 1)
    }

    /// Finds the title; where the metadata begins.
    fn title(&mut self, blanked: &str, begin: usize) -> usize {
        let mut all = lines(blanked, begin).skip_while(|(_, line)| line.trim().is_empty()).peekable();
        let Some((span, line)) = all.next() else { return begin };
        let behind = |span: Span| (span.end + 1).min(blanked.len());
        let found = match heading(span, line) {
            Some((1, text)) => Some((text, behind(span))),
            Some(_) => None,
            None => all
                .peek()
                .filter(|(_, next)| underline(next) == Some(1) && !line.starts_with("    ") && !line.starts_with('\t'))
                .map(|(next, _)| (trimmed(blanked, span), behind(*next))),
        };
        match found {
            Some((text, behind)) if !sections::is_name(text.of(blanked)) => {
                self.title = Some(text);
                // CR LF is two bytes.
                behind.max(lines(blanked, begin).find(|(line, _)| line.start >= text.end).map_or(behind, |(line, _)| line.start))
            }
            _ => begin,
        }
    }

    fn block(&mut self, source: &str, blanked: &str, begin: usize) {
        self.block = Span::new(begin, blanked.len());
        let mut state = Block { source, blanked, open: None, before: Before::Blank };
        for (span, line) in lines(blanked, begin) {
            if line.trim().is_empty() {
                state.blank();
                continue;
            }
            let is_heading = heading(span, line);
            if let Some((_, text)) = is_heading {
                let Some((name, exact)) = Name::read(text.of(blanked).trim_end_matches(':')) else {
                    self.block.end = span.start;
                    break;
                };
                state.begin(&mut self.fields, (Some(name), exact), text, Span::new(span.end, span.end), span, Form::Heading);
                continue;
            }
            if is_break(line) || (underline(line).is_some() && state.before != Before::Blank) {
                self.block.end = span.start;
                break;
            }
            state.line(&mut self.fields, span, line);
        }
        state.close(&mut self.fields);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Blank,
    Plain,
    Other,
}

/// The block on its way.
struct Block<'a> {
    source: &'a str,
    blanked: &'a str,
    /// A field whose value may go on.
    open: Option<Field>,
    before: Before,
}

impl Block<'_> {
    fn blank(&mut self) {
        self.before = Before::Blank;
    }

    /// A field begins; its value's first line is at `value`.
    fn begin(&mut self, fields: &mut Vec<Field>, (name, exact): (Option<Name>, bool), at: Span, value: Span, line: Span, form: Form) {
        self.close(fields);
        let value = trimmed(self.blanked, value);
        let written = at.of(self.blanked).to_owned();
        let text = value.of(self.blanked).to_owned();
        self.open = Some(Field {
            name,
            written,
            exact,
            name_span: at,
            qualifier: None,
            value: text,
            value_span: value,
            span: line,
            form,
            comments: Vec::new(),
        });
        self.before = if form == Form::Plain { Before::Plain } else { Before::Other };
    }

    fn close(&mut self, fields: &mut Vec<Field>) {
        let Some(mut field) = self.open.take() else { return };
        // Comments behind the value, and within.
        let whole = Span::new(field.value_span.start.min(field.span.end), field.span.end);
        let mut at = if matches!(field.form, Form::Heading) { field.span.start } else { whole.start.min(field.name_span.end) };
        while let Some(begin) = self.source.get(at..field.span.end).and_then(|text| text.find("<!--")) {
            let begin = at + begin;
            let end = self.source.get(begin..).and_then(|text| text.find("-->")).map_or(self.source.len(), |end| begin + end + 3);
            field.comments.push(Span::new(begin, end));
            at = end;
        }
        if field.value.is_empty() {
            field.value_span = Span::new(field.value_span.start, field.value_span.start);
        }
        fields.push(field);
    }

    fn line(&mut self, fields: &mut Vec<Field>, span: Span, line: &str) {
        let inner = contents(span, line);
        let text = inner.of(self.blanked);
        let marked = inner.start != span.start;
        if let Some(found) = bold(text) {
            let at = Span::new(inner.start + found.name.start, inner.start + found.name.end);
            let name = Name::read(at.of(self.blanked));
            let value = Span::new(inner.start + found.value.start, inner.start + found.value.end);
            let form = if found.inside || marked { Form::Bold } else { Form::Canonical };
            let (name, exact) = name.map_or((None, true), |(name, exact)| (Some(name), exact));
            self.begin(fields, (name, exact), at, value, span, form);
            if let (Some(open), Some(qualifier)) = (&mut self.open, found.qualifier) {
                open.qualifier = Some(text.get(qualifier.range()).unwrap_or_default().to_owned());
            }
            return;
        }
        if text.starts_with('|') {
            return self.row(fields, inner, span);
        }
        if self.before != Before::Other
            && let Some((name, _)) = text.split_once(':')
            && let Some((known, exact)) = Name::read(name.trim())
        {
            let at = trimmed(self.blanked, Span::new(inner.start, inner.start + name.len()));
            let value = Span::new(inner.start + name.len() + 1, inner.end);
            return self.begin(fields, (Some(known), exact), at, value, span, Form::Plain);
        }
        let is_blank = self.before == Before::Blank;
        if let Some(open) = self.open.as_mut().filter(|open| !is_blank || open.value.is_empty()) {
            let more = trimmed(self.blanked, span);
            if open.value.is_empty() {
                open.value_span = more;
            } else {
                open.value.push('\n');
                open.value_span.end = more.end;
            }
            open.value.push_str(more.of(self.blanked));
            open.span.end = span.end;
            if self.before == Before::Blank {
                self.before = Before::Other;
            }
        } else {
            self.close(fields);
            self.before = Before::Other;
        }
    }

    fn row(&mut self, fields: &mut Vec<Field>, inner: Span, line: Span) {
        let cells: Vec<Span> = cells(self.blanked, inner);
        let [name, value, ..] = cells[..] else { return };
        let text = name.of(self.blanked).trim_matches('*').trim_end_matches(':').trim();
        if text.chars().all(|c| matches!(c, '-' | ':' | ' ')) {
            return;
        }
        if let Some((known, exact)) = Name::read(text) {
            let start = name.start + name.of(self.blanked).find(text).unwrap_or(0);
            self.begin(fields, (Some(known), exact), Span::new(start, start + text.len()), value, line, Form::Table);
        }
        self.before = Before::Other;
    }
}

/// What stands in a list item, or in a quotation.
fn contents(span: Span, line: &str) -> Span {
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        let Some(inner) = ["> ", "- ", "* ", "+ ", ">"].iter().find_map(|mark| rest.strip_prefix(mark)) else { break };
        rest = inner;
    }
    Span::new(span.start + line.len() - rest.len(), span.start + line.trim_end().len().max(line.len() - rest.len()))
}

struct Bold {
    name: Span,
    value: Span,
    qualifier: Option<Span>,
    /// Not in the form it should have.
    inside: bool,
}

/// A field in bold at the beginning of a line.
fn bold(line: &str) -> Option<Bold> {
    let inner = line.strip_prefix("**")?;
    let close = inner.find("**")?;
    let (name, behind) = (&inner[..close], 2 + close + 2);
    let rest = &line[behind..];
    let value = |from: usize| Span::new(from, line.len());
    if let Some(bare) = name.trim_end().strip_suffix(':') {
        return named(line, 2, bare, value(behind), None, true);
    }
    let blanks = rest.len() - rest.trim_start().len();
    let after = rest.trim_start();
    if after.starts_with(':') {
        return named(line, 2, name, value(behind + blanks + 1), None, false);
    }
    if let Some(words) = after.strip_prefix('(')
        && let Some(end) = words.find(')')
        && let Some(colon) = words[end + 1..].find(':').filter(|colon| words[end + 1..end + 1 + colon].trim().is_empty())
    {
        let from = behind + blanks + 1;
        let qualifier = Span::new(from, from + end);
        return named(line, 2, name, value(from + end + 1 + colon + 1), Some(qualifier), false);
    }
    let (bare, text) = name.split_once(": ").filter(|_| after.is_empty())?;
    let from = 2 + name.len() - text.len();
    named(line, 2, bare, Span::new(from, 2 + name.len()), None, true)
}

fn named(line: &str, from: usize, name: &str, value: Span, qualifier: Option<Span>, inside: bool) -> Option<Bold> {
    let span = trimmed(line, Span::new(from, from + name.len()));
    // A sentence in bold is no name.
    (span.start < span.end && span.of(line).len() <= 60).then_some(Bold { name: span, value, qualifier, inside })
}

/// The cells of a row, without blanks around.
fn cells(text: &str, row: Span) -> Vec<Span> {
    let inside = row.of(text);
    let mut begins: Vec<usize> =
        inside.char_indices().filter(|(at, c)| *c == '|' && !inside[..*at].ends_with('\\')).map(|(at, _)| row.start + at).collect();
    begins.push(row.end);
    begins
        .windows(2)
        .map(|pair| trimmed(text, Span::new(pair[0] + 1, pair[1].max(pair[0] + 1))))
        .filter(|cell| cell.end <= row.end)
        .collect()
}

/// Level and text of a heading with `#`.
pub(super) fn heading(span: Span, line: &str) -> Option<(u8, Span)> {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let inner = line.get(indent..).filter(|_| indent <= 3)?;
    let text = inner.trim_start_matches('#');
    let level = inner.len() - text.len();
    if !(1..=6).contains(&level) || !(text.is_empty() || text.starts_with([' ', '\t'])) {
        return None;
    }
    let text = text.trim();
    let closed = text.trim_end_matches('#');
    let text = if closed.len() < text.len() && (closed.is_empty() || closed.ends_with([' ', '\t'])) { closed.trim_end() } else { text };
    let start = span.start + indent + level + (inner.len() - level - inner[level..].trim_start().len());
    Some((u8::try_from(level).ok()?, Span::new(start, start + text.len())))
}

/// The level of an underlined heading, by its line.
fn underline(line: &str) -> Option<u8> {
    let text = line.trim();
    let indent = line.len() - line.trim_start_matches(' ').len();
    let of = |c: char| indent <= 3 && !text.is_empty() && text.chars().all(|other| other == c);
    if of('=') { Some(1) } else { of('-').then_some(2) }
}

fn is_break(line: &str) -> bool {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let marks: String = line.chars().filter(|c| !c.is_whitespace()).collect();
    indent <= 3 && marks.len() >= 3 && ['-', '*', '_'].iter().any(|mark| marks.chars().all(|c| c == *mark))
}

/// A value of front matter as a block would have it.
fn scalar(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.trim().to_owned(),
        serde_json::Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Option<Name>, String, Form)> {
        let head = Head::read(text);
        for field in &head.fields {
            assert!(text.is_char_boundary(field.value_span.start) && field.value_span.end <= text.len(), "{field:?}");
        }
        head.fields.into_iter().map(|field| (field.name, field.value, field.form)).collect()
    }

    fn is(list: &[(Name, &str, Form)]) -> Vec<(Option<Name>, String, Form)> {
        list.iter().map(|(name, value, form)| (Some(*name), (*value).to_owned(), *form)).collect()
    }

    #[test]
    fn the_canonical_form() {
        let text =
            "# A title\n\n**Status**: Draft\n\n**Authors**: @ada, \n@brin <!-- who -->\n\n**Sponsor**:\n\n# Summary\n**Status**: no\n";
        let head = Head::read(text);
        assert_eq!(head.title.unwrap().of(text), "A title");
        assert_eq!(
            read(text),
            is(&[
                (Name::Status, "Draft", Form::Canonical),
                (Name::Authors, "@ada,\n@brin", Form::Canonical),
                (Name::Sponsor, "", Form::Canonical)
            ])
        );
        assert_eq!(head.fields[1].comments.len(), 1);
        assert_eq!(head.fields[0].value_span.of(text), "Draft");
        assert_eq!(&text[head.block.end..head.block.end + 9], "# Summary");
    }

    #[test]
    fn other_forms() {
        let forms = "# T\n- **Status:** Draft\n> **Authors**: @ada\n\nCategory: Process\nReplaces: N/A\n\n**Replaces** (partially): 9\n\n**Release Target: Mar 26, 2024**\n";
        let fields = read(forms);
        assert_eq!(fields[..2], is(&[(Name::Status, "Draft", Form::Bold), (Name::Authors, "@ada", Form::Bold)]));
        assert_eq!(
            fields[2..5],
            is(&[(Name::Category, "Process", Form::Plain), (Name::Replaces, "N/A", Form::Plain), (Name::Replaces, "9", Form::Canonical)])
        );
        assert_eq!(fields[5], (None, "Mar 26, 2024".to_owned(), Form::Bold));
        assert_eq!(Head::read(forms).fields[4].qualifier.as_deref(), Some("partially"));
        let headings = "# T\n\n## Status\nDraft\n\n## Authors\n\nAda Brook\n\n---\n\n## Summary\n";
        assert_eq!(read(headings), is(&[(Name::Status, "Draft", Form::Heading), (Name::Authors, "Ada Brook", Form::Heading)]));
        let table = "# T\n\n| Field | Value |\n|---|---|\n| **Status** | Draft |\n| Authors | @ada |\n";
        assert_eq!(read(table), is(&[(Name::Status, "Draft", Form::Table), (Name::Authors, "@ada", Form::Table)]));
        let front = "---\nstatus: Draft\nrequired-reviewers: [\"@a\", \"@b\"]\ntitle: x\n---\n# T\n\n**Category**: Process\n";
        let fields = read(front);
        assert_eq!(fields[0], (Some(Name::Status), "Draft".to_owned(), Form::FrontMatter));
        assert_eq!(fields[1], (Some(Name::Reviewers), "@a, @b".to_owned(), Form::FrontMatter));
        assert_eq!((fields[2].0, fields[3].0), (None, Some(Name::Category)));
        assert!(Head::read(front).title.is_some());
    }

    #[test]
    fn a_list_below_a_field_is_its_value() {
        let text = "# T\r\n\r\n**Implements Pull Requests**:\r\n    - https://a/1\r\n    - https://a/2\r\n\r\n# Summary\r\n";
        assert_eq!(read(text), is(&[(Name::Implementation, "- https://a/1\n- https://a/2", Form::Canonical)]));
    }

    #[test]
    fn without_a_title() {
        for text in ["## T\n**Status**: Draft\n", "# Summary\n**Status**: Draft\n", "**Status**: Draft\n", ""] {
            assert_eq!(Head::read(text).title, None, "{text}");
        }
        assert_eq!(read("**Status**: Draft\n# Summary\n"), is(&[(Name::Status, "Draft", Form::Canonical)]));
        assert_eq!(read("# Summary\n**Status**: Draft\n"), []);
        let underlined = "\u{feff}\nA title\n===\n**Status**: Draft\n";
        assert_eq!(Head::read(underlined).title.unwrap().of(underlined), "A title");
        assert_eq!(read(underlined).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "([#|*>:é\n -]|\\*\\*|Status|Authors|---\n|<!--|-->){0,40}") {
            let head = Head::read(&text);
            for field in &head.fields {
                assert!(text.get(field.value_span.range()).is_some() && text.get(field.span.range()).is_some());
            }
        }
    }
}
