//! Examples 7 and 8: sleep, wake, and how many may sleep.

use super::{Cook, NEW, OLD, Pair, SOON, plane};
use crate::support::{name_of, names_of, until};

/// The values of a key in the lines of a log that have this message.
fn logged(log: &str, message: &str, key: &str) -> Vec<String> {
    let value = |line: &str| line.split_once(&format!(" {key}=\""))?.1.split_once('"').map(|(v, _)| v.to_owned());
    log.lines().filter(|l| l.contains(&format!("] \"{message}\""))).filter_map(value).collect()
}

/// Example 7: sleep and wake.
fn sleep_and_wake(prefix: &str) {
    let Some((kubectl, up)) = plane(&["--gpus-per-node", "1"]) else { return };
    let cook = Cook { prefix, pin: r#"nodeSelector: { "nvidia.com/gpu.product": "NVIDIA-L40S" }"#, ..Cook::new(&kubectl, &up) };
    cook.map_nodes();
    let set = cook.mkrs();
    let first = cook.expect_pair(&set);
    cook.scale(&set, 0);
    cook.expect_gone(&set);
    cook.expect_asleep(&first.provider);
    let log = until("the log tells the end", SOON, || Some(cook.log()).filter(|l| l.contains("\"End of life of inference server\"")));
    let place = |text: &str| log.find(&format!("] \"{text}\"")).unwrap_or_else(|| panic!("{text:?} is not in the log"));
    assert!(place("Unbound server-providing Pod") < place("End of life of inference server"));
    let relayed = logged(&log, "Successfully relayed the readiness", "readiness").iter().filter(|r| *r == "true").count();

    cook.scale(&set, 1);
    let second = cook.expect_pair_other_than(&set, &first.requester);
    assert_ne!(second.requester, first.requester, "a new server-requesting Pod");
    assert_eq!(second.provider, first.provider, "the same GPU, so the same server-providing Pod");
    let log = cook.log();
    let mut found: Vec<_> = logged(&log, "Found GPUs", "requesterName").into_iter().zip(logged(&log, "Found GPUs", "gpuUUIDs")).collect();
    // Asked twice is told twice.
    found.dedup();
    assert_eq!(found, [(first.requester.clone(), "GPU-0".to_owned()), (second.requester.clone(), "GPU-0".to_owned())]);
    assert_eq!(logged(&log, "Bound server-providing Pod", "requesterName"), std::slice::from_ref(&second.requester));
    assert_eq!(
        logged(&log, "Created server-providing pod", "requesterName"),
        std::slice::from_ref(&first.requester),
        "none is made for the second"
    );
    let again = logged(&log, "Successfully relayed the readiness", "readiness").iter().filter(|r| *r == "true").count();
    assert_eq!(again, relayed + 1);
    let provider = up.api().pod(&second.provider).unwrap();
    assert_eq!(up.sleeping(&provider), Some(false));
    assert_eq!(provider["metadata"]["labels"][format!("{NEW}/sleeping")], "false");
    assert_eq!(provider["status"]["containerStatuses"][0]["restartCount"], 0, "the engine was never started again");
    up.end();
}

#[test]
fn example_7_sleep_and_wake() {
    sleep_and_wake(NEW);
}

#[test]
fn example_7_with_the_prefix_that_the_recipe_has() {
    sleep_and_wake(OLD);
}

#[test]
fn example_8_exercise_sleeper_limit() {
    let Some((kubectl, up)) = plane(&["--gpus-per-node", "1"]) else { return };
    let cook = Cook::new(&kubectl, &up);
    cook.map_nodes();
    // The limit is 2: three may sleep on a GPU where nothing is awake.
    let cycle = |set: &str| {
        cook.scale(set, 1);
        let pair = cook.expect_pair(set);
        cook.scale(set, 0);
        cook.expect_gone(set);
        cook.expect_asleep(&pair.provider);
        pair
    };
    let sets: Vec<(String, Pair)> = (0..3)
        .map(|n| {
            let set = cook.mkrs();
            let pair = cycle(&set);
            assert_eq!(cook.providers().len(), n + 1, "the earlier ones stay");
            (set, pair)
        })
        .collect();
    let mut all: Vec<String> = sets.iter().map(|(_, p)| p.provider.clone()).collect();

    // One more on that GPU: exactly the oldest goes.
    let fourth = cook.mkrs();
    let pair = cook.expect_pair(&fourth);
    all.remove(0);
    all.push(pair.provider);
    expect_providers(&cook, &all);
    cook.scale(&fourth, 0);
    cook.expect_gone(&fourth);

    // Re-use the oldest that is left; then it is not the least recently used one any more.
    let reused = cycle(&sets[1].0);
    assert_eq!(reused.provider, sets[1].1.provider, "woken, not made again");
    expect_providers(&cook, &all);
    let pair = cook.expect_pair(&cook.mkrs());
    all.retain(|p| *p != sets[2].1.provider);
    all.push(pair.provider);
    expect_providers(&cook, &all);
    up.end();
}

#[track_caller]
fn expect_providers(cook: &Cook, wanted: &[String]) {
    let mut wanted = wanted.to_vec();
    wanted.sort();
    until(&format!("the providers are {wanted:?}"), SOON, || {
        let now = cook.providers();
        assert!(now.len() >= wanted.len(), "exactly one goes: of {wanted:?} there are {:?}", names_of(&now));
        now.iter().map(name_of).eq(wanted.iter().cloned()).then_some(())
    });
}
