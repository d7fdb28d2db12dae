//! Programs by the name they are called under: names of the peers' executables, and links to this binary.

use std::ffi::OsString;

use crate::systems;

/// The arguments as if `dormouse <verb> …` had been typed.
pub(crate) fn arguments(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let programs = systems::programs(false);
    let called = args.first().and_then(|a| a.to_str()).and_then(|a| programs.called(a));
    if let Some(program) = called.filter(|p| !p.verb.is_empty()) {
        args.splice(..1, ["dormouse".into(), program.verb.into()]);
    }
    args
}

/// Where a plane has chosen the host's engine, its link becomes that; returns what stood against it.
#[cfg(feature = "plane")]
pub(crate) fn host_program() -> Option<String> {
    let chosen = std::env::var_os(dormouse_names::env::ENGINE)? == crate::engine::Engine::Host.as_str();
    let args: Vec<OsString> = std::env::args_os().collect();
    let programs = systems::programs(chosen);
    let called = args.first()?.to_str()?;
    programs.is_of_the_host(called).then(|| dormouse_plane::become_host_program(&programs, &args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_means_its_verb() {
        let of =
            |args: &[&str]| arguments(args.iter().map(OsString::from)).into_iter().map(|a| a.into_string().unwrap()).collect::<Vec<_>>();
        assert_eq!(of(&["/ko-app/test-requester", "--node", "n"]), ["dormouse", "test-requester", "--node", "n"]);
        assert_eq!(of(&["/app/launcher.py", "--port", "1"]), ["dormouse", "launcher", "--port", "1"]);
        assert_eq!(of(&["vllm", "serve", "m"]), ["dormouse", "vllm", "serve", "m"]);
        assert_eq!(of(&["./dormouse", "up"]), ["./dormouse", "up"]);
        assert!(of(&[]).is_empty());
    }
}
