//! What a change brought, in a repository with faults of old.

use crate::kit::{Scratch, proposal};

/// A repository with upstream's kinds of faults on trunk.
fn faulty() -> Scratch {
    let old = "# Old\n\n**Status**: Accepted\n\n**Authors**: Ada\n\n**Category**: CI/CD\n\n# Proposal\n\nSee [x](nowhere.md). A tpyo.\n";
    let draft = "# Draft\n\n**Status**: Draft\n\n**Authors**: @ada\n\n**Category**: Process\n\n# Summary\n\nA text.\n";
    let other = proposal("Other", "Approved").replace("2026-02-01", "07/01/2025");
    Scratch::of(&[("deps/0001-old.md", old), ("deps/0001-other.md", other.as_str()), ("deps/0000-draft.md", draft)])
}

fn found(scratch: &Scratch) -> Vec<String> {
    let report = scratch.dep("lint --since main --output json").json();
    let new = report["findings"].as_array().unwrap().iter().filter(|finding| finding["inherited"] == false);
    new.map(|finding| format!("{} {}", finding["id"].as_str().unwrap(), finding["path"].as_str().unwrap())).collect()
}

#[test]
fn a_change_answers_for_itself_alone() {
    let scratch = faulty();
    scratch.dep("lint --trunk").with(1);
    scratch.git("checkout -q -b change");
    // A typo mended in a document full of faults.
    scratch.change("deps/0001-old.md", "A tpyo.", "A typo.\n\nAnd a paragraph more.");
    scratch.commit("typo");
    assert_eq!(found(&scratch), Vec::<String>::new());
    scratch.dep("lint --since main").with(0);
    // A new one without a fault.
    scratch.write("deps/0000-new.md", &proposal("New", "Draft"));
    scratch.commit("new");
    assert_eq!(found(&scratch), Vec::<String>::new());
    // One fault.
    scratch.change("deps/0000-new.md", "This mends it.", "This mends it: [see](gone.md).");
    scratch.commit("fault");
    assert_eq!(found(&scratch), ["L001 deps/0000-new.md"]);
    scratch.dep("lint --since main").with(1);
}

#[test]
fn a_decision_shows_the_whole_document() {
    let scratch = faulty();
    scratch.git("checkout -q -b change");
    scratch.change("deps/0000-draft.md", "**Status**: Draft", "**Status**: Approved");
    scratch.commit("decide");
    let found = found(&scratch);
    assert!(
        found.iter().any(|finding| finding.starts_with("R002")) && found.iter().any(|finding| finding.starts_with("S001")),
        "{found:?}"
    );
    assert!(found.iter().all(|finding| finding.ends_with("deps/0000-draft.md")), "{found:?}");
}

#[test]
fn a_draft_that_gets_its_number_brings_nothing() {
    let scratch = faulty();
    scratch.git("checkout -q -b change");
    scratch.dep("number assign draft").with(0);
    assert!(scratch.root().join("deps/0002-draft.md").exists());
    scratch.commit("number");
    assert_eq!(found(&scratch), Vec::<String>::new());
}

#[test]
fn what_is_staged_is_looked_at_and_not_the_work_tree() {
    let scratch = Scratch::of(&[("deps/0001-a.md", proposal("A", "Approved").as_str())]);
    scratch.change("deps/0001-a.md", "This mends it.", "This mends it: [see](gone.md).");
    scratch.dep("lint --staged").with(0);
    scratch.git("add -A");
    scratch.write("deps/0001-a.md", &proposal("A", "Approved"));
    scratch.dep("lint --staged").with(1);
    scratch.dep("lint").with(0);
}
