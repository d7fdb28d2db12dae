//! The workflow that `init` writes: it is YAML, and its lines run.

use std::process::Command;

use crate::kit::{Ended, Scratch, isolated, proposal, run};

/// The lines that a step of the workflow runs, by the step's name.
fn steps(scratch: &Scratch) -> Vec<(String, String)> {
    let workflow: serde_json::Value = serde_saphyr::from_str(&scratch.read(".github/workflows/proposals.yml")).unwrap();
    assert_eq!(workflow["jobs"]["proposals"]["steps"][0]["with"]["fetch-depth"], 0);
    let steps = workflow["jobs"]["proposals"]["steps"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    steps.iter().filter_map(|step| Some((text(&step["name"])?, text(&step["run"])?))).collect()
}

fn shell(scratch: &Scratch, line: &str, environment: &[(&str, &str)]) -> Ended {
    // The program under its name, as if it had been installed.
    let bin = scratch.home().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dormouse"), bin.join("dormouse"));
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-e", "-c", line]).current_dir(scratch.root());
    run(isolated(&mut command, scratch.home()).env("PATH", path).envs(environment.iter().copied()))
}

#[test]
fn its_lines_run() {
    let scratch = Scratch::of(&[("deps/0001-a.md", proposal("A", "Approved").as_str())]);
    scratch.dep("index --create").with(0);
    scratch.dep("init --ci github").with(0);
    scratch.commit("set-up");
    let remote = scratch.home().join("remote.git");
    scratch.git(&format!("clone -q --bare . {}", remote.display()));
    scratch.git(&format!("remote add origin {}", remote.display()));
    scratch.git("fetch -q origin");
    scratch.git("checkout -q -b change");
    scratch.write("deps/0000-b.md", &proposal("B", "Draft"));
    scratch.commit("b");
    let steps = steps(&scratch);
    let step = |name: &str| steps.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no step {name}")).1.clone();
    let base = [("GITHUB_BASE_REF", "main")];
    shell(&scratch, &step("Fetch pull requests"), &base).with(0);
    shell(&scratch, &step("Lint the change"), &base).with(0);
    shell(&scratch, &step("Check its numbers"), &base).with(0);
    // A fault is told to the forge, and on the page of the step.
    scratch.change("deps/0000-b.md", "# Summary\n\nA short text.\n\n", "");
    scratch.change("deps/0000-b.md", "This mends it.", "This [mends](gone.md) it.");
    scratch.commit("fault");
    let summary = scratch.home().join("summary.md");
    let summary_path = summary.display().to_string();
    let ended = shell(&scratch, &step("Lint the change"), &[("GITHUB_BASE_REF", "main"), ("GITHUB_STEP_SUMMARY", &summary_path)]).with(1);
    assert!(ended.out.starts_with("::error file=deps/0000-b.md,line="), "{}", ended.out);
    assert!(std::fs::read_to_string(&summary).unwrap().contains("| error | L001 | deps/0000-b.md:"));
    // What a push to trunk runs.
    scratch.git("checkout -q main");
    let before = scratch.git("rev-parse HEAD");
    let before = [("BEFORE", before.trim())];
    for name in ["Lint trunk", "Check the numbers of trunk", "Check the index"] {
        shell(&scratch, &step(name), &before).with(0);
    }
    // Two merges that took one number.
    scratch.write("deps/0002-c.md", &proposal("C", "Approved"));
    scratch.write("deps/0002-d.md", &proposal("D", "Approved"));
    scratch.commit("merged");
    assert!(shell(&scratch, &step("Check the numbers of trunk"), &before).with(5).out.contains("number 0002 is taken"));
    shell(&scratch, &step("Check the index"), &before).with(1);
    // A workflow that somebody changed is not replaced.
    scratch.change(".github/workflows/proposals.yml", "name: proposals", "name: ours");
    scratch.dep("init --ci github").with(4);
    scratch.dep("init --ci github --force").with(0);
}
