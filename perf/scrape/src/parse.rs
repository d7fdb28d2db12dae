//! Prometheus' text format and `OpenMetrics`, read as servers write them: a line that cannot be understood is counted and left out,
//! and says nothing about the others.
//!
//! What a benchmark wants of both formats is the same: families of samples, their kind, help and unit. Timestamps and exemplars are
//! read over. Crates that read these formats exist, but none that takes `vllm:` in a name, a brace in a label and a bad line in
//! its stride.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Samples that are read of one body; what follows is left out.
pub const MAX_SAMPLES: usize = 500_000;
/// Labels that a sample may have.
const MAX_LABELS: usize = 64;
/// Bytes that a line may have.
const MAX_LINE: usize = 64 << 10;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A value of the moment.
    Gauge,
    /// A value that only grows, until its server starts again.
    Counter,
    /// Counts of observations up to bounds.
    Histogram,
    /// Quantiles since the server's start.
    Summary,
    /// Labels, and nothing else.
    Info,
    /// Nothing was said of it.
    Unknown,
}

impl Kind {
    /// As it stands in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::Unknown => "unknown",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "gauge" | "stateset" => Self::Gauge,
            "counter" => Self::Counter,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            // A histogram whose counts may fall is of no use to a benchmark, which wants differences.
            "info" | "gaugehistogram" => Self::Info,
            _ => Self::Unknown,
        }
    }

    /// What samples of such a family may have behind its name.
    const fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total", "_created"],
            Self::Histogram => &["_bucket", "_sum", "_count", "_created"],
            Self::Summary => &["_sum", "_count", "_created"],
            Self::Info => &["_info", "_bucket", "_gsum", "_gcount"],
            Self::Gauge | Self::Unknown => &[],
        }
    }
}

/// Labels, by name; of two of one name the last.
pub type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// What stands behind the family's name: `_bucket`, `_total` and the like, or nothing.
    pub suffix: &'a str,
    /// Its labels, sorted.
    pub labels: Labels<'a>,
    /// Its value.
    pub value: f64,
}

/// Samples of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// Its name; a counter's without `_total`.
    pub name: Cow<'a, str>,
    /// What it is.
    pub kind: Kind,
    /// What it is for.
    pub help: Cow<'a, str>,
    /// What its values are in, where the server says it.
    pub unit: &'a str,
    /// Its samples, in their order.
    pub samples: Vec<Sample<'a>>,
}

/// A whole body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition<'a> {
    /// Families, in the order in which they first appear.
    pub families: Vec<Family<'a>>,
    /// Lines that say nothing that can be understood.
    pub odd_lines: usize,
    /// There was more than is read.
    pub cut: bool,
}

impl Exposition<'_> {
    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.families.iter().map(|f| f.samples.len()).sum()
    }

    /// It is something else: there are lines, and none of them is a sample or says anything about one.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.odd_lines > 0 && self.families.is_empty()
    }
}

/// Reads a body.
#[must_use]
pub fn parse(text: &str) -> Exposition<'_> {
    let mut reader = Reader::default();
    let mut samples = 0_usize;
    for line in text.split('\n') {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() {
            continue;
        }
        if samples == MAX_SAMPLES || reader.out.families.len() > MAX_SAMPLES {
            reader.out.cut = true;
            break;
        }
        if line.len() > MAX_LINE {
            reader.out.odd_lines += 1;
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            reader.comment(comment);
            continue;
        }
        match sample(line) {
            Some((name, labels, value)) => {
                samples += 1;
                reader.add(name, labels, value);
            }
            None => reader.out.odd_lines += 1,
        }
    }
    reader.out
}

#[derive(Default)]
struct Reader<'a> {
    out: Exposition<'a>,
    index: HashMap<Cow<'a, str>, usize>,
    /// The family that lines are about at present.
    current: usize,
}

impl<'a> Reader<'a> {
    /// `# HELP name text`, `# TYPE name kind`, `# UNIT name unit`; any other comment is one.
    fn comment(&mut self, comment: &'a str) {
        let Some((word, rest)) = token(comment) else { return };
        if !matches!(word, "HELP" | "TYPE" | "UNIT") {
            return;
        }
        let Some((name, rest)) = described(rest) else { return };
        let rest = rest.trim_start();
        match word {
            "TYPE" => {
                let kind = Kind::of(rest);
                let family = if kind == Kind::Counter { self.counter(name) } else { self.family(name) };
                family.kind = kind;
            }
            "HELP" => self.family(name).help = unescape(rest),
            _ => self.family(name).unit = rest,
        }
    }

    /// The older format declares `x_total`, the newer `x`, for the same counter; help may have come before its kind.
    fn counter(&mut self, name: Cow<'a, str>) -> &mut Family<'a> {
        let short = without(&name, "_total");
        if short.len() == name.len() {
            return self.family(name);
        }
        if !self.index.contains_key(&short)
            && let Some(at) = self.index.get(&name).copied()
            && self.out.families[at].samples.is_empty()
        {
            self.index.remove(&name);
            self.index.insert(short.clone(), at);
            self.out.families[at].name = short.clone();
        }
        self.family(short)
    }

    fn place(&mut self, name: Cow<'a, str>) -> usize {
        self.current = match self.index.entry(name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let name = new.key().clone();
                self.out.families.push(Family { name, kind: Kind::Unknown, help: Cow::Borrowed(""), unit: "", samples: Vec::new() });
                *new.insert(self.out.families.len() - 1)
            }
        };
        self.current
    }

    fn family(&mut self, name: Cow<'a, str>) -> &mut Family<'a> {
        let at = self.place(name);
        &mut self.out.families[at]
    }

    fn add(&mut self, name: Cow<'a, str>, labels: Labels<'a>, value: f64) {
        let (at, suffix) = self.home(name);
        self.current = at;
        self.out.families[at].samples.push(Sample { suffix, labels, value });
    }

    /// Where a sample of this name belongs, and what stands behind its family's name.
    fn home(&mut self, name: Cow<'a, str>) -> (usize, &'static str) {
        let suffix_in = |family: &Family<'_>| {
            let rest = name.strip_prefix(family.name.as_ref())?;
            let known = family.kind.suffixes().iter().copied().find(|suffix| *suffix == rest);
            known.or_else(|| rest.is_empty().then_some(""))
        };
        if let Some(suffix) = self.out.families.get(self.current).and_then(suffix_in) {
            return (self.current, suffix);
        }
        if let Some(at) = self.index.get(&name) {
            return (*at, "");
        }
        let short = name.rfind('_').and_then(|at| self.index.get(&name[..at])).copied();
        if let Some((at, suffix)) = short.and_then(|at| Some((at, suffix_in(&self.out.families[at])?))) {
            return (at, suffix);
        }
        (self.place(name), "")
    }
}

fn without<'a>(name: &Cow<'a, str>, suffix: &str) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_suffix(suffix).unwrap_or(name)),
        Cow::Owned(name) => Cow::Owned(name.strip_suffix(suffix).unwrap_or(name).to_owned()),
    }
}

/// The first word, and what follows.
fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The name that a comment is about, bare or quoted.
fn described(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    match text.strip_prefix('"') {
        Some(inside) => quoted(inside).filter(|(name, _)| !name.is_empty()),
        None => token(text).filter(|(name, _)| is_name(name)).map(|(name, rest)| (Cow::Borrowed(name), rest)),
    }
}

fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// `name{label="value"} value [timestamp] [# exemplar]`; a name with other characters is quoted and stands first in the braces.
fn sample(line: &str) -> Option<(Cow<'_, str>, Labels<'_>, f64)> {
    let end = line.find(['{', ' ', '\t']).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let mut name = (!name.is_empty()).then_some(Cow::Borrowed(name));
    if name.as_deref().is_some_and(|name| !is_name(name)) {
        return None;
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside, &mut name)?,
        None => (Labels::new(), rest),
    };
    let (value, rest) = token(rest)?;
    let value = value.parse().ok()?;
    is_rest(rest).then_some(())?;
    Some((name?, labels, value))
}

/// What may stand behind a value: a time, an exemplar, or both.
fn is_rest(text: &str) -> bool {
    match token(text) {
        None => true,
        Some((word, _)) if word.starts_with('#') => true,
        Some((word, rest)) => word.parse::<f64>().is_ok() && token(rest).is_none_or(|(word, _)| word.starts_with('#')),
    }
}

/// Everything up to the closing brace, and what follows it.
fn labels<'a>(mut text: &'a str, name: &mut Option<Cow<'a, str>>) -> Option<(Labels<'a>, &'a str)> {
    let blank = [' ', '\t'];
    let mut labels = Labels::new();
    loop {
        text = text.trim_start_matches(blank);
        if let Some(rest) = text.strip_prefix('}') {
            labels.sort_by(|a, b| a.0.cmp(&b.0));
            labels.reverse();
            labels.dedup_by(|a, b| a.0 == b.0);
            labels.reverse();
            return Some((labels, rest));
        }
        let (key, rest) = match text.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => {
                let end = text.find(['=', ' ', '\t', ',', '}'])?;
                (Cow::Borrowed(&text[..end]), &text[end..])
            }
        };
        let is_quoted = text.starts_with('"');
        text = rest.trim_start_matches(blank);
        if let Some(rest) = text.strip_prefix('=') {
            let (value, rest) = quoted(rest.trim_start_matches(blank).strip_prefix('"')?)?;
            if key.is_empty() || labels.len() == MAX_LABELS {
                return None;
            }
            labels.push((key, value));
            text = rest.trim_start_matches(blank);
        } else if is_quoted && name.is_none() && labels.is_empty() {
            *name = Some(key);
        } else {
            return None;
        }
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None if text.starts_with('}') => {}
            None => return None,
        }
    }
}

/// What stands before the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((unescape(&text[..end]), &text[end + 1..]))
}

/// `\\`, `\"` and `\n`; any other backslash is itself.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label<'a>(name: &'a str, value: &'a str) -> (Cow<'a, str>, Cow<'a, str>) {
        (Cow::Borrowed(name), Cow::Borrowed(value))
    }

    #[test]
    fn both_formats_name_the_same_counter() {
        let old =
            "# HELP vllm:prompt_tokens_total Prompt tokens\n# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{m=\"a\"} 3\n";
        let new = "# TYPE vllm:prompt_tokens counter\n# HELP vllm:prompt_tokens Prompt tokens\nvllm:prompt_tokens_total{m=\"a\"} 3.0 1.5 # {id=\"x}\"} 1 2\n# EOF\n";
        let (old, new) = (parse(old), parse(new));
        assert_eq!((old.families.len(), old.odd_lines, new.odd_lines), (1, 0, 0));
        for family in [&old.families[0], &new.families[0]] {
            assert_eq!((family.name.as_ref(), family.kind, family.help.as_ref()), ("vllm:prompt_tokens", Kind::Counter, "Prompt tokens"));
            assert_eq!((family.samples[0].value, &family.samples[0].labels), (3.0, &vec![label("m", "a")]));
        }
    }

    #[test]
    fn histograms_hold_together() {
        let text = "# TYPE t_seconds histogram\nt_seconds_bucket{le=\"0.1\"} 1\nt_seconds_bucket{le=\"+Inf\"} 2\nt_seconds_sum 0.5\nt_seconds_count 2\n\
                    t_seconds_created 1.7e9\nother_count 4\nt_seconds_count{x=\"late\"} 1\n";
        let read = parse(text);
        assert_eq!(read.families.len(), 2);
        let suffixes: Vec<&str> = read.families[0].samples.iter().map(|s| s.suffix).collect();
        assert_eq!(suffixes, ["_bucket", "_bucket", "_sum", "_count", "_created", "_count"]);
        assert_eq!((read.families[1].name.as_ref(), read.families[1].kind), ("other_count", Kind::Unknown));
    }

    #[test]
    fn values_labels_and_lines_of_all_kinds() {
        let text = "  a 1\r\nb +Inf\nc NaN 1700000000000\nd{x=\"a\\\\b\\\"c\\nd\\q\",y=\"}\", } -1e-3\n{\"e.f\",z=\"1\"} 2\n\
                    g{x=\"1\",x=\"2\"} 0\nnothing\n9a 1\nh{x=1} 1\nh{x=\"1\" 1\nh 1 2 3\nh one\n<html>\n# any comment\n# TYPE\n";
        let read = parse(text);
        assert_eq!(read.odd_lines, 7);
        let of = |name: &str| &read.families.iter().find(|f| f.name == name).unwrap().samples[0];
        assert_eq!((of("a").value, of("b").value, of("e.f").value), (1.0, f64::INFINITY, 2.0));
        assert!(of("c").value.is_nan());
        assert_eq!(of("d").labels, vec![label("x", "a\\b\"c\nd\\q"), label("y", "}")]);
        assert_eq!(of("g").labels, vec![label("x", "2")]);
        assert!(parse("{\"a\": [1, 2]}").is_foreign() && parse("[]").is_foreign() && !parse("").is_foreign());
    }

    #[test]
    fn a_body_is_bounded() {
        let text = "a 1\n".repeat(MAX_SAMPLES + 1);
        let read = parse(&text);
        assert_eq!((read.samples(), read.cut), (MAX_SAMPLES, true));
        let many: String = (0..=MAX_LABELS).map(|i| format!("l{i}=\"\",")).collect();
        assert_eq!(parse(&format!("a{{{many}}} 1")).odd_lines, 1);
        assert_eq!(parse(&format!("a{{b=\"{}\"}} 1", "x".repeat(MAX_LINE))).odd_lines, 1);
    }

    fn escape(text: &str) -> String {
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,300}") {
            let _ = parse(&text);
        }

        #[test]
        fn nor_does_what_looks_like_it(lines in proptest::collection::vec("(# (HELP|TYPE|UNIT) )?[a-c_]{0,3}(\\{[a=\",\\\\}]{0,12}\\}?)?( |#|[0-9eINaf+.-]){0,8}", 0..12)) {
            let _ = parse(&lines.join("\n"));
        }

        #[test]
        fn what_was_written_is_read(
            samples in proptest::collection::vec((
                "[a-z:_][a-z0-9:_]{0,8}",
                proptest::collection::btree_map("[a-z_]{1,4}", "(?s).{0,8}", 0..4),
                proptest::num::f64::NORMAL | proptest::num::f64::INFINITE | proptest::num::f64::ZERO,
            ), 0..8)
        ) {
            let line = |(name, labels, value): &(String, std::collections::BTreeMap<String, String>, f64)| {
                let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v))).collect();
                format!("{name}{{{}}} {value:?}\n", labels.join(","))
            };
            let text: String = samples.iter().map(line).collect();
            let read = parse(&text);
            prop_assert_eq!(read.odd_lines, 0);
            for (name, labels, value) in &samples {
                let family = read.families.iter().find(|f| f.name == name.as_str()).unwrap();
                let wanted: Labels<'_> = labels.iter().map(|(k, v)| label(k, v)).collect();
                prop_assert!(family.samples.iter().any(|s| s.labels == wanted && s.value.to_bits() == value.to_bits()));
            }
        }
    }
}
