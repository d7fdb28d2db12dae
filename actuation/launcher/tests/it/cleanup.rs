//! Nothing is left behind: workers, daemons, zombies, descriptors, files, and what a killed launcher leaves.

use serde_json::json;

use crate::harness::{Launcher, SLEEPER, alive, eventually, own_ip, private_folder, send, tree_of};

fn i32_of(value: &serde_json::Value) -> i32 {
    i32::try_from(value.as_i64().unwrap()).unwrap()
}

/// Processes named `sleep` that carry a mark of the launcher with that epoch.
fn marked_sleepers(epoch: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let comm = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if comm.trim() == "sleep" && String::from_utf8_lossy(&environ).contains(&format!("DORMOUSE_INSTANCE={epoch}.")) && alive(pid) {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn children_and_daemons_go_with_their_engine() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    let epoch = api.get("/health").await.header("dormouse-epoch");

    let leader = i32_of(&api.create("deleted", "--children 3 --daemon").await["pid"]);
    eventually("three children and a daemon", || marked_sleepers(&epoch).len() == 4).await;
    assert_eq!(tree_of(leader).len(), 4, "the daemon is in a session of its own");
    assert_eq!(api.delete("deleted").await.status, 200);
    assert_eq!(marked_sleepers(&epoch), [] as [i32; 0], "gone when the deletion is answered");

    let leader = i32_of(&api.create("crashed", "--children 2 --daemon").await["pid"]);
    eventually("two children and a daemon", || marked_sleepers(&epoch).len() == 3).await;
    send(leader, "KILL");
    api.wait_for("crashed", "status", &json!("stopped")).await;
    eventually("the rest of a crashed engine to go", || marked_sleepers(&epoch).is_empty()).await;
    assert_eq!(api.delete("crashed").await.status, 200);
}

#[tokio::test]
async fn an_engine_that_closes_its_log_still_lives() {
    let launcher = Launcher::start(&[]).await;
    let api = launcher.api();
    api.create("a", "--log-text x --close-log").await;
    let state = api.wait_for("a", "status", &json!("running")).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(alive(i32_of(&state["pid"])));
    assert_eq!(api.delete("a").await.status, 200);
}

#[tokio::test]
async fn fifty_instances_leave_no_descriptor_zombie_or_file() {
    let launcher = Launcher::start(&["--engine-command", SLEEPER]).await;
    let api = launcher.api();
    let count = |dir: std::path::PathBuf| std::fs::read_dir(dir).unwrap().count();
    let proc = std::path::PathBuf::from(format!("/proc/{}", launcher.pid()));
    let cycle = async |n: usize| {
        let ids: Vec<String> = (0..n).map(|i| format!("x{i}")).collect();
        let body = json!({"options": ""});
        futures::future::join_all(ids.iter().map(|id| api.put(id, &body))).await;
        assert_eq!(api.list().await["running_instances"], n);
        let gone = api.send(api.request("DELETE", "/v2/vllm/instances")).await;
        assert_eq!(gone.json()["total_stopped"], n, "{}", gone.text());
    };
    cycle(20).await;
    let before = count(proc.join("fd"));
    cycle(50).await;
    let children = || {
        let me = launcher.pid().to_string();
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok())
            .filter(|stat| stat[stat.rfind(')').unwrap() + 1..].split_whitespace().nth(1) == Some(&me))
            .count()
    };
    eventually("zombies to be buried", || children() == 0).await;
    assert_eq!(count(launcher.folder()), 1, "only owner.json");
    eventually("descriptors to be closed", || count(proc.join("fd")) <= before + 2).await;
}

#[tokio::test]
async fn a_restarted_launcher_ends_what_its_predecessor_left() {
    let dir = tempfile::tempdir().unwrap();
    let (ip, port) = (own_ip(), 18_001);
    let mut first = Launcher::start_in(dir.path(), ip, port, &[]).await;
    let api = first.api();
    let epoch = api.get("/health").await.header("dormouse-epoch");
    let leader = i32_of(&api.create("a", "--children 2 --daemon").await["pid"]);
    // Another launcher in the same folder, with another address: not the same identity.
    let neighbour = Launcher::start_in(dir.path(), own_ip(), port, &[]).await;
    let unharmed = i32_of(&neighbour.api().create("a", "--children 1").await["pid"]);
    eventually("children and daemon", || marked_sleepers(&epoch).len() == 3).await;
    let folder = private_folder(dir.path(), first.pid());
    // As if the launcher had been killed between fork and record: the marks remain.
    let records: Vec<_> =
        std::fs::read_dir(&folder).unwrap().flatten().filter(|e| e.path().extension().is_some_and(|x| x == "pid")).collect();
    assert_eq!(records.len(), 1);
    std::fs::remove_file(records[0].path()).unwrap();

    first.signal("KILL");
    first.child.wait().await.unwrap();
    eventually("the leader to die with its launcher", || !alive(leader)).await;
    assert_eq!(marked_sleepers(&epoch).len(), 3, "what it forked lives on");

    let second = Launcher::start_in(dir.path(), ip, port, &[]).await;
    assert_eq!(marked_sleepers(&epoch), [] as [i32; 0], "gone before the new one answers");
    assert!(!folder.exists());
    assert!(alive(unharmed) && tree_of(unharmed).len() == 2, "the neighbour's engine is none of our business");
    let list = second.api().list().await;
    assert_eq!((&list["revision"], &list["total_instances"]), (&json!(0), &json!(0)));
    assert_ne!(second.api().get("/health").await.header("dormouse-epoch"), epoch);
}

#[tokio::test]
async fn a_log_stays_within_its_bound_and_says_where_it_starts() {
    let launcher = Launcher::start(&["--log-max-bytes", "65536"]).await;
    let api = launcher.api();
    api.create("a", "--log-fill 1000000").await;
    let path = "/v2/vllm/instances/a/log";
    let deadline = tokio::time::Instant::now() + crate::harness::SOON;
    let reply = loop {
        let reply = api.send(api.request("GET", path).header("range", "bytes=0-9")).await;
        if reply.status == 416 && reply.headers.contains_key("dormouse-log-start") {
            break reply;
        }
        if tokio::time::Instant::now() > deadline {
            dormouse_testing::skipped("this file system makes no holes");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let start: u64 = reply.header("dormouse-log-start").parse().unwrap();
    assert!(start > 900_000 && start < 1_000_000, "{start}");
    let whole = api.get(path).await;
    assert_eq!(whole.header("content-range"), format!("bytes {start}-999999/1000000"));
    assert!(whole.body.iter().all(u8::is_ascii_digit), "no hole is ever shown");
}
