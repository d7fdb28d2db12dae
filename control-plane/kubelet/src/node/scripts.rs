//! Scripts that stand for programs of ours.
//!
//! Images of the peers bring Python scripts in their working folder, and shell lines of containers say `python3 program.py` or
//! `./program.py`. An interpreter looks for a file and not in the PATH, so here is one: a script that is right for the shell
//! and for Python, and executes the program of its name.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Where images with scripts have them.
pub(super) const FOLDER: &str = "/app";

/// What a shell executes of a script of ours, and what Python takes for a text in three quotes.
const MARK: &str = "''''exec ";

/// What `python3` is where the host has none. It runs scripts of ours and nothing else, and says so.
const PYTHON: &str = r#"#!/bin/sh
# Last in the PATH of containers whose image has scripts: found only where the host has no Python.
while :; do
    case "$1" in
    -[!cm]*) shift ;;
    *) break ;;
    esac
done
if [ -f "$1" ] && grep -q "^''''exec " "$1"; then
    exec /bin/sh "$@"
fi
echo "python3: this host has no Python, and Pods here are processes of the host; scripts of dormouse's own programs run without it" >&2
exit 127
"#;

/// Puts a script for each of `names` into `folder`; `bin` is where a container finds the programs.
pub(super) fn write(folder: &Path, bin: &str, names: &[&str]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    names.iter().try_for_each(|name| executable(&folder.join(name), &script(bin, name)))
}

/// Puts the `python3` of last resort into `folder`.
pub(super) fn write_python(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    executable(&folder.join("python3"), PYTHON)
}

fn executable(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn script(bin: &str, name: &str) -> String {
    format!("#!/bin/sh\n{MARK}'{bin}/{name}' \"$@\" # '''\nimport os, sys\nos.execv('{bin}/{name}', ['{name}'] + sys.argv[1:])\n")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_script_is_right_for_the_shell_and_for_python() {
        let dir = tempfile::tempdir().unwrap();
        let (bin, app) = (dir.path().join("bin"), dir.path().join("app"));
        fs::create_dir(&bin).unwrap();
        executable(&bin.join("run.py"), "#!/bin/sh\nfor word in \"$0\" \"$@\"; do echo \"[$word]\"; done\n").unwrap();
        write(&app, bin.to_str().unwrap(), &["run.py"]).unwrap();
        write_python(dir.path()).unwrap();
        let say = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).args(["--a", "b c", "it's"]).current_dir(&app).output().unwrap();
            String::from_utf8(output.stdout).unwrap().lines().skip(1).collect::<Vec<_>>().join("")
        };
        let want = "[--a][b c][it's]";
        assert_eq!(say("./run.py", &[]), want);
        let last = dir.path().join("python3");
        assert_eq!(say(last.to_str().unwrap(), &["-u", "run.py"]), want);
        if Command::new("python3").arg("--version").output().is_ok() {
            assert_eq!(say("python3", &["run.py"]), want);
        } else {
            dormouse_runtime::output::error_line("SKIPPED: the script under Python, for want of python3");
        }
    }

    #[test]
    fn without_python_other_scripts_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        write_python(dir.path()).unwrap();
        fs::write(dir.path().join("other.py"), "print(1)\n").unwrap();
        for args in [&["other.py"][..], &["-c", "print(1)"], &["-m", "x"], &[]] {
            let output = Command::new(dir.path().join("python3")).args(args).current_dir(dir.path()).output().unwrap();
            assert_eq!(output.status.code(), Some(127), "{args:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("no Python"), "{args:?}");
        }
    }
}
