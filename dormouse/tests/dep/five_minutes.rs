//! The first five minutes of a maintainer with upstream's repository.

use crate::kit::Scratch;

#[test]
fn the_first_five_minutes() {
    let Some(scratch) = Scratch::upstream() else { return };
    let list = scratch.dep("list").with(0);
    assert_eq!(list.out.lines().count(), 19, "{}", list.out);
    assert!(list.out.lines().nth(2).unwrap().starts_with("0001  "), "{}", list.out);
    let claims = scratch.dep("number claims").with(0);
    assert!(claims.out.ends_with("next: 0016\n") && claims.err.contains("refs/pull"), "{}{}", claims.out, claims.err);
    let lint = scratch.dep("lint --trunk").with(1);
    assert!(lint.out.ends_with("37 errors, 79 warnings, 174 notes (shown with --notes); 68 fixable with --fix\n"), "{}", lint.out);
    scratch.dep("lint --trunk --write-baseline .dep-baseline.json").with(0);
    let frozen = scratch.dep("lint --trunk --baseline .dep-baseline.json").with(0);
    assert_eq!(frozen.out, "nothing found; 290 inherited\n");
    scratch.dep("index --create").with(0);
    assert!(scratch.read("deps/README.md").contains("| 0015 | [Remote BuildKit"), "{}", scratch.read("deps/README.md"));
    scratch.dep("index --check").with(0);
    scratch.dep("init --ci github").with(0);
    let triage = scratch.dep("triage --today 2026-06-01").with(0);
    assert!(triage.out.contains("the review was to end on 2025-07-18, 318 days ago"), "{}", triage.out);
    let mut written: Vec<String> = scratch.git("status --short -uall").lines().map(|line| line[3..].to_owned()).collect();
    written.sort();
    assert_eq!(written, [".dep-baseline.json", ".github/workflows/proposals.yml", "deps/README.md", "deps/index.json"]);
}

#[test]
fn forms_of_a_list_say_the_same() {
    let Some(scratch) = Scratch::upstream() else { return };
    let json = scratch.dep("list --output json").with(0).json();
    let all = json["proposals"].as_array().unwrap();
    assert_eq!((all.len(), &json["schema"]), (18, &"dormouse.dep/1".into()));
    let lines = scratch.dep("list --output jsonl").with(0).out;
    assert_eq!(serde_json::from_str::<serde_json::Value>(lines.lines().next().unwrap()).unwrap(), all[0]);
    assert_eq!(scratch.dep("list --output csv").with(0).out.lines().next().unwrap().split(',').count(), 21);
    for form in ["tsv", "md", "yaml"] {
        assert!(scratch.dep(&format!("list --output {form}")).with(0).out.contains("Velonix"), "{form}");
    }
    let few = scratch.dep("list --status UnderReview --sort -review_date").with(0).out;
    assert_eq!(few.lines().skip(1).map(|line| &line[..4]).collect::<Vec<_>>(), ["0010", "0007"]);
    let one = scratch.dep("show DEP-0001 --output json").with(0).json();
    assert_eq!((&one["slug"], &one["findings"]["warning"]), (&"stream-res-err".into(), &1.into()));
}

#[test]
fn an_author_begins_without_a_fault() {
    let scratch = Scratch::of(&[("deps/0001-old.md", crate::kit::proposal("Old", "Approved").as_str())]);
    let words =
        ["new", "Expire idle cache blocks", "--category", "process", "--replaces", "1", "--sponsor", "@brin", "--reviewer", "@chen,@dov"];
    let ended = scratch.dep_of(&words, &[]).with(0);
    assert!(ended.out.starts_with("created deps/0000-expire-idle-cache-blocks.md (limited, 4 required sections)"), "{}", ended.out);
    assert!(ended.err.contains("DEP-0001 stays Approved"), "{}", ended.err);
    let text = scratch.read("deps/0000-expire-idle-cache-blocks.md");
    for line in [
        "# Expire idle cache blocks",
        "**Status**: Draft",
        "**Replaces**: [DEP-0001 Old](0001-old.md)",
        "**Required Reviewers**: @chen, @dov",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    // A draft of our own template has nothing to mend but what is to be written.
    scratch.dep("lint").with(0);
    assert_eq!(scratch.dep("lint --only X002 --only X005").with(0).out, "nothing found\n");
    let done = ["new", "Old habit", "--retroactive", "--implementation", "#7"];
    scratch.dep_of(&done, &[]).with(0);
    assert!(scratch.read("deps/0000-old-habit.md").contains("**Status**: Approved"));
}
