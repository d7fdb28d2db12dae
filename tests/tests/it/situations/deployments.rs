//! 01, 02, 03, 16: Deployments.

use serde_json::Value;

use super::{SOON, case, message};
use crate::support::{Kubectl, On, Up, name_of, until};

#[test]
fn deployments_are_paused_late_undone_and_orphaned() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&["--controllers", "none"]);
    let k = kubectl.on(&up);
    k.ok(&format!("apply -f {}", case("02-progress-deadline.yaml")));
    paused(&k);
    undone(&k);
    orphaned(&k);
    late(&k);
    up.end();
}

fn sets(k: &On, app: &str) -> Vec<Value> {
    k.up.api().list(&format!("/apis/apps/v1/namespaces/default/replicasets?labelSelector=app%3D{app}"))
}

fn deployment(k: &On, name: &str) -> Value {
    k.up.api().get(&format!("/apis/apps/v1/namespaces/default/deployments/{name}")).unwrap()
}

fn paused(k: &On) {
    k.ok(&format!("apply -f {}", case("01-paused-scale.yaml")));
    k.ok("rollout status deployment/web --timeout=20s");
    k.ok("rollout pause deployment/web");
    k.ok("set env deployment/web V=2");
    k.ok("scale deployment/web --replicas=4");
    until("four Pods of the old template", SOON, || (k.up.api().pods("app=web").len() == 4 && sets(k, "web").len() == 1).then_some(()));
    assert_eq!(message(&deployment(k, "web"), "Progressing", "Unknown").as_deref(), Some("DeploymentPaused: Deployment is paused"));
    k.ok("rollout resume deployment/web");
    assert!(k.ok("rollout status deployment/web --timeout=20s").contains("successfully rolled out"));
    let replicas: Vec<i64> = sets(k, "web").iter().map(|s| s["spec"]["replicas"].as_i64().unwrap()).collect();
    assert!(replicas.len() == 2 && replicas.iter().sum::<i64>() == 4 && replicas.contains(&0), "{replicas:?}");
    k.ok("delete deployment/web");
}

fn undone(k: &On) {
    k.ok(&format!("apply -f {}", case("03-undo.yaml")));
    k.ok("rollout status deployment/undo --timeout=20s");
    k.ok("set env deployment/undo V=2");
    k.ok("annotate deployment/undo kubernetes.io/change-cause=second --overwrite");
    k.ok("rollout status deployment/undo --timeout=20s");
    let value = || {
        let d = deployment(k, "undo");
        d["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap().to_owned()
    };
    for wanted in ["1", "2"] {
        assert!(k.ok("rollout undo deployment/undo").contains("rolled back"));
        k.ok("rollout status deployment/undo --timeout=20s");
        assert_eq!(value(), wanted);
    }
    until("both revisions in the history", SOON, || {
        let history = k.ok("rollout history deployment/undo");
        let rows: Vec<&str> = history.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit())).collect();
        (rows.len() == 2
            && rows[0].starts_with("3 ")
            && rows[0].ends_with("first")
            && rows[1].starts_with("4 ")
            && rows[1].ends_with("second"))
        .then_some(())
    });
    // The file again: back to the first template, without another set.
    k.ok(&format!("apply -f {}", case("03-undo.yaml")));
    k.ok("rollout status deployment/undo --timeout=20s");
    assert_eq!((value().as_str(), sets(k, "undo").len()), ("1", 2));
    k.ok("delete deployment/undo");
}

fn orphaned(k: &On) {
    let file = case("16-orphan.yaml");
    k.ok(&format!("apply -f {file}"));
    k.ok("rollout status deployment/adopt --timeout=20s");
    let names = || k.up.api().pods("app=adopt").iter().map(name_of).collect::<Vec<_>>();
    let before = names();
    k.ok("delete deployment/adopt --cascade=orphan");
    k.ok(&format!("apply -f {file}"));
    k.ok("rollout status deployment/adopt --timeout=20s");
    assert_eq!((names(), sets(k, "adopt").len()), (before, 1));
    let owner = &sets(k, "adopt")[0]["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], deployment(k, "adopt")["metadata"]["uid"]);
}

fn late(k: &On) {
    let late = until("the deadline to be over", SOON, || message(&deployment(k, "stuck"), "Progressing", "False"));
    assert!(late.starts_with("ProgressDeadlineExceeded: ReplicaSet \"stuck-") && late.ends_with("has timed out progressing."), "{late}");
    assert!(k.fails("rollout status deployment/stuck --timeout=5s").contains("exceeded its progress deadline"));
}
