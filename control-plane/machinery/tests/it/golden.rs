//! The recordings that this crate reads: found by what is in a file, and followed step by step.

use std::collections::BTreeMap;

use dormouse_machinery::structural::Schema;
use dormouse_testing::golden::{Need, Recording, Rules, conversations, definitions, recordings};
pub(crate) use dormouse_testing::said;
use dormouse_testing::skipped;
use serde_json::Value;

/// What the cases of a file of `machinery` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Apply,
    JsonPatch,
    JsonPath,
    Names,
    Protobuf,
    Quantities,
    Selectors,
    Strategic,
    ThreeWay,
}

impl Shape {
    fn of(content: &Value) -> Option<Self> {
        let cases = &content["cases"];
        let case = cases.get(0).unwrap_or(cases);
        let has = |members: &[&str]| members.iter().all(|member| case.get(member).is_some());
        let shapes = [
            (Self::Apply, has(&["steps"])),
            (Self::JsonPatch, has(&["document", "patch"])),
            (Self::JsonPath, has(&["document", "templates"])),
            (Self::Names, has(&["value", "dns1123_label"])),
            (Self::Protobuf, has(&["protobuf_base64", "json"])),
            (Self::Quantities, has(&["parse", "arithmetic"])),
            (Self::Selectors, has(&["label", "field", "label_sets"])),
            (Self::ThreeWay, has(&["current", "modified", "patch", "result"])),
            (Self::Strategic, has(&["kind", "patch"]) && content.get("originals").is_some()),
        ];
        shapes.into_iter().find(|(_, fits)| *fits).map(|(shape, _)| shape)
    }

    /// What it waits for; no test reads it before that.
    fn needs(self) -> Option<Need> {
        (self == Self::Apply).then_some(Need::Apply)
    }
}

/// The recordings of one shape.
pub(crate) fn of(shape: Shape) -> Vec<Value> {
    let contents: Vec<Value> = recordings("machinery").recordings.into_iter().map(|r| r.content).collect();
    let found: Vec<Value> = contents.into_iter().filter(|content| Shape::of(content) == Some(shape)).collect();
    if found.is_empty() {
        skipped(&format!("no recording is of the shape {shape:?}"));
    }
    found
}

/// The cases of one shape, where they are a list.
pub(crate) fn cases(shape: Shape) -> Vec<Value> {
    of(shape).iter().flat_map(|content| content["cases"].as_array().unwrap().clone()).collect()
}

/// Whether the recordings are the repository's own, whose numbers are known.
pub(crate) fn own(part: &str) -> bool {
    recordings(part).own
}

#[test]
fn every_file_is_read_or_pending() {
    for Recording { name, content } in recordings("machinery").recordings {
        let shape = Shape::of(&content).unwrap_or_else(|| panic!("{name}: nobody reads a file like this"));
        if let Some(need) = shape.needs() {
            let why = need.pending().unwrap_or_else(|| panic!("{name}: {need:?} is no longer pending, and nobody reads it"));
            said(&format!("{name}: {} cases pending {need:?}: {why}", content["cases"].as_array().map_or(0, Vec::len)));
        }
    }
}

/// What a conversation with an API server has made so far.
#[derive(Default)]
pub(crate) struct World {
    /// Definitions as they were shown, by group and plural.
    definitions: BTreeMap<(String, String), Value>,
    /// Objects as they were last shown, by path without version.
    objects: BTreeMap<String, Value>,
    /// Admission is configured: answers are no longer the schema's alone.
    admission: bool,
}

/// What a path is about.
struct Place<'a> {
    group: &'a str,
    version: &'a str,
    namespace: &'a str,
    plural: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl Place<'_> {
    fn key(&self, name: &str) -> String {
        [self.group, self.plural, self.namespace, name].join("/")
    }
}

fn place(path: &str) -> Option<Place<'_>> {
    let mut parts = path.split('?').next()?.split('/').filter(|p| !p.is_empty()).skip_while(|p| *p == "apis").peekable();
    let (group, version) = (parts.next()?, parts.next()?);
    let namespace = if parts.next_if(|p| *p == "namespaces").is_some() { parts.next()? } else { "" };
    Some(Place { group, version, namespace, plural: parts.next()?, name: parts.next(), subresource: parts.next() })
}

fn path(step: &Value) -> &str {
    step["request"]["path"].as_str().unwrap()
}

pub(crate) fn is_dry_run(step: &Value) -> bool {
    path(step).contains("dryRun=All")
}

impl World {
    /// The definition and schema that alone decide about the object of a step.
    pub(crate) fn schema(&self, step: &Value) -> Option<(&Value, Schema)> {
        let place = place(path(step))?;
        let definition = self.definitions.get(&(place.group.to_owned(), place.plural.to_owned()))?;
        let version = definition["spec"]["versions"].as_array()?.iter().find(|v| v["name"] == place.version && v["served"] == true)?;
        let converted = definition["spec"]["conversion"]["strategy"] == "Webhook" && version["storage"] != true;
        if self.admission || converted || !matches!(place.subresource, None | Some("status")) {
            return None;
        }
        Some((definition, Schema::parse(version.pointer("/schema/openAPIV3Schema")?).unwrap()))
    }

    /// The object of a step before it.
    pub(crate) fn object(&self, step: &Value) -> Option<&Value> {
        let place = place(path(step))?;
        let object = self.objects.get(&place.key(place.name?))?;
        // Shown in another version, it is not known in this one.
        (object["apiVersion"] == format!("{}/{}", place.group, place.version)).then_some(object)
    }

    fn follow(&mut self, step: &Value) {
        let (request, response) = (&step["request"], &step["response"]);
        let Some(place) = place(path(step)) else { return };
        self.admission |= place.group == "admissionregistration.k8s.io";
        if !(200..300).contains(&step["status"].as_u64().unwrap()) || is_dry_run(step) {
            return;
        }
        let named = place.name.or_else(|| response["metadata"]["name"].as_str()).map(|name| place.key(name));
        if request["method"] == "DELETE" {
            named.and_then(|key| self.objects.remove(&key));
            self.definitions.retain(|(group, plural), _| place.name != Some(format!("{plural}.{group}").as_str()));
        } else if response["kind"] == "CustomResourceDefinition" {
            self.define(response);
        } else if let (Some(key), true) = (named, response["metadata"]["name"].is_string()) {
            match place.subresource {
                None | Some("status") => drop(self.objects.insert(key, response.clone())),
                Some(_) => drop(self.objects.remove(&key)),
            }
        }
    }

    fn define(&mut self, definition: &Value) {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        self.definitions.insert((text("/spec/group"), text("/spec/names/plural")), definition.clone());
    }
}

/// Walks through every conversation of `api`; `visit` sees a step and what was there before it.
pub(crate) fn follow(mut visit: impl FnMut(&World, &Value)) {
    let folder = recordings("api");
    let alone = definitions(&folder);
    for (_, steps) in conversations(&folder) {
        let mut world = World::default();
        alone.iter().for_each(|definition| world.define(definition));
        for step in steps {
            visit(&world, step);
            world.follow(step);
        }
    }
}

/// Takes out the causes that rules gave, while nobody evaluates them; answers how many.
pub(crate) fn without_rules(definition: &Value, causes: &mut Vec<Value>) -> usize {
    let (before, rules) = (causes.len(), Rules::of(definition));
    if Need::Rules.pending().is_some() {
        causes.retain(|cause| !rules.said(cause["message"].as_str().unwrap()));
    }
    before - causes.len()
}
