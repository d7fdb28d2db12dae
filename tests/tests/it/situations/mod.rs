//! Situations of real users (`tests/cases/kubernetes`), each played with the unmodified `kubectl`. The table in `tests/README.md`
//! says which page each goes by.

mod deployments;
mod devices;
mod engines;
mod kubelet;
mod scheduling;

use std::time::Duration;

use serde_json::Value;

use crate::support::{On, repository, until};

/// Programs of these tests are shells that sleep.
const SOON: Duration = Duration::from_secs(20);

/// The path of a case, for `kubectl -f`.
fn case(name: &str) -> String {
    repository().join("tests/cases/kubernetes").join(name).display().to_string()
}

/// The reason and message of a container that waits, `reason: message`.
fn waiting(pod: &Value) -> String {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    format!("{}: {}", waiting["reason"].as_str().unwrap_or_default(), waiting["message"].as_str().unwrap_or_default())
}

fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or_default()
}

/// The message of a condition, if it is there with this status.
fn message(object: &Value, type_: &str, status: &str) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|c| c["type"] == type_ && c["status"] == status)?;
    Some(format!("{}: {}", found["reason"].as_str().unwrap_or_default(), found["message"].as_str().unwrap_or_default()))
}

#[track_caller]
fn until_phase(k: &On, pod: &str, wanted: &str) -> Value {
    until(&format!("{pod} is {wanted}"), SOON, || k.up.api().pod(pod).filter(|p| phase(p) == wanted))
}
