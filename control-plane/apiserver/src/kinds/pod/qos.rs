//! The quality-of-service class of a Pod.

use std::collections::BTreeMap;

use dormouse_machinery::quantity::Quantity;
use serde_json::Value;

use crate::kinds::values::{map, maps};
use crate::registry::Object;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(spec: &Object) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in maps(spec, "containers").chain(maps(spec, "initContainers")) {
        let requests = amounts(container, "requests");
        let limits = amounts(container, "limits");
        any |= !requests.is_empty() || !limits.is_empty();
        guaranteed &= ["cpu", "memory"].iter().all(|r| limits.get(r).is_some_and(|l| requests.get(r).is_none_or(|q| q == l)));
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// CPU and memory that are set and not zero.
fn amounts<'a>(container: &'a Object, which: &str) -> BTreeMap<&'static str, Quantity> {
    let amounts: Option<&'a Object> = map(container, "resources").and_then(|r| map(r, which));
    let mut out = BTreeMap::new();
    for resource in ["cpu", "memory"] {
        let quantity = amounts.and_then(|a| a.get(resource)).and_then(Value::as_str).and_then(|q| Quantity::parse(q).ok());
        if let Some(quantity) = quantity.filter(|q| !q.is_zero()) {
            out.insert(resource, quantity);
        }
    }
    out
}
