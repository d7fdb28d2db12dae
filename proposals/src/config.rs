//! `dep.toml` (proposals contract 3.3). Every key is optional; one that is not known is an error that names the nearest.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer};

use crate::parse::date::Order;

/// How numbers are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// By a file of numbers, which conflicts where two take one.
    Ledger,
    /// By what all refs of this clone claim.
    #[default]
    Claims,
    /// By whoever gives them; a later delivery.
    External,
    /// By refs of a remote; a later delivery.
    Ref,
    /// One more than the largest.
    None,
}

/// How bad a rule's findings are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// They are not looked for.
    Off,
    /// To know.
    #[serde(alias = "note")]
    Info,
    /// To mend.
    Warning,
    /// Not to be.
    Error,
}

/// The level of a rule, perhaps for what is new only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleLevel {
    /// The level.
    pub level: Level,
    /// For documents that came on this day or later; others keep the rule's own.
    pub since: Option<Date>,
}

impl<'de> Deserialize<'de> for RuleLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Dated {
            level: Level,
            since: Option<Date>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Plain(Level),
            Dated(Dated),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Plain(level) => Self { level, since: None },
            Written::Dated(Dated { level, since }) => Self { level, since },
        })
    }
}

/// How numbers are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Numbers {
    /// By what; none is by the ledger where there is one, else by claims.
    pub strategy: Option<Strategy>,
}

/// How reviews go; later deliveries use most of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Review {
    /// Approvals that are needed.
    pub min_approvals: u32,
    /// Hours that a review lasts at least.
    pub min_hours: u32,
    /// Hours after the last approval.
    pub final_hours: u32,
    /// Days that a review lasts at most.
    pub window_days: u32,
    /// Who decides where nobody agrees.
    pub arbiters: Vec<String>,
}

impl Default for Review {
    fn default() -> Self {
        Self { min_approvals: 1, min_hours: 0, final_hours: 0, window_days: 14, arbiters: Vec::new() }
    }
}

/// When somebody should look again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// Days after which a draft is stale.
    pub stale_days: i64,
    /// Days after which a decision is looked at again.
    pub maintenance_days: i64,
    /// Changed lines after which one that watches them is; later.
    pub churn_limit: u64,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { stale_days: 60, maintenance_days: 180, churn_limit: 400 }
    }
}

/// Where the index goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Index {
    /// The file with a region for the table.
    pub readme: Option<String>,
    /// The file of records.
    pub json: Option<String>,
    /// Later.
    pub feed: Option<String>,
    /// Later.
    pub base: Option<String>,
    /// Later.
    pub authority: Option<String>,
}

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Of this format: 1.
    pub schema: u32,
    /// Folders with proposals; none is `deps`, else `docs/proposals`.
    pub proposals: Vec<String>,
    /// One file for each, or one folder.
    pub layout: Layout,
    /// Which statuses are written.
    pub vocabulary: Vocabulary,
    /// The document of the process itself.
    pub process_document: Option<String>,
    /// Categories that there are.
    pub categories: Vec<String>,
    /// What comes first in a date with slashes.
    pub date_order: DateOrder,
    /// Anybody may read the tree.
    pub public: bool,
    /// Hosts that not everybody reaches; `*` stands for any letters.
    pub private_hosts: Vec<String>,
    /// How numbers are given.
    pub numbers: Numbers,
    /// How reviews go.
    pub review: Review,
    /// When somebody should look again.
    pub maintenance: Maintenance,
    /// Levels of rules, by their numbers.
    pub rules: BTreeMap<String, RuleLevel>,
    /// Where the index goes.
    pub index: Index,
    /// Areas; later.
    pub areas: BTreeMap<String, toml::Value>,
    /// Gates; later.
    pub gates: BTreeMap<String, toml::Value>,
    /// Paths in which numbers are looked for; later.
    pub refs: Option<toml::Value>,
}

/// How files lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One file for each.
    #[default]
    Flat,
    /// One folder for each.
    Directory,
}

/// Which statuses are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vocabulary {
    /// All.
    #[default]
    Extended,
    /// Those of the template: never `Implemented`.
    Template,
}

/// What comes first in a date with slashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// Nobody knows.
    #[default]
    None,
    /// The month.
    Mdy,
    /// The day.
    Dmy,
}

impl DateOrder {
    /// For reading.
    #[must_use]
    pub fn order(self) -> Order {
        match self {
            Self::None => Order::None,
            Self::Mdy => Order::MonthFirst,
            Self::Dmy => Order::DayFirst,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let hosts = ["docs.google.com", "drive.google.com", "linear.app", "notion.so", "*.slack.com", "confluence.*", "*.atlassian.net"];
        Self {
            schema: 1,
            proposals: Vec::new(),
            layout: Layout::Flat,
            vocabulary: Vocabulary::Extended,
            process_document: None,
            categories: texts(&["Architecture", "Process", "Guidelines"]),
            date_order: DateOrder::None,
            public: true,
            private_hosts: texts(&hosts),
            numbers: Numbers::default(),
            review: Review::default(),
            maintenance: Maintenance::default(),
            rules: BTreeMap::new(),
            index: Index::default(),
            areas: BTreeMap::new(),
            gates: BTreeMap::new(),
            refs: None,
        }
    }
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, with the line, and the nearest of the keys that there are.
    pub fn read(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|why| explained(&why))?;
        if config.schema != 1 {
            return Err(format!("schema {} is not known: this reads schema 1", config.schema));
        }
        if let Some(unknown) = config.rules.keys().find(|id| crate::rules::find(id).is_none()) {
            let known: Vec<&str> = crate::rules::all().map(|rule| rule.id).collect();
            return Err(format!("rules: there is no rule {unknown:?}{}", nearest(unknown, &known)));
        }
        Ok(config)
    }
}

/// The words of the library, with the key that was meant.
fn explained(why: &toml::de::Error) -> String {
    let said = why.to_string();
    let quoted: Vec<&str> = why.message().split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((unknown, known)) if why.message().starts_with("unknown field") => format!("{}{}", said.trim_end(), nearest(unknown, known)),
        _ => said.trim_end().to_owned(),
    }
}

/// `; did you mean "x"?`, where something is near.
#[must_use]
pub fn nearest(unknown: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::jaro_winkler(unknown, known), known)).filter(|(near, _)| *near > 0.75);
    let best = near.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_contract_is_read() {
        let text = r#"
schema = 1
proposals = ["deps"]
layout = "flat"
vocabulary = "extended"
process_document = "deps/0000-dep-process.md"
categories = ["Architecture", "Process", "Guidelines"]
date_order = "mdy"
public = true
private_hosts = ["docs.google.com", "*.internal.example"]
numbers = { strategy = "ledger" }
review = { min_approvals = 1, min_hours = 4, final_hours = 0, window_days = 14, arbiters = ["@dov"] }
maintenance = { stale_days = 60, maintenance_days = 180, churn_limit = 400 }
areas.kv = { owners = ["@ada", "@org/kv"], watches = ["crates/kv/**"] }
gates.security = { approvers = ["@org/sec"], before = "Approved", areas = ["kv"], questions = "gates/security.md" }
rules = { F001 = "off", F002 = "error", F003 = { level = "warning", since = "2026-06-01" } }
index = { readme = "README.md", json = "deps/index.json", feed = "deps/feed.atom", base = "https://example.org/deps", authority = "example.org" }
"#;
        let config = Config::read(text).unwrap();
        assert_eq!((config.numbers.strategy, config.date_order), (Some(Strategy::Ledger), DateOrder::Mdy));
        assert_eq!(config.rules["F003"].since.unwrap().to_string(), "2026-06-01");
        assert_eq!(Config::read("").unwrap(), Config::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| Config::read(text).unwrap_err();
        assert!(error("categores = []").contains("did you mean \"categories\"?"), "{}", error("categores = []"));
        assert!(error("public = 3").contains("line 1"), "{}", error("public = 3"));
        assert!(error("schema = 2").contains("schema 2"));
        assert!(error("rules = { F0001 = \"off\" }").contains("did you mean \"F001\""), "{}", error("rules = { F0001 = \"off\" }"));
        assert!(error("rules = { F001 = \"loud\" }").contains("rules"), "{}", error("rules = { F001 = \"loud\" }"));
    }
}
