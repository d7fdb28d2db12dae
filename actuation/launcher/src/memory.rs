//! How much memory of the GPUs is in use, for people who look for what fills them.
//!
//! The node's device ledger tells where there is one (`DORMOUSE_DEVICES`); elsewhere `nvidia-smi`, which speaks MiB. GPUs
//! that are made up have no memory. An answer is kept for 200 ms, so that many askers cost one look.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::gpu;

/// How long an answer is good.
const FRESH: Duration = Duration::from_millis(200);
/// Longest wait for one.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;

/// One GPU, in bytes; null is what its driver does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Gpu {
    used_bytes: Option<u64>,
    total_bytes: Option<u64>,
}

/// GPUs by UUID.
pub(crate) type Gpus = BTreeMap<String, Gpu>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Ledger(String),
    NvidiaSmi,
    MadeUp,
}

/// The memory of the GPUs that this launcher sees.
#[derive(Debug)]
pub(crate) struct Memory {
    source: Source,
    kept: Mutex<Option<(Instant, Result<Gpus, String>)>>,
}

impl Memory {
    /// `env` looks a variable up.
    pub(crate) fn new(mock: bool, env: impl Fn(&str) -> Option<String>) -> Self {
        let source = match env(dormouse_names::env::DEVICES).filter(|v| !v.is_empty()) {
            Some(socket) => Source::Ledger(socket),
            None if mock => Source::MadeUp,
            None => Source::NvidiaSmi,
        };
        Self { source, kept: Mutex::default() }
    }

    /// All GPUs, or why they cannot be told.
    pub(crate) async fn gpus(&self) -> Result<Gpus, String> {
        let mut kept = self.kept.lock().await;
        if let Some((at, answer)) = &*kept
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = tokio::time::timeout(READ_TIMEOUT, self.source.read()).await;
        let answer = answer.unwrap_or_else(|_| Err("the memory of the GPUs was not told in time".to_owned()));
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }

    /// Logs how full these GPUs are.
    pub(crate) async fn log(&self, instance_id: &str, uuids: &[String]) {
        if self.source == Source::MadeUp {
            return;
        }
        match self.gpus().await {
            Ok(gpus) => {
                let gpus: Vec<_> = uuids.iter().filter_map(|u| gpus.get_key_value(u)).collect();
                tracing::info!(instance_id, ?gpus, "GPU memory at creation");
            }
            Err(error) => tracing::warn!(instance_id, %error, "cannot tell GPU memory at creation"),
        }
    }
}

impl Source {
    async fn read(&self) -> Result<Gpus, String> {
        match self {
            Self::Ledger(socket) => {
                let told = |g: dormouse_devices::GpuSnapshot| Gpu { used_bytes: Some(g.used_bytes), total_bytes: Some(g.gpu.total_bytes) };
                Ok(gpu::ledger(socket).await?.into_iter().map(|g| (g.gpu.uuid.clone(), told(g))).collect())
            }
            Self::NvidiaSmi => {
                from_csv(&gpu::nvidia_smi(&["--query-gpu=uuid,memory.used,memory.total", "--format=csv,noheader,nounits"]).await?)
            }
            Self::MadeUp => Ok(Gpus::new()),
        }
    }
}

/// Lines like `GPU-a, 1234, 81559`; some GPUs answer `[N/A]`.
fn from_csv(text: &str) -> Result<Gpus, String> {
    let mib = |text: &str| text.parse().ok().and_then(|mib: u64| mib.checked_mul(MIB));
    let row = |line: &str| match line.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
        [uuid, used, total] if !uuid.is_empty() => Ok(((*uuid).to_owned(), Gpu { used_bytes: mib(used), total_bytes: mib(total) })),
        _ => Err(format!("nvidia-smi printed {line:?}, not UUID, used and total memory")),
    };
    text.lines().filter(|l| !l.trim().is_empty()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read_and_what_is_not_told_is_null() {
        let gpus = from_csv("GPU-b, 10, 81559\n\nGPU-a, [N/A], [N/A]\n").unwrap();
        assert_eq!(
            serde_json::to_string(&gpus).unwrap(),
            r#"{"GPU-a":{"used_bytes":null,"total_bytes":null},"GPU-b":{"used_bytes":10485760,"total_bytes":85520809984}}"#
        );
        assert!(from_csv("GPU-a, 1\n").unwrap_err().contains("GPU-a, 1") && from_csv(", 1, 2").is_err());
    }

    #[test]
    fn the_source_follows_flag_and_environment() {
        let of = |mock, socket: Option<&'static str>| Memory::new(mock, |_| socket.map(str::to_owned)).source;
        assert_eq!(of(true, Some("@x")), Source::Ledger("@x".into()));
        assert_eq!(of(false, Some("@x")), Source::Ledger("@x".into()));
        assert_eq!((of(true, None), of(false, Some(""))), (Source::MadeUp, Source::NvidiaSmi));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_a_moment() {
        let memory = Memory::new(true, |_| None);
        let old = Err("as told before".to_owned());
        *memory.kept.lock().await = Some((Instant::now(), old.clone()));
        assert_eq!(memory.gpus().await, old);
        tokio::time::advance(FRESH).await;
        assert_eq!(memory.gpus().await, Ok(Gpus::new()));
    }
}
