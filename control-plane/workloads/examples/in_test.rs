//! A cluster inside a test, without a kubelet: API server, workload controllers and scheduler in one process.
//!
//! ```sh
//! cargo run -p dormouse-workloads --example in_test
//! ```
//!
//! Nodes are made by hand, so that thousands of them cost nothing; Pods are made, counted, bound and deleted, and run nowhere.

use std::error::Error;
use std::time::Duration;

use dormouse_apiserver::{ApiServer, Options};
use dormouse_runtime::{CancellationToken, clock};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

/// A Deployment is scaled up beyond what the nodes have, and down again.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let client = ApiServer::new(Options::default()).client();
    let end = CancellationToken::new();
    let _ends = end.clone().drop_guard();
    let workloads = dormouse_workloads::Options {
        clock: clock::system(),
        pod_gc_delay: Duration::from_secs(1),
        terminated_pods: 500,
        root_ca_pem: String::new(),
    };
    tokio::spawn(dormouse_workloads::run(client.clone(), workloads, end.clone()));
    let scheduler = dormouse_scheduler::Options { name: "default-scheduler".to_owned(), clock: clock::system() };
    tokio::spawn(dormouse_scheduler::run(client.clone(), scheduler, end));

    let nodes: Api<Node> = Api::all(client.clone());
    for name in ["n1", "n2"] {
        let node = json!({"metadata": {"name": name}, "status": {"capacity": {"nvidia.com/gpu": "2", "pods": "10"}}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node)?).await?;
    }
    let (deployments, pods): (Api<Deployment>, Api<Pod>) = (Api::default_namespaced(client.clone()), Api::default_namespaced(client));
    // Without grace: no kubelet would ever say that a bound Pod has ended.
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}}}]}}}});
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment)?).await?;
    println!("three Pods, one GPU each: {:?}", placed(&pods, 3, 3).await?);
    for (replicas, bound) in [(5, 4), (1, 1)] {
        deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": replicas}}))).await?;
        println!("{replicas} wanted, {bound} fit: {:?}", placed(&pods, replicas, bound).await?);
    }
    Ok(())
}

/// Waits until there are so many Pods and so many of them are bound; where these are.
async fn placed(pods: &Api<Pod>, all: usize, bound: usize) -> Result<Vec<String>, Box<dyn Error>> {
    for _ in 0..4_000 {
        let there = pods.list(&ListParams::default()).await?.items;
        let on: Vec<String> = there.iter().filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect();
        if (there.len(), on.len()) == (all, bound) {
            return Ok(on);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("waited for {all} Pods, {bound} of them bound").into())
}
