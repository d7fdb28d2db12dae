//! The repository that the format comes from, at the commit at which it was measured (proposals contract 2). Without it: SKIPPED.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dormouse_proposals::config::Config;
use dormouse_proposals::finding::{Finding, Severity};
use dormouse_proposals::model::{Corpus, Document, Templates};
use dormouse_proposals::parse::date::{DateValue, Order};
use dormouse_proposals::parse::fields::Name;
use dormouse_proposals::parse::name::Kind;
use dormouse_proposals::parse::status::CategoryValue;
use dormouse_proposals::parse::value::Class;
use dormouse_proposals::rules::{self, Context};

const COMMIT: &str = "dfdfb78";

fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let out = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
    assert!(out.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}

/// The repository, and what keeps it.
fn repository() -> Option<(PathBuf, Option<tempfile::TempDir>)> {
    if let Some(clone) = std::env::var_os("DORMOUSE_DEP_CORPUS") {
        return Some((clone.into(), None));
    }
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/proposals/upstream.bundle");
    if !bundle.exists() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("upstream");
    let made = Command::new("git").args(["clone", "-q", "--no-checkout"]).arg(&bundle).arg(&clone).status().unwrap();
    assert!(made.success());
    Some((clone, Some(folder)))
}

fn corpus() -> Option<Corpus> {
    let Some((clone, _keep)) = repository() else {
        eprintln!("SKIPPED: no clone of the proposals; DORMOUSE_DEP_CORPUS=FOLDER names one");
        return None;
    };
    let paths = String::from_utf8(git(&clone, &["ls-tree", "-r", "--name-only", COMMIT])).unwrap();
    let mut corpus = Corpus { paths: paths.lines().map(str::to_owned).collect(), ..Corpus::default() };
    let mut templates = Templates::default();
    for path in paths.lines().filter(|path| path.ends_with(".md")) {
        let source = String::from_utf8(git(&clone, &["show", &format!("{COMMIT}:{path}")])).unwrap();
        let document = Document::read(path, source).unwrap();
        match document.name.kind {
            Kind::Template => templates.documents.push(document),
            _ if path.starts_with("deps/") => corpus.documents.push(document),
            _ => {}
        }
    }
    corpus.templates = templates;
    Some(corpus)
}

/// Table 2.1: kind, status, category and area, date, people, pull request.
const RECORDS: &str = "\
0000-dep-process.md|complete|Approved|Process|2025-04-16|2/1/6|#1
0001-stream-res-err.md|limited|Approved|Architecture|2025-07-09|2/2/2|#15
0002-dep-trtllm-disagg-workflow.md|limited|Approved|Architecture|2025-07-15|1/3/2|#22
0003-responses-api.md|limited|Approved|Architecture|ambiguous|1/1/4|#16
0004-observability-metrics.md|limited|Approved|Architecture|ambiguous|2/1/2|#21
0005-llm-request-migration.md|limited|Approved|Architecture|2025-07-21|2/2/1|#25
0006-build-and-dependency-management.md|limited|Approved|unknown|p|1/p/2|-
0007-velonix-cicd-solution.md|limited|Under Review|Architecture; CI/CD|p|1/p/2|#36
0008-dynamo-components-restructure.md|complete|Approved|Architecture|ambiguous|1/2/5|p
0008-testing-strategy.md|limited|Draft|Architecture|2025-09-09|3/1/4|p
0009-testing-in-ci-strategy.md|limited|Draft|unknown|-|1/-/3|-
0010-container-strategy.md|complete|Ready for Review=UnderReview|Architecture|2025-07-18|1/2/7|p
0010-python-frontend.md|complete|Accepted=Approved|Architecture|-|1/-/-|-
0012-docker-templating.md|limited|choice=Draft|Process|e|1/e/e|N/A
0013-multimodal-embedding-cache.md|limited|Approved|Architecture|2026-01-23|1/2/5|N/A
0014-automated-dependency-upgrades.md|complete|Draft|Process; CI/CD|2026-03-31|1/1/2|p
0014-error-standardization.md|complete|Approved|Architecture|2026-02-11|2/3/1|#70
0015-buildkit-remote-build-and-caching.md|complete|Published=Approved|Architecture; CI/CD|2026-02-03|1/1/2|-
";

fn row(corpus: &Corpus, document: &Document) -> String {
    let class = |name| document.head.field(name).map(|field| corpus.templates.class(field));
    let absent = |name| match class(name) {
        None => Some("-".to_owned()),
        Some(Class::Empty) => Some("e".to_owned()),
        Some(Class::Pending) => Some("p".to_owned()),
        Some(Class::None) => Some("N/A".to_owned()),
        Some(_) => None,
    };
    let value = |name| document.head.field(name).unwrap().value.clone();
    let kind = match document.sections().kind() {
        dormouse_proposals::parse::sections::Kind::Complete => "complete",
        dormouse_proposals::parse::sections::Kind::Limited => "limited",
    };
    let raw = value(Name::Status);
    let effective = document.effective().map_or("Unknown", |status| status.name());
    let raw = if raw.contains('|') { "choice" } else { &raw };
    let status = if raw.replace(' ', "") == effective { raw.to_owned() } else { format!("{raw}={effective}") };
    let known = ["Architecture", "Process", "Guidelines"].map(str::to_owned);
    let category = match CategoryValue::read(&value(Name::Category), &known) {
        CategoryValue::Known(category) | CategoryValue::Legacy(category) => category,
        CategoryValue::Compound { category, area } => format!("{category}; {area}"),
        CategoryValue::Unknown => "unknown".to_owned(),
    };
    let date = absent(Name::ReviewDate).unwrap_or_else(|| match DateValue::read(&value(Name::ReviewDate), Order::None) {
        Some(DateValue::Ambiguous { .. }) => "ambiguous".to_owned(),
        Some(date) => date.date().unwrap().to_string(),
        None => "none".to_owned(),
    });
    let people = |name| absent(name).unwrap_or_else(|| document.people(name).len().to_string());
    let people = [Name::Authors, Name::Sponsor, Name::Reviewers].map(people).join("/");
    let request = absent(Name::PullRequest)
        .unwrap_or_else(|| format!("#{}", value(Name::PullRequest).trim_end_matches(')').rsplit('/').next().unwrap()));
    let name = document.path.rsplit('/').next().unwrap();
    [name, kind, &status, &category, &date, &people, &request].join("|")
}

#[test]
fn records_are_those_of_table_2_1() {
    let Some(corpus) = corpus() else { return };
    let rows: Vec<String> = corpus.proposals().map(|document| row(&corpus, document)).collect();
    let wanted: Vec<&str> = RECORDS.lines().collect();
    let differ: Vec<_> = rows.iter().zip(&wanted).filter(|(row, wanted)| row != *wanted).collect();
    assert!(rows.len() == wanted.len() && differ.is_empty(), "{} rows; {differ:#?}", rows.len());
}

/// Table 2.2: what `lint --trunk --no-history` finds, rule by rule.
const FINDINGS: &str = "\
0000-dep-process.md|L001x2 S004 L010x4 R006
0001-stream-res-err.md|M017 M022x3 S012 S013
0002-dep-trtllm-disagg-workflow.md|M017 T001 L007 M019 M022x2 S009x2
0003-responses-api.md|S001x2 M018 S003 S004 S005 M019x6
0004-observability-metrics.md|M018 M011 M019x5 R006 S011x5 T003x16
0005-llm-request-migration.md|M017 M022x2 S012
0006-build-and-dependency-management.md|R002x3 S001x3 L004 M002 M015 S004x2 S005 L007 M003 M005x2 S006x2
0007-velonix-cicd-solution.md|P005 R001 L007 M003x2 M005x2 M016
0008-dynamo-components-restructure.md|F002 R002 M018 M005x2 S012x2
0008-testing-strategy.md|F002 S001x2 L002x5 R001 S004 S005x2 M005 M007x2 M010 M019x8 R006
0009-testing-in-ci-strategy.md|S001x2 M002x3 M015 R001 S003 S004x2 S005 M003x3 M011 M019x4
0010-container-strategy.md|F002 M012 R001 T001x5 T002x4 M005x2 M019x10 S009x8 S010 S011x3 S012 S015
0010-python-frontend.md|F002 M012 R002x4 S001 M002x4 L010 M003 M007 M019 S006 S007x3 X008 X009
0012-docker-templating.md|M006 M014 M004x3 R001 S004 S005 M003x2 M019 S007 S009 S013
0013-multimodal-embedding-cache.md|R002 S001 L005x2 S004x3 S005 S006
0014-automated-dependency-upgrades.md|F002 S001 M017 R001 M003x2 M005x2 M016 M019x4 S014x2
0014-error-standardization.md|F002 L001x2 L006x2 M017 F007 M022x2 S014x2 S015 T003x10
0015-buildkit-remote-build-and-caching.md|M012 R002 M002 P005x10 M003x2 M016 S007x2 S014x7 S015
|F003
";

/// Rule by rule, of each file: `F002`, `M019x4`.
fn counted(findings: &[Finding], path: &str) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.path.trim_start_matches("deps/") == path) {
        *counts.entry(finding.id).or_insert(0) += 1;
    }
    counts.into_iter().map(|(id, n)| if n == 1 { id.to_owned() } else { format!("{id}x{n}") }).collect()
}

#[test]
fn findings_are_those_of_table_2_2() {
    let Some(corpus) = corpus() else { return };
    let config = Config::default();
    let mut context = Context::new(&corpus, &config);
    context.trunk = true;
    let findings = rules::run(&context, |_| true);
    let mut wrong = Vec::new();
    for line in FINDINGS.lines() {
        let (file, wanted) = line.split_once('|').unwrap();
        let mut wanted: Vec<&str> = wanted.split(' ').collect();
        wanted.sort_unstable();
        let found = counted(&findings, file);
        if found != wanted {
            let of = |finding: &&Finding| finding.path.trim_start_matches("deps/") == file && !wanted.contains(&finding.id);
            let extra: Vec<String> =
                findings.iter().filter(of).map(|f| format!("{} at byte {}: {}", f.id, f.span.start, f.message)).collect();
            wrong.push(format!("{file}:\n  found  {found:?}\n  wanted {wanted:?}\n  {}", extra.join("\n  ")));
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((count(Severity::Error), count(Severity::Warning), count(Severity::Info)), (37, 79, 174));
}

/// The older text of the process, alone beside the two templates: two documents in one file.
const OLDER: &str = "F004 L001x2 M002 M005x2 M007x2 M010 M019x3 R001 R006 S003 S004 S007x3 S008x4 S009 S014 T001x4 T002 L010x4 P005x16";

#[test]
fn findings_in_the_older_process_text_are_those_of_2_2() {
    let Some(upstream) = corpus() else { return };
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/seeds/dynamo-enhancement-proposals.md");
    let Ok(text) = std::fs::read_to_string(seed) else {
        eprintln!("SKIPPED: the older process text is not here");
        return;
    };
    let mut corpus = Corpus { templates: upstream.templates, ..Corpus::default() };
    corpus.paths = corpus.templates.documents.iter().map(|template| template.path.clone()).collect();
    corpus.paths.insert("deps/0000-dep-process.md".to_owned());
    corpus.documents.push(Document::read("deps/0000-dep-process.md", text).unwrap());
    let config = Config::default();
    let mut context = Context::new(&corpus, &config);
    context.trunk = true;
    let findings = rules::run(&context, |_| true);
    let mut wanted: Vec<&str> = OLDER.split(' ').collect();
    wanted.sort_unstable();
    let of = |finding: &Finding| format!("{} at byte {}: {}", finding.id, finding.span.start, finding.message);
    assert_eq!(counted(&findings, "0000-dep-process.md"), wanted, "{:#?}", findings.iter().map(of).collect::<Vec<_>>());
}

/// The text with all fixes that do not meet one another.
fn mended(text: &str, findings: &[Finding]) -> String {
    let mut taken: Vec<&dormouse_proposals::finding::Edit> = Vec::new();
    for finding in findings {
        if !finding.fix.iter().any(|edit| taken.iter().any(|other| edit.start <= other.end && other.start <= edit.end)) {
            taken.extend(&finding.fix);
        }
    }
    taken.sort_by_key(|edit| std::cmp::Reverse(edit.start));
    let mut text = text.to_owned();
    taken.into_iter().for_each(|edit| text.replace_range(edit.start..edit.end, &edit.text));
    text
}

#[test]
fn fixes_of_metadata_and_templates_end_and_bring_nothing_new() {
    let Some(mut corpus) = corpus() else { return };
    let config = Config::default();
    for at in 0..corpus.documents.len() {
        let find = |corpus: &Corpus| {
            let path = &corpus.documents[at].path;
            let mut findings = rules::run(&Context::new(corpus, &config), |rule| rule.id.starts_with(['M', 'T', 'P']));
            findings.retain(|finding| finding.path == *path);
            findings
        };
        let before = find(&corpus);
        let mut now = before.clone();
        for _ in 0..5 {
            let document = &corpus.documents[at];
            let text = mended(&document.source, &now);
            corpus.documents[at] = Document::read(&document.path, text).unwrap();
            now = find(&corpus);
        }
        let path = &corpus.documents[at].path;
        let left: Vec<_> = now.iter().filter(|finding| !finding.fix.is_empty()).collect();
        assert!(left.is_empty(), "{path}: {left:#?}");
        let new = |finding: &&Finding| !before.iter().any(|old| (old.id, &old.context) == (finding.id, &finding.context));
        let new: Vec<_> = now.iter().filter(new).collect();
        let mendable = before.iter().filter(|finding| !finding.fix.is_empty()).count();
        assert!(new.is_empty() && now.len() + mendable == before.len(), "{path}: {new:#?}");
    }
}
