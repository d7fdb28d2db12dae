//! Lists under strategic merge: which elements there are, and in which order.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{DIRECTIVE, ELEMENT_ORDER, Error, after_slash, go_type, list_shape, merge_map, printed_list, printed_map, unknown_directive};
use crate::schema::Shape;

/// A merged list.
pub(super) struct Merged {
    /// The elements, in order.
    pub(super) list: Vec<Value>,
    /// The original as it looks afterwards to whoever still holds it. The peer works in place: what is deleted
    /// closes up, and the first new elements fill the room at the end. `$setElementOrder` sorts by this, so a
    /// new element can count as one that stood last.
    pub(super) left_behind: Vec<Value>,
}

/// Merges two lists whose elements are of shape `element`; with `deletion`, takes the patch's scalars out.
pub(super) fn merge(
    original: Vec<Value>,
    patch: Vec<Value>,
    element: Shape,
    key: Option<&'static str>,
    deletion: bool,
) -> Result<Merged, Error> {
    if original.is_empty() && patch.is_empty() {
        return Ok(Merged { list: original, left_behind: Vec::new() });
    }
    if elements_are_maps(&original, &patch)? {
        let key = key.ok_or_else(|| Error::KeylessList(super::go_kind(element)))?;
        return merge_maps(original, patch, element, key);
    }
    if deletion {
        let unwanted: HashSet<&Value> = patch.iter().collect();
        let list = original.iter().filter(|item| !unwanted.contains(item)).cloned().collect();
        return Ok(Merged { list, left_behind: original });
    }
    let mut seen = HashSet::new();
    let list = original.iter().chain(&patch).filter(|item| seen.insert(*item)).cloned().collect();
    let list = in_order(list, &patch, &original, key)?;
    Ok(Merged { list, left_behind: original })
}

fn merge_maps(original: Vec<Value>, patch: Vec<Value>, element: Shape, key: &'static str) -> Result<Merged, Error> {
    let before = original.clone();
    let mut plain = Vec::with_capacity(patch.len());
    let mut deleted = HashSet::new();
    let mut replace = false;
    for item in patch {
        let Value::Object(map) = &item else { continue };
        match map.get(DIRECTIVE) {
            None => plain.push(item),
            Some(directive) => match directive.as_str() {
                Some("delete") => {
                    deleted.insert(map.get(key).ok_or_else(|| no_merge_key(map, key))?.clone());
                }
                Some("replace") => replace = true,
                Some("merge") => return Err(Error::MergeDirective),
                _ => return Err(unknown_directive(directive, map)),
            },
        }
    }
    if replace {
        check_keys(&plain, key)?;
        let list = in_order(plain.clone(), &[], &plain, Some(key))?;
        return Ok(Merged { list, left_behind: before });
    }

    let mut merged = original;
    merged.retain(|item| item.get(key).is_none_or(|value| !deleted.contains(value)));
    let kept = merged.len();
    let mut places: HashMap<Value, usize> = HashMap::with_capacity(kept + plain.len());
    for (at, item) in merged.iter().enumerate() {
        if let Some(value) = item.get(key) {
            places.entry(value.clone()).or_insert(at);
        }
    }
    for item in &plain {
        let Value::Object(map) = item else { continue };
        let value = map.get(key).ok_or_else(|| no_merge_key(map, key))?;
        match places.get(value) {
            Some(&at) => {
                if let Some(Value::Object(current)) = merged.get_mut(at) {
                    *current = merge_map(std::mem::take(current), map.clone(), element)?;
                }
            }
            // As it is: nulls and directives inside stay.
            None => {
                places.insert(value.clone(), merged.len());
                merged.push(item.clone());
            }
        }
    }
    let order: Vec<Value> = merged.iter().take(kept).cloned().collect();
    let mut left_behind: Vec<Value> = merged.iter().take(before.len()).cloned().collect();
    left_behind.extend(before.into_iter().skip(left_behind.len()));
    Ok(Merged { list: in_order(merged, &plain, &order, Some(key))?, left_behind })
}

/// `$setElementOrder/<list>`: merges the lists that have one, sorts them, and takes both out of the patch.
pub(super) fn order_elements(original: &mut Map<String, Value>, patch: &mut Map<String, Value>, shape: Shape) -> Result<(), Error> {
    let mut directives: Vec<String> = patch.keys().filter(|member| member.starts_with(ELEMENT_ORDER)).cloned().collect();
    directives.sort_unstable();
    for directive in directives {
        let order = as_list(patch.remove(&directive))?.unwrap_or_default();
        let member = after_slash(&directive, ELEMENT_ORDER).ok_or(Error::ElementOrder)?;
        let before = as_list(original.get(member).cloned())?;
        let change = as_list(patch.get(member).cloned())?;
        let (element, rule) = list_shape(shape, member)?;
        let key = rule.key;
        check_order(change.as_deref().unwrap_or_default(), &order, key)?;
        let empty = before.iter().chain(&change).all(Vec::is_empty);
        elements_are_maps(before.as_deref().unwrap_or_default(), change.as_deref().unwrap_or_default())?;
        let (merged, live) = match (before, change) {
            (None, None) => continue,
            (Some(before), None) => (before.clone(), before),
            (None, Some(change)) => (change.iter().cloned().filter_map(super::without_directives).collect(), Vec::new()),
            (Some(before), Some(change)) if rule.merge => {
                let merged = merge(before, change, element, key, false)?;
                (merged.list, merged.left_behind)
            }
            (Some(before), Some(change)) => (change, before),
        };
        if let Some(key) = key {
            check_keys(&merged, key)?;
            check_keys(&order, key)?;
            check_keys(&live, key)?;
        }
        if empty {
            return Err(Error::NoElements);
        }
        let list = in_order(merged, &order, &live, key)?;
        patch.remove(member);
        original.insert(member.to_owned(), Value::Array(list));
    }
    Ok(())
}

fn as_list(value: Option<Value>) -> Result<Option<Vec<Value>>, Error> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(Error::WrongType { expected: "[]interface {}", actual: go_type(&other) }),
    }
}

/// The patch's elements must appear in `order`, in that order; deleted ones do not count.
fn check_order(patch: &[Value], order: &[Value], key: Option<&'static str>) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut items = Vec::with_capacity(patch.len());
    for item in patch {
        if key.is_some() && !item.is_object() {
            return Err(Error::WrongType { expected: "map[string]interface {}", actual: go_type(item) });
        }
        if key.is_none() || item.get(DIRECTIVE).and_then(Value::as_str) != Some("delete") {
            items.push(item);
        }
    }
    let mut items = items.into_iter().peekable();
    let mut order_left = order.iter();
    while let Some(item) = items.peek() {
        if item.get(DIRECTIVE).is_some() && !order_left.as_slice().is_empty() {
            items.next();
            continue;
        }
        let Some(candidate) = order_left.next() else {
            return Err(Error::OrderMismatch { patch: printed_list(patch), order: printed_list(order) });
        };
        if identity(item, key)? == identity(candidate, key)? {
            items.next();
        }
    }
    Ok(())
}

/// What tells an element from another: its merge key, or itself.
fn identity<'a>(item: &'a Value, key: Option<&'static str>) -> Result<&'a Value, Error> {
    let Some(key) = key else { return Ok(item) };
    match item {
        Value::Object(map) => map.get(key).ok_or_else(|| no_merge_key(map, key)),
        other => Err(Error::WrongType { expected: "map[string]interface {}", actual: go_type(other) }),
    }
}

fn check_keys(items: &[Value], key: &'static str) -> Result<(), Error> {
    items.iter().try_for_each(|item| identity(item, Some(key)).map(drop))
}

fn no_merge_key(map: &Map<String, Value>, key: &'static str) -> Error {
    Error::NoMergeKey { element: printed_map(map), key }
}

/// Sorts `merged`: what `patch` names stands in the patch's order, the rest in the order of `live`, and the two
/// sequences are interleaved. While both have elements left, the rest's head goes first if it and the
/// patch's head both stand in `live` and it stands first there; else the patch's head goes first.
fn in_order(merged: Vec<Value>, patch: &[Value], live: &[Value], key: Option<&'static str>) -> Result<Vec<Value>, Error> {
    let (in_patch, in_live) = (places(patch, key), places(live, key));
    let mut named = Vec::new();
    let mut rest = Vec::new();
    for item in merged {
        let wanted = identity(&item, key)?;
        let live = in_live.get(wanted).copied();
        match in_patch.get(wanted).copied() {
            Some(at) => named.push((at, live, item)),
            None => rest.push((live, item)),
        }
    }
    named.sort_by_key(|(at, ..)| *at);
    rest.sort_by_key(|(at, _)| *at);

    let mut list = Vec::with_capacity(named.len() + rest.len());
    let mut named = named.into_iter().peekable();
    let mut rest = rest.into_iter().peekable();
    loop {
        let rest_first = match (rest.peek(), named.peek()) {
            (Some((Some(rest), _)), Some((_, Some(named), _))) => rest < named,
            (Some(_), None) => true,
            _ => false,
        };
        let next = if rest_first { rest.next().map(|(_, item)| item) } else { named.next().map(|(.., item)| item) };
        match next {
            Some(item) => list.push(item),
            None => return Ok(list),
        }
    }
}

/// Where each element stands first; what has no identity stands nowhere.
fn places<'a>(items: &'a [Value], key: Option<&'static str>) -> HashMap<&'a Value, usize> {
    let mut places = HashMap::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        if let Ok(identity) = identity(item, key) {
            places.entry(identity).or_insert(at);
        }
    }
    places
}

/// Whether the elements are objects. They must all be of one JSON type, which is not a list.
fn elements_are_maps(original: &[Value], patch: &[Value]) -> Result<bool, Error> {
    let mut first = None;
    for item in original.iter().chain(patch) {
        let ty = go_type(item);
        match first {
            None if item.is_array() => return Err(Error::ListOfLists),
            None => first = Some(ty),
            Some(first) if first == ty => {}
            Some(_) => return Err(Error::MixedElements(format!("[{} {}]", printed_list(original), printed_list(patch)))),
        }
    }
    Ok(first == Some("map[string]interface {}"))
}
