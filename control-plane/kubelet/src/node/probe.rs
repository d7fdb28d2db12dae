//! Running one probe, or the same kinds of call for a hook: HTTP, TCP, a command.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::context::Node;
use super::start::ExecBase;
use crate::shim::Shim;

/// What of an answer or a command's output goes into an event.
const TEXT: usize = 10 << 10;

/// Where a probe runs.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) node: &'a Node,
    pub(super) shim: &'a Shim,
    pub(super) exec: &'a ExecBase,
    pub(super) container: &'a Container,
    pub(super) ip: &'a str,
}

/// Runs a probe within `timeout`.
///
/// # Errors
/// The text for the event.
pub(super) async fn run(probe: &Probe, target: Target<'_>, timeout: Duration) -> Result<(), String> {
    if let Some(action) = &probe.exec {
        exec(action, target, timeout).await
    } else if let Some(action) = &probe.http_get {
        http_get(action, target, timeout).await
    } else if let Some(action) = &probe.tcp_socket {
        tcp(action, target, timeout).await
    } else if probe.grpc.is_some() {
        Err("gRPC probes are not supported by this kubelet yet".to_owned())
    } else {
        Err("the probe has no handler".to_owned())
    }
}

/// A port by number or by the name of one of the container's.
fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(n) => Some(*n),
        IntOrString::String(s) => match s.parse() {
            Ok(n) => Some(n),
            Err(_) => {
                let ports = container.ports.iter().flatten();
                ports.clone().find(|p| p.name.as_deref() == Some(s)).map(|p| p.container_port)
            }
        },
    };
    number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| format!("couldn't find port: {port:?}"))
}

/// A GET; 200 to 399 is success.
pub(super) async fn http_get(action: &HTTPGetAction, target: Target<'_>, timeout: Duration) -> Result<(), String> {
    let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(target.ip);
    let port = port(&action.port, target.container)?;
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let path = action.path.as_deref().filter(|p| !p.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{}{slash}{path}", dormouse_runtime::net::authority(host, port));
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe/1.37"));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    for h in action.http_headers.iter().flatten() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(h.name.as_str()), HeaderValue::try_from(h.value.as_str())) {
            headers.insert(name, value);
        }
    }
    let client = target.node.http().await.ok_or("no HTTP client")?;
    let failed = |e: reqwest::Error| {
        if e.is_timeout() {
            return format!("Get {url:?}: context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
        }
        let mut cause: &dyn std::error::Error = &e;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        format!("Get {url:?}: {cause}")
    };
    let answer = client.get(&url).headers(headers).timeout(timeout).send().await.map_err(failed)?;
    let code = answer.status().as_u16();
    if (200..400).contains(&code) { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {code}")) }
}

/// A connection.
async fn tcp(action: &TCPSocketAction, target: Target<'_>, timeout: Duration) -> Result<(), String> {
    let host = action.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(target.ip);
    let address = dormouse_runtime::net::authority(host, port(&action.port, target.container)?);
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(format!("dial tcp {address}: connect: {e}")),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

/// A command in the container; exit code 0 is success.
pub(super) async fn exec(action: &ExecAction, target: Target<'_>, timeout: Duration) -> Result<(), String> {
    let command = action.command.clone().unwrap_or_default();
    let spec = target.exec.spec(&command)?;
    let work = async {
        let run = target.shim.run(&spec).await.map_err(|e| e.to_string())?;
        let (mut reports, _control, stdout, stderr) = run.split();
        reports.started().await?;
        let (out, err) = tokio::join!(head(stdout), head(stderr));
        match reports.exited().await {
            Some((0, _)) => Ok(()),
            Some((code, _)) => {
                let text = [out, err].concat();
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                Err(if text.is_empty() { format!("command {} exited with {code}", command.join(" ")) } else { text })
            }
            None => Err("the command was killed".to_owned()),
        }
    };
    // What is dropped here on time-out kills the command.
    match tokio::time::timeout(timeout, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("command timed out: {:?} timed out after {}s", command.join(" "), timeout.as_secs())),
    }
}

/// The beginning of what comes; the rest is read and dropped, so that the writer is not held up.
async fn head(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        let room = TEXT.saturating_sub(kept.len()).min(n);
        kept.extend_from_slice(&chunk[..room]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_number_and_name() {
        let c: Container =
            serde_json::from_value(serde_json::json!({"name": "c", "ports": [{"name": "probes", "containerPort": 8080}]})).unwrap();
        assert_eq!(port(&IntOrString::Int(80), &c), Ok(80));
        assert_eq!(port(&IntOrString::String("81".into()), &c), Ok(81));
        assert_eq!(port(&IntOrString::String("probes".into()), &c), Ok(8080));
        assert!(port(&IntOrString::String("nope".into()), &c).is_err());
        assert!(port(&IntOrString::Int(0), &c).is_err() && port(&IntOrString::Int(70000), &c).is_err());
    }
}
