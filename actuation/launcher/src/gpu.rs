//! GPU UUIDs to device indexes.
//!
//! Held: the mapping last read and where it came from. Sources are asked in order until one answers:
//! with `--mock-gpus` the ConfigMap `gpu-map` (needs `NODE_NAME` and `NAMESPACE`), the node's device ledger, made-up
//! GPUs; else the device ledger (when `DORMOUSE_DEVICES` names one), else `nvidia-smi`. A UUID that is not in the
//! mapping makes it be read again, at most every five seconds; so does a mapping that came from a later source
//! than the first, because the first may have come into being.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use dormouse_apis::names;
use dormouse_devices::{GpuSnapshot, Identity, visible};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Shortest time between two readings.
const REFRESH: Duration = Duration::from_secs(5);
/// Longest wait for one source.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// UUIDs with their indexes, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mapping(Vec<(String, u32)>);

/// A UUID or index that the mapping does not have. Prints as the peer's error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("GPU UUID '{uuid}' not found. Available UUIDs: [{available}]")]
    Uuid { uuid: String, available: String },
    #[cfg(test)]
    #[error("GPU index {index} not found. Available indices: [{available}]")]
    Index { index: u32, available: String },
}

impl Mapping {
    fn new(mut pairs: Vec<(String, u32)>) -> Self {
        pairs.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        Self(pairs)
    }

    /// `GPU-0` to `GPU-<n-1>`.
    pub(crate) fn naive(n: u32) -> Self {
        Self((0..n).map(|i| (format!("GPU-{i}"), i)).collect())
    }

    /// The indexes of `uuids`, in their order.
    pub(crate) fn translate(&self, uuids: &[String]) -> Result<Vec<u32>, Unknown> {
        uuids
            .iter()
            .map(|uuid| {
                let found = self.0.iter().find(|(u, _)| u == uuid).map(|(_, i)| *i);
                found.ok_or_else(|| Unknown::Uuid { uuid: uuid.clone(), available: quoted(self.0.iter().map(|(u, _)| u.as_str())) })
            })
            .collect()
    }

    #[cfg(test)]
    fn uuid_of(&self, index: u32) -> Result<&str, Unknown> {
        let available = || self.0.iter().map(|(_, i)| i.to_string()).collect::<Vec<_>>().join(", ");
        self.0.iter().find(|(_, i)| *i == index).map(|(u, _)| u.as_str()).ok_or_else(|| Unknown::Index { index, available: available() })
    }
}

/// Single-quoted, joined by comma and blank.
fn quoted<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (i, item) in items.enumerate() {
        let _ = write!(text, "{}'{item}'", if i == 0 { "" } else { ", " });
    }
    text
}

/// Where a mapping may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    ConfigMap { namespace: String, node: String },
    Ledger { socket: String },
    MadeUp(u32),
    NvidiaSmi,
}

#[derive(Debug, Default)]
struct Read {
    mapping: Mapping,
    /// Position of the source that answered.
    source: Option<usize>,
    at: Option<Instant>,
}

/// The translator of one launcher.
#[derive(Debug)]
pub(crate) struct Translator {
    sources: Vec<Source>,
    read: Mutex<Read>,
}

impl Translator {
    /// `env` looks a variable up.
    pub(crate) fn new(mock: bool, mock_count: u32, env: impl Fn(&str) -> Option<String>) -> Self {
        let env = |name| env(name).filter(|v| !v.is_empty());
        let mut sources = Vec::new();
        if mock && let (Some(node), Some(namespace)) = (env("NODE_NAME"), env("NAMESPACE")) {
            sources.push(Source::ConfigMap { namespace, node });
        }
        if let Some(socket) = env(dormouse_names::env::DEVICES) {
            sources.push(Source::Ledger { socket });
        }
        sources.push(if mock { Source::MadeUp(mock_count) } else { Source::NvidiaSmi });
        Self { sources, read: Mutex::default() }
    }

    /// Reads the mapping for the first time, so that no creation has to.
    pub(crate) async fn warm(&self) {
        let mut read = self.read.lock().await;
        if read.at.is_none() {
            self.refresh(&mut read).await;
        }
    }

    /// The indexes of `uuids`, in their order.
    pub(crate) async fn translate(&self, uuids: &[String]) -> Result<Vec<u32>, Unknown> {
        let mut read = self.read.lock().await;
        let first_try = read.mapping.translate(uuids);
        if first_try.is_ok() && read.source == Some(0) {
            return first_try;
        }
        if read.at.is_none_or(|at| at.elapsed() >= REFRESH) {
            self.refresh(&mut read).await;
        }
        read.mapping.translate(uuids)
    }

    async fn refresh(&self, read: &mut Read) {
        read.at = Some(Instant::now());
        for (position, source) in self.sources.iter().enumerate() {
            let answer = match tokio::time::timeout(READ_TIMEOUT, source.read()).await {
                Ok(answer) => answer,
                Err(_) => Err("no answer in time".to_owned()),
            };
            match answer {
                Ok(mapping) => {
                    if read.source != Some(position) || read.mapping != mapping {
                        tracing::info!(source = ?source, gpus = ?mapping.0, "GPU mapping");
                    }
                    *read = Read { mapping, source: Some(position), at: read.at };
                    return;
                }
                Err(error) => tracing::warn!(source = ?source, %error, "cannot read GPU mapping"),
            }
        }
        // What was known before stays: an unreachable source does not make GPUs vanish.
    }
}

impl Source {
    async fn read(&self) -> Result<Mapping, String> {
        match self {
            Self::ConfigMap { namespace, node } => {
                let client = dormouse_controller::Credentials::default().client().await.map_err(|e| e.to_string())?;
                let map = Api::<ConfigMap>::namespaced(client, namespace).get(names::GPU_MAP).await.map_err(|e| e.to_string())?;
                from_config_map(&map, node)
            }
            Self::Ledger { socket } => from_ledger(socket).await,
            Self::MadeUp(count) => Ok(Mapping::naive(*count)),
            Self::NvidiaSmi => from_csv(&nvidia_smi(&["--query-gpu=index,uuid", "--format=csv,noheader"]).await?),
        }
    }
}

/// What `nvidia-smi` prints; it ends when this is dropped.
pub(crate) async fn nvidia_smi(args: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new("nvidia-smi");
    command.args(args).kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = command.output().await.map_err(|e| format!("nvidia-smi: {e}"))?;
    if !output.status.success() {
        return Err(format!("nvidia-smi: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The GPUs of the node's device ledger that this container sees, in its order.
pub(crate) async fn ledger(socket: &str) -> Result<Vec<GpuSnapshot>, String> {
    let client = dormouse_devices::Client::connect(socket, Identity::of_this_process("launcher")).await.map_err(|e| e.to_string())?;
    let all = client.snapshot().await.map_err(|e| e.to_string())?.gpus;
    let node: Vec<_> = all.iter().map(|g| g.gpu.clone()).collect();
    let seen =
        visible(&node, std::env::var(dormouse_names::env::NVIDIA_VISIBLE_DEVICES).ok().as_deref(), None).map_err(|e| e.to_string())?;
    Ok(seen.iter().filter_map(|gpu| all.iter().find(|g| g.gpu == *gpu)).cloned().collect())
}

fn from_config_map(map: &ConfigMap, node: &str) -> Result<Mapping, String> {
    let name = names::GPU_MAP;
    let text = map.data.as_ref().and_then(|d| d.get(node)).ok_or_else(|| format!("ConfigMap {name} has no key {node:?}"))?;
    let pairs: BTreeMap<String, u32> =
        serde_json::from_str(text).map_err(|e| format!("key {node:?} of ConfigMap {name} is no JSON object of UUID to index: {e}"))?;
    if pairs.is_empty() {
        return Err(format!("key {node:?} of ConfigMap {name} names no GPU"));
    }
    Ok(Mapping::new(pairs.into_iter().collect()))
}

async fn from_ledger(socket: &str) -> Result<Mapping, String> {
    // An engine counts within what its container sees.
    Ok(Mapping(ledger(socket).await?.into_iter().map(|g| g.gpu.uuid).zip(0..).collect()))
}

/// Lines like `0, GPU-x`.
fn from_csv(text: &str) -> Result<Mapping, String> {
    let mut pairs = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let pair = line.split_once(',').and_then(|(i, u)| Some((u.trim().to_owned(), i.trim().parse().ok()?)));
        pairs.push(pair.filter(|(u, _)| !u.is_empty()).ok_or_else(|| format!("nvidia-smi printed {line:?}, not index and UUID"))?);
    }
    Ok(Mapping::new(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuids(list: &[&str]) -> Vec<String> {
        list.iter().map(|u| (*u).to_owned()).collect()
    }

    /// Row 56 of the launcher's table.
    #[test]
    fn made_up_gpus() {
        let m = Mapping::naive(8);
        assert_eq!(m.translate(&uuids(&["GPU-3", "GPU-0"])), Ok(vec![3, 0]));
        assert!(
            m.translate(&uuids(&["GPU-8"]))
                .unwrap_err()
                .to_string()
                .starts_with("GPU UUID 'GPU-8' not found. Available UUIDs: ['GPU-0', 'GPU-1',")
        );
        assert_eq!(m.uuid_of(3), Ok("GPU-3"));
        assert_eq!(m.uuid_of(9).unwrap_err().to_string(), "GPU index 9 not found. Available indices: [0, 1, 2, 3, 4, 5, 6, 7]");
    }

    #[test]
    fn maps_and_listings_are_read_strictly() {
        let map = |text: &str| ConfigMap { data: Some([("n.1".to_owned(), text.to_owned())].into()), ..ConfigMap::default() };
        let got = from_config_map(&map(r#"{"GPU-b":0,"GPU-a":1}"#), "n.1").unwrap();
        assert_eq!(got.0, [("GPU-b".to_owned(), 0), ("GPU-a".to_owned(), 1)]);
        for bad in ["{}", "[]", "{", r#"{"GPU-a":"0"}"#] {
            assert!(from_config_map(&map(bad), "n.1").is_err(), "{bad}");
        }
        assert!(from_config_map(&map("{}"), "other").unwrap_err().contains("no key"));
        assert_eq!(from_csv("1, GPU-x\n0, GPU-y\n").unwrap().0, [("GPU-y".to_owned(), 0), ("GPU-x".to_owned(), 1)]);
        assert!(from_csv("GPU-x\n").is_err() && from_csv("x, GPU\n").is_err());
    }

    #[test]
    fn sources_follow_flags_and_environment() {
        let env = |pairs: &'static [(&str, &str)]| move |n: &str| pairs.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).to_owned());
        let of = |mock, pairs| Translator::new(mock, 2, env(pairs)).sources;
        assert_eq!(of(true, &[]), [Source::MadeUp(2)]);
        assert_eq!(of(true, &[("NODE_NAME", "n"), ("NAMESPACE", "")]), [Source::MadeUp(2)]);
        let map = Source::ConfigMap { namespace: "s".into(), node: "n".into() };
        let ledger = Source::Ledger { socket: "@x".into() };
        let all: &[(&str, &str)] = &[("NODE_NAME", "n"), ("NAMESPACE", "s"), ("DORMOUSE_DEVICES", "@x")];
        assert_eq!(of(true, all), [map, ledger.clone(), Source::MadeUp(2)]);
        assert_eq!(of(false, all), [ledger, Source::NvidiaSmi]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_uuid_reads_the_mapping_again_but_not_often() {
        let t = Translator::new(true, 1, |_| None);
        assert_eq!(t.translate(&uuids(&["GPU-0"])).await, Ok(vec![0]));
        // As if the mapping had been read before GPU-0 was there.
        t.read.lock().await.mapping = Mapping::default();
        assert!(t.translate(&uuids(&["GPU-0"])).await.is_err(), "read a moment ago");
        tokio::time::advance(REFRESH).await;
        assert_eq!(t.translate(&uuids(&["GPU-0"])).await, Ok(vec![0]));
    }
}
