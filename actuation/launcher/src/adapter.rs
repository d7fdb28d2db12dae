//! What differs from engine to engine when an instance is started. PURE.
//!
//! An adapter is data: the command that serves, and the names of the flags for host and port. `options` are split on
//! runs of white space, without quotes or escapes, as the peer does it.

use std::net::IpAddr;

use dormouse_runtime::net::{host_to_tell, option_value};

/// One engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Adapter {
    pub(crate) name: &'static str,
    command: &'static [&'static str],
    host_flag: &'static str,
    port_flag: &'static str,
    default_port: u16,
}

const ADAPTERS: [Adapter; 4] = [
    Adapter { name: "vllm", command: &["vllm", "serve"], host_flag: "--host", port_flag: "--port", default_port: 8000 },
    Adapter {
        name: "sglang",
        command: &["python3", "-m", "sglang.launch_server"],
        host_flag: "--host",
        port_flag: "--port",
        default_port: 30000,
    },
    Adapter { name: "llamacpp", command: &["llama-server"], host_flag: "--host", port_flag: "--port", default_port: 8080 },
    Adapter { name: "trtllm", command: &["trtllm-serve"], host_flag: "--host", port_flag: "--port", default_port: 8000 },
];

/// An engine nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no engine adapter {name:?} (there are {})", ADAPTERS.map(|a| a.name).join(", "))]
pub(crate) struct UnknownAdapter {
    name: String,
}

/// The adapter of that name.
pub(crate) fn by_name(name: &str) -> Result<Adapter, UnknownAdapter> {
    ADAPTERS.into_iter().find(|a| a.name == name).ok_or_else(|| UnknownAdapter { name: name.to_owned() })
}

/// A command line and what can be told from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) argv: Vec<String>,
    /// Where the engine will listen, if it can be told.
    pub(crate) port: Option<u16>,
    pub(crate) host: String,
}

impl Adapter {
    /// The command line for `options`. `command` replaces the adapter's own; with `pod_ip` the engine is told to listen
    /// there unless the options name another address than a wildcard or loopback one.
    pub(crate) fn command_line(&self, command: Option<&str>, options: &str, pod_ip: Option<IpAddr>) -> CommandLine {
        let mut argv: Vec<String> = match command {
            Some(command) => command.split_whitespace().map(str::to_owned).collect(),
            None => self.command.iter().map(|s| (*s).to_owned()).collect(),
        };
        let first_option = argv.len();
        argv.extend(options.split_whitespace().map(str::to_owned));
        let port = match option_value(&argv[first_option..], self.port_flag) {
            Some(text) => text.parse().ok().filter(|p| *p != 0),
            None => Some(self.default_port),
        };
        let asked = option_value(&argv[first_option..], self.host_flag).map(str::to_owned);
        let host = host_to_tell(&argv[first_option..], self.host_flag, pod_ip);
        if let Some(host) = &host {
            argv.extend([self.host_flag.to_owned(), host.clone()]);
        }
        CommandLine { argv, port, host: host.or(asked).unwrap_or_else(|| "0.0.0.0".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(options: &str, ip: Option<&str>) -> CommandLine {
        by_name("vllm").unwrap().command_line(None, options, ip.map(|ip| ip.parse().unwrap()))
    }

    #[test]
    fn options_are_split_on_blanks_only() {
        assert_eq!(line("  --model \"a b\"\t--port   8005 ", None).argv, ["vllm", "serve", "--model", "\"a", "b\"", "--port", "8005"]);
        let own = by_name("vllm").unwrap().command_line(Some("x y"), "--port 1", None);
        assert_eq!(own.argv, ["x", "y", "--port", "1"]);
    }

    #[test]
    fn ports_in_both_forms() {
        for (options, port) in [
            ("--port 8005", Some(8005)),
            ("--port=8006", Some(8006)),
            ("--port 1 --port=2", Some(2)),
            ("--model m", Some(8000)),
            ("--port x", None),
            ("--port 70000", None),
            ("--port", Some(8000)),
        ] {
            assert_eq!(line(options, None).port, port, "{options}");
        }
    }

    #[test]
    fn the_host_is_the_pods_own_on_the_embedded_plane_only() {
        assert_eq!(line("--port 1", None).argv.len(), 4);
        let l = line("--port 1", Some("127.16.1.7"));
        assert_eq!((l.argv[4].as_str(), l.argv[5].as_str(), l.host.as_str()), ("--host", "127.16.1.7", "127.16.1.7"));
        assert_eq!(line("--host 0.0.0.0", Some("127.16.1.7")).argv.last().unwrap(), "127.16.1.7");
        let l = line("--host=10.0.0.9", Some("127.16.1.7"));
        assert_eq!((l.argv.len(), l.host.as_str()), (3, "10.0.0.9"));
        assert!(by_name("nope").unwrap_err().to_string().contains("sglang"));
    }
}
