//! Test requesters that fight for GPUs over one table.

use std::collections::BTreeSet;

use clap::Parser;
use dormouse_requester::test_requester::{Args, run_with};
use dormouse_runtime::CancellationToken;
use serde_json::{Value, json};

use crate::harness::{command, eventually, own_ip};
use crate::kube_stub::Cluster;

fn pod(uid: &str) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": format!("pod-{uid}"), "uid": uid}})
}

fn start(
    cluster: &Cluster,
    uid: &str,
    gpus: u32,
    end: &CancellationToken,
) -> tokio::task::JoinHandle<Result<(), dormouse_requester::Error>> {
    let (client, end, gpus, uid) = (cluster.client(), end.clone(), gpus.to_string(), uid.to_owned());
    let seed = uid.bytes().map(u64::from).sum();
    tokio::spawn(async move {
        let line = [
            "test-requester",
            "--node",
            "n1",
            "--pod-uid",
            &uid,
            "--namespace",
            "ns",
            "--num-gpus",
            &gpus,
            "--probes-port",
            "0",
            "--spi-port",
            "0",
        ];
        run_with(client, Args::try_parse_from(line).unwrap(), "test-requester/n1/0", seed, end).await
    })
}

fn holders(cluster: &Cluster) -> Vec<(String, String)> {
    let data = cluster.data("gpu-allocs");
    let entries = data.as_object().into_iter().flatten();
    entries
        .map(|(gpu, text)| {
            (gpu.clone(), serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap()["PodUID"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn no_gpu_is_given_twice() {
    let cluster = Cluster::new();
    let gpus: Value = (0..8).map(|k| (format!("GPU-{k}"), json!(k))).collect::<serde_json::Map<_, _>>().into();
    cluster.set_map("gpu-map", &json!({"n1": gpus.to_string()}));
    let uids: Vec<String> = (0..4).map(|k| format!("uid-{k}")).collect();
    cluster.change(|w| w.pods = uids.iter().map(|u| pod(u)).collect());
    let end = CancellationToken::new();
    let running: Vec<_> = uids.iter().map(|u| start(&cluster, u, 2, &end)).collect();
    eventually("eight GPUs to be taken", || holders(&cluster).len() == 8).await;
    let by = holders(&cluster);
    for uid in &uids {
        assert_eq!(by.iter().filter(|(_, holder)| holder == uid).count(), 2, "{by:?}");
    }
    assert_eq!(by.iter().map(|(gpu, _)| gpu).collect::<BTreeSet<_>>().len(), 8);
    end.cancel();
    for one in running {
        one.await.unwrap().unwrap();
    }
    println!("{} updates met a conflict", cluster.world.lock().unwrap().conflicts);
}

#[tokio::test]
async fn a_map_that_comes_late_and_a_holder_that_dies_are_enough() {
    let cluster = Cluster::new();
    cluster.change(|w| w.pods = vec![pod("a"), pod("b")]);
    let end = CancellationToken::new();
    let a = start(&cluster, "a", 1, &end);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(cluster.data("gpu-allocs"), Value::Null, "nothing is written without a map");
    cluster.set_map("gpu-map", &json!({"n1": "{\"GPU-0\":0}"}));
    eventually("the first to get it", || holders(&cluster) == [("GPU-0".to_owned(), "a".to_owned())]).await;
    let b = start(&cluster, "b", 1, &end);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(holders(&cluster)[0].1, "a", "a living holder keeps it");
    cluster.change(|w| w.pods.retain(|p| p["metadata"]["uid"] != "a"));
    eventually("the second to get it", || holders(&cluster) == [("GPU-0".to_owned(), "b".to_owned())]).await;
    end.cancel();
    a.await.unwrap().unwrap();
    b.await.unwrap().unwrap();
}

#[tokio::test]
async fn cancelled_allocation_is_status_100() {
    let cluster = Cluster::new();
    let end = CancellationToken::new();
    let waiting = start(&cluster, "a", 1, &end);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    end.cancel();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.exit_code(), 100);
    assert!(error.to_string().starts_with("Failed to allocate GPUS: "), "{error}");
}

#[tokio::test]
async fn empty_flags_are_status_1() {
    for (args, text) in [
        (vec![], "--node must not be the empty string"),
        (vec!["--node=n"], "--pod-uid must not be the empty string"),
        (vec!["--node=n", "--pod-uid=u"], "Namespace must not be the empty string"),
    ] {
        let output = command("test-requester", &args, own_ip()).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(text));
    }
}
