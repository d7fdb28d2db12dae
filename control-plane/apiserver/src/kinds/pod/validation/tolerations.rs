//! Tolerations: <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>

use dormouse_machinery::field::FieldError;
use dormouse_machinery::names;

use crate::kinds::values::{At, Must, Rules, label_value, text};
use crate::registry::Object;

const PAGE: &str = "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#concepts";
const KEYS: Rules = Rules { page: PAGE, rows: &[("key", Must::Pass(names::qualified_name))] };
const EFFECTS: Rules = Rules { page: PAGE, rows: &[("effect", Must::BeOneOf(&["NoSchedule", "PreferNoSchedule", "NoExecute"]))] };

const OPERATORS: &[&str] = &["Equal", "Exists"];
/// Known, but only to servers that have a feature turned on.
const COMPARISONS: &[&str] = &["Lt", "Gt"];

pub(super) fn check(toleration: &Object, path: &At<'_>, problems: &mut Vec<FieldError>) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
    KEYS.check(toleration, path, problems);
    let place = path.child("operator");
    if key.is_empty() && operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        problems.push(FieldError::invalid(place, operator, why));
    }
    if toleration.get("tolerationSeconds").is_some_and(|v| !v.is_null()) && effect != "NoExecute" {
        problems.push(FieldError::invalid(path.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    match operator {
        "" | "Equal" => label_value(value, &place, problems),
        "Exists" if !value.is_empty() => {
            problems.push(FieldError::invalid(place, value, "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" => {}
        _ if COMPARISONS.contains(&operator) => {
            problems.push(FieldError::not_supported(place, operator, &[OPERATORS, COMPARISONS].concat()));
        }
        _ => problems.push(FieldError::not_supported(place, operator, OPERATORS)),
    }
    EFFECTS.check(toleration, path, problems);
}
