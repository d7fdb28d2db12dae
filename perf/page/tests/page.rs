//! Pages of recorded runs (`tests/golden/perf`, or the folder in `DORMOUSE_GOLDEN`), as a browser reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod markup;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dormouse_perf_page::{Input, Page, read};
use dormouse_perf_report::json::Json;
use dormouse_perf_report::records::Problem;
use markup::check;

fn root() -> PathBuf {
    let given = std::env::var_os("DORMOUSE_GOLDEN").map(|folder| PathBuf::from(folder).join("perf")).filter(|folder| folder.is_dir());
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/perf"))
}

fn input(name: &str) -> Input {
    read(&root().join(name)).unwrap()
}

fn html(inputs: &[Input]) -> String {
    let html = Page::of(None, inputs).html().unwrap();
    let wrong = check(&html);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    html
}

fn runs(at: &Path, found: &mut Vec<PathBuf>) {
    if at.join("profile_export.jsonl").is_file() {
        found.push(at.to_owned());
    }
    std::fs::read_dir(at).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir()).for_each(|p| runs(&p, found));
}

/// Sets members of the summary.
fn say(input: &mut Input, members: &str) {
    let (Json::Object(old), Json::Object(new)) = (&mut input.run.about, serde_json::from_str(members).unwrap()) else { panic!() };
    old.retain(|(name, _)| new.iter().all(|(n, _)| n != name));
    old.extend(new);
}

#[test]
fn every_recorded_run_has_a_page() {
    let mut found = Vec::new();
    runs(&root(), &mut found);
    assert!(found.len() >= 12, "{} runs in {}", found.len(), root().display());
    for folder in found {
        let html = html(&[read(&folder).unwrap()]);
        for there in ["Not measured by this tool", "Request Latency", "id=\"timeline\"", "id=\"offered\"", "id=\"errors\"", "AIPerf 0.13.0"]
        {
            assert!(html.contains(there), "{there}: {}", folder.display());
        }
        assert!(html.len() < 400_000, "{} bytes: {}", html.len(), folder.display());
    }
}

#[test]
fn what_is_there_is_shown_and_what_is_not_has_no_heading() {
    let streamed = html(&[input("stream-concurrency")]);
    assert!(streamed.contains("Time to First Token: share of requests") && streamed.contains("id=\"gaps\""));
    assert!(streamed.contains("None of ") && !streamed.contains("id=\"search\""));
    let embeddings = html(&[input("embeddings")]);
    assert!(!embeddings.contains("id=\"gaps\"") && !embeddings.contains(">Output tokens<"));
}

#[test]
fn errors_are_shown() {
    let html = html(&[input("stream-errors")]);
    assert!(html.contains("Service Unavailable") && html.contains("6 (15.00 %)"));
    assert!(html.contains("6 of 40 requests failed (15.00 %)") && html.contains("Requests that failed") && html.contains("error-adjusted"));
}

#[test]
fn runs_stand_side_by_side() {
    let html = html(&[input("sweep/concurrency_1"), input("sweep/concurrency_2"), input("sweep/concurrency_4")]);
    assert!(html.contains("3 benchmarks side by side") && html.contains("C · concurrency_4") && html.contains("differs from the first"));
    assert!(html.contains("they differ in load") && html.contains("One run of each"));
    assert!(html.contains("var(--s2)") && html.contains("class=\"better\"") && html.contains("class=\"worse\""));
}

#[test]
fn the_verdict_comes_first() {
    let mut ours = input("stream-concurrency");
    say(&mut ours, r#"{"dormouse_version": "0.1.0"}"#);
    assert!(html(std::slice::from_ref(&ours)).contains("No verdict"));
    say(&mut ours, r#"{"verdict": "certified", "verdict_reasons": [], "generator": {"client": {"late_p99_ms": 0.25}}}"#);
    let certified = html(std::slice::from_ref(&ours));
    assert!(certified.contains("verdict good") && certified.contains("client.late_p99_ms"));
    say(&mut ours, r#"{"verdict": "client-bound", "verdict_reasons": ["the I/O thread was busy 97 % of the time"]}"#);
    let bound = html(std::slice::from_ref(&ours));
    assert!(bound.contains("verdict bad") && bound.contains("the I&#x2f;O thread was busy 97 % of the time"));
    let first =
        ["id=\"verdict\"", "id=\"run\"", "id=\"figures\"", "id=\"distributions\"", "id=\"errors\""].map(|id| bound.find(id).unwrap());
    assert!(first.is_sorted(), "{first:?}");
    // What is ours beside what is the peer's is not the same by the same name.
    assert!(html(&[ours, input("stream-concurrency")]).contains("The two tools mean"));
}

#[test]
fn a_search_is_drawn() {
    let mut run = input("stream-concurrency");
    let history = r#"{"answer": {"level": 8, "low": 7, "high": 9}, "holds": true, "tried": [
        {"level": 4, "start_ns": 1, "end_ns": 2, "settled": true, "requests": 40, "metrics": {"time_to_first_token:p99": 20.5}, "passed": true},
        {"level": 16, "settled": true, "requests": 40, "metrics": {"time_to_first_token:p99": 90.5}, "passed": false},
        {"level": 8, "settled": false, "requests": 40, "metrics": {"time_to_first_token:p99": 31, "request_latency": {"p99": 4}}, "passed": true},
        {"level": "no number"}, 7], "future": {}}"#;
    run.search = Some(serde_json::from_str(history).unwrap());
    let page = html(&[run]);
    for there in
        ["The answer is 8, between 7 and 9.", "time_to_first_token:p99 by level", "request_latency p99 by level", "90.50", "and holds"]
    {
        assert!(page.contains(there), "{there}");
    }
}

#[test]
fn a_search_needs_no_records() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("search_history.json"), r#"{"answer": null, "tried": []}"#).unwrap();
    assert!(html(&[read(folder.path()).unwrap()]).contains("The search has no answer."));
}

/// Whatever a name holds, it is text.
#[test]
fn names_are_harmless() {
    let evil = r#"<script>alert(1)</script>"><img src=x onerror=alert(1)>'&amp;{{ 7*7 }}{% raw %}"#;
    let long = "x".repeat(200);
    let mut run = input("stream-errors");
    run.folder = format!("runs/{evil}");
    let name = serde_json::to_string(&format!("{evil}{long}")).unwrap();
    say(
        &mut run,
        &format!(
            r#"{{"dormouse_version": {name}, "verdict": {name}, "verdict_reasons": [{name}], "generator": {{{name}: {name}}}, "start_time": {name},
            "run_info": {{"cli_command": {name}}}, "input_config": {{{name}: {name}, "models": {{"items": [{{"name": {name}}}]}},
            "endpoint": {{"urls": [{name}], "type": {name}}}, "phases": [{{"name": {name}, "type": {name}, {name}: 1}}]}}}}"#
        ),
    );
    run.run.phases[0].problems.push(Problem { code: None, class: Some(evil.to_owned()), message: format!("{evil}{}", "y".repeat(10_000)) });
    run.run.phases[0].name = evil.to_owned();
    let history =
        format!(r#"{{"holds": {name}, "tried": [{{"level": 1, "settled": {name}, "requests": {name}, "metrics": {{{name}: 1}}}}]}}"#);
    run.search = Some(serde_json::from_str(&history).unwrap());
    let other = Input { folder: long, search: None, ..input("cancel") };
    let page = Page::of(Some(evil), &[run, other]).html().unwrap();
    let wrong = check(&page);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        !page.contains("<img") && page.contains("&lt;script&gt;") && page.contains("{{ 7*7 }}") && !page.contains("y".repeat(700).as_str())
    );
}

/// A picture says more than a check of the text, where there is a browser: nothing reaches over the edge of a phone.
#[test]
fn a_browser_shows_it() {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let there = |name: &&&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
    let Some(browser) = browsers.iter().find(there) else {
        println!("SKIPPED: no headless browser ({}): no picture of a page was taken", browsers.join(", "));
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut long = input("sweep/concurrency_1");
    long.folder = format!("runs/{}", "long-name-".repeat(20));
    let page = Page::of(None, &[long, input("stream-errors")]).html().unwrap();
    // What is wider than its window says so in its title: a browser prints the document that a script left.
    let probe = "<script>document.title = 'wide ' + (document.documentElement.scrollWidth - window.innerWidth);</script></body>";
    let file = folder.path().join("page.html");
    std::fs::write(&file, page.replace("</body>", probe)).unwrap();
    let shown = |more: &[&str]| {
        let mut command = Command::new(browser);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let said = folder.path().join("said");
        command.args(more).arg(format!("file://{}", file.display())).stdout(std::fs::File::create(&said).unwrap()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                child.wait().unwrap();
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        std::fs::read_to_string(said).unwrap()
    };
    let picture = folder.path().join("page.png");
    shown(&["--window-size=500,900", &format!("--screenshot={}", picture.display())]);
    if !picture.is_file() {
        println!("SKIPPED: {browser} takes no picture here");
        return;
    }
    assert!(std::fs::metadata(&picture).unwrap().len() > 20_000, "the picture is empty");
    let document = shown(&["--window-size=500,900", "--dump-dom"]);
    let wide = document.split_once("<title>wide ").and_then(|(_, rest)| rest.split_once('<')).map(|(n, _)| n.parse::<i64>().unwrap());
    assert!(wide.is_some_and(|w| w <= 0), "{wide:?} pixels are beyond the edge");
}
