//! Where a container sees the Pod's volumes. Pure.

use std::cell::RefCell;
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::env::expand;
use super::volume::{has_dotdot, volumes};

/// Volumes whose names begin so were added for the Pod, not by its author.
const AUTOMATIC: &str = "kube-api-access-";

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

/// The mounts of `container`, shallow paths first; `env` answers `subPathExpr`.
///
/// # Errors
/// A mount of a volume that does not exist, a path that leaves the container or the volume, a variable without a value. The
/// texts are the kubelet's.
pub fn mounts(pod: &Pod, container: &Container, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<MountPlan>, String> {
    let mut plans = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let volume = volumes(pod)
            .find(|v| v.name == mount.name)
            .ok_or_else(|| format!("cannot find volume {:?} to mount into container {:?}", mount.name, container.name))?;
        let target = mount.mount_path.trim_end_matches('/');
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if target == "/" || has_dotdot(&target) {
            return Err(format!("mountPath {:?} must be a path below the root without \"..\"", mount.mount_path));
        }
        let sub_path = match (&mount.sub_path, &mount.sub_path_expr) {
            (_, Some(expr)) if !expr.is_empty() => Some(expand_all(expr, env)?),
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            _ => None,
        };
        if let Some(path) = &sub_path {
            if path.starts_with('/') {
                return Err(format!("error SubPath `{path}` must not be an absolute path"));
            }
            if has_dotdot(path) {
                return Err(format!("unable to provision SubPath `{path}`: must not contain '..'"));
            }
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

/// `expr` with its variables; one without a value, or with an empty one, is an error: the path would be another than was meant.
fn expand_all(expr: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let missing = RefCell::new(BTreeSet::new());
    let expanded = expand(expr, &|name| {
        let value = env(name).unwrap_or_default();
        if value.is_empty() {
            missing.borrow_mut().insert(name.to_owned());
        }
        Some(value)
    });
    let missing: Vec<String> = missing.into_inner().into_iter().collect();
    if missing.is_empty() { Ok(expanded) } else { Err(format!("missing value for {}", missing.join(", "))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::volume::SERVICE_ACCOUNT_PATH;

    fn mounts_of(mounts: serde_json::Value, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<MountPlan>, String> {
        let volumes = json!([{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm"}},
                             {"name": "kube-api-access-x7z", "projected": {"sources": []}}]);
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]}})).unwrap();
        super::mounts(&pod, &pod.spec.as_ref().unwrap().containers[0], env)
    }

    #[test]
    fn mounts_are_ordered() {
        let mounts = json!([{"name": "c", "mountPath": "/data/sub/"}, {"name": "e", "mountPath": "/data", "subPathExpr": "x/$(POD)"}]);
        let plans = mounts_of(mounts, &|n| (n == "POD").then(|| "p".into())).unwrap();
        assert_eq!(plans.iter().map(|m| m.target.as_str()).collect::<Vec<_>>(), ["/data", "/data/sub"]);
        assert_eq!((plans[0].sub_path.as_deref(), plans[0].read_only, plans[1].read_only), (Some("x/p"), false, true));
        let token = json!([{"name": "kube-api-access-x7z", "mountPath": SERVICE_ACCOUNT_PATH, "readOnly": true}]);
        let token = mounts_of(token, &|_| None).unwrap();
        assert!(!token[0].declared && token[0].read_only && token[0].target == SERVICE_ACCOUNT_PATH);
    }

    #[test]
    fn what_cannot_be_mounted_says_so_as_the_kubelet_does() {
        let env =
            |name: &str| [("EMPTY", ""), ("ROOT", "/etc"), ("UP", "..")].iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let error = |mount: serde_json::Value| mounts_of(json!([mount]), &env).unwrap_err();
        let expr = |expr: &str| error(json!({"name": "e", "mountPath": "/a", "subPathExpr": expr}));
        assert_eq!(expr("logs/$(NOT_DEFINED)"), "missing value for NOT_DEFINED");
        assert_eq!(expr("$(Z)/$(EMPTY)$(Z)/$$(ESCAPED)"), "missing value for EMPTY, Z");
        assert_eq!(expr("$(ROOT)"), "error SubPath `/etc` must not be an absolute path");
        assert_eq!(expr("a/$(UP)"), "unable to provision SubPath `a/..`: must not contain '..'");
        assert_eq!(
            error(json!({"name": "e", "mountPath": "/a", "subPath": "../x"})),
            "unable to provision SubPath `../x`: must not contain '..'"
        );
        assert_eq!(error(json!({"name": "nope", "mountPath": "/a"})), "cannot find volume \"nope\" to mount into container \"c\"");
        for bad in ["/", "/a/../b"] {
            assert!(error(json!({"name": "e", "mountPath": bad})).starts_with("mountPath"));
        }
    }
}
