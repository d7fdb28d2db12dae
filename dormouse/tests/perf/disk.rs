//! No room for the files: what could be written is whole, and the rest is said.

use std::path::Path;

use crate::kit::machine::{beside, skipped, works};
use crate::kit::{Mock, Profile, Ran};

const LOAD: &str = "--endpoint-type chat --streaming --concurrency 8 --request-count 200 --osl 8";

/// Said, and not with a code that means something else.
fn failed(run: Ran, dir: &Path) -> Ran {
    let run = run.ended(1, &[&dir.display().to_string()]);
    assert!(!run.err.contains("panicked"), "{}", run.err);
    run
}

#[test]
fn a_file_that_may_not_grow_costs_its_own_lines() {
    let _beside = beside();
    let server = Mock::start("--ttft-ms 5");
    let profile = Profile::of(&server.url).with(LOAD);
    // Blocks are of 512 bytes or of 1024: room for a summary, and not for the records. A signal would end the program.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh"];
    let run = profile.under(&limited).run();
    let dir = run.dir.clone();
    let run = failed(run, &dir).ended(1, &["not everything could be written", "the summary has all that was measured"]);
    // All of it counts.
    assert_eq!(run.figure("request_count", "avg"), 200.0);
    assert_eq!(run.json(".aiperf_results_ready.json")["partial"], true);
    assert_eq!(server.count("answered"), 200);
    assert!(run.out.contains("Request Count"), "the tables are not shown");
}

#[test]
fn a_full_disk_is_said() {
    let _beside = beside();
    let held = tempfile::TempDir::new().unwrap();
    let (small, copy) = (held.path().join("small"), held.path().join("copy"));
    std::fs::create_dir(&small).unwrap();
    let mount = format!("mount -t tmpfs -o size=96k none {}", small.display());
    if !works(&["unshare", "-m", "sh", "-c", &mount]) {
        skipped("a full disk", "nothing can be mounted here");
        return;
    }
    let server = Mock::start("--ttft-ms 5");
    // The mount is gone with the process: what lies there is copied before.
    let script = format!("{mount} && \"$@\"; code=$?; cp -r {}/out {}; exit $code", small.display(), copy.display());
    let run = Profile::of(&server.url).with(LOAD).into(&small.join("out")).under(&["unshare", "-m", "sh", "-c", &script, "sh"]).run();
    let run = failed(run, &small.join("out"));
    assert!(run.err.contains("No space left"), "{}", run.err);
    assert_eq!(server.count("answered"), 200, "the load went on");
    // Nothing is half there but the list that grew until there was no room.
    for path in crate::kit::files::below(&copy) {
        assert!(path.extension().is_none_or(|ending| ending != "partial"), "{} was left", path.display());
        if path.extension().is_some_and(|ending| ending == "json") {
            crate::kit::command::json(&path);
        }
    }
}
