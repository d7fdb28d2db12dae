//! Which accelerators this Pod has.
//!
//! Asked in this order: the flag; a list of UUIDs in `NVIDIA_VISIBLE_DEVICES`; the flag's command; the node's device ledger
//! (`DORMOUSE_DEVICES`); `nvidia-smi`. While there is no answer the question is asked again every five seconds, and the
//! SPI says 500.

use std::process::Stdio;
use std::time::Duration;

use dormouse_devices::{Client, Identity, visible};
use dormouse_names::env as names;
use dormouse_runtime::CancellationToken;
use tokio::sync::watch;

const AGAIN: Duration = Duration::from_secs(5);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the answer comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Given: by flag, by environment, or by a test requester's own allocation.
    Fixed(Vec<String>),
    /// One UUID per line of output.
    Command(Vec<String>),
    /// The node's device ledger, as far as the variable lets this container see it.
    Ledger { socket: String, visible: Option<String> },
}

impl Source {
    /// Chooses by flags and environment.
    pub(crate) fn choose(given: Vec<String>, command: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Self {
        if !given.is_empty() {
            return Self::Fixed(given);
        }
        let visible = env(names::NVIDIA_VISIBLE_DEVICES);
        let listed: Vec<String> =
            visible.iter().flat_map(|v| v.split(',')).map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect();
        if !listed.is_empty() && listed.iter().all(|e| e.starts_with("GPU-") || e.starts_with("MIG-")) {
            return Self::Fixed(listed);
        }
        if matches!(listed.as_slice(), [one] if one == "none" || one == "void") {
            return Self::Fixed(Vec::new());
        }
        if let Some(command) = command {
            return Self::Command(command.split_whitespace().map(str::to_owned).collect());
        }
        match env(names::DEVICES).filter(|v| !v.is_empty()) {
            Some(socket) => Self::Ledger { socket, visible },
            None => Self::Command(["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"].map(str::to_owned).into()),
        }
    }

    async fn ask(&self) -> Result<Vec<String>, String> {
        match self {
            Self::Fixed(list) => Ok(list.clone()),
            Self::Command(argv) => {
                let text = output(argv).await?;
                Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect())
            }
            Self::Ledger { socket, visible: seen } => {
                let client = Client::connect(socket, Identity::of_this_process("requester")).await.map_err(|e| e.to_string())?;
                let node: Vec<_> = client.snapshot().await.map_err(|e| e.to_string())?.gpus.into_iter().map(|g| g.gpu).collect();
                let seen = visible(&node, seen.as_deref(), None).map_err(|e| e.to_string())?;
                Ok(seen.into_iter().map(|g| g.uuid).collect())
            }
        }
    }

    /// Asks until there is an answer that is not empty.
    pub(crate) async fn discover(self, found: watch::Sender<Vec<String>>, end: CancellationToken) {
        let mut told = None;
        loop {
            match self.ask().await {
                Ok(list) if !list.is_empty() => {
                    tracing::info!(gpuUUIDs = ?list, "Got GPU UUIDs");
                    found.send_replace(list);
                    return;
                }
                answer => {
                    // The same trouble every five seconds is no news.
                    let trouble = answer.err().unwrap_or_else(|| "no accelerators".to_owned());
                    if told.as_ref() != Some(&trouble) {
                        tracing::error!(error = %trouble, "Failed to get GPU UUIDs; trying again");
                    }
                    told = Some(trouble);
                }
            }
            if matches!(self, Self::Fixed(_)) {
                return;
            }
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

/// Standard output of a command that succeeds in time.
pub(crate) async fn output(argv: &[String]) -> Result<String, String> {
    let (program, args) = argv.split_first().ok_or("the command is empty")?;
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_TIMEOUT, command.output()).await;
    let output = output.map_err(|_| format!("{program}: no answer in time"))?.map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(given: &[&str], command: Option<&str>, env: &[(&str, &str)]) -> Source {
        let given = given.iter().map(|s| (*s).to_owned()).collect();
        Source::choose(given, command, |n| env.iter().find(|(k, _)| *k == n).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_order_of_sources() {
        let fixed = |l: &[&str]| Source::Fixed(l.iter().map(|s| (*s).to_owned()).collect());
        let ledger = ("DORMOUSE_DEVICES", "@d");
        assert_eq!(choose(&["x"], Some("y"), &[("NVIDIA_VISIBLE_DEVICES", "GPU-1"), ledger]), fixed(&["x"]));
        assert_eq!(choose(&[], None, &[("NVIDIA_VISIBLE_DEVICES", "GPU-1, MIG-2"), ledger]), fixed(&["GPU-1", "MIG-2"]));
        assert_eq!(choose(&[], None, &[("NVIDIA_VISIBLE_DEVICES", "void"), ledger]), fixed(&[]));
        assert_eq!(choose(&[], Some("a b"), &[("NVIDIA_VISIBLE_DEVICES", "all")]), Source::Command(vec!["a".into(), "b".into()]));
        let indexes = Source::Ledger { socket: "@d".into(), visible: Some("0,1".into()) };
        assert_eq!(choose(&[], None, &[("NVIDIA_VISIBLE_DEVICES", "0,1"), ledger]), indexes);
        assert!(matches!(choose(&[], None, &[]), Source::Command(c) if c[0] == "nvidia-smi"));
    }

    #[tokio::test]
    async fn commands_print_a_uuid_per_line() {
        let source = Source::Command(vec!["printf".into(), "GPU-b\\n GPU-a \\n\\n".into()]);
        let (tell, mut found) = watch::channel(Vec::new());
        source.discover(tell, CancellationToken::new()).await;
        assert_eq!(*found.borrow_and_update(), ["GPU-b", "GPU-a"]);
        assert!(output(&["false".into()]).await.unwrap_err().starts_with("false: "));
        assert!(output(&["no-such-program-anywhere".into()]).await.is_err());
        assert!(output(&[]).await.is_err());
    }
}
