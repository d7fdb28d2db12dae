//! 26: Pods that hold GPUs and do not end, force-deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{SOON, case, phase};
use crate::support::{Kubectl, On, Process, Up, name_of, until};

/// No GPU stands in the environment of the processes of two Pods.
fn no_gpu_is_held_twice(k: &On) {
    let folder = k.up.folder().to_str().unwrap().to_owned();
    let mut holders: BTreeMap<String, String> = BTreeMap::new();
    for process in Process::all().iter().filter(|p| p.environment.iter().any(|e| e.contains(&folder))) {
        let (Some(pod), Some(gpus)) = (process.variable("DORMOUSE_POD_UID"), process.variable("NVIDIA_VISIBLE_DEVICES")) else { continue };
        for gpu in gpus.split(',').filter(|g| !g.is_empty()) {
            let other = holders.insert(gpu.to_owned(), pod.to_owned());
            assert!(other.as_deref().is_none_or(|other| other == pod), "{gpu} is held by {pod} and {other:?}");
        }
    }
}

#[test]
fn force_deletions_leave_no_heap_of_failed_pods_and_no_gpu_held_twice() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&["--controllers", "none"]);
    let k = kubectl.on(&up);
    k.ok(&format!("apply -f {}", case("26-force-gpu.yaml")));
    // Others come and go meanwhile.
    let others = "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: others}\nspec:\n  replicas: 5\n  selector: {matchLabels: {app: others}}\n  \
                  template:\n    metadata: {labels: {app: others}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {name: c, \
                  image: any, command: [sleep, '1000']}\n";
    k.feed("apply -f -", others);
    for round in 0..20 {
        let running = until("a Pod that runs", SOON, || k.up.api().pods("app=force").into_iter().find(|p| phase(p) == "Running"));
        no_gpu_is_held_twice(&k);
        k.ok(&format!("delete pod {} --force --grace-period=0", name_of(&running)));
        k.ok(&format!("scale rs/others --replicas={}", if round % 2 == 0 { 0 } else { 5 }));
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(200) {
            no_gpu_is_held_twice(&k);
        }
    }
    let failed = k.up.api().pods("app=force").iter().filter(|p| phase(p) == "Failed").count();
    assert!(failed <= 20, "{failed} Failed Pods after twenty force-deletions");
    until("the last one to run", SOON, || k.up.api().pods("app=force").into_iter().find(|p| phase(p) == "Running"));
    up.end();
}
