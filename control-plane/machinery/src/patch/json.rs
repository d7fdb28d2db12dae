//! JSON patch (RFC 6902) as the Kubernetes API server applies it.
//!
//! It departs from the RFC where the server does: `replace` of an absent member adds it, `test` of an absent
//! member against null passes, a missing `value` means null, `-1` is an index counted from the end, and the
//! document itself (the empty pointer) cannot be touched. Operations come as they are: one that cannot be
//! read fails when it is its turn.

use serde_json::{Map, Value};

/// How many operations a patch may have.
pub const MAX_OPERATIONS: usize = 10_000;
/// How many bytes of JSON all `copy` operations of a patch may add together.
pub const MAX_COPIED: usize = 3 << 20;
/// How deep the result may be nested; what readers of JSON accept.
const MAX_DEPTH: usize = 120;

/// Why a body is no JSON patch; the text is that of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not a list of objects.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// More operations than allowed.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooMany(usize),
}

/// Why a patch does not apply. Clients are only told that it did not; the text is for logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ApplyError(String);

/// A list of operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch(Vec<Map<String, Value>>);

impl Patch {
    /// Reads the body of a request.
    pub fn from_slice(body: &[u8]) -> Result<Self, DecodeError> {
        let value: Value = serde_json::from_slice(body).map_err(|e| DecodeError::Malformed(e.to_string()))?;
        Self::from_value(value)
    }

    /// Takes a patch that is JSON already.
    pub fn from_value(value: Value) -> Result<Self, DecodeError> {
        let wrong = |what: &Value, target: &str| {
            DecodeError::Malformed(format!("json: cannot unmarshal {} into Go value of type {target}", go_kind(what)))
        };
        let items = match value {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            other => return Err(wrong(&other, "[]handlers.jsonPatchOp")),
        };
        if items.len() > MAX_OPERATIONS {
            return Err(DecodeError::TooMany(items.len()));
        }
        let operations = items.into_iter().map(|item| match item {
            Value::Object(operation) => Ok(operation),
            Value::Null => Ok(Map::new()),
            other => Err(wrong(&other, "handlers.jsonPatchOp")),
        });
        Ok(Self(operations.collect::<Result<_, _>>()?))
    }

    /// The document after all operations, or the first one that fails.
    pub fn apply(&self, document: Value) -> Result<Value, ApplyError> {
        let mut document = document;
        let mut copied = 0;
        for operation in &self.0 {
            let text = |name: &str| operation.get(name).and_then(Value::as_str);
            let path = text("path");
            let value = || operation.get("value").cloned().unwrap_or(Value::Null);
            match text("op").unwrap_or("unknown") {
                "add" => add(&mut document, path, value())?,
                "remove" => drop(remove(&mut document, path)?),
                "replace" => replace(&mut document, path, value())?,
                "move" => {
                    let taken = take(&mut document, text("from"))?;
                    let path = path.ok_or_else(|| missing("move operation failed to decode path: operation missing path field"))?;
                    let place = find(&mut document, path)
                        .ok_or_else(|| missing(&format!("move operation does not apply: doc is missing destination path: {path}")))?;
                    insert(place, taken).map_err(|e| in_path("move", path, &e))?;
                }
                "copy" => {
                    let source = look(&mut document, text("from"))?;
                    copied += json_size(&source);
                    if copied > MAX_COPIED {
                        return Err(ApplyError(format!(
                            "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
                        )));
                    }
                    let path = path.ok_or_else(|| missing("copy operation failed to decode path"))?;
                    let place = find(&mut document, path)
                        .ok_or_else(|| missing(&format!("copy operation does not apply: doc is missing destination path: {path}")))?;
                    insert(place, source).map_err(|e| error(&format!("error while adding value during copy: {e}")))?;
                }
                "test" => test(&mut document, path, operation.get("value"))?,
                other => return Err(ApplyError(format!("Unexpected kind: {other}"))),
            }
        }
        Ok(document)
    }
}

fn error(text: &str) -> ApplyError {
    ApplyError(text.to_owned())
}

fn missing(text: &str) -> ApplyError {
    ApplyError(format!("{text}: missing value"))
}

fn in_path(operation: &str, path: &str, cause: &str) -> ApplyError {
    ApplyError(format!("error in {operation} for path: '{path}': {cause}"))
}

/// The container of a place, and the member or index in it.
struct Place<'a> {
    container: &'a mut Value,
    key: String,
    /// How deep the place lies.
    depth: usize,
}

/// The place a pointer names, if its container is there. The document itself has none.
fn find<'a>(document: &'a mut Value, pointer: &str) -> Option<Place<'a>> {
    // What stands before the first slash does not matter, as for the server.
    let (_, rest) = pointer.split_once('/')?;
    let mut keys = rest.split('/').map(|k| k.replace("~1", "/").replace("~0", "~")).peekable();
    let mut container = document;
    let mut depth = 0;
    loop {
        let key = keys.next()?;
        depth += 1;
        if keys.peek().is_none() {
            return matches!(container, Value::Object(_) | Value::Array(_)).then_some(Place { container, key, depth });
        }
        container = match container {
            Value::Object(map) => map.get_mut(&key)?,
            Value::Array(items) => {
                let at = index(&key, items.len()).ok()?;
                items.get_mut(at)?
            }
            _ => return None,
        };
    }
}

/// The index that `key` names in a list of `len` elements (or places).
fn index(key: &str, len: usize) -> Result<usize, String> {
    let number: i64 = key.parse().map_err(|_| format!("strconv.Atoi: parsing \"{key}\": invalid syntax"))?;
    let at = if number < 0 { number + i64::try_from(len).unwrap_or(i64::MAX) } else { number };
    usize::try_from(at)
        .ok()
        .filter(|at| *at < len)
        .ok_or_else(|| format!("Unable to access invalid index: {number}: invalid index referenced"))
}

fn insert(place: Place<'_>, value: Value) -> Result<(), String> {
    if place.depth + depth(&value) > MAX_DEPTH {
        return Err(format!("the result would be nested deeper than {MAX_DEPTH} levels"));
    }
    match place.container {
        Value::Object(map) => drop(map.insert(place.key, value)),
        Value::Array(items) if place.key == "-" => items.push(value),
        Value::Array(items) => {
            // One place more than there are elements: behind the last.
            let at = index(&place.key, items.len() + 1).map_err(|e| match e.strip_prefix("strconv") {
                Some(_) => format!("value was not a proper array index: '{}': {e}", place.key),
                None => e,
            })?;
            items.insert(at, value);
        }
        _ => {}
    }
    Ok(())
}

/// The value at a place: none for an absent member, an error for an index out of range.
fn get(place: &Place<'_>) -> Result<Option<Value>, String> {
    match &*place.container {
        Value::Object(map) => Ok(map.get(&place.key).cloned()),
        Value::Array(items) => Ok(items.get(index(&place.key, items.len())?).cloned()),
        _ => Ok(None),
    }
}

fn add(document: &mut Value, path: Option<&str>, value: Value) -> Result<(), ApplyError> {
    let path = path.ok_or_else(|| missing("add operation failed to decode path"))?;
    let place = find(document, path).ok_or_else(|| missing(&format!("add operation does not apply: doc is missing path: \"{path}\"")))?;
    insert(place, value).map_err(|e| in_path("add", path, &e))
}

fn remove(document: &mut Value, path: Option<&str>) -> Result<Value, ApplyError> {
    let path = path.ok_or_else(|| missing("remove operation failed to decode path"))?;
    let mut place =
        find(document, path).ok_or_else(|| missing(&format!("remove operation does not apply: doc is missing path: \"{path}\"")))?;
    cut(&mut place).map_err(|e| in_path("remove", path, &e))
}

fn cut(place: &mut Place<'_>) -> Result<Value, String> {
    match &mut *place.container {
        Value::Object(map) => {
            map.remove(&place.key).ok_or_else(|| format!("Unable to remove nonexistent key: {}: missing value", place.key))
        }
        Value::Array(items) => Ok(items.remove(index(&place.key, items.len())?)),
        _ => Ok(Value::Null),
    }
}

fn replace(document: &mut Value, path: Option<&str>, value: Value) -> Result<(), ApplyError> {
    let path = path.ok_or_else(|| missing("replace operation failed to decode path: operation missing path field"))?;
    let place = find(document, path).ok_or_else(|| missing(&format!("replace operation does not apply: doc is missing path: {path}")))?;
    if let Value::Array(items) = place.container {
        let at = index(&place.key, items.len())
            .map_err(|_| missing(&format!("replace operation does not apply: doc is missing key: {path}")))?;
        if place.depth + depth(&value) > MAX_DEPTH {
            return Err(in_path("replace", path, &format!("the result would be nested deeper than {MAX_DEPTH} levels")));
        }
        items[at] = value;
        return Ok(());
    }
    insert(place, value).map_err(|e| in_path("replace", path, &e))
}

/// What `move` takes away.
fn take(document: &mut Value, from: Option<&str>) -> Result<Value, ApplyError> {
    let from = from.ok_or_else(|| missing("move operation failed to decode from: operation, missing from field"))?;
    let mut place =
        find(document, from).ok_or_else(|| missing(&format!("move operation does not apply: doc is missing from path: {from}")))?;
    let key = place.key.clone();
    cut(&mut place).map_err(|e| in_path("move", &key, &e))
}

/// What `copy` reads; an absent member is null.
fn look(document: &mut Value, from: Option<&str>) -> Result<Value, ApplyError> {
    let from = from.ok_or_else(|| missing("copy operation failed to decode from: operation, missing from field"))?;
    let place = find(document, from).ok_or_else(|| missing(&format!("copy operation does not apply: doc is missing from path: {from}")))?;
    Ok(get(&place).map_err(|e| error(&format!("error in copy for from: '{from}': {e}")))?.unwrap_or(Value::Null))
}

fn test(document: &mut Value, path: Option<&str>, wanted: Option<&Value>) -> Result<(), ApplyError> {
    let path = path.ok_or_else(|| missing("test operation failed to decode path: operation missing path field"))?;
    let place = find(document, path).ok_or_else(|| missing(&format!("test operation does not apply: is missing path: {path}")))?;
    let found = get(&place).map_err(|e| in_path("test", path, &e))?;
    if found.as_ref().unwrap_or(&Value::Null) == wanted.unwrap_or(&Value::Null) {
        return Ok(());
    }
    Err(ApplyError(format!("testing value {path} failed: test failed")))
}

/// Levels of nesting; a scalar has none.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Bytes as compact JSON, near enough for a limit: escapes in strings are not counted.
fn json_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(s) => s.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|v| json_size(v) + 1).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(k, v)| k.len() + 4 + json_size(v)).sum::<usize>(),
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_that_are_no_patch() {
        let message = |value| Patch::from_value(value).unwrap_err().to_string();
        assert_eq!(
            message(json!({"op": "add"})),
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        );
        assert_eq!(message(json!(["x"])), "error decoding patch: json: cannot unmarshal string into Go value of type handlers.jsonPatchOp");
        assert!(Patch::from_slice(b"[").unwrap_err().to_string().starts_with("error decoding patch: "));
        assert_eq!(Patch::from_value(json!(vec![json!({}); MAX_OPERATIONS + 1])), Err(DecodeError::TooMany(MAX_OPERATIONS + 1)));
    }

    #[test]
    fn a_patch_cannot_grow_without_bound() {
        let doubling: Vec<Value> = (0..64).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/-"})).collect();
        let patch = Patch::from_value(json!(doubling)).unwrap();
        let message = patch.apply(json!({"a": [1]})).unwrap_err().to_string();
        assert!(message.starts_with("Unable to complete the copy") || message.contains("nested deeper"), "{message}");
        let deep: Vec<Value> = (0..MAX_DEPTH).map(|_| json!({"op": "copy", "from": "/a", "path": "/a/a"})).collect();
        let message = Patch::from_value(json!(deep)).unwrap().apply(json!({"a": {}})).unwrap_err().to_string();
        assert!(message.contains("nested deeper"), "{message}");
    }

    #[test]
    fn escapes_and_indexes() {
        let patch = Patch::from_value(json!([
            {"op": "add", "path": "/~01", "value": 1},
            {"op": "replace", "path": "/l/-1", "value": 3},
            {"op": "move", "from": "/l/0", "path": "/m~1n"},
        ]))
        .unwrap();
        assert_eq!(patch.apply(json!({"l": [1, 2]})).unwrap(), json!({"~1": 1, "l": [3], "m/n": 1}));
    }
}
