//! The command line. The flags down to `--no-debug-gpu-memory` are the peer's, to the letter; all of ours are optional, so that a Pod
//! template written for the peer starts this program unchanged.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use dormouse_names::env as names;
use dormouse_runtime::flags::duration;

/// What the launcher does about a port that an engine is told to use and that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PortCheck {
    /// Nothing; the engine will find out.
    Off,
    /// Creates the instance, logs, and says so in the member `warnings` of the reply.
    Warn,
    /// Refuses with 409.
    Reject,
}

/// How devices are named in `CUDA_VISIBLE_DEVICES`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceForm {
    /// By index, as the peer does; `CUDA_DEVICE_ORDER=PCI_BUS_ID` makes the indexes mean what they say.
    Index,
    /// By UUID, as requested.
    Uuid,
    /// By UUID when a MIG slice is asked for (an index cannot name one), else by index.
    Auto,
}

/// Verbosity, in the peer's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Critical,
    Error,
    Warning,
    Info,
    Debug,
}

impl LogLevel {
    /// The verbosity for [`dormouse_runtime::log::Options`].
    #[must_use]
    pub fn verbosity(self) -> u8 {
        if self == Self::Debug { 4 } else { 0 }
    }
}

/// Runs engine instances as child processes behind an HTTP API.
///
/// Drop-in for the launcher of llm-d Fast Model Actuation. A Pod's `vllm` is found on PATH.
///
/// Examples:
///   dormouse launcher --port 8001
///   dormouse launcher --mock-gpus --mock-gpu-count 2
///   dormouse launcher --engine-command "dormouse engine sim"
#[derive(Debug, Clone, Parser)]
#[command(name = "launcher", verbatim_doc_comment)]
pub struct Args {
    /// Address to listen on; in a Pod of the embedded plane a wildcard or loopback address means the Pod's own.
    #[arg(long, default_value = "0.0.0.0")]
    pub host: String,
    /// Port to listen on.
    #[arg(long, default_value_t = 8001)]
    pub port: u16,
    /// Log level.
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// Translate GPU UUIDs by ConfigMap `gpu-map` (with NODE_NAME and NAMESPACE) or as GPU-0, GPU-1, …
    #[arg(long)]
    pub mock_gpus: bool,
    /// How many GPUs to make up when there is no map.
    #[arg(long, default_value_t = 8)]
    pub mock_gpu_count: u32,
    /// Log the memory in use on an instance's GPUs when it is created; the default.
    #[arg(long, overrides_with_all = ["debug_gpu_memory", "no_debug_gpu_memory"])]
    pub debug_gpu_memory: bool,
    /// Do not log it.
    #[arg(long, overrides_with_all = ["debug_gpu_memory", "no_debug_gpu_memory"])]
    pub no_debug_gpu_memory: bool,

    /// Engine to drive when an instance's annotation `dormouse.dev/engine` names none: vllm, sglang, llamacpp or trtllm.
    #[arg(long, default_value = "vllm", env = names::LAUNCHER_ADAPTER)]
    pub adapter: String,
    /// Command to start instead of the adapter's own (`vllm serve`), split on blanks; options are appended.
    #[arg(long, env = names::LAUNCHER_ENGINE_COMMAND)]
    pub engine_command: Option<String>,
    /// Folder in which the private folder of this launcher (logs, journal) is made.
    #[arg(long, default_value = "/tmp", env = names::LAUNCHER_LOG_DIR)]
    pub log_dir: PathBuf,
    /// Newest bytes of an instance's log that are kept; 0 keeps all.
    #[arg(long, default_value_t = 64 << 20)]
    pub log_max_bytes: u64,
    /// Time an engine has between SIGTERM and SIGKILL, in seconds (or like 1m30s, 500ms).
    #[arg(long, default_value = "10", value_parser = duration)]
    pub stop_grace: Duration,
    /// Time the processes of an engine have to vanish after SIGKILL.
    #[arg(long, default_value = "10", value_parser = duration)]
    pub kill_limit: Duration,
    /// What to do when an engine's port is taken.
    #[arg(long, value_enum, default_value_t = PortCheck::Warn)]
    pub port_check: PortCheck,
    /// How devices are named for the engine.
    #[arg(long, value_enum, default_value_t = DeviceForm::Index)]
    pub cuda_visible_devices_form: DeviceForm,
    /// Instances at once; a further one is refused with 409. No limit by default.
    #[arg(long)]
    pub max_instances: Option<usize>,
    /// Watch and follow streams at once; a further one is refused with 503.
    #[arg(long, default_value_t = 1024)]
    pub max_watchers: usize,
    /// Largest request body in bytes.
    #[arg(long, default_value_t = 1 << 20)]
    pub max_body_bytes: usize,
}

impl Args {
    /// The flags' defaults.
    #[must_use]
    pub fn defaults() -> Self {
        Self::parse_from(["launcher"])
    }

    /// Whether the memory of an instance's GPUs is logged; of the two flags the last one counts.
    #[must_use]
    pub fn logs_gpu_memory(&self) -> bool {
        !self.no_debug_gpu_memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_command_line_is_enough() {
        let args =
            Args::try_parse_from(["launcher.py", "--host", "0.0.0.0", "--log-level", "info", "--port", "8001", "--mock-gpus"]).unwrap();
        assert!(args.mock_gpus && args.mock_gpu_count == 8 && args.adapter == "vllm");
        assert_eq!(Args::try_parse_from(["launcher", "--log-level", "loud"]).unwrap_err().exit_code(), 2);
        assert_eq!(args.max_watchers, 1024);
    }

    #[test]
    fn gpu_memory_is_logged_unless_told_otherwise() {
        let (on, off) = ("--debug-gpu-memory", "--no-debug-gpu-memory");
        for (flags, logs) in [
            (&[][..], true),
            (&[on], true),
            (&[off], false),
            (&[on, on], true),
            (&[off, off], false),
            (&[off, on], true),
            (&[on, off, off], false),
        ] {
            let args = Args::try_parse_from(["launcher"].iter().chain(flags)).unwrap();
            assert_eq!(args.logs_gpu_memory(), logs, "{flags:?}");
        }
    }
}
