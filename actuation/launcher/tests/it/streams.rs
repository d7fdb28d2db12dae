//! Watch and follow.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Launcher, SLEEPER, SOON, instance};

#[tokio::test]
async fn epoch_future_and_heartbeat() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    let epoch = api.get("/health").await.header("dormouse-epoch");
    api.create("a", "").await;
    let gone = |n: &str| json!({"detail": format!("Requested revision {n} is no longer available. Oldest available: 0.")});
    for (query, n) in [("?since=2", "2"), ("?since=1&epoch=0123456789abcdef", "1"), ("?since=99999999999999999999", "99999999999999999999")]
    {
        let reply = api.get(&format!("/v2/vllm/instances/watch{query}")).await;
        assert_eq!((reply.status, reply.json()), (410, gone(n)), "{query}");
        assert_eq!(reply.header("dormouse-epoch"), epoch);
    }
    let mut lines = api.watch(&format!("?since=0&epoch={epoch}&heartbeat=1")).await;
    assert_eq!(lines.next().await.unwrap()["type"], "CREATED");
    assert_eq!(lines.next().await.unwrap(), json!({"type": "BOOKMARK", "object": {"revision": 1}}));
    api.delete("a").await;
    assert_eq!(lines.next().await.unwrap()["type"], "DELETED");
    assert_eq!(lines.next().await.unwrap()["object"]["revision"], 2);
}

#[tokio::test]
async fn events_have_the_contracts_bytes() {
    let launcher = Launcher::start(&["--engine-command", "false"]).await;
    let api = launcher.api();
    let mut lines = api.request("GET", "/v2/vllm/instances/watch").send().await.unwrap();
    api.put("a", &json!({"options": "--port 8005"})).await;
    api.wait_for("a", "status", &json!("stopped")).await;
    api.delete("a").await;
    let expected = concat!(
        r#"{"type":"CREATED","object":{"status":"running","instance_id":"a","revision":1,"options":"--port 8005"}}"#,
        "\n",
        r#"{"type":"STOPPED","object":{"status":"stopped","instance_id":"a","revision":2,"options":"--port 8005","exit_code":1}}"#,
        "\n",
        r#"{"type":"DELETED","object":{"status":"stopped","instance_id":"a","revision":3,"options":"--port 8005"}}"#,
        "\n"
    );
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend_from_slice(&tokio::time::timeout(SOON, lines.chunk()).await.unwrap().unwrap().unwrap());
    }
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

#[tokio::test]
async fn a_snapshot_during_creations_misses_nothing() {
    let launcher = Launcher::start(&["--engine-command", SLEEPER]).await;
    let api = launcher.api();
    let creating = {
        let api = api.clone();
        tokio::spawn(async move {
            for i in 0..40 {
                assert_eq!(api.put(&format!("x{i}"), &json!({"options": ""})).await.status, 201);
            }
        })
    };
    let mut watchers = tokio::task::JoinSet::new();
    for delay in 0..8 {
        let api = api.clone();
        watchers.spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay * 10)).await;
            let mut lines = api.watch("").await;
            for i in 0..40 {
                let event = lines.next().await.unwrap();
                assert_eq!(event["type"], "CREATED");
                assert_eq!(event["object"]["instance_id"], format!("x{i}"), "in order, each once");
            }
        });
    }
    creating.await.unwrap();
    while let Some(done) = watchers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_gets_a_clean_end_and_lists_again() {
    let launcher = Launcher::start(&["--engine-command", "true"]).await;
    let api = launcher.api();
    let mut slow = api.watch("").await;
    // More than all buffers between launcher and reader hold, and than the launcher keeps.
    let body = json!({"options": "x", "annotations": {"large": "x".repeat(500_000)}});
    for i in 0..40 {
        let id = format!("x{i}");
        assert_eq!(api.put(&id, &body).await.status, 201);
        assert_eq!(api.delete(&id).await.status, 200);
    }
    let (mut last, mut seen) = (0, 0);
    while let Some(event) = slow.next().await {
        assert_eq!(event["object"]["revision"], last + 1, "what is told has no gap");
        last += 1;
        seen += 1;
    }
    let now = api.list().await["revision"].as_u64().unwrap();
    assert!(seen < now, "{seen} of {now}");
    assert_eq!(api.get(&format!("/v2/vllm/instances/watch?since={last}")).await.status, 410);
    let mut again = api.watch(&format!("?since={now}")).await;
    api.create("y", "").await;
    assert_eq!(again.next().await.unwrap()["object"]["revision"], now + 1);
}

#[tokio::test]
async fn too_many_streams_are_refused_and_places_come_back() {
    let launcher = Launcher::start(&["--max-watchers", "2"]).await;
    let api = launcher.api();
    let first = api.watch("").await;
    let _second = api.watch("").await;
    assert_eq!(api.get("/v2/vllm/instances/watch").await.status, 503);
    drop(first);
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let response = api.request("GET", "/v2/vllm/instances/watch").send().await.unwrap();
        if response.status() == 200 {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "a closed stream gives its place back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_follower_gets_everything_until_the_deletion() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    api.create("a", "--log-text start. --log-bytes-per-second 1000").await;
    let log = instance("a") + "/log";
    // Until the engine has emptied it, the launcher's first line is there.
    let deadline = tokio::time::Instant::now() + SOON;
    while !api.get(&log).await.text().starts_with("start.") {
        assert!(tokio::time::Instant::now() < deadline, "the engine writes nothing");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut all = api.request("GET", &format!("{log}?follow=true")).send().await.unwrap();
    let mut tail = api.request("GET", &format!("{log}?follow=yes")).header("range", "bytes=6-").send().await.unwrap();
    assert_eq!((all.status().as_u16(), tail.status().as_u16()), (200, 206));
    let (mut text, mut rest) = (Vec::new(), Vec::new());
    while text.len() < 600 {
        text.extend_from_slice(&tokio::time::timeout(SOON, all.chunk()).await.unwrap().unwrap().unwrap());
    }
    assert_eq!(api.delete("a").await.status, 200);
    while let Some(chunk) = tokio::time::timeout(SOON, all.chunk()).await.unwrap().unwrap() {
        text.extend_from_slice(&chunk);
    }
    while let Some(chunk) = tokio::time::timeout(SOON, tail.chunk()).await.unwrap().unwrap() {
        rest.extend_from_slice(&chunk);
    }
    let (text, rest) = (String::from_utf8(text).unwrap(), String::from_utf8(rest).unwrap());
    assert_eq!(text.strip_prefix("start."), Some(rest.as_str()), "both end with the same byte");
    assert!(rest.bytes().all(|b| b == b'.'));
}
