//! `--fix`: once is enough, and nothing else is touched.

use crate::kit::{Scratch, proposal};

#[test]
fn upstream_is_mended_once_and_gets_no_new_fault() {
    let Some(scratch) = Scratch::upstream() else { return };
    let count = || {
        let report = scratch.dep("lint --trunk --output json").json();
        ["error", "warning", "info"].map(|severity| report["summary"][severity].as_u64().unwrap())
    };
    assert_eq!(count(), [37, 79, 174]);
    scratch.dep("lint --trunk --fix --quiet");
    let once = scratch.git("diff");
    let after = count();
    assert!(after.iter().sum::<u64>() < 37 + 79 + 174 && after[0] <= 37, "{after:?}");
    scratch.dep("lint --trunk --fix --quiet");
    assert_eq!(scratch.git("diff"), once);
    // Lines that have nothing to do with a finding are as they were: git sees few of them.
    let changed =
        scratch.git("diff --numstat").lines().map(|line| line.split('\t').nth(1).unwrap().parse::<usize>().unwrap()).sum::<usize>();
    assert!(changed < 250, "{changed} lines went");
}

#[test]
fn only_what_was_found_is_written() {
    let text = proposal("A", "Approved").replace("2026-02-01", "Feb 1 2026").replace('\n', "\r\n");
    let text = format!("\u{feff}{}", text.trim_end());
    let scratch = Scratch::of(&[("deps/0001-a.md", text.as_str())]);
    let dry = scratch.dep("lint --fix --dry-run --output short");
    assert!(dry.out.contains("+**Review Date**: 2026-02-01") && scratch.read("deps/0001-a.md") == text, "{}", dry.out);
    scratch.dep("lint --fix").with(0);
    assert_eq!(scratch.read("deps/0001-a.md"), text.replace("Feb 1 2026", "2026-02-01"));
    assert_eq!(scratch.git("status --short"), " M deps/0001-a.md\n");
}
