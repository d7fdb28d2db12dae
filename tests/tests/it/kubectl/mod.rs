//! `dormouse up --nodes 2 --gpus-per-node 4` answers the unmodified `kubectl` (Show 3 of the issue on the main job).

mod following;
pub(crate) mod printed;
mod reading;
mod writing;

use std::time::Duration;

/// Programs of these tests are shells that sleep: they start in milliseconds.
const SOON: Duration = Duration::from_secs(20);

/// The plane of the show, without controllers where none are needed.
const BARE: [&str; 6] = ["--nodes", "2", "--gpus-per-node", "4", "--controllers", "none"];

/// A Pod that runs a shell line. `sh` ends at SIGTERM only between commands, so lines `exec` what stays.
fn pod(name: &str, labels: &str, line: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{{labels}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - name: main\n    image: busybox\n    command: [sh, -c, '{line}']\n"
    )
}

/// A set of Pods that sleep: `kind` is ReplicaSet or Deployment.
fn set(kind: &str, name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  selector:\n    matchLabels: \
         {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      containers:\n      - name: main\n        \
         image: busybox\n        command: [sleep, '1000']\n        resources: {{requests: {{cpu: 10m}}}}\n"
    )
}
