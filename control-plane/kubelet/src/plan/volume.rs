//! What a Pod's volumes hold. Pure: contents come in, files come out.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use dormouse_machinery::go;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, Pod, SecretProjection,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::env::{References, Sources};
use super::fields::{self, FieldFacts};

/// Where programs expect the files of their service account; the API server's admission adds the volume.
pub const SERVICE_ACCOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// ConfigMap with the certificate of the API server, made in every namespace by a cluster.
pub const ROOT_CA: &str = "kube-root-ca.crt";

/// A file of a volume, relative to its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative path without `..`.
    pub path: String,
    /// Contents.
    pub bytes: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Where a volume's contents come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A new, empty folder.
    Empty,
    /// Files written by the kubelet; containers see them read-only.
    Files(Vec<File>),
    /// A path of the host.
    Host {
        /// The path.
        path: String,
        /// `hostPath.type`, empty for "no check".
        kind: String,
    },
}

/// A volume to set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePlan {
    /// Its name in the Pod.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

/// A service-account token a volume wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenWish {
    /// Audience; `None` for the API server's own.
    pub audience: Option<String>,
    /// Life time in seconds.
    pub expiration_seconds: i64,
}

/// Why a volume cannot be set up. Shown in `FailedMount` behind `MountVolume.SetUp failed for volume "x" : `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {why}")]
pub struct VolumeError {
    /// The volume.
    pub volume: String,
    /// What is wrong.
    pub why: String,
}

/// What the Pod's volumes read from the API.
#[must_use]
pub fn references(pod: &Pod) -> References {
    let mut refs = References::default();
    for volume in volumes(pod) {
        refs.config_maps.extend(volume.config_map.iter().map(|c| c.name.clone()));
        refs.secrets.extend(volume.secret.iter().filter_map(|s| s.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            refs.config_maps.extend(source.config_map.iter().map(|c| c.name.clone()));
            refs.secrets.extend(source.secret.iter().map(|s| s.name.clone()));
        }
    }
    refs
}

/// What of `refs` is not among `known`.
#[must_use]
pub fn without(mut refs: References, known: &Sources) -> References {
    refs.config_maps.retain(|name| !known.config_maps.contains_key(name));
    refs.secrets.retain(|name| !known.secrets.contains_key(name));
    refs
}

/// Whether the Pod's volumes show what its own object may change: labels and annotations.
#[must_use]
pub fn shows_metadata(pod: &Pod) -> bool {
    let projected = volumes(pod).flat_map(|v| v.projected.iter()).flat_map(|p| p.sources.iter().flatten());
    let projected = projected.filter_map(|s| s.downward_api.as_ref()).flat_map(|d| d.items.iter().flatten());
    let items = volumes(pod).filter_map(|v| v.downward_api.as_ref()).flat_map(|d| d.items.iter().flatten()).chain(projected);
    let mut paths = items.filter_map(|i| i.field_ref.as_ref()).map(|f| f.field_path.as_str());
    paths.any(|path| path.starts_with("metadata.labels") || path.starts_with("metadata.annotations"))
}

/// The tokens the Pod's volumes want.
#[must_use]
pub fn token_wishes(pod: &Pod) -> Vec<TokenWish> {
    let mut wishes: Vec<TokenWish> = volumes(pod)
        .flat_map(|v| v.projected.iter())
        .flat_map(|p| p.sources.iter().flatten())
        .filter_map(|s| s.service_account_token.as_ref())
        .map(wish)
        .collect();
    wishes.sort();
    wishes.dedup();
    wishes
}

fn wish(token: &ServiceAccountTokenProjection) -> TokenWish {
    TokenWish {
        audience: token.audience.clone().filter(|a| !a.is_empty()),
        expiration_seconds: token.expiration_seconds.unwrap_or(3600).clamp(600, 1 << 32),
    }
}

pub(super) fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|s| s.volumes.iter().flatten())
}

/// Everything a volume may be made of.
#[derive(Clone, Copy, Debug)]
pub struct Ingredients<'a> {
    /// ConfigMaps and Secrets, as far as they exist.
    pub sources: &'a Sources,
    /// Tokens that were requested.
    pub tokens: &'a BTreeMap<TokenWish, String>,
    /// Facts of the downward API.
    pub facts: &'a FieldFacts,
    /// Certificate of the API server, used where the namespace has no `kube-root-ca.crt`.
    pub ca_pem: Option<&'a str>,
}

/// The Pod's volumes.
///
/// # Errors
/// The first volume that cannot be made, and why.
pub fn plan(pod: &Pod, with: Ingredients<'_>) -> Result<Vec<VolumePlan>, VolumeError> {
    each(pod, with).collect()
}

/// The Pod's volumes one by one: what one of them lacks does not concern the others.
pub fn each<'a>(pod: &'a Pod, with: Ingredients<'a>) -> impl Iterator<Item = Result<VolumePlan, VolumeError>> + 'a {
    volumes(pod).map(move |volume| {
        content(pod, volume, with)
            .map(|content| VolumePlan { name: volume.name.clone(), content })
            .map_err(|why| VolumeError { volume: volume.name.clone(), why })
    })
}

fn content(pod: &Pod, volume: &Volume, with: Ingredients<'_>) -> Result<Content, String> {
    if volume.empty_dir.is_some() {
        return Ok(Content::Empty);
    }
    if let Some(host) = &volume.host_path {
        if has_dotdot(&host.path) {
            return Err(format!("invalid HostPath `{}`: must not contain '..'", host.path));
        }
        if !host.path.starts_with('/') {
            return Err(format!("invalid HostPath `{}`: must be an absolute path", host.path));
        }
        return Ok(Content::Host { path: host.path.clone(), kind: host.type_.clone().unwrap_or_default() });
    }
    // A volume of one source is a projected volume with one source.
    let (mode, parts) = if let Some(s) = &volume.config_map {
        let map = ConfigMapProjection { name: s.name.clone(), items: s.items.clone(), optional: s.optional };
        (s.default_mode, vec![VolumeProjection { config_map: Some(map), ..VolumeProjection::default() }])
    } else if let Some(s) = &volume.secret {
        let name = s.secret_name.clone().unwrap_or_default();
        let secret = SecretProjection { name, items: s.items.clone(), optional: s.optional };
        (s.default_mode, vec![VolumeProjection { secret: Some(secret), ..VolumeProjection::default() }])
    } else if let Some(s) = &volume.downward_api {
        let fields = DownwardAPIProjection { items: s.items.clone() };
        (s.default_mode, vec![VolumeProjection { downward_api: Some(fields), ..VolumeProjection::default() }])
    } else if let Some(s) = &volume.projected {
        (s.default_mode, s.sources.clone().unwrap_or_default())
    } else {
        return Err(
            "this kind of volume is not supported here (emptyDir, configMap, secret, projected, downwardAPI and hostPath are)".to_owned()
        );
    };
    let mut files = Vec::new();
    let project = |part| project(pod, part, mode.unwrap_or(0o644), with, &mut files).err();
    let mut problems: Vec<String> = parts.iter().filter_map(project).collect();
    match problems.len() {
        0 => Ok(Content::Files(files)),
        1 => Err(problems.remove(0)),
        _ => Err(format!("[{}]", problems.join(", "))),
    }
}

/// The files of one source.
fn project(pod: &Pod, part: &VolumeProjection, mode: i32, with: Ingredients<'_>, files: &mut Vec<File>) -> Result<(), String> {
    if let Some(s) = &part.config_map {
        let root_ca;
        let map = match (with.sources.config_maps.get(&s.name), with.ca_pem) {
            (None, Some(pem)) if s.name == ROOT_CA => {
                root_ca = ConfigMap { data: Some([("ca.crt".to_owned(), pem.to_owned())].into()), ..ConfigMap::default() };
                Some(&root_ca)
            }
            // Without HTTPS there is no certificate, and nothing that a client in a Pod could call.
            (None, None) if s.name == ROOT_CA => return Ok(()),
            (map, _) => map,
        };
        let data = map.map(|m| {
            let text = m.data.iter().flatten().map(|(k, v)| (k.as_str(), v.as_bytes()));
            let binary = m.binary_data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice()));
            text.chain(binary).collect()
        });
        keyed_files(
            ("configmap", "configmap references non-existent config key", &s.name),
            data,
            s.optional,
            s.items.as_deref(),
            mode,
            files,
        )
    } else if let Some(s) = &part.secret {
        let secret = with.sources.secrets.get(&s.name);
        let data = secret.map(|m| m.data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice())).collect());
        keyed_files(("secret", "references non-existent secret key", &s.name), data, s.optional, s.items.as_deref(), mode, files)
    } else if let Some(s) = &part.downward_api {
        downward_files(pod, s.items.as_deref().unwrap_or_default(), mode, with, files)
    } else if let Some(s) = &part.service_account_token {
        let token = with.tokens.get(&wish(s)).ok_or("failed to fetch token")?;
        push(files, &s.path, token.clone().into_bytes(), mode)
    } else {
        Err("this kind of projection is not supported here".to_owned())
    }
}

/// The files of an object with keys: all of them, or those that `items` name. First its kind, what is said of a key that is
/// missing, and its name; no `data`: it does not exist.
fn keyed_files(
    (kind, lacks, name): (&str, &str, &str),
    data: Option<BTreeMap<&str, &[u8]>>,
    optional: Option<bool>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    files: &mut Vec<File>,
) -> Result<(), String> {
    let optional = optional == Some(true);
    let data = match data {
        Some(data) => data,
        None if optional => return Ok(()),
        None => return Err(format!("{kind} {name:?} not found")),
    };
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        return data.into_iter().try_for_each(|(key, bytes)| push(files, key, bytes.to_vec(), mode));
    };
    for item in items {
        match data.get(item.key.as_str()) {
            Some(bytes) => push(files, &item.path, bytes.to_vec(), item.mode.unwrap_or(mode))?,
            None if optional => {}
            None => return Err(format!("{lacks}: {}", item.key)),
        }
    }
    Ok(())
}

fn downward_files(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    mode: i32,
    with: Ingredients<'_>,
    files: &mut Vec<File>,
) -> Result<(), String> {
    for item in items {
        let text = if let Some(r) = &item.field_ref {
            fields::field(pod, &r.field_path, with.facts)
        } else if let Some(r) = &item.resource_field_ref {
            fields::resource(pod, None, r, with.facts)
        } else {
            return Err(format!("item {:?} refers to nothing", item.path));
        };
        push(files, &item.path, text.map_err(|e| e.to_string())?.into_bytes(), item.mode.unwrap_or(mode))?;
    }
    Ok(())
}

fn push(files: &mut Vec<File>, path: &str, bytes: Vec<u8>, mode: i32) -> Result<(), String> {
    if path.is_empty() {
        return Err(format!("invalid path: must not be empty: {}", go::quote(path)));
    } else if path.starts_with('/') {
        return Err(format!("invalid path: must be relative path: {path}"));
    } else if has_dotdot(path) {
        return Err(format!("invalid path: must not contain '..': {path}"));
    } else if path.starts_with("..") {
        return Err(format!("invalid path: must not start with '..': {path}"));
    }
    let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
    files.retain(|f| f.path != path);
    files.push(File { path: path.to_owned(), bytes, mode });
    Ok(())
}

pub(super) fn has_dotdot(path: &str) -> bool {
    Path::new(path).components().any(|c| matches!(c, Component::ParentDir))
}

/// The Pod's `/etc/hosts`.
#[must_use]
pub fn hosts_file(pod: &Pod, hostname: &str, ip: &str) -> String {
    let mut text =
        format!("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{ip}\t{hostname}\n");
    let aliases = pod.spec.iter().flat_map(|s| s.host_aliases.iter().flatten());
    for alias in aliases {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t")));
    }
    text
}
