//! What a Pod may not be, and what of it may not change.

use dormouse_machinery::field::{FieldError, Path};
use dormouse_machinery::names;
use dormouse_machinery::quantity::Quantity;
use serde_json::Value;

use crate::kinds::values::{At, int, list, map, maps, not_negative, one_of, positive, text};
use crate::registry::{Cx, Object};
use crate::validate;

pub(super) fn pod(_: &Cx<'_>, object: &Object, problems: &mut Vec<FieldError>) {
    let path = At::Path("spec");
    match map(object, "spec") {
        Some(spec) => self::spec(spec, &path, problems),
        None => problems.push(FieldError::required(path, "")),
    }
}

/// Problems of a Pod template.
pub(crate) fn validate_template(_: &Cx<'_>, template: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    if let Some(metadata) = map(template, "metadata") {
        let path = path.child("metadata");
        validate::labels(metadata.get("labels"), &path.child("labels"), problems);
        validate::annotations(metadata.get("annotations"), &path.child("annotations"), problems);
    }
    if let Some(spec) = map(template, "spec") {
        self::spec(spec, &path.child("spec"), problems);
    }
}

fn spec(spec: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let volumes = volumes(spec, &path.child("volumes"), problems);
    if list(spec, "containers").is_empty() {
        problems.push(FieldError::required(path.child("containers"), ""));
    }
    let mut names_seen: Vec<&str> = Vec::new();
    for kind in ["containers", "initContainers"] {
        for (i, container) in maps(spec, kind).enumerate() {
            let path = path.element(kind, i);
            let name = text(container, "name");
            if !name.is_empty() && names_seen.contains(&name) {
                problems.push(FieldError::duplicate(path.child("name"), name));
            }
            names_seen.push(name);
            self::container(container, kind == "initContainers", &volumes, &path, problems);
        }
    }
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, problems);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, problems);
    one_of(spec, "preemptionPolicy", &["Never", "PreemptLowerPriority"], path, problems);
    not_negative(spec, "terminationGracePeriodSeconds", path, problems);
    positive(spec, "activeDeadlineSeconds", path, problems);
    for (field, check) in
        [("serviceAccountName", names::dns1123_subdomain as fn(&str) -> Vec<String>), ("nodeName", names::dns1123_subdomain)]
    {
        name_field(spec, field, check, path, problems);
    }
    name_field(spec, "hostname", names::dns1123_label, path, problems);
    name_field(spec, "subdomain", names::dns1123_label, path, problems);
    validate::labels(spec.get("nodeSelector"), &path.child("nodeSelector"), problems);
    for (i, toleration) in maps(spec, "tolerations").enumerate() {
        self::toleration(toleration, &path.child("tolerations").index(i), problems);
    }
    for (i, gate) in maps(spec, "readinessGates").enumerate() {
        let kind = text(gate, "conditionType");
        for problem in names::qualified_name(kind) {
            problems.push(FieldError::invalid(path.child("readinessGates").index(i).child("conditionType"), kind, problem));
        }
    }
    let mut gates: Vec<&str> = Vec::new();
    for (i, gate) in maps(spec, "schedulingGates").enumerate() {
        let name = text(gate, "name");
        let path = path.element("schedulingGates", i);
        for problem in names::qualified_name(name) {
            problems.push(FieldError::invalid(path, name, problem));
        }
        if gates.contains(&name) {
            problems.push(FieldError::duplicate(path.child("name"), name));
        }
        gates.push(name);
    }
}

fn name_field(spec: &Object, field: &str, check: fn(&str) -> Vec<String>, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let value = text(spec, field);
    if !value.is_empty() {
        for problem in check(value) {
            problems.push(FieldError::invalid(path.child(field), value, problem));
        }
    }
}

fn volumes<'a>(spec: &'a Object, path: &At<'_>, problems: &mut Vec<FieldError>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for (i, volume) in maps(spec, "volumes").enumerate() {
        let path = path.index(i);
        let name = text(volume, "name");
        if name.is_empty() {
            problems.push(FieldError::required(path.child("name"), ""));
        } else {
            for problem in names::dns1123_label(name) {
                problems.push(FieldError::invalid(path.child("name"), name, problem));
            }
        }
        if seen.contains(&name) {
            problems.push(FieldError::duplicate(path.child("name"), name));
        }
        seen.push(name);
        let sources = volume.iter().filter(|(k, v)| *k != "name" && !v.is_null()).map(|(k, _)| k);
        for extra in sources.skip(1) {
            problems.push(FieldError::forbidden(path.child(extra), "may not specify more than 1 volume type"));
        }
        if let Some(secret) = map(volume, "secret")
            && text(secret, "secretName").is_empty()
        {
            problems.push(FieldError::required(path.child("secret.secretName"), ""));
        }
        if let Some(config) = map(volume, "configMap")
            && text(config, "name").is_empty()
        {
            problems.push(FieldError::required(path.child("configMap.name"), ""));
        }
        if let Some(host) = map(volume, "hostPath") {
            let path = path.child("hostPath.path");
            match text(host, "path") {
                "" => problems.push(FieldError::required(path, "")),
                p if p.split('/').any(|s| s == "..") => problems.push(FieldError::invalid(path, p, "must not contain '..'")),
                _ => {}
            }
        }
    }
    seen
}

fn container(container: &Object, init: bool, volumes: &[&str], path: &At<'_>, problems: &mut Vec<FieldError>) {
    let name = text(container, "name");
    if name.is_empty() {
        problems.push(FieldError::required(path.child("name"), ""));
    } else {
        for problem in names::dns1123_label(name) {
            problems.push(FieldError::invalid(path.child("name"), name, problem));
        }
    }
    let image = text(container, "image");
    if image.is_empty() {
        problems.push(FieldError::required(path.child("image"), ""));
    } else if image.trim() != image {
        problems.push(FieldError::invalid(path.child("image"), image, "must not have leading or trailing whitespace"));
    }
    one_of(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, problems);
    one_of(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path, problems);
    if init {
        one_of(container, "restartPolicy", &["Always"], path, problems);
    }
    ports(container, &path.child("ports"), problems);
    for (i, variable) in maps(container, "env").enumerate() {
        let path = path.element("env", i);
        let name = text(variable, "name");
        if name.is_empty() {
            problems.push(FieldError::required(path.child("name"), ""));
        } else {
            for problem in names::env_var_name(name) {
                problems.push(FieldError::invalid(path.child("name"), name, problem));
            }
        }
        if let Some(from) = map(variable, "valueFrom") {
            let path = path.child("valueFrom");
            match from.values().filter(|v| !v.is_null()).count() {
                0 => problems.push(FieldError::invalid(
                    path,
                    "",
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
                )),
                1 if !text(variable, "value").is_empty() => {
                    problems.push(FieldError::invalid(path, "", "may not be specified when `value` is not empty"));
                }
                1 => {}
                _ => problems.push(FieldError::invalid(path, "", "may not have more than one field specified at a time")),
            }
        }
    }
    let mut mounted: Vec<&str> = Vec::new();
    for (i, mount) in maps(container, "volumeMounts").enumerate() {
        let path = path.element("volumeMounts", i);
        let (name, at) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            problems.push(FieldError::required(path.child("name"), ""));
        } else if !volumes.contains(&name) {
            problems.push(FieldError::not_found(path.child("name"), name));
        }
        if at.is_empty() {
            problems.push(FieldError::required(path.child("mountPath"), ""));
        } else if mounted.contains(&at) {
            problems.push(FieldError::invalid(path.child("mountPath"), at, "must be unique"));
        }
        mounted.push(at);
    }
    if let Some(resources) = map(container, "resources") {
        self::resources(resources, &path.child("resources"), problems);
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map(container, name) {
            if init && text(container, "restartPolicy") != "Always" {
                let why = "may not be set for init containers without restartPolicy=Always";
                problems.push(FieldError::forbidden(path.child(name), why));
            }
            self::probe(probe, name, &path.child(name), problems);
        }
    }
    if let Some(lifecycle) = map(container, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            if let Some(handler) = map(lifecycle, hook) {
                self::handler(handler, &["exec", "httpGet", "tcpSocket", "sleep"], &path.child("lifecycle").child(hook), problems);
            }
        }
    }
}

fn ports(container: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, port) in maps(container, "ports").enumerate() {
        let path = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            for problem in names::port_name(name) {
                problems.push(FieldError::invalid(path.child("name"), name, problem));
            }
            if seen.contains(&name) {
                problems.push(FieldError::duplicate(path.child("name"), name));
            }
            seen.push(name);
        }
        match int(port, "containerPort") {
            None | Some(0) => problems.push(FieldError::required(path.child("containerPort"), "")),
            Some(n) if !(1..=65535).contains(&n) => {
                problems.push(FieldError::invalid(path.child("containerPort"), n, "must be between 1 and 65535, inclusive"));
            }
            Some(_) => {}
        }
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &path, problems);
    }
}

fn resources(resources: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    type Amounts<'a> = Vec<(&'a String, &'a Value, Option<Quantity>)>;
    let amounts = |which: &str| -> Amounts<'_> {
        let amounts = map(resources, which).into_iter().flatten();
        amounts.map(|(resource, value)| (resource, value, value.as_str().and_then(|q| Quantity::parse(q).ok()))).collect()
    };
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (limits, requests) = (amounts("limits"), amounts("requests"));
    for (which, amounts) in [("limits", &limits), ("requests", &requests)] {
        for (resource, value, quantity) in amounts {
            let path = path.entry(which, resource);
            for problem in names::qualified_name(resource) {
                problems.push(FieldError::invalid(path, resource.as_str(), problem));
            }
            match quantity {
                Some(quantity) if quantity.sign() < 0 => {
                    problems.push(FieldError::invalid(path, shown(value), "must be greater than or equal to 0"));
                }
                Some(quantity) if is_extended(resource) && quantity.milli_value() % 1000 != 0 => {
                    problems.push(FieldError::invalid(path, shown(value), "must be an integer"));
                }
                _ => {}
            }
        }
    }
    for (resource, value, request) in &requests {
        let limit = limits.iter().find(|(other, ..)| other == resource).and_then(|(.., limit)| limit.as_ref());
        let path = path.child("requests");
        match (request, limit) {
            (Some(request), Some(limit)) if is_extended(resource) && request != limit => {
                let why = format!("must be equal to {resource} limit of {limit}");
                problems.push(FieldError::invalid(path, shown(value), why));
            }
            (Some(request), Some(limit)) if request > limit => {
                let why = format!("must be less than or equal to {resource} limit of {limit}");
                problems.push(FieldError::invalid(path, shown(value), why));
            }
            (Some(_), None) if is_extended(resource) => {
                problems.push(FieldError::required(path, "Limit must be set for non overcommitable resources"));
            }
            _ => {}
        }
    }
}

/// Resources of devices: whole numbers that nobody shares.
fn is_extended(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io"))
}

fn probe(probe: &Object, name: &str, path: &At<'_>, problems: &mut Vec<FieldError>) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, problems);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        not_negative(probe, field, path, problems);
    }
    if name != "readinessProbe" && int(probe, "successThreshold").is_some_and(|n| n != 1) {
        let value = int(probe, "successThreshold").unwrap_or(0);
        problems.push(FieldError::invalid(path.child("successThreshold"), value, "must be 1"));
    }
}

fn handler(handler: &Object, kinds: &[&str], path: &At<'_>, problems: &mut Vec<FieldError>) {
    let mut present = kinds.iter().filter(|k| handler.get(**k).is_some_and(|v| !v.is_null()));
    if present.next().is_none() {
        problems.push(FieldError::required(path, "must specify a handler type"));
    }
    for extra in present {
        problems.push(FieldError::forbidden(path.child(extra), "may not specify more than 1 handler type"));
    }
    if let Some(exec) = map(handler, "exec")
        && list(exec, "command").is_empty()
    {
        problems.push(FieldError::required(path.child("exec.command"), ""));
    }
    for kind in ["httpGet", "tcpSocket"] {
        let Some(target) = map(handler, kind) else { continue };
        let path = path.child(kind);
        let path = path.child("port");
        match target.get("port") {
            Some(Value::String(name)) => {
                for problem in names::port_name(name) {
                    problems.push(FieldError::invalid(path, name.as_str(), problem));
                }
            }
            Some(Value::Number(n)) if !(1..=65535).contains(&n.as_i64().unwrap_or(0)) => {
                problems.push(FieldError::invalid(path, n.clone(), "must be between 1 and 65535, inclusive"));
            }
            Some(Value::Number(_)) => {}
            _ => problems.push(FieldError::required(path, "")),
        }
    }
}

fn toleration(toleration: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    if !key.is_empty() {
        for problem in names::qualified_name(key) {
            problems.push(FieldError::invalid(path.child("key"), key, problem));
        }
    } else if operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        problems.push(FieldError::invalid(path.child("operator"), operator, why));
    }
    one_of(toleration, "operator", &["Equal", "Exists"], path, problems);
    if operator == "Exists" && !text(toleration, "value").is_empty() {
        problems.push(FieldError::invalid(path.child("operator"), operator, "value must be empty when `operator` is 'Exists'"));
    }
    one_of(toleration, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], path, problems);
    if toleration.get("tolerationSeconds").is_some_and(|v| !v.is_null()) && text(toleration, "effect") != "NoExecute" {
        let effect = text(toleration, "effect");
        problems.push(FieldError::invalid(path.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
}

/// What of a Pod may not change.
pub(super) fn update(new: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    let (Some(new), Some(old)) = (map(new, "spec"), map(old, "spec")) else { return };
    let path = At::Path("spec");
    let mut expected = old.clone();
    for kind in ["containers", "initContainers"] {
        let (now, was) = (list(new, kind), list(old, kind));
        if now.len() != was.len() {
            problems.push(FieldError::forbidden(path.child(kind), "pod updates may not add or remove containers"));
            return;
        }
        for (i, container) in now.iter().enumerate() {
            if let (Some(image), Some(slot)) =
                (container.get("image"), expected.get_mut(kind).and_then(|l| l.get_mut(i)).and_then(Value::as_object_mut))
            {
                slot.insert("image".to_owned(), image.clone());
            }
        }
    }
    deadline(new, old, &path, problems);
    take(&mut expected, new, "activeDeadlineSeconds");
    if int(old, "terminationGracePeriodSeconds").is_some_and(|n| n < 0) && int(new, "terminationGracePeriodSeconds") == Some(1) {
        take(&mut expected, new, "terminationGracePeriodSeconds");
    }
    let tolerations = list(new, "tolerations");
    if list(old, "tolerations").iter().all(|t| tolerations.iter().any(|n| same_toleration(n, t))) {
        take(&mut expected, new, "tolerations");
    } else {
        problems
            .push(FieldError::forbidden(path.child("tolerations"), "existing toleration can not be modified except its tolerationSeconds"));
        return;
    }
    let gates = list(new, "schedulingGates");
    if !list(old, "schedulingGates").is_empty() {
        if gates.iter().all(|g| list(old, "schedulingGates").contains(g)) {
            take(&mut expected, new, "schedulingGates");
        } else {
            let why = "only deletion is allowed, but found new scheduling gate";
            problems.push(FieldError::forbidden(path.child("schedulingGates"), why));
            return;
        }
        // A gated Pod may still be aimed more narrowly.
        for field in ["nodeSelector", "affinity"] {
            take(&mut expected, new, field);
        }
    } else if !gates.is_empty() {
        problems.push(FieldError::forbidden(path.child("schedulingGates"), "only deletion is allowed, but found new scheduling gate"));
        return;
    }
    if *new != expected {
        let mut changed: Vec<&str> =
            new.keys().chain(expected.keys()).filter(|k| new.get(*k) != expected.get(*k)).map(String::as_str).collect();
        changed.sort_unstable();
        changed.dedup();
        let why = format!(
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\nchanged: {}",
            changed.join(", ")
        );
        problems.push(FieldError::forbidden(path, why));
    }
}

fn take(into: &mut Object, from: &Object, field: &str) {
    match from.get(field) {
        Some(value) => drop(into.insert(field.to_owned(), value.clone())),
        None => drop(into.remove(field)),
    }
}

fn deadline(new: &Object, old: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let path = path.child("activeDeadlineSeconds");
    match (int(new, "activeDeadlineSeconds"), int(old, "activeDeadlineSeconds")) {
        (Some(n), Some(was)) if n > was => {
            problems.push(FieldError::invalid(path, n, "must be less than or equal to previous value"));
        }
        (None, Some(_)) => problems.push(FieldError::invalid(path, Value::Null, "must not update from a positive integer to nil value")),
        _ => {}
    }
}

fn same_toleration(a: &Value, b: &Value) -> bool {
    ["key", "operator", "value", "effect"]
        .iter()
        .all(|f| a.get(f).and_then(Value::as_str).unwrap_or("") == b.get(f).and_then(Value::as_str).unwrap_or(""))
}

/// What of a Pod's status may not change.
pub(super) fn status(new: &Object, old: &Object, problems: &mut Vec<FieldError>) {
    let (new_spec, old_spec) = (map(new, "spec"), map(old, "spec"));
    let node = |s: Option<&Object>| s.map(|s| text(s, "nodeName").to_owned()).unwrap_or_default();
    if node(new_spec) != node(old_spec) {
        problems.push(FieldError::forbidden("status.nodeName", "may not be changed directly"));
    }
    let never = old_spec.is_some_and(|s| text(s, "restartPolicy") == "Never");
    let running_again = |field: &str| {
        let states = |o: &Object| map(o, "status").map(|s| list(s, field).to_vec()).unwrap_or_default();
        let ended: Vec<String> = states(old)
            .iter()
            .filter(|c| c.pointer("/state/terminated").is_some_and(Value::is_object))
            .filter_map(|c| Some(c.get("name")?.as_str()?.to_owned()))
            .collect();
        states(new).iter().position(|c| {
            c.pointer("/state/terminated").is_none() && c.get("name").and_then(Value::as_str).is_some_and(|n| ended.iter().any(|e| e == n))
        })
    };
    if never && let Some(i) = running_again("containerStatuses") {
        let path = Path::new("status.containerStatuses").index(i).child("state");
        problems.push(FieldError::forbidden(path, "may not be transitioned to non-terminated state"));
    }
}
