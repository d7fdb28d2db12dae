//! Events go after an hour.

use dormouse_apiserver::{ApiServer, Options};
use dormouse_runtime::clock::ManualClock;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::{ask, get};

const EVENTS: &str = "/api/v1/namespaces/default/events";

async fn tell(server: &ApiServer, name: &str) {
    let event =
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": {"kind": "Pod", "namespace": "default"}});
    assert_eq!(ask(server, "POST", EVENTS, event).await.status, 201);
}

async fn names(server: &ApiServer) -> Vec<Value> {
    get(server, EVENTS).await.body["items"].as_array().unwrap().iter().map(|e| e["metadata"]["name"].clone()).collect()
}

/// However few come, and whatever else is written meanwhile.
#[tokio::test]
async fn the_first_event_after_an_hour_takes_the_old_ones_along() {
    let clock = ManualClock::new("2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
    let server = ApiServer::new(Options { clock: clock.clone(), ..Options::default() });
    tell(&server, "old").await;
    clock.advance(SignedDuration::from_mins(50));
    tell(&server, "young").await;
    assert_eq!(names(&server).await, ["old", "young"]);
    clock.advance(SignedDuration::from_mins(11));
    tell(&server, "new").await;
    assert_eq!(names(&server).await, ["new", "young"]);
}
