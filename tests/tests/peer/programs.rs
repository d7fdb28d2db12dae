//! Which programs of the peer there are, and how Pods are made to run them.
//!
//! A plane is told by `--images` to put a script before the command line of a container; the script runs what that command
//! line names from a folder in which only the programs of the mix are.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dormouse_runtime::output::error_line;
use tempfile::TempDir;

use crate::support::{from_root, run};

/// A program that ours is the drop-in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    DualPodsController,
    LauncherPopulator,
    Requester,
    Launcher,
    TestRequester,
    TestServer,
}

impl Program {
    /// Its file, which is the last part of its image's name too but for that of scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DualPodsController => "dual-pods-controller",
            Self::LauncherPopulator => "launcher-populator",
            Self::Requester => "requester",
            Self::Launcher => "launcher.py",
            Self::TestRequester => "test-requester",
            Self::TestServer => "test-server",
        }
    }

    fn image(self) -> &'static str {
        self.name().trim_end_matches(".py")
    }
}

/// Imports of vLLM take their time.
const IMPORTS: Duration = Duration::from_secs(300);

/// The peer's programs.
pub(crate) struct Peer {
    folder: PathBuf,
    launcher: Result<(), String>,
    /// Where Pods see it, whose `/tmp` is their own.
    stage: TempDir,
}

impl Peer {
    /// `None`, loudly, where none are named.
    pub(crate) fn find() -> Option<Self> {
        let Some(folder) = std::env::var_os("DORMOUSE_PEER_BIN").map(from_root) else {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            error_line(&format!("SKIPPED {test}: no programs of the peer; DORMOUSE_PEER_BIN names a folder of them"));
            return None;
        };
        let folder = fs::canonicalize(&folder).unwrap_or_else(|e| panic!("DORMOUSE_PEER_BIN is {}: {e}", folder.display()));
        let stage = tempfile::Builder::new().prefix("dormouse-peer-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let launcher = launcher(&folder);
        Some(Self { folder, launcher, stage })
    }

    pub(crate) fn has(&self, program: Program) -> bool {
        self.folder.join(program.name()).is_file() && (program != Program::Launcher || self.launcher.is_ok())
    }

    /// Why a program is not there.
    pub(crate) fn why_not(&self, program: Program) -> String {
        let absent = || format!("{} has no {}", self.folder.display(), program.name());
        match &self.launcher {
            Err(why) if program == Program::Launcher && self.folder.join(program.name()).exists() => why.clone(),
            _ => absent(),
        }
    }

    /// Whether a launcher of the mix brings the real vLLM along.
    pub(crate) fn engine_is_real(&self, mix: &[Program]) -> bool {
        mix.contains(&Program::Launcher) && is_script(&self.folder.join(Program::Launcher.name()))
    }

    /// A folder that Pods see.
    pub(crate) fn stage(&self) -> &Path {
        self.stage.path()
    }

    /// Makes the rules by which Pods run the programs of a mix; the file's path.
    pub(crate) fn rules(&self, mix: &[Program]) -> PathBuf {
        let programs = self.stage().join("programs");
        if programs.exists() {
            fs::remove_dir_all(&programs).unwrap();
        }
        fs::create_dir(&programs).unwrap();
        for program in mix {
            self.show(program.name(), &programs);
        }
        if mix.contains(&Program::Launcher) {
            // And what it consists of.
            let files = fs::read_dir(&self.folder).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
            files.filter(|n| n.ends_with(".py") && n != Program::Launcher.name()).for_each(|name| self.show(&name, &programs));
        }
        let script = self.stage().join("run");
        fs::write(&script, SCRIPT.replace("PROGRAMS", programs.to_str().unwrap()).replace("PYTHON", &python_folder())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut rules = String::new();
        for program in mix {
            writeln!(rules, "- match: '*/{}:*'\n  prefix: ['{}']", program.image(), script.display()).unwrap();
        }
        let file = self.stage().join("images.yaml");
        fs::write(&file, rules).unwrap();
        file
    }

    /// A link where Pods can follow it, else a copy.
    fn show(&self, name: &str, to: &Path) {
        let from = fs::canonicalize(self.folder.join(name)).unwrap();
        if from.starts_with("/tmp") {
            fs::copy(&from, to.join(name)).unwrap();
        } else {
            symlink(&from, to.join(name)).unwrap();
        }
    }
}

/// Finds the first word that is a program of the mix; a command line of another program of the same image is left as it is.
const SCRIPT: &str = r#"#!/bin/sh
first=$1
for word in "$@"; do
    shift
    name=$(basename -- "$word")
    file=PROGRAMS/$name
    [ -f "$file" ] || continue
    case $name in
    *.py)
        if head -c 4 "$file" | grep -q ELF; then exec "$file" "$@"; fi
        cd PROGRAMS || exit 1
        PATH=PYTHON:$PATH exec python3 "$file" "$@" ;;
    *)  exec "$file" "$@" ;;
    esac
done
echo "none of the programs of this mix is in the command line that begins with $first" >&2
exit 127
"#;

/// Where the `python3` is that has what the peer's launcher imports.
fn python_folder() -> String {
    let vllm = std::env::var_os("DORMOUSE_VLLM").map(from_root);
    vllm.as_deref().and_then(Path::parent).unwrap_or(Path::new("/usr/bin")).display().to_string()
}

fn is_script(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| !bytes.starts_with(b"\x7fELF"))
}

/// Whether the launcher of this folder would start, or why not.
fn launcher(folder: &Path) -> Result<(), String> {
    let file = folder.join(Program::Launcher.name());
    if !is_script(&file) {
        return Ok(());
    }
    if std::env::var_os("DORMOUSE_VLLM").is_none() {
        return Err("it brings vLLM along, and DORMOUSE_VLLM names none (tests/vllm/install.sh brings one)".to_owned());
    }
    let python = Path::new(&python_folder()).join("python3");
    let said = run(Command::new(&python).arg(&file).arg("--help").current_dir(folder), "", IMPORTS);
    if said.code() == Some(0) {
        return Ok(());
    }
    Err(format!("{} does not run it: {}", python.display(), said.err.lines().last().unwrap_or_default()))
}
