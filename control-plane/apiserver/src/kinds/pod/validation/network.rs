//! Names and addresses of a Pod, and ports of its node.

use std::net::IpAddr;

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;
use serde_json::Value;

use super::Pod;
use crate::kinds::values::{At, int, invalid, is_true, list, map, maps, text, texts};
use crate::registry::Object;

/// What the C library of Linux keeps of `resolv.conf`.
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH_LIST: usize = 2048;
/// Names that Linux gives to a machine.
const LONGEST_HOST_NAME: usize = 64;

/// Any form of an address.
fn address(text: &str) -> Vec<String> {
    let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    text.parse::<IpAddr>().is_err().then(|| why.to_owned()).into_iter().collect()
}

/// A DNS name whose labels may have underscores, as the names of services have.
fn search(name: &str) -> Vec<String> {
    let is_label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        let is_end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        inner && is_end(label.bytes().next()) && is_end(label.bytes().last())
    };
    let mut out = Vec::new();
    if name.len() > names::SUBDOMAIN_MAX {
        out.push(format!("must be no more than {} characters", names::SUBDOMAIN_MAX));
    }
    if !name.split('.').all(is_label) {
        out.push("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')".to_owned());
    }
    out
}

/// Where names are looked up: <https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-dns-config>
pub(super) fn dns(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let own = text(spec, "dnsPolicy") == "None";
    let Some(config) = map(spec, "dnsConfig") else {
        if own {
            problems.push(FieldError::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        return;
    };
    let (servers, searches) = (list(config, "nameservers"), list(config, "searches"));
    if own && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        problems.push(FieldError::required(path.child("nameservers"), why));
        return;
    }
    let mut too_much = |field: &str, is: bool, why: String| {
        if is {
            problems.push(FieldError::invalid(path.child(field), config.get(field).cloned().unwrap_or(Value::Null), why));
        }
    };
    too_much("nameservers", servers.len() > MOST_SERVERS, format!("must not have more than {MOST_SERVERS} nameservers"));
    let length: usize = texts(config, "searches").map(|s| s.len() + 1).sum();
    too_much("searches", searches.len() > MOST_SEARCHES, format!("must not have more than {MOST_SEARCHES} search paths"));
    let why = format!("must not have more than {LONGEST_SEARCH_LIST} characters (including spaces) in the search list");
    too_much("searches", length > LONGEST_SEARCH_LIST + 1, why);
    for (i, server) in texts(config, "nameservers").enumerate() {
        invalid(server, address, &path.element("nameservers", i), problems);
    }
    for (i, name) in texts(config, "searches").enumerate().filter(|(_, name)| *name != ".") {
        invalid(name.strip_suffix('.').unwrap_or(name), search, &path.element("searches", i), problems);
    }
    for (i, _) in maps(config, "options").enumerate().filter(|(_, option)| text(option, "name").is_empty()) {
        problems.push(FieldError::required(path.element("options", i), "must not be empty"));
    }
}

/// Lines of `/etc/hosts`: <https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/>
pub(super) fn host_aliases(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    for (i, alias) in maps(spec, "hostAliases").enumerate() {
        let path = path.element("hostAliases", i);
        invalid(text(alias, "ip"), address, &path.child("ip"), problems);
        for (k, name) in texts(alias, "hostnames").enumerate() {
            invalid(name, names::dns1123_subdomain, &path.element("hostnames", k), problems);
        }
    }
}

/// A name that programs see instead of the Pod's:
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-hostname/>
pub(super) fn host_name(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let Some(name) = spec.get("hostnameOverride").and_then(Value::as_str) else { return };
    if is_true(spec, "setHostnameAsFQDN") {
        problems.push(FieldError::forbidden(path, "may not be specified when setHostnameAsFQDN is true"));
    }
    if is_true(spec, "hostNetwork") {
        problems.push(FieldError::forbidden(path, "may not be specified when hostNetwork is true"));
    }
    if name.len() > LONGEST_HOST_NAME {
        problems.push(FieldError::too_long(path, LONGEST_HOST_NAME));
    }
    invalid(name, names::dns1123_subdomain, path, problems);
}

/// In the network of the node a port is the node's. A template may leave that to the default of its Pods.
pub(super) fn host_ports(pod: &Pod<'_>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if !is_true(pod.spec, "hostNetwork") {
        return;
    }
    for (i, container) in maps(pod.spec, "containers").enumerate() {
        let path = path.element("containers", i);
        for (k, port) in maps(container, "ports").enumerate() {
            let number = |field: &str| int(port, field).unwrap_or(0);
            let (host, own) = (number("hostPort"), number("containerPort"));
            if host != own && (pod.is_pod || host != 0) {
                let why = "must match `containerPort` when `hostNetwork` is true";
                problems.push(FieldError::invalid(path.element("ports", k).child("hostPort"), host, why));
            }
        }
    }
}
