//! Of two mirrors one works; what has lost the lease begins no call after.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_controller::lease::{Campaign, Ended, Timing};
use dormouse_controller::metrics::Metrics;
use dormouse_runtime::monotonic::BootClock;
use dormouse_runtime::{CancellationToken, clock};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::mirror;
use crate::server::{Server, over, until};

/// A lease in small: leases count in whole seconds.
const TIMING: Timing =
    Timing { duration: Duration::from_secs(2), renew_deadline: Duration::from_secs(1), retry: Duration::from_millis(100) };

fn campaign(identity: &str) -> Campaign {
    Campaign {
        namespace: "default".into(),
        name: "mirror".into(),
        identity: identity.into(),
        timing: TIMING,
        clock: clock::system(),
        boot: BootClock::system(),
    }
}

/// A mirror in process.
fn start(client: Client, identity: &'static str, end: &CancellationToken) -> tokio::task::JoinHandle<Ended> {
    tokio::spawn(mirror::run(client, campaign(identity), Metrics::default(), end.clone()))
}

/// The world as the test sees it.
struct World {
    maps: Api<ConfigMap>,
    leases: Api<Lease>,
    events: Api<Event>,
}

impl World {
    fn of(server: &Server) -> Self {
        let client = server.admin();
        Self {
            maps: Api::default_namespaced(client.clone()),
            leases: Api::default_namespaced(client.clone()),
            events: Api::default_namespaced(client),
        }
    }

    async fn write(&self, value: &str) {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"v": value},
            "metadata": {"name": "original", "annotations": {"example.com/copy-to": "copy"}}});
        if self.maps.get_opt("original").await.unwrap().is_some() {
            self.maps.patch("original", &PatchParams::default(), &Patch::Merge(map)).await.unwrap();
        } else {
            self.maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
        }
    }

    async fn copied(&self, value: &str) {
        until(&format!("the copy to say {value}"), || async {
            let copy = self.maps.get_opt("copy").await.unwrap();
            copy.and_then(|c| c.data).is_some_and(|d| d["v"] == value)
        })
        .await;
    }

    async fn held_by(&self, holder: &str) {
        until(&format!("the lease to be held by {holder:?}"), || async {
            let spec = self.leases.get_opt("mirror").await.unwrap().and_then(|l| l.spec);
            spec.is_some_and(|s| s.holder_identity.as_deref() == Some(holder))
        })
        .await;
    }
}

#[tokio::test]
async fn a_controller_in_a_page_keeps_its_copy_and_frees_its_lease() {
    let server = Server::new();
    let (world, end) = (World::of(&server), CancellationToken::new());
    world.write("1").await;
    let work = start(server.client("a"), "a", &end);
    world.copied("1").await;
    world.write("2").await;
    world.copied("2").await;
    // What others do to the copy is undone.
    world.maps.patch("copy", &PatchParams::default(), &Patch::Merge(json!({"data": {"v": "x"}}))).await.unwrap();
    world.copied("2").await;
    until("events", || async {
        let events = world.events.list(&ListParams::default()).await.unwrap().items;
        events.iter().any(|e| e.reason.as_deref() == Some("Copied") && e.involved_object.name.as_deref() == Some("original"))
    })
    .await;
    end.cancel();
    assert_eq!(work.await.unwrap(), Ended::Released);
    world.held_by("").await;
    let lease = world.leases.get("mirror").await.unwrap();
    assert_eq!(lease.spec.and_then(|s| s.lease_duration_seconds), Some(1), "free at once");
}

#[tokio::test]
async fn who_cannot_renew_has_ended_before_another_begins() {
    let server = Server::new();
    let (world, end) = (World::of(&server), CancellationToken::new());
    world.write("1").await;
    let first = start(server.client("a"), "a", &end);
    world.copied("1").await;
    let second = start(server.client("b"), "b", &end);
    server.turn_deaf_to("a");
    assert_eq!(first.await.unwrap(), Ended::Lost);
    let done = server.calls("a").len();
    world.held_by("b").await;
    world.write("2").await;
    world.copied("2").await;
    assert_eq!(server.calls("a").len(), done, "no call after: {:?}", server.calls("a"));
    assert_eq!(server.writes("a").iter().filter(|w| w.contains("/configmaps")).count(), 1);
    end.cancel();
    assert_eq!(second.await.unwrap(), Ended::Released);
}

#[tokio::test]
async fn whose_lease_is_taken_stops_at_its_next_renewal() {
    let server = Server::new();
    let (world, end) = (World::of(&server), CancellationToken::new());
    let first = start(server.client("a"), "a", &end);
    world.held_by("a").await;
    let uid = world.leases.get("mirror").await.unwrap().uid();
    let thief = json!({"metadata": {"labels": {"of": "others"}}, "spec": {"holderIdentity": "thief"}});
    world.leases.patch("mirror", &PatchParams::default(), &Patch::Merge(thief)).await.unwrap();
    assert_eq!(first.await.unwrap(), Ended::Lost);
    let done = server.calls("a").len();
    world.write("1").await;
    // The next holder leaves what others wrote.
    let second = start(server.client("b"), "b", &end);
    world.copied("1").await;
    assert_eq!(server.calls("a").len(), done);
    let lease = world.leases.get("mirror").await.unwrap();
    assert_eq!((lease.uid(), lease.labels()["of"].as_str()), (uid, "others"));
    end.cancel();
    second.await.unwrap();
}

/// Kills what it holds.
struct Killed(Child);

impl Killed {
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the mirror that is a process of its own finds the server; this test does its work then, and nothing otherwise.
const SERVER: &str = "DORMOUSE_TEST_MIRROR_SERVER";

#[tokio::test]
async fn as_a_process() {
    let Ok(address) = std::env::var(SERVER) else { return };
    let ended = mirror::run(over(&address, "a"), campaign("a"), Metrics::default(), CancellationToken::new()).await;
    assert_eq!(ended, Ended::Lost);
}

#[tokio::test]
async fn a_process_that_was_stopped_begins_no_call_when_it_goes_on() {
    let server = Server::new();
    let (world, end) = (World::of(&server), CancellationToken::new());
    let address = server.listen().await.to_string();
    world.write("1").await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "leases::as_a_process", "--nocapture"]).env(SERVER, &address).stdout(Stdio::null());
    let mut first = Killed(command.spawn().unwrap());
    world.copied("1").await;
    // Its event is written, so that between two renewals nothing is under way.
    until("its event", || async { server.writes("a").iter().any(|w| w.contains("/events")) }).await;
    first.signal("STOP");
    // A renewal that was on its way may still arrive.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let done = server.calls("a");
    let second = start(server.client("b"), "b", &end);
    world.held_by("b").await;
    world.write("2").await;
    world.copied("2").await;
    first.signal("CONT");
    let ended = tokio::task::spawn_blocking(move || first.0.wait().map(|status| (first, status))).await.unwrap().unwrap();
    assert!(ended.1.success(), "it has lost its lease");
    assert_eq!(server.calls("a"), done, "no call after");
    end.cancel();
    second.await.unwrap();
}
