//! The table against an independent one: the published schemas, as `k8s-openapi` reads them.

use std::collections::BTreeSet;

use dormouse_machinery::schema;
use dormouse_machinery::schema::openapi::{Style, definition};
use dormouse_machinery::schema::published::Published;
use serde_json::{Map, Value};

fn members(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().map(Map::keys).into_iter().flatten().cloned().collect()
}

fn required(schema: &Value) -> BTreeSet<String> {
    schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// What both write of a scalar.
fn scalar(schema: &Value) -> Option<(&str, Option<&str>)> {
    let ty = schema["type"].as_str()?;
    (!matches!(ty, "object" | "array")).then(|| (ty, schema["format"].as_str()))
}

#[test]
fn members_and_required_marks_are_those_published() {
    let published = Published::read();
    let mut problems = Vec::new();
    let mut compared = 0;
    for (name, theirs) in published.types() {
        if theirs.get("properties").is_none() {
            continue;
        }
        let Some(ty) = schema::named(name) else {
            problems.push(format!("{name}: unknown"));
            continue;
        };
        compared += 1;
        let ours = definition(ty, Style::V3);
        let (our_members, their_members) = (members(&ours), members(theirs));
        if our_members != their_members {
            problems.push(format!("{name}: members {:?}", our_members.symmetric_difference(&their_members).collect::<Vec<_>>()));
        }
        let (ours_required, mut theirs_required) = (required(&ours), required(theirs));
        // Three conventions of that crate: objects have metadata, members with a default are never absent, and
        // the time of an event may be.
        if !ours_required.contains("metadata") {
            theirs_required.remove("metadata");
        }
        if name == "io.k8s.api.events.v1.Event" {
            theirs_required.insert("eventTime".to_owned());
        }
        if ours["properties"]["name"] == serde_json::json!({"type": "string"}) && !ours_required.contains("name") {
            theirs_required.remove("name");
        }
        if ours_required != theirs_required {
            let more: Vec<_> = ours_required.difference(&theirs_required).collect();
            let less: Vec<_> = theirs_required.difference(&ours_required).collect();
            problems.push(format!("{name}: required here only {more:?}, there only {less:?}"));
        }
        for member in our_members.intersection(&their_members) {
            let (ours, theirs) = (scalar(&ours["properties"][member]), scalar(&theirs["properties"][member]));
            if ours.is_some() && theirs.is_some() && ours != theirs {
                problems.push(format!("{name}.{member}: {ours:?} here, {theirs:?} there"));
            }
        }
    }
    crate::golden::said(&format!("openapi: {compared} types compared, {} differ", problems.len()));
    assert!(compared > 300, "{compared}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
