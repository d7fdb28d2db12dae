//! May this routing metadata go onto that Pod? (actuation 3.6.1)

use dormouse_apis::names::RESERVED_PREFIXES;
use dormouse_machinery::names::{label_value, qualified_name};
use serde_json::Value;

use crate::json::{annotation, label};
use crate::state::Routing;

/// Everything that keeps `routing` off `pod`, sorted (gap `a28`). The texts go into the status and into an Event.
pub(crate) fn problems(routing: &Routing, pod: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for (key, value) in &routing.labels {
        check_key("label", key, label(pod, key).is_some(), &mut out);
        let reasons = label_value(value);
        if !reasons.is_empty() {
            out.push(format!("ISC label value {value:?} for key {key:?} is not valid: {}", reasons.join("; ")));
        }
    }
    for key in routing.annotations.keys() {
        check_key("annotation", key, annotation(pod, key).is_some(), &mut out);
    }
    out.sort();
    out
}

fn check_key(what: &str, key: &str, taken: bool, out: &mut Vec<String>) {
    let reasons = qualified_name(key);
    if !reasons.is_empty() {
        out.push(format!("ISC {what} key {key:?} is not a valid qualified name: {}", reasons.join("; ")));
    }
    if RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
        out.push(format!("ISC {what} key {key:?} uses a reserved prefix"));
    }
    if taken {
        out.push(format!("ISC {what} key {key:?} collides with existing pod {what}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(labels: &Value, annotations: &Value) -> Vec<String> {
        let routing: Routing = serde_json::from_value(json!({"labels": labels, "annotations": annotations})).unwrap();
        problems(&routing, &json!({"metadata": {"labels": {"have": "1"}, "annotations": {"note": "1"}}}))
    }

    #[test]
    fn good_metadata_passes() {
        assert!(
            check(&json!({"app.kubernetes.io/x": "a", "e2e-test.fma.llm-d.ai/isc-label": "v"}), &json!({"n": "any text at all"}))
                .is_empty()
        );
    }

    #[test]
    fn every_problem_has_its_text() {
        assert_eq!(
            check(&json!({"have": "x"}), &json!({"note": "y"})),
            [
                "ISC annotation key \"note\" collides with existing pod annotation",
                "ISC label key \"have\" collides with existing pod label",
            ]
        );
        assert_eq!(
            check(&json!({"dual-pods.llm-d.ai/x": "a"}), &json!({"k8s.io/y": "b"})),
            ["ISC annotation key \"k8s.io/y\" uses a reserved prefix", "ISC label key \"dual-pods.llm-d.ai/x\" uses a reserved prefix",]
        );
        let found = check(&json!({"-bad": "a", "ok": "b c"}), &json!({"": "v"}));
        assert_eq!(found.len(), 3);
        assert!(found[0].starts_with("ISC annotation key \"\" is not a valid qualified name: "), "{}", found[0]);
        assert!(found[1].starts_with("ISC label key \"-bad\" is not a valid qualified name: "), "{}", found[1]);
        assert!(found[2].starts_with("ISC label value \"b c\" for key \"ok\" is not valid: "), "{}", found[2]);
    }
}
