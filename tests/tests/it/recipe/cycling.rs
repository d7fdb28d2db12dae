//! Examples 1 to 3: Pods come and go.

use std::time::Duration;

use super::{Cook, NEW, OLD, SOON, plane};
use crate::support::{condition, name_of, stays, until};

/// Example 1: cycle server-requesting Pod.
fn cycle(prefix: &str) {
    let Some((kubectl, up)) = plane(&["--nodes", "2"]) else { return };
    let cook = Cook { prefix, ..Cook::new(&kubectl, &up) };
    cook.map_nodes();
    let set = cook.mkrs();
    // The provider is made long before the requester is ready, and on its node.
    let (requester, provider) = until("a server-providing Pod", SOON, || {
        let requester = cook.requesters(&set).into_iter().next()?;
        let provider = cook.provider_of(&name_of(&requester))?;
        Some((requester, provider))
    });
    assert!(!condition(&requester, "Ready") && !condition(&provider, "Ready"), "both are made before either is ready");
    assert!(name_of(&provider).starts_with(&format!("{}-dual-", name_of(&requester))), "{}", name_of(&provider));
    let pair = cook.expect_pair(&set);
    assert_eq!((pair.requester.as_str(), pair.provider.as_str()), (name_of(&requester).as_str(), name_of(&provider).as_str()));
    let served = up.api().pod(&pair.requester).unwrap();
    // Today's status is always written; that of the old prefix where the requester speaks it.
    for (key, written) in [(NEW, true), (OLD, prefix == OLD)] {
        assert_eq!(served["metadata"]["annotations"][format!("{key}/status")].is_string(), written, "{}", served["metadata"]);
    }
    let log = cook.k.ok(&format!("logs {}", pair.provider));
    assert!(log.contains("serves ibm-granite/granite-3.3-2b-instruct"), "the engine says that it has started: {log}");
    let patched = up.api().pod(&pair.provider).unwrap();
    assert_eq!(patched["metadata"]["labels"]["model-repo"], "granite-3.3-2b-instruct");
    assert!(patched["metadata"]["labels"]["app"].is_null(), "it is none of the ReplicaSet's");

    cook.scale(&set, 0);
    cook.expect_gone(&set);
    cook.expect_asleep(&pair.provider);
    stays("the provider", Duration::from_secs(1), || cook.listed() == [pair.provider.clone()]);
    up.end();
}

#[test]
fn example_1_cycle_server_requesting_pod() {
    cycle(NEW);
}

#[test]
fn example_1_with_the_prefix_that_the_recipe_has() {
    cycle(OLD);
}

#[test]
fn example_2_reflect_server_running_pod_deletion() {
    let Some((kubectl, up)) = plane(&[]) else { return };
    let cook = Cook::new(&kubectl, &up);
    cook.map_nodes();
    let set = cook.mkrs();
    let first = cook.expect_pair(&set);
    cook.k.ok(&format!("delete pod {}", first.provider));
    until("both go", SOON, || [&first.requester, &first.provider].iter().all(|p| up.api().pod(p).is_none()).then_some(()));
    let second = cook.expect_pair_other_than(&set, &first.requester);
    assert!(second.requester != first.requester && second.provider != first.provider, "{first:?} {second:?}");
    assert_eq!(cook.listed().len(), 2);
    up.end();
}

#[test]
fn example_3_deletions_while_controller_is_not_running() {
    let Some((kubectl, up)) = plane(&[]) else { return };
    let cook = Cook::new(&kubectl, &up);
    cook.map_nodes();
    let set = cook.mkrs();
    let first = cook.expect_pair(&set);

    // As example 2.
    let chart = cook.uninstall();
    cook.k.ok(&format!("delete pod {} --wait=false", first.provider));
    stays("the finalizers hold both", Duration::from_millis(1500), || {
        let deleted = |name: &str| up.api().pod(name).map(|p| p["metadata"]["deletionTimestamp"].is_string());
        deleted(&first.provider) == Some(true) && deleted(&first.requester) == Some(false)
    });
    cook.install(&chart);
    until("both go", SOON, || [&first.requester, &first.provider].iter().all(|p| up.api().pod(p).is_none()).then_some(()));
    let second = cook.expect_pair_other_than(&set, &first.requester);

    // As example 1.
    let chart = cook.uninstall();
    cook.scale(&set, 0);
    stays("the requester waits for its engine to sleep", Duration::from_millis(1500), || {
        let provider = up.api().pod(&second.provider).unwrap();
        up.api().pod(&second.requester).is_some() && up.sleeping(&provider) == Some(false)
    });
    cook.install(&chart);
    cook.expect_gone(&set);
    cook.expect_asleep(&second.provider);
    assert_eq!(cook.listed(), [second.provider]);
    up.end();
}
