//! The index: a table in a README, and a file of records (proposals contract 3.9). Both say only what the proposals' own texts say, so that they
//! are the same before and after a merge.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Config;
use crate::lint::SCHEMA;
use crate::model::Corpus;
use crate::parse::fields::Name;
use crate::parse::name::number;
use crate::parse::people::Person;
use crate::query::{self, DateField};
use crate::record::record;
use crate::rules::{Relations, link_between};

/// Before the table.
pub const BEGIN: &str = "<!-- dep:index:begin -->";
/// Behind the table.
pub const END: &str = "<!-- dep:index:end -->";

/// Proposals in the order of the index: by number, drafts last.
fn ordered(corpus: &Corpus) -> Vec<usize> {
    let mut all: Vec<usize> = (0..corpus.documents.len()).filter(|at| corpus.documents[*at].name.is_proposal()).collect();
    let key = |at: &usize| {
        let document = &corpus.documents[*at];
        (document.number().is_none(), document.number(), document.path.as_str())
    };
    all.sort_by(|a, b| key(a).cmp(&key(b)));
    all
}

/// The table, for a file of this path; lines end with LF.
#[must_use]
pub fn table(corpus: &Corpus, config: &Config, readme: &str) -> String {
    let mut out = "| DEP | Title | Status | Category | Areas | Sponsor | Decided |\n|---|---|---|---|---|---|---|\n".to_owned();
    for document in ordered(corpus).into_iter().filter_map(|at| corpus.documents.get(at)) {
        let shown = document.number().map_or_else(|| "draft".to_owned(), number);
        let title = document.title().unwrap_or_else(|| document.slug());
        let status = document.effective();
        let sponsors: Vec<String> = document.people(Name::Sponsor).iter().map(Person::shown).collect();
        let decided = status.filter(|status| !status.is_undecided()).and_then(|_| query::day(document, DateField::Review, corpus, config));
        let cells = [
            shown,
            format!("[{}]({})", escaped(title).replace(['[', ']'], ""), link_between(readme, &document.path)),
            status.map_or_else(|| "unknown".to_owned(), |status| status.written().to_owned()),
            escaped(&query::category(document, config).unwrap_or_default()),
            escaped(&query::areas(document, config).join(", ")),
            escaped(&sponsors.join(", ")),
            decided.map(|day| day.to_string()).unwrap_or_default(),
        ];
        let cells = cells.iter().map(|cell| if cell.is_empty() { " ".to_owned() } else { format!(" {cell} ") });
        out += &format!("|{}|\n", cells.collect::<Vec<_>>().join("|"));
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// A file with the table in its region, all else as it was; `None` when it has no region.
#[must_use]
pub fn with_table(readme: &str, table: &str) -> Option<String> {
    let begin = readme.find(BEGIN)? + BEGIN.len();
    let end = begin + readme.get(begin..)?.find(END)?;
    let line_end = if readme.contains("\r\n") { "\r\n" } else { "\n" };
    let table = table.replace('\n', line_end);
    Some([&readme[..begin], line_end, line_end, &table, line_end, &readme[end..]].concat())
}

/// A file with a region at its end.
#[must_use]
pub fn with_region(readme: &str) -> String {
    let line_end = if readme.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = match readme {
        "" => String::new(),
        text if text.ends_with('\n') => line_end.to_owned(),
        _ => line_end.repeat(2),
    };
    format!("{readme}{gap}{BEGIN}{line_end}{END}{line_end}")
}

/// The file of records.
#[must_use]
pub fn json(corpus: &Corpus, config: &Config) -> String {
    let relations = Relations::of(corpus);
    let one = |at: usize| {
        let mut value = serde_json::to_value(record(corpus, config, &relations, at, &BTreeMap::new())?).ok()?;
        if let Value::Object(members) = &mut value {
            // What history, the clock and lint say is not in the text.
            for key in ["added", "decided", "touched", "findings", "ref"] {
                members.remove(key);
            }
        }
        Some(value)
    };
    let records: Vec<Value> = ordered(corpus).into_iter().filter_map(one).collect();
    let document = serde_json::json!({"schema": SCHEMA, "proposals": records});
    serde_json::to_string_pretty(&document).map(|text| text + "\n").unwrap_or_default()
}

/// What of the index is not as it would be written now: the file, and its first proposal that differs where that is known.
#[must_use]
pub fn stale(corpus: &Corpus, config: &Config) -> Vec<(String, String)> {
    let mut all = Vec::new();
    if let Some(path) = &config.index.readme {
        match corpus.others.get(path) {
            None => all.push((path.clone(), "the file that index.readme names is not there".to_owned())),
            Some(text) => match with_table(text, &table(corpus, config, path)) {
                None => all.push((path.clone(), format!("{path} has no region {BEGIN} … {END}"))),
                Some(fresh) if fresh != **text => all.push((path.clone(), format!("the table in {path} is stale{}", first(text, &fresh)))),
                Some(_) => {}
            },
        }
    }
    if let Some(path) = &config.index.json {
        match corpus.others.get(path) {
            None => all.push((path.clone(), "the file that index.json names is not there".to_owned())),
            Some(text) if **text != json(corpus, config) => all.push((path.clone(), format!("{path} is stale"))),
            Some(_) => {}
        }
    }
    all
}

/// The first line that would be another.
fn first(old: &str, new: &str) -> String {
    let line = new.lines().find(|line| line.starts_with("| ") && !line.starts_with("| DEP |") && !old.lines().any(|old| old == *line));
    let cell = line.and_then(|line| line.split('|').nth(1)).map(str::trim);
    cell.map(|number| format!(" ({number})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::testing::Repository;

    fn repository() -> Repository {
        let text = "# A | b\n\n**Status**: Approved\n\n**Category**: Process - CI\n\n**Sponsor**: @ada\n\n**Review Date**: 2026-01-02\n\n# Summary\n";
        let mut repository = Repository::of(&[("deps/0000-z.md", "# Z\n\n**Status**: Draft\n"), ("deps/0002-a.md", text)]);
        repository.config = Config::read("index = { readme = \"docs/README.md\", json = \"deps/index.json\" }").unwrap();
        repository
    }

    const TABLE: &str = "\
| DEP | Title | Status | Category | Areas | Sponsor | Decided |
|---|---|---|---|---|---|---|
| 0002 | [A \\| b](../deps/0002-a.md) | Approved | Process | CI | @ada | 2026-01-02 |
| draft | [Z](../deps/0000-z.md) | Draft | | | | |
";

    #[test]
    fn the_table_is_put_into_its_region() {
        let Repository { mut corpus, config, .. } = repository();
        let table = table(&corpus, &config, "docs/README.md");
        assert_eq!(table, TABLE);
        assert_eq!(with_table("# R\n", &table), None);
        let readme = with_region("# R\r\n");
        let fresh = with_table(&readme, &table).unwrap();
        assert!(
            fresh.starts_with("# R\r\n\r\n<!-- dep:index:begin -->\r\n\r\n| DEP |")
                && fresh.ends_with("| |\r\n\r\n<!-- dep:index:end -->\r\n"),
            "{fresh:?}"
        );
        assert_eq!(with_table(&fresh, &table).as_deref(), Some(fresh.as_str()));
        assert_eq!(stale(&corpus, &config).len(), 2);
        corpus.others.insert("docs/README.md".to_owned(), Arc::from(readme));
        assert!(stale(&corpus, &config)[0].1.contains("is stale (0002)"), "{:?}", stale(&corpus, &config));
        corpus.others.insert("docs/README.md".to_owned(), Arc::from(fresh));
        corpus.others.insert("deps/index.json".to_owned(), Arc::from(json(&corpus, &config)));
        assert_eq!(stale(&corpus, &config), []);
    }
}
