//! Numbered headings: requirements, phases, alternatives. One level too deep is near enough.

use super::super::{Context, Sink, place};
use crate::model::Document;
use crate::parse::body::Heading;
use crate::parse::sections::index;
use crate::text::{lines, without_comments};

/// A section with numbered headings below it.
struct Series {
    section: usize,
    word: &'static str,
    level: u8,
    /// What it may begin with.
    first: &'static [u32],
}

const REQUIREMENTS: Series = Series { section: index::REQUIREMENTS, word: "REQ", level: 3, first: &[1] };
const PHASES: Series = Series { section: index::PHASES, word: "Phase", level: 2, first: &[0, 1] };
const ALTERNATIVES: Series = Series { section: index::ALTERNATIVES, word: "Alt", level: 2, first: &[1] };

/// The number of a heading, and what is odd about the way it is written.
#[derive(Debug, PartialEq, Eq)]
struct Numbered {
    number: Option<u32>,
    bracketed: bool,
    hash: bool,
    /// Without brackets.
    title: String,
}

impl Numbered {
    /// Reads a heading; `None` when the word is not followed by anything that stands for a number.
    fn read(text: &str, word: &str) -> Option<Self> {
        let rest = text.get(..word.len()).filter(|begin| begin.eq_ignore_ascii_case(word)).and_then(|_| text.get(word.len()..))?;
        let rest = rest.strip_prefix([' ', '\t', ':', '-', '\u{2014}'])?.trim_start();
        let (hash, number, bracketed, behind) = if let Some((inner, behind)) = brackets(rest) {
            // Whatever is in brackets there stands for the number.
            let digits = inner.trim_start_matches('#').trim();
            (inner.starts_with('#'), digits.parse().ok(), true, behind)
        } else {
            let bare = rest.trim_start_matches('#');
            let hash = bare.len() < rest.len();
            let bare = if hash { bare.trim_start() } else { bare };
            let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
            let behind = bare.get(digits..)?;
            // `1.5` and `2b` are no numbers of a sequence.
            let part = behind.strip_prefix('.').unwrap_or(behind).starts_with(char::is_alphanumeric);
            if part && digits > 0 || digits == 0 && !hash {
                return None;
            }
            (hash, bare.get(..digits)?.parse().ok(), false, behind)
        };
        let title = behind.trim_start_matches([' ', '\t', ':', '-', '.', ')', '\u{2013}', '\u{2014}']).trim_end();
        let inner = brackets(title).filter(|(_, behind)| behind.is_empty()).map(|(inner, _)| inner.trim());
        Some(Self { number, bracketed: bracketed || inner.is_some(), hash, title: inner.unwrap_or(title).to_owned() })
    }
}

/// What stands in `<` and the `>` that belongs to it, and what follows.
fn brackets(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (at, letter) in text.strip_prefix('<').map(|_| text)?.char_indices() {
        match letter {
            '<' => depth += 1,
            // An arrow closes nothing.
            '>' if !text[..at].ends_with(['-', '=']) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(1..at)?.trim(), text.get(at + 1..)?));
        }
    }
    None
}

/// The numbered headings of a series.
fn numbered<'a>(document: &'a Document, series: &Series) -> Vec<(usize, &'a Heading, Numbered)> {
    let Some(found) = document.sections().get(series.section) else { return Vec::new() };
    place::children(document, found.heading)
        .filter_map(|at| Some((at, document.body().headings.get(at)?)))
        .filter(|(_, heading)| heading.level == series.level || heading.level == series.level + 1)
        .filter_map(|(at, heading)| Some((at, heading, Numbered::read(&heading.text, series.word)?)))
        .collect()
}

pub(super) fn form(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for series in [REQUIREMENTS, PHASES, ALTERNATIVES] {
        for (at, heading, numbered) in numbered(document, &series).into_iter().filter(|(.., numbered)| numbered.bracketed || numbered.hash)
        {
            let what = if numbered.bracketed { "<...>" } else { "#" };
            let message = format!("{:?} keeps the {what} of the template", heading.text);
            let finding = sink.at(document, heading.span, place::path(document, at), message);
            finding.label = "write it plainly".to_owned();
            let number = numbered.number.map_or_else(|| "1".to_owned(), |number| number.to_string());
            finding.help = Some(format!(
                "write \"{}\", and mend links to the old heading",
                format!("{} {number} {}", series.word, numbered.title).trim_end()
            ));
        }
    }
}

pub(super) fn sequence(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for series in [REQUIREMENTS, PHASES, ALTERNATIVES] {
        let mut last: Option<u32> = None;
        for (at, heading, numbered) in numbered(document, &series) {
            let Some(number) = numbered.number else { continue };
            let good = last.map_or_else(|| series.first.contains(&number), |last| last.checked_add(1) == Some(number));
            if !good {
                let word = series.word;
                let message = match last {
                    None => format!("the first {word} has number {number}"),
                    Some(last) => format!("{word} {number} follows {word} {last}"),
                };
                let next = last.map_or(1, |last| last.saturating_add(1));
                let finding = sink.at(document, heading.span, place::path(document, at), message);
                finding.label = format!("{word} {next} would be next");
                break;
            }
            last = Some(number);
        }
    }
}

/// The words of RFC 2119.
const KEYWORDS: [&str; 7] = ["MUST", "REQUIRED", "SHALL", "SHOULD", "RECOMMENDED", "MAY", "OPTIONAL"];

pub(super) fn keyword(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    for (at, heading, numbered) in numbered(document, &REQUIREMENTS) {
        let span = place::below(document, at);
        let blanked = without_comments(span.of(&document.source));
        let text = lines(&blanked, 0).filter(|(line, _)| !document.body().is_code(span.start + line.start));
        if !text.map(|(_, line)| line).any(has_keyword) {
            let number = numbered.number.map(|number| format!(" {number}")).unwrap_or_default();
            let finding = sink.at(document, heading.span, place::path(document, at), format!("REQ{number} has no **MUST** or **SHOULD**"));
            finding.label = "how binding is it?".to_owned();
        }
    }
}

/// Whether a line has a word of RFC 2119 in bold.
fn has_keyword(line: &str) -> bool {
    let word = |text: &str| text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| KEYWORDS.contains(&word));
    ["**", "__"].iter().any(|mark| line.split(mark).skip(1).step_by(2).any(word))
}

/// A label in bold, or a heading, in lower case; and whether anything follows it.
#[derive(Debug, PartialEq, Eq)]
struct Label {
    name: String,
    filled: bool,
}

/// The labels below a heading.
fn labels(document: &Document, heading: usize) -> Vec<Label> {
    let span = place::below(document, heading);
    let blanked = without_comments(span.of(&document.source));
    let mut labels: Vec<Label> = Vec::new();
    for (line, text) in lines(&blanked, 0) {
        let at = span.start + line.start;
        if let Some(heading) = place::heading_at(document, at).and_then(|at| document.body().headings.get(at)) {
            labels.push(Label { name: heading.text.trim_end_matches(':').trim().to_lowercase(), filled: false });
        } else if let Some((name, value)) = label(text).filter(|_| !document.body().is_code(at)) {
            labels.push(Label { name, filled: !value.is_empty() });
        } else if let Some(last) = labels.last_mut().filter(|_| !text.trim().is_empty()) {
            last.filled = true;
        }
    }
    labels
}

/// A label at the beginning of a line, and its value there.
fn label(line: &str) -> Option<(String, &str)> {
    let inner = line.trim_start_matches(['>', '-', '+', ' ', '\t']);
    // One star is a mark of a list, two are bold.
    let inner = inner.strip_prefix("* ").unwrap_or(inner).trim_start().strip_prefix("**")?;
    let (bold, rest) = inner.split_once("**")?;
    let (name, value) = match bold.split_once(':') {
        Some((name, value)) if rest.trim().is_empty() => (name, value),
        Some((name, _)) => (name, rest),
        None => (bold, rest.trim_start().strip_prefix(':').unwrap_or(rest)),
    };
    Some((name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(), value.trim()))
}

pub(super) fn verdict(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    const NAMES: [&str; 6] =
        ["reason rejected", "reasons rejected", "reason to reject", "reasons to reject", "reason for rejection", "reasons for rejection"];
    for (at, heading, _) in numbered(document, &ALTERNATIVES) {
        let labels = labels(document, at);
        if !labels.iter().any(|label| label.filled && NAMES.contains(&label.name.as_str())) {
            let message = format!("{:?} does not say why it lost", heading.text);
            let finding = sink.at(document, heading.span, place::path(document, at), message);
            finding.label = "no reason below".to_owned();
            finding.help = Some("add **Reason Rejected:** with the reason".to_owned());
        }
    }
}

pub(super) fn phase_fields(_: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    const NAMES: [(&str, &[&str]); 3] = [
        ("Release Target", &["release target"]),
        ("Effort Estimate", &["effort estimate"]),
        ("Work Item(s)", &["work item(s)", "work item", "work items"]),
    ];
    for (at, heading, _) in numbered(document, &PHASES) {
        let labels = labels(document, at);
        let has = |names: &[&str]| labels.iter().any(|label| names.contains(&label.name.as_str()));
        let lacks: Vec<&str> = NAMES.iter().filter(|(_, names)| !has(names)).map(|(name, _)| *name).collect();
        if !lacks.is_empty() {
            let message = format!("{:?} lacks {}", heading.text, lacks.join(", "));
            let finding = sink.at(document, heading.span, place::path(document, at), message);
            finding.label = "labels in bold below".to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let read = |text: &str, word| Numbered::read(text, word).map(|n| (n.number, n.bracketed, n.hash, n.title));
        let is = |number, bracketed, hash, title: &str| Some((number, bracketed, hash, title.to_owned()));
        assert_eq!(read("REQ 1 Title", "REQ"), is(Some(1), false, false, "Title"));
        assert_eq!(read("REQ 12: Title", "REQ"), is(Some(12), false, false, "Title"));
        assert_eq!(read("Phase 2 \u{2014} Later", "Phase"), is(Some(2), false, false, "Later"));
        assert_eq!(read("Phase 3", "Phase"), is(Some(3), false, false, ""));
        assert_eq!(read("Alt <#> <Title>", "Alt"), is(None, true, true, "Title"));
        assert_eq!(read("Alt <# 2> <A title>", "Alt"), is(Some(2), true, true, "A title"));
        assert_eq!(read("Alt #3 Title", "Alt"), is(Some(3), false, true, "Title"));
        assert_eq!(read("REQ 1 <A -> b>", "REQ"), is(Some(1), true, false, "A -> b"));
        assert_eq!(read("Alt 3 Wrap it in Vec<T, E>", "Alt"), is(Some(3), false, false, "Wrap it in Vec<T, E>"));
        assert_eq!(read("Alt 3 <T> or <U>", "Alt"), is(Some(3), false, false, "<T> or <U>"));
        for none in ["Alternative 1", "Alt", "Alt none", "Alt 1.5 x", "Alt 2b", "Phase 1"] {
            assert_eq!(read(none, "Alt"), None, "{none}");
        }
    }

    #[test]
    fn labels_are_read() {
        let read = |line| label(line).map(|(name, value)| (name, value.to_owned()));
        let is = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(read("**Release Target**: v1"), is("release target", "v1"));
        assert_eq!(read("* **Work Item(s):** N/A"), is("work item(s)", "N/A"));
        assert_eq!(read("**Release Target: Mar 26**  "), is("release target", "Mar 26"));
        assert_eq!(read("\t**Reasons  to reject**: x"), is("reasons to reject", "x"));
        assert_eq!(read("a **b**: c"), None);
        assert!(has_keyword("it **MUST NOT** be") && has_keyword("**a** b **SHOULD**") && has_keyword("__MAY__"));
        assert!(!has_keyword("it MUST") && !has_keyword("**a** MUST **b**") && !has_keyword("**NOT** **must**"));
    }
}
