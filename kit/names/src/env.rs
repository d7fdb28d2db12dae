//! Environment variables.

/// How the names of all of ours begin.
pub const PREFIX: &str = "DORMOUSE_";
/// A Pod's own address, where Pods are processes.
pub const POD_IP: &str = "DORMOUSE_POD_IP";
/// The UID of the Pod that a process belongs to; by it a process is known as a Pod's.
pub const POD_UID: &str = "DORMOUSE_POD_UID";
/// The name of the node's device socket: `@name` (or just `name`) for an abstract one.
pub const DEVICES: &str = "DORMOUSE_DEVICES";
/// Which engine the engine programs are: `sim`, `embedded`, or `host` for the host's own.
pub const ENGINE: &str = "DORMOUSE_ENGINE";
/// Seconds between SIGTERM and SIGKILL, which a process cannot see otherwise.
pub const TERMINATION_GRACE_SECONDS: &str = "DORMOUSE_TERMINATION_GRACE_SECONDS";
/// A `tracing` filter that wins over the verbosity.
pub const LOG: &str = "DORMOUSE_LOG";
/// Milliseconds by which a requester answers `become-ready` later, for tests.
pub const DELAY_READY_MS: &str = "DORMOUSE_DELAY_READY_MS";
/// In a launcher's engines: which instance a process belongs to.
pub const INSTANCE: &str = "DORMOUSE_INSTANCE";
/// A launcher's `--adapter`.
pub const LAUNCHER_ADAPTER: &str = "DORMOUSE_LAUNCHER_ADAPTER";
/// A launcher's `--engine-command`.
pub const LAUNCHER_ENGINE_COMMAND: &str = "DORMOUSE_LAUNCHER_ENGINE_COMMAND";
/// A launcher's `--log-dir`.
pub const LAUNCHER_LOG_DIR: &str = "DORMOUSE_LAUNCHER_LOG_DIR";

/// NVIDIA's: the GPUs that a container sees.
pub const NVIDIA_VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";
/// NVIDIA's: the GPUs that a program uses, of those that its container sees.
pub const CUDA_VISIBLE_DEVICES: &str = "CUDA_VISIBLE_DEVICES";
/// A clone of ai-dynamo/enhancements, for tests and benches of proposals.
pub const DEP_CORPUS: &str = "DORMOUSE_DEP_CORPUS";
