//! The systems of Dormouse: which programs each brings, and by which Cargo feature.
//!
//! The one table of programs. What images and commands of Pods mean, the links in their PATH and the names that this binary
//! answers to are read from it. A system that is not built in keeps its rows, so that whoever asks for one of its programs is
//! told what would bring it.

use dormouse_names::{Program, Programs};

/// One system.
pub(crate) struct System {
    /// The Cargo feature that brings it.
    pub(crate) feature: &'static str,
    built_in: bool,
    programs: &'static [Program],
}

/// All of them.
const SYSTEMS: &[System] = &[
    System {
        feature: "actuation",
        built_in: true,
        programs: &[
            Program::new("dual-pods-controller"),
            Program::new("launcher-populator"),
            Program { aliases: &["test-launcher"], scripts: &["launcher.py"], modules: &["launcher:*"], ..Program::new("launcher") },
            Program { scripts: &["launcher_pod_notifier.py"], ..Program::new("launcher-notifier") },
            Program { waits_for_release: true, ..Program::new("requester") },
            // The peer's test clusters have no device plugin.
            Program { waits_for_release: true, gpus_by_manifest: true, ..Program::new("test-requester") },
            Program::new("test-server"),
            Program { tool: true, ..Program::new("nvidia-smi") },
        ],
    },
    System {
        feature: "engine",
        built_in: true,
        programs: &[Program {
            modules: &["vllm.entrypoints.openai.api_server"],
            images: &["vllm-openai*"],
            entry: &["serve"],
            engine: true,
            ..Program::new("vllm")
        }],
    },
];

/// The command itself.
const COMMAND: Program = Program { verb: "", ..Program::new("dormouse") };

/// All programs; with `host_engine` the engine is the host's own.
pub(crate) fn programs(host_engine: bool) -> Programs {
    let rows = SYSTEMS.iter().flat_map(|system| {
        let lacking = (!system.built_in).then_some(system.feature);
        system.programs.iter().map(move |p| Program { lacking, ..*p })
    });
    Programs::new(std::iter::once(COMMAND).chain(rows), host_engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_programs_share_a_name() {
        let table = programs(false);
        let mut names: Vec<_> = table.links().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn the_peers_executables_and_images_are_programs_of_ours() {
        let table = programs(false);
        for (name, verb) in [
            ("dual-pods-controller", "dual-pods-controller"),
            ("launcher-populator", "launcher-populator"),
            ("requester", "requester"),
            ("launcher", "launcher"),
            ("test-launcher", "launcher"),
            ("test-requester", "test-requester"),
            ("test-server", "test-server"),
            ("launcher.py", "launcher"),
            ("launcher_pod_notifier.py", "launcher-notifier"),
            ("dormouse", ""),
        ] {
            assert_eq!(table.called(name).map(|p| p.verb), Some(verb), "{name}");
            assert_eq!(table.image(&format!("any.reg:5000/x/{name}:v1")).map(|(p, called)| (p.verb, called)), Some((verb, name)));
        }
        for image in ["docker.io/vllm/vllm-openai:v0.10.2", "vllm/vllm-openai-cpu", "vllm"] {
            assert_eq!(table.image(image).map(|(p, _)| (p.name, p.entry)), Some(("vllm", &["serve"][..])), "{image}");
        }
        assert_eq!((table.called("nvidia-smi").map(|p| p.verb), table.image("nvidia-smi")), (Some("nvidia-smi"), None));
    }
}
