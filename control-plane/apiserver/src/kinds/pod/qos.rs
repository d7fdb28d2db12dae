//! The quality-of-service class of a Pod.

use crate::kinds::values::{map, maps};
use crate::registry::Object;
use dormouse_machinery::quantity::Quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(spec: &Object) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in maps(spec, "containers").chain(maps(spec, "initContainers")) {
        let requests = amounts(container, "requests");
        let limits = amounts(container, "limits");
        any |= requests.iter().chain(&limits).any(Option::is_some);
        guaranteed &= limits.iter().zip(&requests).all(|(limit, request)| limit.is_some() && (request.is_none() || request == limit));
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// CPU and memory, where they are set and not zero.
fn amounts(container: &Object, which: &str) -> [Option<Quantity>; 2] {
    let amounts = map(container, "resources").and_then(|r| map(r, which));
    ["cpu", "memory"].map(|resource| {
        let quantity = amounts?.get(resource)?.as_str().and_then(|q| Quantity::parse(q).ok());
        quantity.filter(|q| !q.is_zero())
    })
}
