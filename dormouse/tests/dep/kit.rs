//! Repositories of a test, and the program in them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// That it ended with this code.
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {}", self.out))
    }
}

/// A repository that goes with the test.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    root: PathBuf,
}

impl Scratch {
    /// With these files, committed on `main`.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { root: folder.path().join("r"), folder };
        std::fs::create_dir_all(&scratch.root).unwrap();
        scratch.git("init -q -b main");
        files.iter().for_each(|(path, text)| scratch.write(path, text));
        scratch.commit("begin");
        scratch
    }

    /// A clone of upstream at the commit at which it was measured, on a branch `main`; `None` without it.
    pub(crate) fn upstream() -> Option<Self> {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/proposals/upstream.bundle");
        let from = std::env::var_os("DORMOUSE_DEP_CORPUS").map_or(bundle, PathBuf::from);
        if !from.exists() {
            eprintln!("SKIPPED: no clone of the proposals; DORMOUSE_DEP_CORPUS=FOLDER names one");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { root: folder.path().join("r"), folder };
        let mut clone = Command::new("git");
        clone.args(["clone", "-q", "--no-checkout"]).arg(from).arg(&scratch.root);
        assert!(clone.status().unwrap().success());
        scratch.git("checkout -q -B main dfdfb78");
        Some(scratch)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn home(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// Changes a file.
    pub(crate) fn change(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to));
    }

    pub(crate) fn commit(&self, message: &str) {
        self.git("add -A");
        self.git(&format!("commit -q --allow-empty -m {message}"));
    }

    /// Git, whose words have no blanks.
    pub(crate) fn git(&self, line: &str) -> String {
        let mut command = Command::new("git");
        command.args(line.split(' ')).current_dir(&self.root);
        let ended = run(isolated(&mut command, self.home()));
        assert_eq!(ended.code, 0, "git {line}: {}", ended.err);
        ended.out
    }

    /// `dormouse dep`.
    pub(crate) fn dep(&self, line: &str) -> Ended {
        self.dep_of(&line.split(' ').collect::<Vec<_>>(), &[])
    }

    pub(crate) fn dep_of(&self, words: &[&str], environment: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
        command.arg("dep").args(words).current_dir(&self.root);
        isolated(&mut command, self.home()).envs(environment.iter().copied());
        run(&mut command)
    }
}

/// Without anything of whoever runs the tests.
pub(crate) fn isolated<'c>(command: &'c mut Command, home: &Path) -> &'c mut Command {
    let day = "2026-03-01T12:00:00Z";
    command
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", home.join("none"))
        .envs([("GIT_AUTHOR_NAME", "ada"), ("GIT_AUTHOR_EMAIL", "ada@example.org"), ("GIT_AUTHOR_DATE", day)])
        .envs([("GIT_COMMITTER_NAME", "ada"), ("GIT_COMMITTER_EMAIL", "ada@example.org"), ("GIT_COMMITTER_DATE", day)])
        .env_remove("GITHUB_STEP_SUMMARY")
        .env_remove("SOURCE_DATE_EPOCH")
}

pub(crate) fn run(command: &mut Command) -> Ended {
    let out = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: out.status.code().unwrap_or(-1), out: text(out.stdout), err: text(out.stderr) }
}

/// A proposal without a fault.
pub(crate) fn proposal(title: &str, status: &str) -> String {
    format!(
        "# {title}\n\n**Status**: {status}\n\n**Authors**: @ada\n\n**Category**: Process\n\n**Replaces**: N/A\n\n**Replaced By**: N/A\n\n\
         **Sponsor**: @brin\n\n**Required Reviewers**: @chen\n\n**Review Date**: 2026-02-01\n\n**Pull Request**: #7\n\n\
         **Implementation PR / Tracking Issue**: #8\n\n# Summary\n\nA short text.\n\n# Motivation\n\nThere is a problem.\n\n# Proposal\n\nThis mends it.\n\n\
         # Alternate Solutions\n\nN/A\n"
    )
}
