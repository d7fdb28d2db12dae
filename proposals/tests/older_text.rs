//! The older text of the process: two documents in one file, with the templates of today beside it (proposals contract 2.2). Sections and links;
//! the facts about the eighteen of upstream that these rules go by, too. Without the files: SKIPPED.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_proposals::config::Config;
use dormouse_proposals::finding::Finding;
use dormouse_proposals::model::{Corpus, Document, Templates};
use dormouse_proposals::parse::name::Kind;
use dormouse_proposals::rules::{self, Context};

const COMMIT: &str = "dfdfb78";

fn shared(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path)
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let out = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// Paths and texts.
type Files = Vec<(String, String)>;

/// Every Markdown file of upstream, and every path.
fn upstream() -> Option<(Files, BTreeSet<String>)> {
    let keep = tempfile::tempdir().unwrap();
    let clone = match std::env::var_os("DORMOUSE_DEP_CORPUS") {
        Some(clone) => PathBuf::from(clone),
        None => {
            let bundle = shared("golden/proposals/upstream.bundle");
            if !bundle.exists() {
                eprintln!("SKIPPED: no clone of the proposals; DORMOUSE_DEP_CORPUS=FOLDER names one");
                return None;
            }
            let clone = keep.path().join("upstream");
            let made = Command::new("git").args(["clone", "-q", "--no-checkout"]).arg(&bundle).arg(&clone).status().unwrap();
            assert!(made.success());
            clone
        }
    };
    let paths: BTreeSet<String> = git(&clone, &["ls-tree", "-r", "--name-only", COMMIT]).lines().map(str::to_owned).collect();
    let files = paths.iter().filter(|path| path.ends_with(".md"));
    let files = files.map(|path| (path.clone(), git(&clone, &["show", &format!("{COMMIT}:{path}")]))).collect();
    Some((files, paths))
}

fn corpus(files: &[(String, String)], paths: BTreeSet<String>) -> Corpus {
    let mut corpus = Corpus { paths, ..Corpus::default() };
    let mut templates = Templates::default();
    for (path, text) in files {
        let document = Document::read(path, text.as_str()).unwrap();
        match document.name.kind {
            Kind::Template => templates.documents.push(document),
            _ if path.starts_with("deps/") => corpus.documents.push(document),
            _ => {}
        }
    }
    corpus.templates = templates;
    corpus
}

/// What the rules of sections and links find.
fn found(corpus: &Corpus) -> Vec<Finding> {
    let config = Config::default();
    let mut context = Context::new(corpus, &config);
    context.trunk = true;
    rules::run(&context, |rule| rule.id.starts_with(['S', 'L']))
}

#[test]
fn the_older_text() {
    let seed = shared("seeds/dynamo-enhancement-proposals.md");
    let Some((files, _)) = upstream().filter(|_| seed.exists()) else { return };
    let mut files: Vec<_> = files.into_iter().filter(|(path, _)| path.starts_with("NNNN")).collect();
    assert_eq!(files.len(), 2);
    files.push(("deps/0000-dep-process.md".to_owned(), std::fs::read_to_string(seed).unwrap()));
    let paths = files.iter().map(|(path, _)| path.clone()).collect();
    let findings = found(&corpus(&files, paths));
    let mut counts = BTreeMap::new();
    findings.iter().for_each(|finding| *counts.entry(finding.id).or_insert(0) += 1);
    let wanted = [("L001", 2), ("L010", 4), ("S003", 1), ("S004", 1), ("S007", 3), ("S008", 4), ("S009", 1), ("S014", 1)];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), wanted, "{findings:#?}");
    let twice: Vec<&str> = findings.iter().filter(|f| f.id == "S008").map(|f| f.context.as_str()).collect();
    assert_eq!(twice, ["Proposal", "Implementation Details", "Alternatives", "Alternate Solutions"]);
}

#[test]
fn facts_about_upstream() {
    let Some((files, paths)) = upstream() else { return };
    let corpus = corpus(&files, paths);
    let all = found(&corpus);
    let of = |path: &str, id: &str| -> Vec<&Finding> {
        let name = |finding: &&Finding| finding.id == id && finding.path.trim_start_matches("deps/").starts_with(path);
        all.iter().filter(name).collect()
    };
    let place = |finding: &Finding| {
        let document = corpus.documents.iter().find(|document| document.path == finding.path).unwrap();
        (document.lines.position(&document.source, finding.span.start).line, finding.span.of(&document.source).to_owned())
    };
    let places = |path: &str, id: &str| of(path, id).into_iter().map(place).collect::<Vec<_>>();
    let helps = |path: &str, id: &str| of(path, id).into_iter().filter_map(|finding| finding.help.clone()).collect::<Vec<_>>();
    let at = |line: usize, text: &str| (line, text.to_owned());

    // 0000: once at each definition, with three uses; brackets stripped, the name corrected.
    assert_eq!(places("0000", "L001"), [at(306, "[../NNNN_limited_template.md]"), at(307, "[../NNNN_complete_template.md]")]);
    assert_eq!(helps("0000", "L001"), ["write ../NNNN-limited-template.md", "write ../NNNN-complete-template.md"]);
    assert!(of("0000", "L001").iter().all(|finding| finding.related.len() == 3));
    assert_eq!(places("0000", "S004"), [at(110, "## Non Goals")]);
    // 0001: anchors resolve; the third alternative has no verdict; a generic type is no placeholder.
    assert!(of("0001", "L002").is_empty() && of("0001", "S009").is_empty());
    assert_eq!(places("0001", "S013"), [at(298, "## Alt 3 Wrap Each Response in Result<U, anyhow::Error>")]);
    assert_eq!(places("0002", "L007"), [at(62, "0002_images/current.png")]);
    assert_eq!(places("0002", "S009").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [51, 54]);
    // 0003: a required section as a child of another one.
    assert_eq!(places("0003", "S004"), [at(29, "### Motivation")]);
    assert!(of("0003", "S001").iter().map(|finding| finding.context.as_str()).eq(["Summary", "Alternate Solutions"]));
    assert_eq!((places("0003", "S005"), places("0003", "S003")), (places("0003", "S004"), places("0003", "S004")));
    // 0006: an image of HTML whose file is there.
    assert_eq!(places("0006", "L004"), [at(49, "<img src=\"./0006/workflow.0.svg\">")]);
    assert!(of("0006", "S001").iter().map(|finding| finding.context.as_str()).eq(["Summary", "Motivation", "Alternate Solutions"]));
    // 0008, 0009: anchors of nothing; Goals as a main section; Goals before Motivation.
    let anchors: Vec<String> = places("0008-testing", "L002").into_iter().map(|(_, text)| text).collect();
    assert_eq!((anchors[0].as_str(), anchors.len()), ("#Performance-Tests", 5));
    assert!(anchors[1..].iter().all(|anchor| anchor == "#usage-in-continuous-integration-environments"));
    assert_eq!(places("0008-testing", "S005"), [at(33, "# Goals"), at(49, "## Requirements")]);
    assert_eq!(places("0009", "S003"), [at(34, "## Motivation")]);
    assert!(of("0009", "L001").is_empty());
    // 0010: placeholders in requirements, phases and alternatives, which begin at 2; a section within an unknown one is none.
    assert_eq!(places("0010-con", "S010").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [289]);
    assert_eq!(of("0010-con", "S010")[0].message, "the first Alt has number 2");
    assert_eq!(places("0010-con", "S012"), [at(279, "# Related Proposals")]);
    assert_eq!(places("0010-py", "S006"), [at(31, "# Proposal, as pseudo-code")]);
    assert!(of("0010-py", "S004").is_empty() && of("0010-py", "S005").is_empty());
    assert_eq!(places("0008-dyn", "S012"), [at(318, "# Implementation Phases"), at(321, "# Related Proposals")]);
    // 0013: comments for addresses. 0014: from a root that has the name of the repository.
    assert_eq!(places("0013", "L005"), [at(34, "!-- Add link --"), at(35, "!-- Add link --")]);
    assert_eq!(places("0014-err", "L006"), places("0014-err", "L001"));
    assert_eq!(helps("0014-err", "L001"), ["write 0005-llm-request-migration.md", "write 0001-stream-res-err.md"]);
    assert!(of("0014-err", "L006").iter().all(|finding| finding.fix.is_empty()));
    // Terms of a table; acronyms unsorted by one pair; phases without their fields.
    assert_eq!(of("0014-err", "S015")[0].context, "Terminology & Definitions: DynamoError");
    assert_eq!((of("0015", "S015")[0].context.as_str(), of("0015", "S015")[0].fix.len()), ("Acronyms & Abbreviations: IaC", 2));
    assert_eq!(of("0015", "S014").len(), 7);
    // All attachments are shown.
    assert!(all.iter().all(|finding| finding.id != "L008"));
}
