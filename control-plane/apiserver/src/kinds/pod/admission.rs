//! What the server adds to a Pod by looking at the cluster: account and its token, priority, tolerations.

use dormouse_store::key;
use serde_json::{Value, json};

use super::defaults::has_volume;
use crate::ApiError;
use crate::bootstrap::ROOT_CA;
use crate::handler::generate_name as generate;
use crate::kinds::values::{list, list_entry, map_entry, maps, maps_mut, text};
use crate::object::meta_str;
use crate::registry::{Cx, Object};

/// Where programs look for their account.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Pods stay for five minutes on a node that is not ready.
pub(super) fn tolerations(object: &mut Object) {
    let spec = map_entry(object, "spec");
    let tolerations = list_entry(spec, "tolerations");
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covered = tolerations.iter().filter_map(Value::as_object).any(|t| {
            let (this, effect) = (text(t, "key"), text(t, "effect"));
            (this == key || (this.is_empty() && text(t, "operator") == "Exists")) && matches!(effect, "" | "NoExecute")
        });
        if !covered {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// What a ServiceAccount says about the Pods that run under it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    image_pull_secrets: Option<Vec<Value>>,
    automount_service_account_token: Option<bool>,
}

/// Priority classes: the two that every cluster has, and none.
pub(super) fn priority(object: &mut Object) -> Result<(), ApiError> {
    let name = meta_str(object, "name").to_owned();
    let spec = map_entry(object, "spec");
    let priority: i64 = match text(spec, "priorityClassName") {
        "" => 0,
        "system-cluster-critical" => 2_000_000_000,
        "system-node-critical" => 2_000_001_000,
        other => return Err(ApiError::forbidden("", "pods", &name, format_args!("no PriorityClass with name {other} was found"))),
    };
    match spec.get("priority").and_then(Value::as_i64) {
        Some(given) if given != priority => {
            let why = format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
            );
            return Err(ApiError::forbidden("", "pods", &name, why));
        }
        _ => drop(spec.insert("priority".to_owned(), priority.into())),
    }
    crate::kinds::values::default(spec, "preemptionPolicy", "PreemptLowerPriority");
    Ok(())
}

/// The account under which the Pod runs, and the volume with its token.
pub(super) fn service_account(cx: &Cx<'_>, object: &mut Object) -> Result<(), ApiError> {
    if crate::object::meta(object, "annotations").is_some_and(|a| a.get(MIRROR).is_some()) {
        return Ok(());
    }
    let pod = meta_str(object, "name").to_owned();
    let spec = map_entry(object, "spec");
    if text(spec, "serviceAccountName").is_empty() {
        spec.insert("serviceAccountName".to_owned(), "default".into());
        spec.insert("serviceAccount".to_owned(), "default".into());
    }
    let name = text(spec, "serviceAccountName").to_owned();
    let stored = cx.server.store().table("serviceaccounts").get(&key(cx.namespace, &name)).ok_or_else(|| {
        let why = format!("error looking up service account {}/{name}: serviceaccount \"{name}\" not found", cx.namespace);
        ApiError::forbidden("", "pods", &pod, why)
    })?;
    let account: Account =
        serde_json::from_slice(stored.bytes()).map_err(|e| ApiError::internal(format!("stored object cannot be read: {e}")))?;
    let pull_secrets = account.image_pull_secrets.unwrap_or_default();
    let wish = spec.get("automountServiceAccountToken").and_then(Value::as_bool);
    let mount = wish.or(account.automount_service_account_token).unwrap_or(true);
    if list(spec, "imagePullSecrets").is_empty() && !pull_secrets.is_empty() {
        spec.insert("imagePullSecrets".to_owned(), pull_secrets.into());
    }
    if mount {
        mount_token(spec);
    }
    Ok(())
}

fn mount_token(spec: &mut Object) {
    let lacks = |c: &Object| !maps(c, "volumeMounts").any(|m| text(m, "mountPath") == TOKEN_PATH);
    if !maps(spec, "containers").chain(maps(spec, "initContainers")).any(lacks) {
        return;
    }
    let mut volume = generate("kube-api-access-");
    while has_volume(spec, &volume) {
        volume = generate("kube-api-access-");
    }
    for containers in ["initContainers", "containers"] {
        for container in maps_mut(spec, containers).filter(|c| lacks(c)) {
            list_entry(container, "volumeMounts").push(json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH}));
        }
    }
    list_entry(spec, "volumes").push(json!({"name": volume, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": ROOT_CA, "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}}));
}
