//! Addresses of Pods that are processes.
//!
//! On the embedded plane all Pods share the host's network; each has an address of 127.0.0.0/8 of its
//! own in `DORMOUSE_POD_IP`. Our programs bind to that address where a manifest says "everywhere" or
//! "here", so that many Pods can use one port. On a cluster the variable is absent and nothing changes.

use std::borrow::Cow;
use std::net::IpAddr;

/// This Pod's address on the embedded plane, if we run on one.
#[must_use]
pub fn pod_ip() -> Option<IpAddr> {
    std::env::var(dormouse_names::env::POD_IP).ok()?.parse().ok()
}

fn means_here(host: &str) -> bool {
    matches!(host, "0.0.0.0" | "::" | "[::]" | "127.0.0.1" | "::1" | "[::1]" | "localhost" | "")
}

/// The host to bind or to call: wildcard and loopback names become the Pod's own address when there is one.
#[must_use]
pub fn map_host(host: &str) -> String {
    map_host_to(host, pod_ip()).into_owned()
}

fn map_host_to(host: &str, ip: Option<IpAddr>) -> Cow<'_, str> {
    match ip {
        Some(ip) if means_here(host) => Cow::Owned(ip.to_string()),
        _ if host.is_empty() => Cow::Borrowed("0.0.0.0"),
        _ => Cow::Borrowed(host),
    }
}

/// The host that a program is to be told by `option` after its own arguments, so that it listens at the Pod's address: where
/// they name none, or mean everywhere or here. The last of several counts, in every engine's parser.
#[must_use]
pub fn host_to_tell(args: &[String], option: &str, ip: Option<IpAddr>) -> Option<String> {
    match (option_value(args, option), ip?) {
        (Some(host), _) if !means_here(host) => None,
        (_, ip) => Some(ip.to_string()),
    }
}

/// The value of `--option value` or `--option=value`, the last one.
#[must_use]
pub fn option_value<'a>(args: &'a [String], option: &str) -> Option<&'a str> {
    let mut found = None;
    for (i, arg) in args.iter().enumerate() {
        if arg == option {
            found = args.get(i + 1).map(String::as_str).or(found);
        } else if let Some(value) = arg.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value);
        }
    }
    found
}

/// The base URL to call: a wildcard or loopback host in it becomes the Pod's own address when there is one.
#[must_use]
pub fn map_url(url: &str) -> String {
    map_url_to(url, pod_ip())
}

fn map_url_to(url: &str, ip: Option<IpAddr>) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return url.to_owned() };
    if let (Some(ip), Some(host)) = (ip, parsed.host_str())
        && means_here(host)
        && parsed.set_ip_host(ip).is_ok()
    {
        let text = parsed.to_string();
        // A URL without a path prints a slash that the caller did not write.
        return if url.ends_with('/') { text } else { text.trim_end_matches('/').to_owned() };
    }
    url.to_owned()
}

/// `host:port` with brackets where IPv6 needs them.
#[must_use]
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// `http://host:port`, with brackets where IPv6 needs them.
#[must_use]
pub fn base_url(host: &str, port: u16) -> String {
    format!("http://{}", authority(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_the_pods_address_unless_it_names_another() {
        let ip: Option<IpAddr> = "127.16.1.7".parse().ok();
        let tell = |line: &str| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            host_to_tell(&args, "--host", ip)
        };
        for line in ["", "--port 1", "--host 0.0.0.0", "--host=localhost", "--hosts x", "--host 10.0.0.1 --host ::"] {
            assert_eq!(tell(line).as_deref(), Some("127.16.1.7"), "{line}");
        }
        assert_eq!((tell("--host 10.0.0.1"), tell("--host=127.0.0.2 --port 1")), (None, None));
        assert_eq!(host_to_tell(&[], "--host", None), None);
    }

    #[test]
    fn only_names_for_here_are_mapped_and_only_in_a_pod() {
        let ip: Option<IpAddr> = "127.16.1.7".parse().ok();
        for here in ["0.0.0.0", "::", "localhost", "127.0.0.1", ""] {
            assert_eq!(map_host_to(here, ip), "127.16.1.7");
        }
        assert_eq!(map_host_to("10.0.0.1", ip), "10.0.0.1");
        assert_eq!(map_host_to("localhost", None), "localhost");
        assert_eq!(map_url_to("http://127.0.0.1:8001", ip), "http://127.16.1.7:8001");
        assert_eq!(map_url_to("http://localhost:8001/x/", ip), "http://127.16.1.7:8001/x/");
        assert_eq!(map_url_to("http://example.com:1", ip), "http://example.com:1");
        assert_eq!(authority("::1", 80), "[::1]:80");
        assert_eq!(base_url("fd00::7", 8000), "http://[fd00::7]:8000");
    }
}
