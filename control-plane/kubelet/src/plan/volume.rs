//! What a Pod's volumes hold and where its containers see them. Pure: contents come in, files come out.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, Pod, SecretProjection,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::env::{References, Sources, expand};
use super::fields::{self, FieldFacts};

/// Where programs expect the files of their service account; the API server's admission adds the volume.
pub const SERVICE_ACCOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// ConfigMap with the certificate of the API server, made in every namespace by a cluster.
pub const ROOT_CA: &str = "kube-root-ca.crt";
/// Volumes whose names begin so were added for the Pod, not by its author.
const AUTOMATIC: &str = "kube-api-access-";

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

/// A mount of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// Name of the volume.
    pub volume: String,
    /// Path inside the volume; `None` for its root.
    pub sub_path: Option<String>,
    /// Absolute path inside the container.
    pub target: String,
    /// Whether writing is refused.
    pub read_only: bool,
    /// Whether the Pod's author asked for it (false for the automatic token).
    pub declared: bool,
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

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
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
    volumes(pod)
        .map(|volume| {
            content(pod, volume, with)
                .map(|content| VolumePlan { name: volume.name.clone(), content })
                .map_err(|why| VolumeError { volume: volume.name.clone(), why })
        })
        .collect()
}

fn content(pod: &Pod, volume: &Volume, with: Ingredients<'_>) -> Result<Content, String> {
    if volume.empty_dir.is_some() {
        return Ok(Content::Empty);
    }
    if let Some(host) = &volume.host_path {
        if !host.path.starts_with('/') || has_dotdot(&host.path) {
            return Err(format!("hostPath {:?} must be an absolute path without \"..\"", host.path));
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
    for part in &parts {
        project(pod, part, mode.unwrap_or(0o644), with, &mut files)?;
    }
    Ok(Content::Files(files))
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
        keyed_files(("configmap", "config", &s.name), data, s.optional, s.items.as_deref(), mode, files)
    } else if let Some(s) = &part.secret {
        let secret = with.sources.secrets.get(&s.name);
        let data = secret.map(|m| m.data.iter().flatten().map(|(k, v)| (k.as_str(), v.0.as_slice())).collect());
        keyed_files(("secret", "secret", &s.name), data, s.optional, s.items.as_deref(), mode, files)
    } else if let Some(s) = &part.downward_api {
        downward_files(pod, s.items.as_deref().unwrap_or_default(), mode, with, files)
    } else if let Some(s) = &part.service_account_token {
        let token = with.tokens.get(&wish(s)).ok_or("failed to fetch token")?;
        push(files, &s.path, token.clone().into_bytes(), mode)
    } else {
        Err("this kind of projection is not supported here".to_owned())
    }
}

/// The files of an object with keys: all of them, or those that `items` name. First its kind, what its keys are
/// called, and its name; no `data`: it does not exist.
fn keyed_files(
    (kind, keys, name): (&str, &str, &str),
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
            None => return Err(format!("{kind} references non-existent {keys} key: {}", item.key)),
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
    if path.is_empty() || path.starts_with('/') || has_dotdot(path) {
        return Err(format!("path {path:?} must be relative and must not contain \"..\""));
    }
    let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
    files.retain(|f| f.path != path);
    files.push(File { path: path.to_owned(), bytes, mode });
    Ok(())
}

fn has_dotdot(path: &str) -> bool {
    Path::new(path).components().any(|c| matches!(c, Component::ParentDir))
}

/// The mounts of `container`, shallow paths first; `env` answers `subPathExpr`.
///
/// # Errors
/// A mount of a volume that does not exist, or a path that leaves the container or the volume.
pub fn mounts(pod: &Pod, container: &Container, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<MountPlan>, String> {
    let mut plans = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume =
            volumes(pod).find(|v| v.name == mount.name).ok_or_else(|| format!("volume {:?} of a mount does not exist", mount.name))?;
        let target = mount.mount_path.trim_end_matches('/');
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if target == "/" || has_dotdot(&target) {
            return Err(format!("mountPath {:?} must be a path below the root without \"..\"", mount.mount_path));
        }
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (_, Some(expr)) if !expr.is_empty() => Some(expand(expr, env)),
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            _ => None,
        };
        if let Some(path) = &sub_path
            && (path.starts_with('/') || has_dotdot(path))
        {
            return Err(format!("subPath {path:?} must be relative and must not contain \"..\""));
        }
        let files = volume.config_map.is_some() || volume.secret.is_some() || volume.projected.is_some() || volume.downward_api.is_some();
        plans.push(MountPlan {
            volume: mount.name.clone(),
            sub_path,
            target,
            read_only: files || mount.read_only == Some(true),
            declared: !mount.name.starts_with(AUTOMATIC),
        });
    }
    plans.sort_by(|a, b| a.target.matches('/').count().cmp(&b.target.matches('/').count()).then_with(|| a.target.cmp(&b.target)));
    Ok(plans)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(volumes: serde_json::Value, mounts: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}},
            "spec": {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]}
        }))
        .unwrap()
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources
            .config_maps
            .insert("cm".into(), serde_json::from_value(json!({"data": {"k": "v", "k2": "v2"}, "binaryData": {"b": "AAE="}})).unwrap());
        sources.secrets.insert("s".into(), serde_json::from_value(json!({"data": {"t": "c2VjcmV0"}})).unwrap());
        sources
    }

    fn contents(volume: serde_json::Value) -> Result<Content, String> {
        let tokens = [(TokenWish { audience: None, expiration_seconds: 3607 }, "tok".to_owned())].into();
        let (sources, facts) = (sources(), FieldFacts::default());
        let with = Ingredients { sources: &sources, tokens: &tokens, facts: &facts, ca_pem: Some("PEM") };
        plan(&pod(json!([volume]), json!([])), with).map(|mut p| p.remove(0).content).map_err(|e| e.why)
    }

    fn text(content: &Content) -> String {
        let Content::Files(files) = content else { return format!("{content:?}") };
        files.iter().map(|f| format!("{}={}:{:o} ", f.path, String::from_utf8_lossy(&f.bytes), f.mode)).collect()
    }

    #[test]
    fn config_maps_and_secrets_with_items_and_modes() {
        assert_eq!(
            text(&contents(json!({"name": "v", "configMap": {"name": "cm", "defaultMode": 256}})).unwrap()),
            "b=\u{0}\u{1}:400 k=v:400 k2=v2:400 "
        );
        assert_eq!(
            text(
                &contents(json!({"name": "v", "secret": {"secretName": "s", "items": [{"key": "t", "path": "d/x", "mode": 384}]}}))
                    .unwrap()
            ),
            "d/x=secret:600 "
        );
        assert_eq!(contents(json!({"name": "v", "configMap": {"name": "gone"}})).unwrap_err(), "configmap \"gone\" not found");
        assert_eq!(contents(json!({"name": "v", "configMap": {"name": "gone", "optional": true}})).unwrap(), Content::Files(vec![]));
        let missing = json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "zz", "path": "a"}]}});
        assert_eq!(contents(missing).unwrap_err(), "configmap references non-existent config key: zz");
        assert!(contents(json!({"name": "v", "configMap": {"name": "cm", "items": [{"key": "k", "path": "../a"}]}})).is_err());
    }

    #[test]
    fn other_sources() {
        assert_eq!(contents(json!({"name": "v", "emptyDir": {}})).unwrap(), Content::Empty);
        assert!(matches!(contents(json!({"name": "v", "hostPath": {"path": "/x"}})).unwrap(), Content::Host { .. }));
        assert!(contents(json!({"name": "v", "hostPath": {"path": "/x/../y"}})).is_err());
        let downward = json!({"name": "v", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}});
        assert_eq!(text(&contents(downward).unwrap()), "l=a=\"b\":644 ");
        assert!(contents(json!({"name": "v", "persistentVolumeClaim": {"claimName": "x"}})).unwrap_err().contains("not supported"));
    }

    #[test]
    fn the_volume_of_the_service_account_is_made_of_three_files() {
        let pod = pod(
            json!([{"name": "kube-api-access-x7z", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}}]}}]),
            json!([{"name": "kube-api-access-x7z", "mountPath": SERVICE_ACCOUNT_PATH, "readOnly": true}]),
        );
        assert_eq!(references(&pod).config_maps.into_iter().collect::<Vec<_>>(), [ROOT_CA]);
        let tokens = token_wishes(&pod).into_iter().map(|w| (w, "tok".to_owned())).collect();
        let (sources, facts) = (Sources::default(), FieldFacts::default());
        let with = |ca_pem| Ingredients { sources: &sources, tokens: &tokens, facts: &facts, ca_pem };
        assert_eq!(text(&plan(&pod, with(Some("PEM"))).unwrap()[0].content), "token=tok:644 ca.crt=PEM:644 namespace=ns:644 ");
        assert_eq!(text(&plan(&pod, with(None)).unwrap()[0].content), "token=tok:644 namespace=ns:644 ");
        let mounts = mounts(&pod, &pod.spec.as_ref().unwrap().containers[0], &|_| None).unwrap();
        assert!(!mounts[0].declared && mounts[0].read_only && mounts[0].target == SERVICE_ACCOUNT_PATH);
    }

    #[test]
    fn mounts_are_ordered_and_checked() {
        let volumes = json!([{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm"}}]);
        let good = pod(
            volumes.clone(),
            json!([{"name": "c", "mountPath": "/data/sub/"}, {"name": "e", "mountPath": "/data", "subPathExpr": "x/$(POD)"}]),
        );
        let plans = mounts(&good, &good.spec.as_ref().unwrap().containers[0], &|n| (n == "POD").then(|| "p".into())).unwrap();
        assert_eq!(plans.iter().map(|m| m.target.as_str()).collect::<Vec<_>>(), ["/data", "/data/sub"]);
        assert_eq!((plans[0].sub_path.as_deref(), plans[0].read_only, plans[1].read_only), (Some("x/p"), false, true));
        for bad in [
            json!([{"name": "e", "mountPath": "/"}]),
            json!([{"name": "e", "mountPath": "/a/../b"}]),
            json!([{"name": "e", "mountPath": "/a", "subPath": "../x"}]),
            json!([{"name": "nope", "mountPath": "/a"}]),
        ] {
            let bad = pod(volumes.clone(), bad);
            assert!(mounts(&bad, &bad.spec.as_ref().unwrap().containers[0], &|_| None).is_err());
        }
    }

    #[test]
    fn hosts_file_has_the_pods_own_line_and_aliases() {
        let mut pod = pod(json!([]), json!([]));
        pod.spec.as_mut().unwrap().host_aliases = serde_json::from_value(json!([{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])).unwrap();
        let text = hosts_file(&pod, "p", "127.16.1.2");
        assert!(text.contains("127.16.1.2\tp\n") && text.contains("1.2.3.4\ta\tb\n") && text.contains("127.0.0.1\tlocalhost\n"));
    }
}
