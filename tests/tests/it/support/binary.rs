//! The binary under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository's root: examples are named from there.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' crate lies in the repository")
}

/// A path as whoever types it at the repository's root means it: cargo runs tests in the folder of their crate.
pub(crate) fn from_root(path: impl AsRef<Path>) -> PathBuf {
    repository().join(path)
}

/// `DORMOUSE_BIN`, or the binary that cargo builds beside these tests: same target folder, same profile.
///
/// Cargo gives no path of another package's binary, so it is asked once per run of the tests; where nothing
/// changed that takes a moment.
pub(crate) fn dormouse() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("DORMOUSE_BIN") {
        Some(given) => {
            let given = from_root(given);
            assert!(given.is_file(), "DORMOUSE_BIN is {}, which is no file", given.display());
            given
        }
        None => build(),
    })
}

/// These tests are `<target>/<profile>/deps/it-…`.
fn build() -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let folder = this.parent().and_then(Path::parent).expect("a profile's folder");
    let profile = folder.file_name().and_then(|n| n.to_str()).expect("a profile's name");
    let target = folder.parent().expect("the target folder");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "dormouse", "--bin", "dormouse"]).current_dir(repository());
    command.args(["--profile", if profile == "debug" { "dev" } else { profile }]).env("CARGO_TARGET_DIR", target);
    // What cargo told these tests about themselves is not about the binary.
    let about_us = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_CRATE_NAME";
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(about_us)) {
        command.env_remove(name);
    }
    let status = command.status().expect("cargo runs; else set DORMOUSE_BIN");
    assert!(status.success(), "the binary does not build; see above");
    let binary = folder.join("dormouse");
    assert!(binary.is_file(), "cargo built no {}; set DORMOUSE_BIN", binary.display());
    binary
}
