//! Files of the host that a container names and cannot see, because its own `/tmp` lies above the host's. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use super::mount::MountPlan;

const TMP: &str = "/tmp/";

/// The paths below `/tmp` that the words of a command line name and no volume covers. Whether they exist on the host is left
/// to the caller.
#[must_use]
pub fn tmp_paths(words: &[String], mounts: &[MountPlan]) -> BTreeSet<String> {
    let named =
        words.iter().flat_map(|word| word.match_indices(TMP).filter(|(at, _)| begins(&word[..*at])).map(|(at, _)| path(&word[at..])));
    let covered = |path: &str| mounts.iter().any(|m| Path::new(path).starts_with(&m.target));
    named.filter(|path| path.len() > TMP.len() && !covered(path)).map(str::to_owned).collect()
}

/// Whether a path may begin behind `before`: `--model=/tmp/x`, `cd /tmp/x`, `file:///tmp/x`, but not `/var/tmp/x`.
fn begins(before: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "/._-~})".contains(c);
    before.ends_with("://") || !before.chars().next_back().is_some_and(inside)
}

/// The path at the start of `text`, up to what a shell would take for its end.
fn path(text: &str) -> &str {
    let ends = |c: char| c.is_whitespace() || "'\"`;|&()<>,:*?$[]{}".contains(c);
    text.find(ends).map_or(text, |at| &text[..at]).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(word: &str, targets: &[&str]) -> Vec<String> {
        let mount = |target: &&str| MountPlan {
            volume: "v".into(),
            sub_path: None,
            target: (*target).to_owned(),
            read_only: false,
            declared: true,
        };
        tmp_paths(&[word.to_owned()], &targets.iter().map(mount).collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn paths_are_found_where_people_write_them() {
        for (word, want) in [
            ("/tmp/venv/bin/python", &["/tmp/venv/bin/python"][..]),
            ("--model=/tmp/model/", &["/tmp/model"]),
            ("PATH=/tmp/a/bin:/tmp/b:$PATH exec x", &["/tmp/a/bin", "/tmp/b"]),
            ("cd '/tmp/x y' && ls /tmp/models/*.bin >/tmp/out", &["/tmp/models", "/tmp/out", "/tmp/x"]),
            ("{\"path\":\"/tmp/j\"}", &["/tmp/j"]),
            ("file:///tmp/f", &["/tmp/f"]),
            ("/tmp/", &[]),
            ("/var/tmp/x $HOME/tmp/x a/tmp/x ${H}/tmp/x", &[]),
        ] {
            assert_eq!(found(word, &[]), want, "{word}");
        }
    }

    #[test]
    fn what_a_volume_covers_is_no_matter() {
        assert_eq!(found("/tmp/model/x /tmp/models /tmp/z", &["/tmp/model"]), ["/tmp/models", "/tmp/z"]);
        assert!(found("/tmp/a", &["/tmp"]).is_empty());
    }
}
