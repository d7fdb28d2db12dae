//! The sections of a proposal, and which heading is which (proposals contract 1.9).

use super::body::Heading;

/// A section that the format knows.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Its heading.
    pub name: &'static str,
    /// The level of that.
    pub level: u8,
    /// The section it belongs to.
    pub parent: Option<&'static str>,
    /// It is in the limited template.
    pub limited: bool,
    /// A proposal has it.
    pub required: bool,
    /// Other headings that are read as it.
    variants: &'static [&'static str],
}

const fn section(name: &'static str, level: u8, parent: Option<&'static str>, limited: bool, required: bool) -> Schema {
    Schema { name, level, parent, limited, required, variants: &[] }
}

const fn also(schema: Schema, variants: &'static [&'static str]) -> Schema {
    Schema { variants, ..schema }
}

/// All of them, in order.
pub const SCHEMA: [Schema; 15] = [
    section("Summary", 1, None, true, true),
    section("Motivation", 1, None, true, true),
    also(section("Goals", 2, Some("Motivation"), true, false), &["goal"]),
    also(section("Non Goals", 3, Some("Goals"), true, false), &["non-goals", "non-goal", "non goal"]),
    section("Requirements", 2, Some("Motivation"), true, false),
    section("Proposal", 1, None, true, true),
    section("Implementation Details", 1, None, false, false),
    section("Deferred to Implementation", 2, Some("Implementation Details"), false, false),
    section("Implementation Phases", 1, None, false, false),
    also(section("Related Proposals", 1, None, false, false), &["related proposal"]),
    also(section("Alternate Solutions", 1, None, true, true), &["alternatives"]),
    section("Background", 1, None, false, false),
    section("References", 2, Some("Background"), false, false),
    section("Terminology & Definitions", 2, Some("Background"), false, false),
    section("Acronyms & Abbreviations", 2, Some("Background"), false, false),
];

/// Positions in [`SCHEMA`] that rules ask for.
pub mod index {
    /// Non Goals.
    pub const NON_GOALS: usize = 3;
    /// Requirements.
    pub const REQUIREMENTS: usize = 4;
    /// Implementation Phases.
    pub const PHASES: usize = 8;
    /// Related Proposals.
    pub const RELATED: usize = 9;
    /// Alternate Solutions.
    pub const ALTERNATIVES: usize = 10;
    /// Terminology & Definitions.
    pub const TERMS: usize = 13;
    /// Acronyms & Abbreviations.
    pub const ACRONYMS: usize = 14;
}

impl Schema {
    /// Whether a heading names it; `true` when it is written as it should be.
    #[must_use]
    pub fn is_named(&self, text: &str) -> Option<bool> {
        if text == self.name {
            return Some(true);
        }
        let plain = text.trim().trim_end_matches(':').trim();
        let begin = || plain.get(..self.name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(self.name));
        let wordy = || self.name == "Proposal" && begin() && plain[self.name.len()..].starts_with([',', ' ']);
        let variant = || self.variants.iter().any(|variant| plain.eq_ignore_ascii_case(variant));
        (plain.eq_ignore_ascii_case(self.name) || variant() || wordy()).then_some(false)
    }
}

/// Whether a text is the heading of a section, as it should be written.
#[must_use]
pub fn is_name(text: &str) -> bool {
    SCHEMA.iter().any(|schema| schema.name == text)
}

/// Whether a proposal has fewer sections or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Those of the limited template.
    Limited,
    /// Others, too.
    Complete,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Complete => "complete",
        }
    }
}

/// A section that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one, of [`SCHEMA`].
    pub schema: usize,
    /// Its heading.
    pub heading: usize,
    /// That is written as it should be.
    pub exact: bool,
    /// It has its level.
    pub at_level: bool,
    /// It stands in its section.
    pub in_parent: bool,
}

/// Which headings are which sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// One for each section that there is, in the order of [`SCHEMA`].
    pub found: Vec<Found>,
    /// Headings that say once more what another one of that level and parent said.
    pub twice: Vec<(usize, usize)>,
    /// Headings of level one that are no section.
    pub unknown: Vec<usize>,
    /// The heading that each heading belongs to.
    pub parents: Vec<Option<usize>>,
    /// Each heading's end: the next one that is not below it, or as many as there are.
    pub ends: Vec<usize>,
}

impl Sections {
    /// Finds them. `from` is the first heading below the metadata; those before are the title, and fields.
    #[must_use]
    pub fn read(headings: &[Heading], from: usize) -> Self {
        let mut sections = Self { parents: parents(headings, from), ends: ends(headings), ..Self::default() };
        // No heading names two.
        let named = |h: &Heading| SCHEMA.iter().enumerate().find_map(|(number, schema)| Some((number, schema.is_named(&h.text)?)));
        let names: Vec<Option<(usize, bool)>> = headings.iter().map(named).collect();
        sections.unknown = (from..headings.len()).filter(|at| headings[*at].level == 1 && names[*at].is_none()).collect();
        let mut all: [Vec<(usize, bool)>; SCHEMA.len()] = Default::default();
        let below = sections.below_unknown();
        for at in (from..headings.len()).filter(|at| headings[*at].level == 1 || !below[*at]) {
            if let Some((number, exact)) = names[at] {
                all[number].push((at, exact));
            }
        }
        for ((number, schema), candidates) in SCHEMA.iter().enumerate().zip(all) {
            let at_level = |exact: bool| candidates.iter().find(|(at, is)| headings[*at].level == schema.level && *is == exact);
            let off = |at: usize| schema.required || headings[at].level.abs_diff(schema.level) == 1;
            let elsewhere = |exact: bool| candidates.iter().find(|(at, is)| *is == exact && off(*at));
            let chosen = at_level(true).or_else(|| at_level(false)).or_else(|| elsewhere(true)).or_else(|| elsewhere(false));
            let Some(&(heading, exact)) = chosen else { continue };
            let level = headings[heading].level;
            let in_parent = sections.is_in_parent(headings, schema, number, heading);
            sections.found.push(Found { schema: number, heading, exact, at_level: level == schema.level, in_parent });
            let same = |at: usize| at != heading && headings[at].level == level && sections.parents[at] == sections.parents[heading];
            let twice: Vec<(usize, usize)> = candidates.iter().filter(|(at, _)| same(*at)).map(|(at, _)| (*at, heading)).collect();
            sections.twice.extend(twice);
        }
        sections
    }

    /// The section of a number in [`SCHEMA`].
    #[must_use]
    pub fn get(&self, schema: usize) -> Option<&Found> {
        self.found.iter().find(|found| found.schema == schema)
    }

    /// Complete when there is a section, at its place, that the limited template lacks.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let more = |found: &Found| !SCHEMA[found.schema].limited && found.at_level && found.in_parent;
        if self.found.iter().any(more) { Kind::Complete } else { Kind::Limited }
    }

    /// Which headings stand somewhere below one that is no section.
    fn below_unknown(&self) -> Vec<bool> {
        let mut below = vec![false; self.parents.len()];
        for at in 0..below.len() {
            // Parents come first, and the unknown stand in order.
            below[at] = self.parents[at].is_some_and(|parent| below[parent] || self.unknown.binary_search(&parent).is_ok());
        }
        below
    }

    fn is_in_parent(&self, headings: &[Heading], schema: &Schema, number: usize, heading: usize) -> bool {
        let parent = self.parents[heading].map(|at| headings[at].text.as_str());
        let named = |name: &str| SCHEMA.iter().find(|s| s.name == name).zip(parent).is_some_and(|(s, parent)| s.is_named(parent).is_some());
        match schema.parent {
            None => parent.is_none(),
            Some(wanted) => named(wanted) || (number == index::NON_GOALS && named("Motivation")),
        }
    }
}

/// The nearest heading of a smaller level before each; the title and fields are none.
fn parents(headings: &[Heading], from: usize) -> Vec<Option<usize>> {
    let mut open: Vec<usize> = Vec::new();
    let mut parents = Vec::with_capacity(headings.len());
    for (at, heading) in headings.iter().enumerate() {
        open.retain(|above| headings[*above].level < heading.level);
        parents.push(open.last().copied());
        if at >= from {
            open.push(at);
        }
    }
    parents
}

fn ends(headings: &[Heading]) -> Vec<usize> {
    let end = |at: usize| (at + 1..headings.len()).find(|next| headings[*next].level <= headings[at].level).unwrap_or(headings.len());
    (0..headings.len()).map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Span;

    fn read(text: &[(u8, &str)]) -> (Vec<Heading>, Sections) {
        let heading = |(level, text): &(u8, &str)| Heading { level: *level, span: Span::default(), text: (*text).to_owned() };
        let headings: Vec<Heading> = text.iter().map(heading).collect();
        let sections = Sections::read(&headings, 1);
        (headings, sections)
    }

    fn found(text: &[(u8, &str)]) -> Vec<(&'static str, bool, bool, bool)> {
        read(text).1.found.iter().map(|f| (SCHEMA[f.schema].name, f.exact, f.at_level, f.in_parent)).collect()
    }

    #[test]
    fn as_it_should_be() {
        let all =
            [(1, "T"), (1, "Summary"), (1, "Motivation"), (2, "Goals"), (3, "Non Goals"), (1, "Proposal"), (1, "Alternate Solutions")];
        assert!(found(&all).iter().all(|(_, exact, level, parent)| *exact && *level && *parent));
        assert_eq!((found(&all).len(), read(&all).1.kind()), (6, Kind::Limited));
        assert_eq!(read(&[(1, "T"), (1, "Background")]).1.kind(), Kind::Complete);
        assert_eq!(read(&[(1, "T"), (2, "Background")]).1.kind(), Kind::Limited);
    }

    #[test]
    fn as_people_write_it() {
        assert_eq!(found(&[(1, "T"), (3, "Goal:"), (3, "Proposal:")]), [("Goals", false, false, false), ("Proposal", false, false, true)]);
        assert_eq!(found(&[(1, "T"), (2, "Summary"), (1, "summary")]), [("Summary", false, true, true)]);
        assert_eq!(
            found(&[(1, "T"), (1, "Proposal, as code"), (3, "Motivation")]),
            [("Motivation", true, false, false), ("Proposal", false, true, true)]
        );
        // Two levels off is too far for what may be absent.
        assert_eq!(found(&[(1, "T"), (3, "Background")]), []);
        let (_, sections) = read(&[(1, "T"), (1, "Spike"), (2, "References"), (1, "Proposal"), (1, "Proposal")]);
        assert_eq!((sections.found.len(), sections.unknown, sections.twice), (1, vec![1], vec![(4, 3)]));
    }
}
