//! Citations of `docs/contracts`: each names a section or gap that is there, and each gap names a test that is there.
//!
//! Forms: `(actuation 3.12)`, `(actuation 3.5, step 3)`, `(actuation 3.5, 3.7, launcher 4.1; gap `a13`)`; gap `a13`, gaps `a6`, `a45`. Inside a
//! contract `(3.12)` is a section of the same page.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::repository;

const PAGES: [&str; 3] = ["actuation", "launcher", "control-plane"];

/// The forms of citations.
struct Forms {
    citation: Regex,
    section: Regex,
    of_same_page: Regex,
    gaps: Regex,
    gap: Regex,
    line_end: Regex,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern")
}

impl Forms {
    fn new() -> Self {
        Self {
            citation: regex(r"\(((?:actuation|launcher|control-plane) [0-9A-D][^()]*)\)"),
            section: regex(r"^(?:(actuation|launcher|control-plane) )?([0-9]+(?:\.[0-9]+)*|[A-D](?:\.[0-9]+)?)$"),
            of_same_page: regex(r"\(([0-9]+(?:\.[0-9]+)+)\)"),
            gaps: regex(r"\b[Gg]aps? ((?:`[^`]*`(?:, | and )?)+)"),
            gap: regex(r"`([^`]*)`"),
            // Comments are broken anywhere: a citation may go on in the next line.
            line_end: regex(r"\n\s*(?://[/!]? ?)?"),
        }
    }
}

/// What can be cited.
#[derive(Debug, Default)]
struct Contracts {
    /// `actuation 3.12`, `actuation B.3`.
    sections: BTreeSet<String>,
    /// `a13`.
    gaps: BTreeSet<String>,
    /// Names of tests, each with its gap.
    tests: Vec<(String, String)>,
}

impl Contracts {
    fn read(&mut self, page: &str, text: &str) {
        let heading = regex(r"^#+ (?:Appendix )?([0-9]+(?:\.[0-9]+)*|[A-D](?:\.[0-9]+)?)\.? ");
        let gap = regex(r"^\| `([al][0-9]+)` \|.*\|([^|]*)\|$");
        let name = regex(r"`([a-z0-9_]+)`");
        for line in text.lines() {
            if let Some(found) = heading.captures(line) {
                self.sections.insert(format!("{page} {}", &found[1]));
            }
            if let Some(found) = gap.captures(line) {
                self.tests.extend(name.captures_iter(&found[2]).map(|test| (found[1].to_owned(), test[1].to_owned())));
                self.gaps.insert(found[1].to_owned());
            }
        }
    }

    /// What is cited in `text` and not here; `page` is the contract that the text is, if it is one.
    fn dangling(&self, forms: &Forms, text: &str, page: Option<&str>) -> Vec<String> {
        let text = forms.line_end.replace_all(text, " ");
        let mut wrong = Vec::new();
        for found in forms.citation.captures_iter(&text) {
            let mut page = "";
            let parts = found[1].split("; ").filter(|part| !part.starts_with("gap")).flat_map(|part| part.split(", "));
            for part in parts.filter(|part| !part.starts_with("step ")) {
                let section = forms.section.captures(part).map(|part| {
                    page = part.get(1).map_or(page, |p| PAGES.into_iter().find(|known| *known == p.as_str()).unwrap_or_default());
                    format!("{page} {}", &part[2])
                });
                if section.is_none_or(|section| !self.sections.contains(&section)) {
                    wrong.push(format!("({})", &found[1]));
                }
            }
        }
        if let Some(page) = page {
            let sections = forms.of_same_page.captures_iter(&text).map(|found| found[1].to_owned());
            wrong.extend(sections.filter(|s| !self.sections.contains(&format!("{page} {s}"))));
        }
        for found in forms.gaps.captures_iter(&text) {
            let ids = forms.gap.captures_iter(&found[1]).map(|id| id[1].to_owned());
            wrong.extend(ids.filter(|id| !self.gaps.contains(id)).map(|id| format!("gap `{id}`")));
        }
        wrong
    }
}

/// The Rust and Markdown files below a folder of the repository, with their texts.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if path.is_dir() && !name.starts_with('.') && !matches!(name, "target" | "golden" | "shared") {
                folders.push(path);
            } else if name.ends_with(".rs") || name.ends_with(".md") {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn contracts() -> Contracts {
    let mut contracts = Contracts::default();
    for page in PAGES {
        let path = repository().join(format!("docs/contracts/{page}.md"));
        contracts.read(page, &std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    }
    contracts
}

#[test]
fn what_is_cited_is_there() {
    let (contracts, forms) = (contracts(), Forms::new());
    let mut wrong = Vec::new();
    for (path, text) in files(repository()) {
        // What is made up here is made up on purpose.
        if path.ends_with(file!()) || path.ends_with("house/citations.rs") {
            continue;
        }
        let page = path.parent().is_some_and(|folder| folder.ends_with("docs/contracts"));
        let page = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| page);
        let dangling = contracts.dangling(&forms, &text, page);
        wrong.extend(dangling.into_iter().map(|citation| format!("{}: {citation}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An older form says a number and not whose it is.
#[test]
fn citations_have_one_form() {
    let old = regex(
        r"//.*(?:\bspecification [0-9]|\bcontract,? section|\bsection [0-9]|\((?:[^()]*[ ,])?[0-9]\.[0-9]+(?:\.[0-9]+)?(?:[,;] [^()]*)?\)|\bG[0-9]{1,2}\b)",
    );
    // Contracts of the benchmark and of proposals are cited in these words.
    let own = regex(r"\((?:actuation|launcher|control-plane|perf contract|proposals contract) [^()]*\)");
    let mut wrong = Vec::new();
    for (path, text) in files(repository()) {
        if path.extension() != Some("rs".as_ref()) || path.ends_with("house/citations.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if old.is_match(&own.replace_all(line, "")) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_test_of_each_gap_is_there() {
    let function = regex(r"\bfn ([a-z0-9_]+)\(");
    let sources = files(repository());
    let known: BTreeSet<&str> =
        sources.iter().flat_map(|(_, text)| function.captures_iter(text)).filter_map(|f| f.get(1)).map(|name| name.as_str()).collect();
    let contracts = contracts();
    assert!(contracts.tests.len() > 50, "only {} tests are named", contracts.tests.len());
    let missing: Vec<_> = contracts.tests.iter().filter(|(_, test)| !known.contains(test.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_made_up_is_found() {
    let (mut contracts, forms) = (Contracts::default(), Forms::new());
    contracts.read("actuation", "## 3. A\n### 3.12 B\n## Appendix B. C\n### B.3 D\n| `a13` | x | y | `t1`, row 2 |\n| `a6` | x | y | |\n");
    contracts.read("launcher", "#### 3.6.1 E\n");
    assert_eq!(contracts.sections.len(), 5);
    assert_eq!(contracts.tests, [("a13".to_owned(), "t1".to_owned())]);
    let dangling = |text: &str| contracts.dangling(&forms, text, None);
    let good = "(actuation 3), (actuation 3.12, step 6a), (actuation 3.12, B.3, launcher 3.6.1; gaps `a6`, `a13`), Gap `a13`, gaps `a6`, `a13` (launcher flow), (1.5)";
    assert_eq!(dangling(good), [""; 0]);
    assert_eq!(dangling("/// x (actuation\n    /// 3.13)"), ["(actuation 3.13)"]);
    assert_eq!(dangling("(actuation 3.12, launcher 3.12)"), ["(actuation 3.12, launcher 3.12)"]);
    assert_eq!(dangling("(control-plane 3)"), ["(control-plane 3)"]);
    assert_eq!(dangling("(launcher 3.6.1 and more)"), ["(launcher 3.6.1 and more)"]);
    assert_eq!(dangling("gaps `a6`, `a14` and `l1`"), ["gap `a14`", "gap `l1`"]);
    assert_eq!(contracts.dangling(&forms, "(3.12), (9.9)", Some("actuation")), ["9.9"]);
}
