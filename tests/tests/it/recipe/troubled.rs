//! Examples 4 to 6: the map comes late, nodes are cordoned and deleted.

use std::time::Duration;

use serde_json::json;

use super::{Cook, NEW, SOON, plane};
use crate::support::{condition, name_of, names_of, stays, until};

#[test]
fn example_4_create_the_gpu_map_too_late() {
    let Some((kubectl, up)) = plane(&["--nodes", "2"]) else { return };
    let cook = Cook::new(&kubectl, &up);
    let set = cook.mkrs();
    let status = until("the status says what is missing", SOON, || {
        let requester = cook.requesters(&set).into_iter().next()?;
        let status = requester["metadata"]["annotations"][format!("{NEW}/status")].as_str()?.to_owned();
        status.contains("gpu-map").then_some(status)
    });
    assert_eq!(status, r#"{"Errors":["GPU map ConfigMap gpu-map is not available"]}"#);
    // The controller has done what it can: it waits and does not try again and again.
    let before = cook.log();
    stays("one Pod and no more", Duration::from_secs(2), || cook.requesters(&set).len() == 1 && cook.providers().is_empty());
    assert_eq!(cook.log(), before, "its log has stopped");
    cook.map_nodes();
    cook.expect_pair(&set);
    up.end();
}

#[test]
fn example_5_node_cordon() {
    let Some((kubectl, up)) = plane(&[]) else { return };
    let cook = Cook::new(&kubectl, &up);

    // Between scheduling and the provider's creation, which waits here for the map: the requester is deleted.
    let set = cook.mkrs();
    let first = until("a scheduled requester waits for the map", SOON, || {
        let requester = cook.requesters(&set).into_iter().next()?;
        requester["metadata"]["annotations"][format!("{NEW}/status")].as_str()?.contains("gpu-map").then_some(name_of(&requester))
    });
    cook.map_nodes_while_cordoned();
    until("the requester is deleted", SOON, || up.api().pod(&first).is_none().then_some(()));
    let second = until("its replacement finds no node", SOON, || {
        let pods = cook.requesters(&set);
        pods.into_iter().find(|p| p["status"]["conditions"][0]["reason"] == "Unschedulable")
    });
    assert!(cook.providers().is_empty(), "no provider is made");
    cook.k.ok("uncordon dormouse-1");
    let pair = cook.expect_pair(&set);
    assert_eq!(pair.requester, name_of(&second));

    // Once there are two Pods, nothing happens; not when something prods the system either.
    cook.k.ok(&format!("cordon {}", pair.node));
    let same = || {
        let pods = up.api().pods("app.kubernetes.io/name!=fma-controllers");
        names_of(&pods) == [pair.requester.clone(), pair.provider.clone()] && pods.iter().all(|p| condition(p, "Ready"))
    };
    stays("nothing changes", Duration::from_secs(1), same);
    for pod in [&pair.requester, &pair.provider] {
        cook.k.ok(&format!("annotate pod {pod} example.com/prod=1"));
    }
    stays("nothing changes", Duration::from_secs(1), same);
    up.end();
}

impl Cook<'_> {
    /// The map is filled before, and comes into force after, the cordon.
    fn map_nodes_while_cordoned(&self) {
        self.k.ok("create configmap gpu-map-elsewhere");
        let script =
            include_str!("ensure-nodes-mapped.sh").replace("gpu-map", "gpu-map-elsewhere").replace("gather-gpu-map-elsewhere", "gather");
        self.k.shell(&script, &[]);
        self.k.ok("cordon dormouse-1");
        let mut map = self.up().api().get("/api/v1/namespaces/default/configmaps/gpu-map-elsewhere").unwrap();
        map["metadata"] = json!({"name": "gpu-map"});
        self.k.feed("create -f -", &map.to_string());
    }
}

#[test]
fn example_6_node_deletion() {
    let Some((kubectl, up)) = plane(&["--nodes", "2", "--pod-gc-delay", "1s"]) else { return };
    let cook = Cook::new(&kubectl, &up);
    cook.map_nodes();
    let set = cook.mkrs();
    let pair = cook.expect_pair(&set);
    let provider = up.api().pod(&pair.provider).unwrap();
    assert_eq!(cook.k.ok(&format!("delete node {}", pair.node)), format!("node \"{}\" deleted\n", pair.node));
    until("eventually both go", SOON, || [&pair.requester, &pair.provider].iter().all(|p| up.api().pod(p).is_none()).then_some(()));
    until("the engine has ended", SOON, || up.sleeping(&provider).is_none().then_some(()));
    let next = cook.expect_pair_other_than(&set, &pair.requester);
    assert_ne!(next.node, pair.node);
    up.end();
}
