//! Starting the programs and talking to them.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

pub(crate) use dormouse_testing::{SOON, eventually, own_ip};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The program that holds all of this crate's programs.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_requester-under-test");
/// Ports of the contract; each program has an address of its own.
pub(crate) const PROBES: u16 = 8080;
pub(crate) const SPI: u16 = 8081;
pub(crate) const PROXY: u16 = 8082;

/// A running program.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) ip: Ipv4Addr,
    /// What it wrote to standard output so far.
    pub(crate) output: Arc<Mutex<Vec<u8>>>,
    /// And to standard error.
    pub(crate) errors: Arc<Mutex<String>>,
}

/// The command of a program with an address and none of this machine's GPU environment.
pub(crate) fn command(verb: &str, args: &[&str], ip: Ipv4Addr) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(verb).args(args).env("DORMOUSE_POD_IP", ip.to_string()).kill_on_drop(true);
    for name in
        ["NVIDIA_VISIBLE_DEVICES", "DORMOUSE_DEVICES", "PROBES_PORT", "SPI_PORT", "KUBECONFIG", "DORMOUSE_TERMINATION_GRACE_SECONDS"]
    {
        command.env_remove(name);
    }
    command
}

impl Program {
    /// Starts a requester or test server and waits until it says that it listens.
    pub(crate) async fn start(verb: &str, args: &[&str]) -> Self {
        let ip = own_ip();
        Self::start_command(command(verb, args, ip), ip).await
    }

    pub(crate) async fn start_command(mut command: Command, ip: Ipv4Addr) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, errors) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(String::new())));
        let (mut stdout, kept) = (child.stdout.take().unwrap(), Arc::clone(&output));
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut buffer).await {
                kept.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        let (mut stderr, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&errors));
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                println!("{line}");
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let program = Self { child, ip, output, errors };
        program.says("is listening").await;
        program
    }

    /// Waits until standard error holds that text.
    pub(crate) async fn says(&self, text: &str) {
        eventually(&format!("a line with {text:?}"), || self.errors.lock().unwrap().contains(text)).await;
    }

    pub(crate) fn url(&self, port: u16) -> String {
        format!("http://{}:{port}", self.ip)
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for the end; the exit status.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        timeout(SOON, self.child.wait()).await.expect("an end").unwrap().code()
    }
}

/// A client without connection reuse, so that a closed listener is seen at once.
pub(crate) fn client() -> reqwest::Client {
    dormouse_runtime::tls::install_provider();
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(SOON).build().unwrap()
}
