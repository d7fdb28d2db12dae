//! 11, 12, 36: rules between Pods.

use super::{SOON, case, message, phase};
use crate::support::{Kubectl, On, Up, stays, until};
use std::time::Duration;

#[test]
fn rules_between_pods_are_kept_and_said() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&["--controllers", "none", "--gpus-per-node", "0"]);
    let k = kubectl.on(&up);
    k.ok(&format!("apply -f {}", case("11-antiaffinity.yaml")));
    k.ok(&format!("apply -f {}", case("12-hostport.yaml")));
    k.ok(&format!("apply -f {}", case("36-scheduling.yaml")));
    one_runs_and_one_waits(&k, "apart", "node(s) didn't match pod anti-affinity rules");
    one_runs_and_one_waits(&k, "ports", "node(s) didn't have free ports for the requested pod ports");
    let why = |name: &str| k.up.api().pod(name).and_then(|p| message(&p, "PodScheduled", "False")).unwrap_or_default();
    until("why the lonely one waits", SOON, || why("lonely").contains("node(s) didn't match pod affinity rules").then_some(()));
    until("why the gated one waits", SOON, || why("gated").starts_with("SchedulingGated: ").then_some(()));
    stays("nobody touches the Pod of another scheduler", Duration::from_millis(300), || {
        k.up.api().pod("other-scheduler").is_some_and(|p| p["spec"]["nodeName"].is_null() && message(&p, "PodScheduled", "False").is_none())
    });
    assert!(k.ok("describe pod lonely").contains("FailedScheduling"));
    k.ok("label node --all only=one");
    until("the spread Pods to run", SOON, || {
        (k.up.api().pods("app=spread").iter().filter(|p| phase(p) == "Running").count() == 4).then_some(())
    });
    k.ok("patch pod gated --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/schedulingGates/0\"}]");
    until("the gated one to run", SOON, || k.up.api().pod("gated").filter(|p| phase(p) == "Running"));
    up.end();
}

fn one_runs_and_one_waits(k: &On, app: &str, why: &str) {
    until(&format!("one of {app} runs and one waits, for the reason {why:?}"), SOON, || {
        let pods = k.up.api().pods(&format!("app={app}"));
        let running = pods.iter().filter(|p| phase(p) == "Running").count();
        let waits = pods.iter().filter_map(|p| message(p, "PodScheduled", "False")).filter(|m| m.contains(why)).count();
        ((running, waits, pods.len()) == (1, 1, 2)).then_some(())
    });
}
