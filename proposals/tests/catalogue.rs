//! The catalogue of rules, the code, and what `--explain` says are one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use dormouse_proposals::finding::Severity;
use dormouse_proposals::rules::{self, Check, Mend, Needs};

const CATALOGUE: &str = include_str!("catalogue.txt");

/// Rules whose mend is shown as help only: it would invent, delete, or break anchors.
const HELP_ONLY: [&str; 4] = ["M002", "S006", "S009", "S012"];
/// What is generated is written by a command of its own.
const OWN_COMMAND: [&str; 1] = ["G001"];

#[test]
fn the_code_has_what_the_catalogue_says() {
    let wanted: Vec<Vec<&str>> = CATALOGUE.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').collect()).collect();
    let mut wrong = Vec::new();
    for row in &wanted {
        let [id, name, severity, mend, needs] = row[..] else { panic!("{row:?}") };
        let Some(rule) = rules::find(id) else {
            wrong.push(format!("{id} is not there"));
            continue;
        };
        let own = match rule.severity {
            Severity::Error => "E",
            Severity::Warning => "W",
            Severity::Info => "I",
        };
        let own_mend = match rule.mend {
            Mend::Safe => "S",
            Mend::Unsafe => "U",
            Mend::None => "-",
        };
        let mend = if HELP_ONLY.contains(&id) {
            "U"
        } else if OWN_COMMAND.contains(&id) {
            "-"
        } else {
            mend
        };
        let later = matches!(rule.check, Check::Later);
        let own_needs = match rule.needs {
            _ if later => "later",
            Needs::Nothing => ".",
            Needs::Trunk => "trunk",
            Needs::Clock => "history",
            Needs::Configured => "configured",
        };
        let same = (rule.name, own, own_needs) == (name, severity, needs) && (later || own_mend == mend);
        if !same {
            wrong.push(format!("{id}: {} {own} {own_mend} {own_needs}, and the catalogue has {row:?}", rule.name));
        }
    }
    let ids: Vec<&str> = rules::all().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), wanted.len());
    let order: Vec<&str> = wanted.iter().map(|row| row[0]).collect();
    assert_eq!(ids, order, "the order of the catalogue");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_rule_says_what_it_is_for() {
    for rule in rules::all() {
        let words = rule.about.split_whitespace().count();
        assert!((5..=80).contains(&words) && rule.about.ends_with('.'), "{}: {words} words: {}", rule.id, rule.about);
        assert!(rules::find(rule.name).is_some_and(|found| found.id == rule.id), "{} is not found by its name", rule.id);
    }
}
