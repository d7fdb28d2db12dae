//! How much memory of the Pod's accelerators is in use.
//!
//! The node's device ledger tells where there is one; elsewhere `nvidia-smi`, which speaks MiB. Answers are kept for 200 ms.
//! An accelerator whose use cannot be told is left out and named; only when none can be told it is an error.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_devices::{Client, Identity};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::accelerators::output;

const FRESH: Duration = Duration::from_millis(200);
const MIB: u64 = 1 << 20;

/// Bytes in use by UUID, and what could not be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: BTreeMap<String, u64>,
    pub(crate) problems: Vec<String>,
}

impl Usage {
    /// The body: MiB, keys sorted, no line end (launcher 4.6).
    pub(crate) fn body(&self, in_bytes: bool) -> String {
        let unit = if in_bytes { 1 } else { MIB };
        let shown: BTreeMap<&str, u64> = self.bytes.iter().map(|(k, v)| (k.as_str(), v / unit)).collect();
        serde_json::to_string(&shown).unwrap_or_else(|_| "{}".to_owned())
    }
}

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Memory {
    ledger: Option<String>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    usage: Option<(Instant, Usage)>,
    client: Option<Client>,
}

impl Memory {
    /// `ledger` is the socket of the node's device ledger, if there is one.
    pub(crate) fn new(ledger: Option<String>) -> Self {
        Self { ledger, kept: Mutex::default() }
    }

    /// The use of `mine` (of everything visible, when that is empty).
    pub(crate) async fn usage(&self, mine: &[String]) -> Usage {
        let mut kept = self.kept.lock().await;
        if let Some((at, usage)) = &kept.usage
            && at.elapsed() < FRESH
        {
            return usage.clone();
        }
        let usage = match &self.ledger {
            Some(socket) => from_ledger(socket, &mut kept.client, mine).await,
            None => {
                let argv = ["nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits"].map(str::to_owned);
                output(&argv).await.map(|text| parse(&text))
            }
        };
        let usage = usage.unwrap_or_else(|problem| Usage { problems: vec![problem], ..Usage::default() });
        kept.usage = Some((Instant::now(), usage.clone()));
        usage
    }
}

async fn from_ledger(socket: &str, client: &mut Option<Client>, mine: &[String]) -> Result<Usage, String> {
    let connected = match client.take() {
        Some(connected) => connected,
        None => Client::connect(socket, Identity::of_this_process("requester")).await.map_err(|e| e.to_string())?,
    };
    // On failure the connection is not kept: the next request makes a new one.
    let snapshot = connected.snapshot().await.map_err(|e| e.to_string())?;
    *client = Some(connected);
    let bytes = snapshot.gpus.into_iter().filter(|g| mine.is_empty() || mine.contains(&g.gpu.uuid)).map(|g| (g.gpu.uuid, g.used_bytes));
    let bytes: BTreeMap<String, u64> = bytes.collect();
    let problems = mine.iter().filter(|u| !bytes.contains_key(*u)).map(|u| format!("no accelerator {u} in the node's device ledger"));
    Ok(Usage { problems: problems.collect(), bytes })
}

/// Lines like `GPU-a, 1234`.
fn parse(text: &str) -> Usage {
    let mut usage = Usage::default();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        match fields.as_slice() {
            [uuid, used] => match used.parse::<u64>().ok().and_then(|mib| mib.checked_mul(MIB)) {
                Some(bytes) => {
                    usage.bytes.insert((*uuid).to_owned(), bytes);
                }
                None => usage.problems.push(format!("failed to parse int {used:?} on line {line:?}: it is no number")),
            },
            _ => usage.problems.push(format!("got line {line:?} with wrong number of data")),
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 16 of the requester's table.
    #[test]
    fn one_bad_line_does_not_spoil_the_rest() {
        let usage = parse("GPU-b, 10\nGPU-a, [N/A]\n");
        assert_eq!(usage.body(false), r#"{"GPU-b":10}"#);
        assert_eq!(usage.body(true), r#"{"GPU-b":10485760}"#);
        assert_eq!(usage.problems, [r#"failed to parse int "[N/A]" on line "GPU-a, [N/A]": it is no number"#]);
        assert_eq!(parse("x\n").problems, [r#"got line "x" with wrong number of data"#]);
        assert_eq!(parse("GPU-b, 2\nGPU-a, 1\n").body(false), r#"{"GPU-a":1,"GPU-b":2}"#);
    }
}
