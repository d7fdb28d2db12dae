//! What is wrong is said once, with what and where and what to do, and nothing else stops.

use crate::kit::{Scratch, proposal};

fn good() -> Scratch {
    Scratch::of(&[("deps/0001-a.md", proposal("A", "Approved").as_str())])
}

#[test]
fn files_that_cannot_be_read_stop_nobody() {
    let scratch = good();
    std::fs::write(scratch.root().join("deps/0002-b.md"), b"# B\n\xff\n").unwrap();
    scratch.write("deps/0003-c.md", &"x ".repeat(3 << 19));
    scratch.write("deps/0004-d.md", &format!("# D\n\n{}x\n", ">".repeat(10_000)));
    std::os::unix::fs::symlink("/etc/hostname", scratch.root().join("deps/0005-e.md")).unwrap();
    let ended = scratch.dep("lint").with(3);
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ended.err);
    for (line, file) in lines.iter().zip(["0002-b", "0003-c", "0004-d", "0005-e"]) {
        assert!(line.starts_with("warning: ") && line.contains(file) && line.contains("; "), "{line}");
    }
    assert!(ended.out.contains("nothing found") || ended.out.contains("note"), "{}", ended.out);
    assert!(scratch.dep("list").with(3).out.contains("0001  Approved"));
}

#[test]
fn options_and_files_of_options() {
    let scratch = good();
    let said = |line: &str, code: i32, parts: &[&str]| {
        let ended = scratch.dep(line).with(code);
        assert!(parts.iter().all(|part| ended.err.contains(part)), "{line}: {}", ended.err);
    };
    said("lint --allow M0017", 2, &["no such rule; did you mean", "--list-rules"]);
    said("lint --allow M017 --error M017", 2, &["two levels"]);
    said("lint nowhere", 2, &["nowhere"]);
    said("lint --since nobody", 3, &["nobody", "git fetch"]);
    said("lint --baseline none.json", 3, &["none.json", "--write-baseline"]);
    said("show 9", 2, &["\"9\""]);
    said("list --author @nobody", 2, &["@ada"]);
    said("number assign a", 4, &["number 0001 already", "renumber"]);
    said("new A", 4, &["deps/0001-a.md", "--slug"]);
    said("new --category Proces B", 2, &["Process"]);
    said("new --retroactive B", 4, &["--implementation"]);
    said("index --check", 1, &[]);
    said("refs --output short nowhere", 2, &["nowhere"]);
    scratch.write("broken.json", "{");
    said("lint --baseline broken.json", 3, &["broken.json", "no baseline"]);
    scratch.write("dep.toml", "categores = []\n");
    said("list", 2, &["dep.toml", "line 1", "did you mean \"categories\"?"]);
    std::fs::remove_file(scratch.root().join("dep.toml")).unwrap();
    std::fs::remove_dir_all(scratch.root().join("deps")).unwrap();
    said("list", 2, &["deps", "dep.toml"]);
}

#[test]
fn without_git_and_with_little_of_it() {
    let scratch = good();
    scratch.dep("list --no-git").with(0);
    assert!(scratch.dep("number next --no-git").with(0).err.contains("without git"));
    scratch.git("checkout -q --detach");
    scratch.dep("lint").with(0);
    scratch.dep("number claims").with(0);
    // A clone of the last commit alone.
    scratch.commit("more");
    let shallow = scratch.home().join("shallow");
    scratch.git(&format!("clone -q --depth 1 file://{} {}", scratch.root().display(), shallow.display()));
    let root = shallow.display().to_string();
    let ended = scratch.dep_of(&["--root", &root, "lint", "--history"], &[]).with(3);
    assert!(ended.err.contains("shallow") && ended.err.contains("--unshallow"), "{}", ended.err);
    scratch.dep_of(&["--root", &root, "lint"], &[]).with(0);
    std::fs::remove_dir_all(scratch.root().join(".git")).unwrap();
    scratch.dep("lint").with(0);
    assert!(scratch.dep("lint --since main").with(3).err.contains("git init"));
}
