//! What lies in a folder.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A number at a path of names and places, such as `/metadata/request_start_ns`.
pub(crate) fn int(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or_else(|| panic!("no whole number at {path}: {value}"))
}

/// A text at such a path.
pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no text at {path}: {value}"))
}

/// All files below a folder.
pub(crate) fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// All files below a folder, as they are called in it.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    below(dir).iter().map(|path| path.strip_prefix(dir).unwrap().display().to_string()).collect()
}

/// Every JSON file is one, every line of every list is, without doubled names and what JSON has not; nothing is half written.
pub(crate) fn kept_whole(dir: &Path) {
    for path in below(dir) {
        let name = path.display();
        assert!(path.extension().is_none_or(|ending| ending != "partial"), "{name} was left");
        let lines = match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => false,
            Some("jsonl") => true,
            _ => continue,
        };
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!lines || text.is_empty() || text.ends_with('\n'), "{name}: its last line is not whole");
        for one in if lines { text.lines().collect() } else { vec![&text[..]] } {
            let read: Result<Strict, _> = serde_json::from_str(one);
            read.unwrap_or_else(|why| panic!("{name}: {why}: {one:.200}"));
        }
    }
}

/// JSON in which no object has a name twice.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Self;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(Self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value_seed(Self)?;
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("{name:?} stands twice")));
            }
        }
        Ok(Self)
    }
}

#[test]
fn doubled_names_and_what_json_has_not_are_seen() {
    let read = |text: &str| serde_json::from_str::<Strict>(text).map(|_| ()).map_err(|why| why.to_string());
    assert_eq!(read(r#"{"a":[1,-2.5,null,true,"x",{"b":{}}]}"#), Ok(()));
    assert!(read(r#"{"a":{"b":1,"b":2}}"#).unwrap_err().contains("stands twice"));
    assert!(read("[NaN]").is_err() && read("[1] 2").is_err());
}
