//! Taints of a node and tolerations of a Pod.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether this toleration bears this taint.
///
/// An empty effect means every effect, an empty key every key. An operator other than `Equal` (the default) and `Exists` bears
/// nothing: `Lt` and `Gt` are behind a feature gate (`TaintTolerationComparisonOperators`) that is off.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let differs = |wanted: Option<&String>, is: &str| wanted.is_some_and(|w| !w.is_empty() && w != is);
    if differs(toleration.effect.as_ref(), &taint.effect) || differs(toleration.key.as_ref(), &taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        None | Some("" | "Equal") => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
        Some("Exists") => true,
        Some(_) => false,
    }
}

/// Whether one of the tolerations bears this taint.
#[must_use]
pub fn tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// The first taint that keeps the Pod off: of effect `NoSchedule` or `NoExecute`, and not tolerated. Other effects keep
/// nobody off.
#[must_use]
pub fn refusing<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints.iter().find(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") && !tolerated(tolerations, taint))
}

/// How many taints of effect `PreferNoSchedule` are not tolerated.
#[must_use]
pub fn disliked(taints: &[Taint], tolerations: &[Toleration]) -> usize {
    taints.iter().filter(|taint| taint.effect == "PreferNoSchedule" && !tolerated(tolerations, taint)).count()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bears(toleration: Value, taint: (&str, &str, &str)) -> bool {
        tolerates(&serde_json::from_value(toleration).unwrap(), &self::taint(taint))
    }

    fn taint((key, value, effect): (&str, &str, &str)) -> Taint {
        serde_json::from_value(json!({"key": key, "value": value, "effect": effect})).unwrap()
    }

    #[test]
    fn operators_keys_and_effects() {
        let kv = ("k", "v", "NoSchedule");
        assert!(
            bears(json!({"key": "k", "value": "v"}), kv) && bears(json!({"key": "k", "operator": "Equal", "value": "v", "effect": ""}), kv)
        );
        assert!(bears(json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"}), kv) && bears(json!({"operator": "Exists"}), kv));
        assert!(!bears(json!({"key": "k"}), kv) && !bears(json!({"key": "x", "operator": "Exists"}), kv));
        assert!(!bears(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), kv));
        assert!(bears(json!({"key": "k"}), ("k", "", "NoExecute")), "no value is an empty value");
        assert!(!bears(json!({"key": "k", "operator": "Gt", "value": "1"}), ("k", "2", "NoSchedule")));
        assert!(!bears(json!({"key": "k", "operator": "Gt", "value": "2"}), ("k", "2", "NoSchedule")), "no other operator means Equal");
    }

    #[test]
    fn effects_refuse_or_are_disliked() {
        let taints =
            [taint(("a", "", "PreferNoSchedule")), taint(("b", "", "Odd")), taint(("c", "", "NoExecute")), taint(("d", "", "NoSchedule"))];
        assert_eq!(refusing(&taints, &[]).map(|t| t.key.as_str()), Some("c"));
        let c = Toleration { key: Some("c".to_owned()), operator: Some("Exists".to_owned()), ..Toleration::default() };
        assert_eq!(refusing(&taints, std::slice::from_ref(&c)).map(|t| t.key.as_str()), Some("d"));
        assert_eq!((disliked(&taints, &[]), disliked(&taints, &[c])), (1, 1));
        let all = Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() };
        assert_eq!((refusing(&taints, std::slice::from_ref(&all)), disliked(&taints, std::slice::from_ref(&all))), (None, 0));
    }
}
