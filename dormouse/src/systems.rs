//! The systems of Dormouse: what each brings to the command, and by which Cargo feature.
//!
//! The one table of programs. What images and commands of Pods mean, the links in their PATH, the names that this binary
//! answers to and its verbs are read from it. A system that is not built in keeps its row, so that whoever asks for something
//! of it is told what would bring it.

use dormouse_names::{Program, Programs};

/// One system.
struct System {
    /// The Cargo feature that brings it.
    feature: &'static str,
    built_in: bool,
    /// Verbs that it has a part in; one that two systems bring together stands with both.
    verbs: &'static [&'static str],
    /// What Pods may run.
    programs: &'static [Program],
    /// What `up --controllers` may name.
    #[cfg_attr(not(feature = "plane"), allow(dead_code, reason = "only a plane runs controllers"))]
    controllers: &'static [&'static str],
}

/// All of them.
const SYSTEMS: &[System] = &[
    System {
        feature: "plane",
        built_in: cfg!(feature = "plane"),
        verbs: &["up", "down", "devices", "status", "demo"],
        programs: &[],
        controllers: &[],
    },
    System {
        feature: "actuation",
        built_in: cfg!(feature = "actuation"),
        verbs: &[
            "dual-pods-controller",
            "launcher-populator",
            "launcher",
            "launcher-notifier",
            "requester",
            "test-requester",
            "test-server",
            "nvidia-smi",
            "gpu-map",
            "crds",
            "status",
            "demo",
        ],
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
        controllers: &["dual-pods", "launcher-populator"],
    },
    System {
        feature: "engine",
        built_in: cfg!(feature = "engine"),
        verbs: &["engine", "vllm", "demo"],
        programs: &[Program {
            modules: &["vllm.entrypoints.openai.api_server"],
            images: &["vllm-openai*"],
            entry: &["serve"],
            engine: true,
            host_option: Some("--host"),
            ..Program::new("vllm")
        }],
        controllers: &[],
    },
    System {
        feature: "perf",
        built_in: cfg!(feature = "perf"),
        verbs: &["perf"],
        programs: &[Program { verb: "perf", ..Program::new("aiperf") }],
        controllers: &[],
    },
    System {
        feature: "dep",
        built_in: cfg!(feature = "dep"),
        verbs: &["dep"],
        programs: &[Program { verb: "dep", ..Program::new("dormouse-dep") }],
        controllers: &[],
    },
];

/// The command itself.
const COMMAND: Program = Program { verb: "", ..Program::new("dormouse") };

impl System {
    fn lacking(&self) -> Option<&'static str> {
        (!self.built_in).then_some(self.feature)
    }
}

/// All programs; with `host_engine` the engine is the host's own.
pub(crate) fn programs(host_engine: bool) -> Programs {
    let rows = SYSTEMS.iter().flat_map(|s| s.programs.iter().map(|p| Program { lacking: s.lacking(), ..*p }));
    Programs::new(std::iter::once(COMMAND).chain(rows), host_engine)
}

/// All verbs.
#[cfg(test)]
pub(crate) fn verbs() -> impl Iterator<Item = &'static str> {
    SYSTEMS.iter().flat_map(|s| s.verbs.iter().copied())
}

/// All controllers that can run on a plane, with the feature that one lacks.
#[cfg(feature = "plane")]
pub(crate) fn controllers() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    SYSTEMS.iter().flat_map(|s| s.controllers.iter().map(|name| (*name, s.lacking())))
}

/// The features that a verb lacks; none for one that is nobody's.
pub(crate) fn lacking(verb: &str) -> Vec<&'static str> {
    SYSTEMS.iter().filter(|s| s.verbs.contains(&verb)).filter_map(System::lacking).collect()
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
    fn every_program_is_a_verb_of_its_system() {
        for system in SYSTEMS {
            for program in system.programs {
                assert!(system.verbs.contains(&program.verb), "{}", program.name);
            }
        }
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

    #[test]
    fn what_is_not_built_in_names_its_feature() {
        for system in SYSTEMS {
            let lacking = |verb: &str| self::lacking(verb).contains(&system.feature);
            assert!(system.verbs.iter().all(|v| lacking(v) != system.built_in), "{}", system.feature);
        }
        assert!(self::lacking("completions").is_empty());
    }
}
