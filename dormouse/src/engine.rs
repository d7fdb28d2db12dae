//! `--engine`: what serves models on a plane of ours.

use std::path::Path;

use clap::ValueEnum;
use dormouse_names::env;
use dormouse_plane::Options;

use crate::systems;

/// What vLLM's builds for GPUs run on has one of these: NVIDIA's, AMD's, that of Windows' subsystem for Linux.
const ACCELERATORS: [&str; 3] = ["/dev/nvidiactl", "/dev/kfd", "/dev/dxg"];

/// Whether a vLLM of this machine can have a GPU. On a CPU it refuses `--enable-sleep-mode`, and sleeps all the same.
pub(crate) fn accelerated() -> bool {
    ACCELERATORS.iter().any(|device| Path::new(device).exists())
}

/// What serves models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The simulator
    Sim,
    /// The embedded CPU engine
    Embedded,
    /// A real vLLM on the PATH of this machine
    #[value(alias = "vllm")]
    Host,
}

impl Engine {
    /// The flag's value, and what Pods are told.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Embedded => "embedded",
            Self::Host => "host",
        }
    }

    /// Makes it the engine of a plane.
    pub(crate) fn choose(self, options: &mut Options) {
        options.programs = systems::programs(self == Self::Host);
        options.env.push((env::ENGINE.to_owned(), self.as_str().to_owned()));
    }
}
