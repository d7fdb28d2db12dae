//! Documents: small helpers over ordered JSON.

use dormouse_perf_data::Length;
use dormouse_perf_data::distribution::Shape;
use dormouse_perf_report::json::{Json, Members};

/// An object that is built member by member; what is not given is not there.
#[derive(Debug, Default)]
pub struct Object(pub Members);

impl Object {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    pub fn put(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.0.push((name.to_owned(), value.into().0));
        self
    }

    /// Adds a member if it is given.
    pub fn put_some<T: Into<Value>>(&mut self, name: &str, value: Option<T>) -> &mut Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }

    /// Adds an object if it has members.
    pub fn put_any(&mut self, name: &str, object: Self) -> &mut Self {
        if !object.0.is_empty() {
            self.0.push((name.to_owned(), Json::Object(object.0)));
        }
        self
    }

    /// The document.
    #[must_use]
    pub fn json(self) -> Json {
        Json::Object(self.0)
    }
}

/// A value that can stand in a document.
#[derive(Debug)]
pub struct Value(pub Json);

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        Self(json)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(Json::Bool(value))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self(Json::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self(Json::from(u64::from(value)))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self(Json::float(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self(Json::from(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self(Json::String(value))
    }
}

impl From<Vec<String>> for Value {
    fn from(values: Vec<String>) -> Self {
        Self(Json::Array(values.into_iter().map(Json::String).collect()))
    }
}

/// A mean and a deviation, as they stand in a document.
#[must_use]
pub fn normal(mean: f64, stddev: Option<f64>) -> Json {
    let mut object = Object::new();
    object.put("mean", mean).put_some("stddev", stddev);
    object.json()
}

/// A length, as it stands in a document: all that is known of it.
#[must_use]
pub fn length(length: &Length) -> Json {
    let mut object = Object::new();
    let weighted = |mut item: Object, weight: f64| {
        item.put("weight", weight);
        item.json()
    };
    match length.shape() {
        Shape::Normal { mean, stddev } => object.put("mean", *mean).put("stddev", *stddev),
        Shape::Skewed { mean, median, .. } => object.put("mean", *mean).put("median", *median),
        Shape::Peaks(peaks) => {
            let peak = |(peak, weight): &(Length, f64)| weighted(Object(self::length(peak).members().to_vec()), *weight);
            object.put("peaks", Json::Array(peaks.items().iter().map(peak).collect()))
        }
        Shape::Points(points) => {
            let point = |(value, weight): &(f64, f64)| {
                let mut point = Object::new();
                point.put("value", *value);
                weighted(point, *weight)
            };
            object.put("points", Json::Array(points.items().iter().map(point).collect()))
        }
    };
    object.put_some("min", length.min()).put_some("max", length.max());
    object.json()
}

/// Both are lengths, and of different kinds: nothing of the one goes with the other.
#[must_use]
pub fn replaces(under: &Json, over: &Json) -> bool {
    match (kind(under), kind(over)) {
        // A mean alone is that of whatever has one.
        (Some("mean"), Some("median" | "stddev")) | (Some("median" | "stddev"), Some("mean")) => false,
        (Some(under), Some(over)) => under != over,
        _ => false,
    }
}

/// The member that says of what kind a length is; none where something else may be meant, or only a part of one.
fn kind(json: &Json) -> Option<&'static str> {
    const OTHERS: [&str; 4] = ["type", "min", "max", "weight"];
    const WHOLE: [&str; 5] = ["distribution", "peaks", "points", "value", "mean"];
    let has = |name: &str| json.get(name).is_some();
    if !json
        .members()
        .iter()
        .all(|(name, _)| OTHERS.contains(&&**name) || WHOLE.contains(&&**name) || ["median", "stddev"].contains(&&**name))
    {
        return None;
    }
    match WHOLE.into_iter().find(|name| has(name))? {
        "mean" => Some(["median", "stddev"].into_iter().find(|name| has(name)).unwrap_or("mean")),
        other => Some(other),
    }
}

/// Lays one document over another: members of objects one by one, everything else as a whole. Lists whose items have names
/// are laid over item by item, and a length of another kind takes the place of the one there.
pub fn overlay(under: &mut Json, over: Json) {
    match (under, over) {
        (under, over) if replaces(under, &over) => *under = over,
        (Json::Object(under), Json::Object(over)) => {
            for (name, value) in over {
                match under.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, old)) => overlay(old, value),
                    None => under.push((name, value)),
                }
            }
        }
        (Json::Array(under), Json::Array(over)) if over.iter().all(|item| name_of(item).is_some()) && !over.is_empty() => {
            for item in over {
                match under.iter_mut().find(|old| name_of(old) == name_of(&item)) {
                    Some(old) => overlay(old, item),
                    None => under.push(item),
                }
            }
        }
        (under, over) => *under = over,
    }
}

fn name_of(item: &Json) -> Option<&str> {
    item.get("name").and_then(Json::as_str)
}

/// Sets what a dotted path leads to; items of lists are found by their names. `false` when it leads nowhere.
pub fn set(json: &mut Json, path: &str, value: Json) -> bool {
    let Some((first, rest)) = path.split_once('.') else {
        let Json::Object(members) = json else { return false };
        match members.iter_mut().find(|(name, _)| name == path) {
            Some((_, old)) => *old = value,
            None => members.push((path.to_owned(), value)),
        }
        return true;
    };
    match json {
        Json::Object(members) => {
            if !members.iter().any(|(name, _)| name == first) {
                members.push((first.to_owned(), Json::Object(Vec::new())));
            }
            members.iter_mut().find(|(name, _)| name == first).is_some_and(|(_, inner)| set(inner, rest, value))
        }
        Json::Array(items) => items.iter_mut().find(|item| name_of(item) == Some(first)).is_some_and(|item| set(item, rest, value)),
        _ => false,
    }
}

/// Member names as the documents have them: `camelCase` becomes `snake_case`, but for maps whose keys are the user's own.
pub fn snake(json: &mut Json) {
    const OWN: [&str; 6] = ["headers", "extra", "slos", "variables", "parameters", "values"];
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                let mut new = String::with_capacity(name.len() + 4);
                for c in name.chars() {
                    if c.is_ascii_uppercase() {
                        new.push('_');
                    }
                    new.push(c.to_ascii_lowercase());
                }
                *name = new;
                if !OWN.contains(&name.as_str()) {
                    snake(value);
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(snake),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_lies_over_wins_member_by_member() {
        let mut under = json(r#"{"a":{"x":1,"y":2},"p":[{"name":"w","n":1},{"name":"m","n":2}],"l":[1,2]}"#);
        overlay(&mut under, json(r#"{"a":{"y":3},"p":[{"name":"m","r":5}],"l":[9],"b":true}"#));
        let want = r#"{"a":{"x":1,"y":3},"p":[{"name":"w","n":1},{"name":"m","n":2,"r":5}],"l":[9],"b":true}"#;
        assert_eq!(serde_json::to_string(&under).unwrap(), want);
    }

    #[test]
    fn a_length_of_another_kind_takes_the_place_of_the_one_there() {
        for (under, over, want) in [
            (r#"{"mean":512,"stddev":50}"#, r#"{"mean":9,"median":4}"#, r#"{"mean":9,"median":4}"#),
            (r#"{"mean":512,"stddev":50,"max":7}"#, r#"{"peaks":[1,2]}"#, r#"{"peaks":[1,2]}"#),
            (r#"{"points":[{"value":1}]}"#, r#"{"mean":9}"#, r#"{"mean":9}"#),
            (r#"{"mean":512,"median":50}"#, r#"{"mean":99}"#, r#"{"mean":99,"median":50}"#),
            (r#"{"mean":512}"#, r#"{"mean":99,"median":50}"#, r#"{"mean":99,"median":50}"#),
            (r#"{"mean":512,"stddev":50}"#, r#"{"min":3}"#, r#"{"mean":512,"stddev":50,"min":3}"#),
            (r#"{"mean":512,"median":50}"#, r#"{"stddev":3}"#, r#"{"mean":512,"median":50,"stddev":3}"#),
            (r#"{"value":5,"x":1}"#, r#"{"mean":3}"#, r#"{"value":5,"x":1,"mean":3}"#),
        ] {
            let mut all = json(&format!(r#"{{"isl":{under}}}"#));
            overlay(&mut all, json(&format!(r#"{{"isl":{over}}}"#)));
            assert_eq!(serde_json::to_string(&all).unwrap(), format!(r#"{{"isl":{want}}}"#));
        }
    }

    #[test]
    fn paths_lead_by_names() {
        let mut doc = json(r#"{"phases":[{"name":"profiling","rate":1}]}"#);
        assert!(set(&mut doc, "phases.profiling.rate", Json::from(7)));
        assert!(set(&mut doc, "prompts.isl.mean", Json::from(8)));
        assert!(!set(&mut doc, "phases.none.rate", Json::from(7)));
        assert_eq!(serde_json::to_string(&doc).unwrap(), r#"{"phases":[{"name":"profiling","rate":7}],"prompts":{"isl":{"mean":8}}}"#);
    }

    #[test]
    fn keys_are_ours_and_not_the_users() {
        let mut doc = json(r#"{"useServerTokenCount":true,"headers":{"X-MyKey":"v"},"list":[{"innerKey":1}]}"#);
        snake(&mut doc);
        assert_eq!(
            serde_json::to_string(&doc).unwrap(),
            r#"{"use_server_token_count":true,"headers":{"X-MyKey":"v"},"list":[{"inner_key":1}]}"#
        );
    }
}
