//! Programs by the name they are called under: names of the peers' executables, and links to this binary.

use std::ffi::OsString;
use std::path::Path;

/// Name to the verb it means.
const NAMES: [(&str, &[&str]); 11] = [
    ("dual-pods-controller", &["dual-pods-controller"]),
    ("launcher-populator", &["launcher-populator"]),
    ("launcher", &["launcher"]),
    ("launcher.py", &["launcher"]),
    ("test-launcher", &["launcher"]),
    ("launcher_pod_notifier.py", &["launcher-notifier"]),
    ("requester", &["requester"]),
    ("test-requester", &["test-requester"]),
    ("test-server", &["test-server"]),
    ("vllm", &["vllm"]),
    ("nvidia-smi", &["nvidia-smi"]),
];

/// The arguments as if `dormouse <verb> …` had been typed.
pub(crate) fn arguments(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let called = args.first().map(|a| Path::new(a).file_name().unwrap_or(a).to_os_string()).unwrap_or_default();
    let verb = NAMES.iter().find(|(name, _)| called == *name).map(|(_, verb)| *verb);
    if let Some(verb) = verb {
        args.splice(..1.min(args.len()), std::iter::once("dormouse".into()).chain(verb.iter().map(OsString::from)));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_means_its_verb() {
        let of =
            |args: &[&str]| arguments(args.iter().map(OsString::from)).into_iter().map(|a| a.into_string().unwrap()).collect::<Vec<_>>();
        assert_eq!(of(&["/ko-app/test-requester", "--node", "n"]), ["dormouse", "test-requester", "--node", "n"]);
        assert_eq!(of(&["vllm", "serve", "m"]), ["dormouse", "vllm", "serve", "m"]);
        assert_eq!(of(&["./dormouse", "up"]), ["./dormouse", "up"]);
        assert!(of(&[]).is_empty());
    }
}
