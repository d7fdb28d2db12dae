//! The unmodified `kubectl` against the server over HTTPS.
//!
//! `${KUBECTL:-kubectl}` is used when it runs; otherwise these tests say SKIPPED and prove nothing.

mod authorization;
mod custom;
mod reading;
mod writing;

use std::process::Stdio;
use std::time::Duration;

use dormouse_runtime::output::error_line;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::plane::Plane;

/// A plane and a `kubectl` with a home of its own.
pub(crate) struct Kubectl {
    pub(crate) plane: Plane,
    program: String,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Kubectl {
    /// `None`, loudly, where there is no `kubectl`.
    pub(crate) async fn start() -> Option<Self> {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let version = Command::new(&program).args(["version", "--client"]).stdin(Stdio::null()).output().await;
        match version {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                error_line(&format!("kubectl is {program}: {}", text.lines().next().unwrap_or_default()));
            }
            other => {
                // Past what the test harness keeps to itself.
                error_line(&format!("SKIPPED: {program} does not run ({other:?}); set KUBECTL to a kubectl"));
                return None;
            }
        }
        Some(Self { plane: Plane::start().await, program })
    }

    /// Runs a command line (split at spaces).
    pub(crate) async fn run(&self, line: &str) -> Said {
        self.args(&line.split(' ').collect::<Vec<_>>(), "").await
    }

    /// Runs a command that must succeed and gives what it printed.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert!(said.ok, "kubectl {line}\n{}{}", said.out, said.err);
        said.out
    }

    /// Runs a command that must fail and gives its error text.
    pub(crate) async fn fails(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert!(!said.ok, "kubectl {line} should fail\n{}", said.out);
        said.err
    }

    /// Applies or creates a manifest from its text.
    pub(crate) async fn feed(&self, line: &str, manifest: &str) -> Said {
        self.args(&line.split(' ').collect::<Vec<_>>(), manifest).await
    }

    pub(crate) async fn args(&self, args: &[&str], input: &str) -> Said {
        let folder = self.plane.folder.path();
        let mut child = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", folder.join("kubeconfig"))
            .env("HOME", folder)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("kubectl {args:?} hangs")).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The rows of a printed table as words.
pub(crate) fn table(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).map(str::to_owned).collect()).collect()
}
