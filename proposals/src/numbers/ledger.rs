//! The ledger: one line for each number that was given, `NNNN slug date by`. Two branches that take one number add different lines at
//! one place, and git stops the second; unless somebody told it to keep both.

use std::collections::{BTreeMap, BTreeSet};

use crate::parse::name::number as shown;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The number.
    pub number: u32,
    /// Whose it is: the words behind the number.
    pub slug: String,
    /// When it was given, as it is written.
    pub date: String,
    /// By whom.
    pub by: String,
}

impl Line {
    /// As it stands in the file.
    #[must_use]
    pub fn written(&self) -> String {
        [shown(self.number).as_str(), &self.slug, &self.date, &self.by].join(" ").trim_end().to_owned()
    }
}

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// In the order of the file.
    pub lines: Vec<Line>,
    /// What is wrong: marks of a conflict, lines that are none, a number given to two.
    pub problems: Vec<String>,
    /// Git left a conflict in it.
    pub conflict: bool,
}

impl Ledger {
    /// Reads it. Empty lines and lines with `#` in front are left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut ledger = Self::default();
        for (at, line) in text.lines().enumerate() {
            let (at, line) = (at + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if ["<<<<<<<", "=======", ">>>>>>>", "|||||||"].iter().any(|mark| line.starts_with(mark)) {
                if !ledger.conflict {
                    ledger.problems.push(format!("line {at}: a conflict of two branches"));
                }
                ledger.conflict = true;
                continue;
            }
            let mut words = line.split_whitespace();
            let number = words.next().filter(|word| word.len() >= 4).and_then(|word| word.parse().ok()).filter(|number| *number > 0);
            let (Some(number), Some(slug)) = (number, words.next()) else {
                ledger.problems.push(format!("line {at}: {line:?} is no line of a ledger: NNNN slug date by"));
                continue;
            };
            let date = words.next().unwrap_or_default().to_owned();
            let by = words.collect::<Vec<_>>().join(" ");
            ledger.lines.push(Line { number, slug: slug.to_lowercase(), date, by });
        }
        let mut owners: BTreeMap<u32, BTreeSet<&str>> = BTreeMap::new();
        for line in &ledger.lines {
            owners.entry(line.number).or_default().insert(&line.slug);
        }
        for (number, owners) in owners.into_iter().filter(|(_, owners)| owners.len() > 1) {
            let owners: Vec<&str> = owners.into_iter().collect();
            ledger.problems.push(format!("number {} is given to {}", shown(number), owners.join(" and ")));
        }
        ledger
    }

    /// The largest number.
    #[must_use]
    pub fn largest(&self) -> u32 {
        self.lines.iter().map(|line| line.number).max().unwrap_or(0)
    }

    /// Who was given a number.
    pub fn owners(&self, number: u32) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.number == number).map(|line| line.slug.as_str())
    }

    /// The number of one, the last that it was given.
    #[must_use]
    pub fn number(&self, slug: &str) -> Option<u32> {
        self.lines.iter().rev().find(|line| line.slug == slug).map(|line| line.number)
    }

    /// The text of the file with one line more.
    #[must_use]
    pub fn with(text: Option<&str>, line: &Line) -> String {
        let text = text.unwrap_or_default();
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { end };
        format!("{text}{gap}{}{end}", line.written())
    }
}

/// What to do about a conflict in a ledger: trunk's lines stay, and what is ours gets another number.
#[must_use]
pub fn resolving(path: &str) -> String {
    format!(
        "take trunk's lines (`git checkout --theirs -- {path}` while merging trunk, `--ours` while rebasing on it), then give yours \
         another number: `dormouse dep number renumber FILE`"
    )
}

/// Whether files of attributes tell git to keep both sides of a conflict in a file. Each is given with its folder (nothing for the
/// root), outermost first; the last line that fits counts.
#[must_use]
pub fn is_union(path: &str, attributes: &[(&str, &str)]) -> bool {
    let mut union = false;
    for (folder, text) in attributes {
        let Some(inner) = (if folder.is_empty() { Some(path) } else { path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) })
        else {
            continue;
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!', '['])) {
            let mut words = line.split_whitespace();
            let Some(pattern) = words.next() else { continue };
            for word in words {
                let now = match word {
                    "merge" | "-merge" | "!merge" | "binary" => false,
                    _ => match word.strip_prefix("merge=") {
                        Some(driver) => driver == "union",
                        None => continue,
                    },
                };
                if fits(pattern.trim_matches('"'), inner) {
                    union = now;
                }
            }
        }
    }
    union
}

/// Whether a pattern of attributes fits a path: one without `/` fits names in any folder.
fn fits(pattern: &str, path: &str) -> bool {
    let anchored = pattern.strip_prefix('/').unwrap_or(pattern);
    if !pattern.contains('/') {
        return wild(anchored.as_bytes(), path.rsplit('/').next().unwrap_or(path).as_bytes());
    }
    wild(anchored.as_bytes(), path.as_bytes())
}

/// `?`, `*` within a part, `**` over parts, and sets. Patterns are short; each star is tried once at every place.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    // Row by row: which beginnings of the text the pattern so far fits.
    let mut reached: Vec<bool> = std::iter::once(true).chain(text.iter().map(|_| false)).collect();
    let mut at = 0;
    while let Some(byte) = pattern.get(at) {
        let mut next = vec![false; text.len() + 1];
        match byte {
            b'*' => {
                let double = pattern.get(at + 1) == Some(&b'*');
                // `**/` fits nothing as well.
                let slash = double && pattern.get(at + 2) == Some(&b'/');
                let mut open = false;
                for end in 0..=text.len() {
                    if end > 0 && text[end - 1] == b'/' && !double {
                        open = false;
                    }
                    open |= reached[end];
                    next[end] = if slash { reached[end] || (open && end > 0 && text[end - 1] == b'/') } else { open };
                }
                at += if slash {
                    3
                } else if double {
                    2
                } else {
                    1
                };
            }
            b'[' => {
                let close = pattern[at + 1..].iter().skip(1).position(|byte| *byte == b']').map(|close| at + 2 + close);
                let Some(close) = close else { return false };
                let set = &pattern[at + 1..close];
                let (not, set) = match set.first() {
                    Some(b'!' | b'^') => (true, &set[1..]),
                    _ => (false, set),
                };
                let within = |byte: u8| {
                    let range = set.windows(3).any(|three| three[1] == b'-' && (three[0]..=three[2]).contains(&byte));
                    (set.contains(&byte) || range) != not
                };
                for end in 1..=text.len() {
                    next[end] = reached[end - 1] && text[end - 1] != b'/' && within(text[end - 1]);
                }
                at = close + 1;
            }
            byte => {
                let (byte, step) = if *byte == b'\\' { (pattern.get(at + 1).copied().unwrap_or(b'\\'), 2) } else { (*byte, 1) };
                let any = byte == b'?' && step == 1;
                for end in 1..=text.len() {
                    next[end] = reached[end - 1] && (text[end - 1] == byte || (any && text[end - 1] != b'/'));
                }
                at += step;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "# numbers\n\n0017 expire-idle 2026-03-08 @ada\n0018 Other 2026-03-09 Ada Brook\n0019 expire-idle 2026-04-01 @ada\n";
        let ledger = Ledger::read(text);
        assert_eq!((ledger.lines.len(), ledger.largest(), ledger.number("expire-idle")), (3, 19, Some(19)));
        assert!(ledger.problems.is_empty() && !ledger.conflict);
        assert_eq!(ledger.lines[1].written(), "0018 other 2026-03-09 Ada Brook");
        assert_eq!(ledger.owners(17).collect::<Vec<_>>(), ["expire-idle"]);
        assert_eq!(Ledger::with(Some("a"), &ledger.lines[0]), "a\n0017 expire-idle 2026-03-08 @ada\n");
        assert_eq!(Ledger::with(Some("a\r\n"), &ledger.lines[0]), "a\r\n0017 expire-idle 2026-03-08 @ada\r\n");
        assert_eq!(Ledger::with(None, &ledger.lines[0]), "0017 expire-idle 2026-03-08 @ada\n");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let text = "0001 a 2026-01-01 @a\n<<<<<<< HEAD\n0002 b 2026-01-01 @a\n=======\n0002 c 2026-01-01 @b\n>>>>>>> x\n17 d\nnumber\n";
        let ledger = Ledger::read(text);
        assert!(ledger.conflict);
        assert_eq!(
            ledger.problems,
            [
                "line 2: a conflict of two branches",
                "line 7: \"17 d\" is no line of a ledger: NNNN slug date by",
                "line 8: \"number\" is no line of a ledger: NNNN slug date by",
                "number 0002 is given to b and c"
            ]
        );
    }

    #[test]
    fn union_is_found() {
        let is = |text: &str| is_union("deps/.numbers", &[("", text)]);
        for text in [
            "* merge=union",
            "deps/.numbers merge=union",
            ".numbers text merge=union",
            "**/.numbers merge=union",
            "deps/** merge=union",
            "/deps/.n?mbers merge=union",
            "deps/.[m-o]umbers merge=union",
            "*.md -text\n* merge=union\n",
        ] {
            assert!(is(text), "{text}");
        }
        for text in [
            "",
            "# * merge=union",
            "*.md merge=union",
            "* merge=union\ndeps/.numbers text eol=lf merge\n",
            "/.numbers merge=union",
            "docs/* merge=union",
            "* merge=ours",
            "* merge=union\n* binary",
        ] {
            assert!(!is(text), "{text}");
        }
        assert!(!is_union("deps/.numbers", &[("", "* merge=union"), ("deps", ".numbers merge=text")]));
        assert!(is_union("deps/.numbers", &[("", "* -merge"), ("deps", "/.numbers merge=union")]));
        assert!(!is_union("deps/.numbers", &[("docs", "* merge=union")]));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9]{1,5}|[a-z*?!\\[\\]/. \\\\#<=>-]|\n|merge=union|\\*\\*/|é){0,40}") {
            let ledger = Ledger::read(&text);
            assert!(ledger.lines.iter().all(|line| ledger.number(&line.slug).is_some()));
            let _ = is_union("deps/.numbers", &[("", &text), ("deps", &text)]);
        }
    }
}
