//! Creation, deletion and their races.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Launcher, PROGRAM, SLEEPER, alive, eventually, instance, send};

#[tokio::test]
async fn our_additions_to_creation() {
    let launcher = Launcher::start(&["--max-instances", "3"]).await;
    let api = launcher.api();

    let big = json!({"options": "x".repeat(1 << 20)});
    let reply = api.put("a", &big).await;
    assert_eq!((reply.status, reply.json()), (413, json!({"detail": "Request body too large"})));

    for id in ["watch", "a%2Fb", ".x", "%C3%A9", &"x".repeat(201)] {
        let reply = api.put(id, &json!({"options": "x"})).await;
        assert!(matches!(reply.status, 422 | 404), "{id}: {}", reply.text());
    }
    let reply = api.put("watch", &json!({})).await;
    assert_eq!(reply.json()["detail"].as_array().unwrap().len(), 2, "problems of path and body: {}", reply.text());
    let reply = api.put("a", &json!({"options": "x", "annotations": {"dormouse.dev/engine": "nope"}})).await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("no engine adapter"), "{}", reply.text());

    let body = json!({"options": "--port 0", "env_vars": {"B": "1", "A": "2"}});
    let first = api.put("a", &body).await;
    assert_eq!(first.status, 201);
    assert!(first.text().contains(r#""env_vars":{"B":"1","A":"2"}"#) || first.text().contains(r#""env_vars":{"A":"2","B":"1"}"#));
    assert_eq!(first.headers["dormouse-epoch"].len(), 16);
    let same = json!({"env_vars": {"A": "2", "B": "1"}, "options": "--port 0"});
    let again = api.send(api.request("PUT", &(instance("a") + "?ifExists=same")).json(&same)).await;
    assert_eq!((again.status, &again.json()["pid"]), (200, &first.json()["pid"]));
    let other = api.send(api.request("PUT", &(instance("a") + "?ifExists=same")).json(&json!({"options": "--port 1"}))).await;
    assert_eq!(other.status, 409);

    api.create("b", "").await;
    api.create("c", "").await;
    let full = api.put("d", &body).await;
    assert_eq!((full.status, &full.json()["reason"]), (409, &json!("max_instances")));
    assert_eq!(api.list().await["total_instances"], 3);
    assert!(
        api.get("/metrics")
            .await
            .text()
            .contains("dormouse_launcher_requests_total{method=\"PUT\",route=\"create_named_instance\",code=\"201\"} 3")
    );
}

#[tokio::test]
async fn an_engine_that_cannot_be_started_leaves_nothing() {
    let launcher = Launcher::start(&["--engine-command", "no-such-engine-anywhere"]).await;
    let api = launcher.api();
    let reply = api.put("a", &json!({"options": "x"})).await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("cannot start engine") && reply.text().contains("no-such-engine-anywhere"), "{}", reply.text());
    let list = api.list().await;
    assert_eq!((&list["total_instances"], &list["revision"]), (&json!(0), &json!(0)));
    assert_eq!(std::fs::read_dir(launcher.folder()).unwrap().count(), 1, "only owner.json");
    // The log cannot be made: as when the disk is full.
    std::fs::remove_dir_all(launcher.folder()).unwrap();
    let reply = api.put("a", &json!({"options": "x"})).await;
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert_eq!(api.get("/health").await.status, 200);
}

#[tokio::test]
async fn ports_that_are_taken_are_told_or_refused() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    let held = std::net::TcpListener::bind((launcher.ip, 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let options = json!({"options": format!("--port {port}")});
    let reply = api.put("a", &options).await;
    assert_eq!(reply.status, 201);
    assert!(reply.json()["warnings"][0].as_str().unwrap().contains("cannot be bound"), "{}", reply.text());
    let state = api.wait_for("a", "status", &json!("stopped")).await;
    assert_eq!(state["exit_code"], 1, "the error is the instance's");
    drop(held);
    api.delete("a").await;

    // A port that has just been given back can be used at once.
    for round in 0..3 {
        let reply = api.put("a", &options).await;
        assert!(reply.status == 201 && reply.json().get("warnings").is_none(), "round {round}: {}", reply.text());
        let health = format!("http://{}:{port}/health", launcher.ip);
        let deadline = Instant::now() + crate::harness::SOON;
        while api.http.get(&health).send().await.is_err() {
            assert!(Instant::now() < deadline, "round {round}: the engine does not answer");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let second = api.put("b", &options).await;
        assert!(second.json()["warnings"][0].as_str().unwrap().contains("used by instance a"), "{}", second.text());
        api.delete("b").await;
        api.delete("a").await;
    }

    let strict = Launcher::start(&["--port-check", "reject"]).await;
    let held = std::net::TcpListener::bind((strict.ip, 0)).unwrap();
    let reply = strict.api().put("a", &json!({"options": format!("--port={}", held.local_addr().unwrap().port())})).await;
    assert_eq!((reply.status, &reply.json()["reason"]), (409, &json!("port_taken")));
}

#[tokio::test]
async fn create_and_delete_at_once_leave_one_truth() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    let body = json!({"options": "--port 0"});
    let mut lines = api.watch("?since=0").await;
    for _ in 0..10 {
        let (a, b, c, d) = tokio::join!(api.put("x", &body), api.put("x", &body), api.delete("x"), api.delete("x"));
        let created = [a.status, b.status].iter().filter(|s| **s == 201).count();
        assert!(created >= 1 && [a.status, b.status].iter().all(|s| matches!(s, 201 | 409)), "{} {}", a.status, b.status);
        assert!([c.status, d.status].iter().all(|s| matches!(s, 200 | 404)));
        if c.status == 200 && d.status == 200 && created == 1 {
            assert_eq!(c.text(), d.text(), "the second deletion joins the first");
        }
        let listed = api.list().await["total_instances"].as_u64().unwrap();
        let exists = api.get(&instance("x")).await.status == 200;
        assert_eq!(listed == 1, exists);
        if exists {
            assert_eq!(api.delete("x").await.status, 200);
        }
    }
    let last = api.list().await["revision"].as_u64().unwrap();
    let mut open = false;
    for revision in 1..=last {
        let event = lines.next().await.unwrap();
        assert_eq!(event["object"]["revision"], revision);
        assert_eq!(event["type"], if open { "DELETED" } else { "CREATED" }, "{event}");
        open = !open;
    }
}

#[tokio::test]
async fn two_deletions_get_the_same_reply_and_the_server_answers_meanwhile() {
    let launcher = Launcher::start(&["--stop-grace", "1"]).await;
    let api = launcher.api();
    api.create("a", "--ignore-sigterm --log-text up").await;
    eventually("the engine to ignore signals", || {
        std::fs::read_dir(launcher.folder()).unwrap().flatten().any(|e| e.metadata().unwrap().len() == 2)
    })
    .await;
    let begun = Instant::now();
    let (first, second, during) = tokio::join!(api.delete("a"), api.delete("a"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let state = api.get(&instance("a")).await.json();
        let put = api.put("a", &json!({"options": "x"})).await;
        (state, put.status, begun.elapsed())
    });
    assert_eq!((first.status, first.text()), (200, second.text()));
    let (state, put, at) = during;
    assert_eq!((&state["status"], &state["phase"], put), (&json!("running"), &json!("stopping"), 409));
    assert!(at < Duration::from_millis(950), "nothing blocks while a deletion waits");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn deletion_during_the_start_takes_milliseconds() {
    // A default grace of 10 s: a swallowed signal would show.
    let launcher = Launcher::start(&["--engine-command", SLEEPER]).await;
    let api = launcher.api();
    let begun = Instant::now();
    for i in 0..5 {
        let id = format!("x{i}");
        assert_eq!(api.put(&id, &json!({"options": ""})).await.status, 201);
        assert_eq!(api.delete(&id).await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn exits_and_deletions_that_meet_tell_a_consistent_story() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    let mut lines = api.watch("?since=0").await;
    for i in 0..10_u64 {
        let id = format!("x{i}");
        api.create(&id, &format!("--exit-after {}", i * 8)).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
        assert_eq!(api.delete(&id).await.json()["status"], "stopped");
        let mut kinds = vec![];
        while kinds.last() != Some(&json!("DELETED")) {
            let event = lines.next().await.unwrap();
            assert_eq!(event["object"]["instance_id"], json!(id));
            kinds.push(event["type"].clone());
        }
        assert!(kinds == ["CREATED", "DELETED"] || kinds == ["CREATED", "STOPPED", "DELETED"], "{kinds:?}");
    }
}

#[tokio::test]
async fn the_list_and_stopped_agree() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    let state = api.create("a", "").await;
    let pid = i32::try_from(state["pid"].as_i64().unwrap()).unwrap();
    let mut lines = api.watch("?since=1").await;
    send(pid, "KILL");
    loop {
        let list = api.list().await;
        let stopped = list["instances"][0]["status"] == "stopped";
        assert_eq!(list["revision"], if stopped { 2 } else { 1 }, "a stopped instance has its revision: {list}");
        if stopped {
            assert_eq!(list["instances"][0]["exit_code"], -9);
            break;
        }
    }
    assert_eq!(lines.next().await.unwrap()["type"], "STOPPED");
}

#[tokio::test]
async fn sigterm_ends_streams_and_engines_at_once() {
    let mut launcher = Launcher::start(&["--stop-grace", "1"]).await;
    let api = launcher.api();
    let mut pids = Vec::new();
    for id in ["a", "b", "c"] {
        let state = api.create(id, "--ignore-sigterm --log-text up --children 1").await;
        pids.push(i32::try_from(state["pid"].as_i64().unwrap()).unwrap());
    }
    let folder = launcher.folder();
    let up = || {
        std::fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "log") && e.metadata().unwrap().len() == 2)
            .count()
    };
    eventually("the engines to ignore signals", || up() == 3).await;
    let mut lines = api.watch("").await;
    for _ in 0..3 {
        lines.next().await.unwrap();
    }
    let begun = Instant::now();
    launcher.signal("TERM");
    assert_eq!(lines.next().await, None, "the stream ends first, without the deletions");
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    let refused = api.put("d", &json!({"options": "x"})).await;
    assert_eq!((refused.status, refused.json()), (503, json!({"detail": "Launcher is shutting down"})));
    let status = tokio::time::timeout(crate::harness::SOON, launcher.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(pids.iter().all(|p| !alive(*p)));
    assert!(!folder.exists());
}

#[tokio::test]
async fn sigterm_while_creations_run_leaves_no_engine() {
    for round in 0..3 {
        let mut launcher = Launcher::start(&["--engine-command", SLEEPER]).await;
        let api = launcher.api();
        let creations: Vec<_> = (0..20)
            .map(|i| {
                let api = api.clone();
                tokio::spawn(async move {
                    let request = api.request("PUT", &instance(&format!("x{i}"))).json(&json!({"options": ""}));
                    // The launcher may be gone by now.
                    let reply = request.send().await.ok()?;
                    reply.json::<Value>().await.ok()?["pid"].as_i64()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(round * 5)).await;
        launcher.signal("TERM");
        assert_eq!(launcher.child.wait().await.unwrap().code(), Some(0));
        for creation in creations {
            if let Some(pid) = creation.await.unwrap() {
                assert!(!alive(i32::try_from(pid).unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn bad_flags_are_status_2() {
    for flags in [["--log-level", "loud"], ["--nosuch", "1"], ["--port", "70000"]] {
        let status =
            tokio::process::Command::new(PROGRAM).arg("launcher").args(flags).stderr(std::process::Stdio::null()).status().await.unwrap();
        assert_eq!(status.code(), Some(2), "{flags:?}");
    }
    let launcher = Launcher::start(&[]).await;
    let output = tokio::process::Command::new(PROGRAM)
        .args(["launcher", "--port", &launcher.port.to_string()])
        .env("DORMOUSE_POD_IP", launcher.ip.to_string())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("cannot listen on") && text.contains("--port"), "{text}");
}

#[tokio::test]
async fn the_device_ledger_translates_uuids_and_tells_memory() {
    use dormouse_devices::{Allocation, Client, Config, Devices, Gpu, Identity, LeaseState, Listener, Rates, serve};

    let end = dormouse_runtime::CancellationToken::new();
    // The second node of a plane: UUIDs go on counting, indexes begin anew.
    let gpu = |k: u32| Gpu { uuid: format!("GPU-{}", k + 4), index: k, product: "H100".into(), total_bytes: 80 << 30 };
    let devices = Devices::new(Config { gpus: (0..4).map(gpu).collect(), rates: Rates::default() }).unwrap();
    let socket = format!("@dormouse-launcher-test-{}", std::process::id());
    let holder = Client::local(&devices, Identity::default());
    let wish = Allocation { gpu: "GPU-5".into(), bytes: 3 << 30, label: "x".into(), model: None, state: LeaseState::Awake };
    holder.allocate(wish).await.unwrap();
    tokio::spawn(serve(devices, Listener::bind(&socket).unwrap(), end.clone()));
    let dir = tempfile::tempdir().unwrap();
    let gpu = |used: u64| json!({"used_bytes": used << 30, "total_bytes": 80_u64 << 30});
    let all = json!({"GPU-4": gpu(0), "GPU-5": gpu(3), "GPU-6": gpu(0), "GPU-7": gpu(0)});
    let two = json!({"GPU-5": gpu(3), "GPU-7": gpu(0)});
    for (visible, uuids, indexes, memory) in [("all", ["GPU-7", "GPU-4"], "3,0", all), ("GPU-5,GPU-7", ["GPU-5", "GPU-7"], "0,1", two)] {
        let env = [("DORMOUSE_DEVICES", socket.as_str()), ("NVIDIA_VISIBLE_DEVICES", visible)];
        let launcher = Launcher::start_with(dir.path(), crate::harness::own_ip(), 0, &["--engine-command", SLEEPER], &env).await;
        let reply = launcher.api().put("a", &json!({"options": "", "gpu_uuids": uuids})).await;
        assert_eq!(reply.json()["env_vars"], json!({"CUDA_VISIBLE_DEVICES": indexes}), "{}", reply.text());
        let told = launcher.api().get("/v2/gpu-debug").await;
        assert_eq!((told.status, told.json()), (200, memory));
        let unknown = launcher.api().put("b", &json!({"options": "", "gpu_uuids": ["GPU-0"]})).await;
        assert!(unknown.status == 409 && unknown.text().contains("not found. Available UUIDs: ["), "{}", unknown.text());
    }
    end.cancel();
    let env = [("DORMOUSE_DEVICES", "@dormouse-launcher-test-nobody")];
    let launcher = Launcher::start_with(dir.path(), crate::harness::own_ip(), 0, &[], &env).await;
    let told = launcher.api().get("/v2/gpu-debug").await;
    assert!(told.status == 500 && told.json()["detail"].as_str().unwrap().contains("cannot connect"), "{}", told.text());
}
