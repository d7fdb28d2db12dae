//! Recorded behaviour of real servers: where it lies, and what of it is pending.
//!
//! A test reads every file of a sub-folder of the folder that `DORMOUSE_GOLDEN` names (where that has none, or is not
//! set, of `tests/golden` of the repository) and finds in a file what to do with it: names mean nothing. What an answer
//! needs that is not built yet is a [`Need`]; [`PENDING`] says why. A test that replays a step looks at the step for its
//! needs; one with a pending need is compared nevertheless and must differ: a row that has become true fails, and so does
//! a test that finds a need where there is none.

use std::path::PathBuf;

use serde_json::Value;

/// Something that a recorded answer cannot be given without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Server-side apply.
    Apply,
    /// Who owns which field: `managedFields`, a part of most answers.
    Owners,
    /// CEL rules of a definition: compiled, weighed, evaluated.
    Rules,
    /// Old errors forgiven in a value that an update leaves as it is.
    Ratcheting,
    /// Versions converted by a webhook.
    Conversion,
    /// Checks of `selectableFields`, and each version's own.
    SelectableFields,
    /// Admission webhooks.
    Webhooks,
    /// Validating and mutating admission policies.
    Policies,
    /// The aggregator in front: APIServices, its order of groups, a server of custom resources only.
    Aggregator,
    /// Discovery: forms refused, answers kept.
    Discovery,
    /// OpenAPI documents as a real server publishes them.
    OpenApi,
}

/// What is pending, and why.
pub const PENDING: &[(Need, &str)] = &[
    (Need::Apply, "server-side apply comes with the API issue"),
    (Need::Owners, "comes with server-side apply"),
    (Need::Rules, "CEL comes with the API issue; definitions keep their rules, nothing evaluates them"),
    (Need::Ratcheting, "comes with CEL: until then an update must satisfy the whole definition"),
    (Need::Conversion, "comes with the API issue; until then only the version is rewritten"),
    (Need::SelectableFields, "comes with the API issue; until then any path is taken, and the index holds those of the stored version"),
    (Need::Webhooks, "admission comes with the API issue; the replay has no webhook server yet"),
    (Need::Policies, "admission comes with the API issue"),
    (Need::Aggregator, "comes with the API issue, with a profile of custom resources and APIServices only"),
    (Need::Discovery, "ETags, caching headers and refusals of forms come with the API issue"),
    (Need::OpenApi, "ETags, caching headers, redirects, forms and further members come with the API issue"),
];

impl Need {
    /// Why it is pending, if it is.
    #[must_use]
    pub fn pending(self) -> Option<&'static str> {
        PENDING.iter().find(|(need, _)| *need == self).map(|(_, why)| *why)
    }
}

/// One recording.
#[derive(Debug)]
pub struct Recording {
    /// Name of its file, for messages only.
    pub name: String,
    /// What is in it.
    pub content: Value,
}

/// The recordings of one sub-folder.
#[derive(Debug)]
pub struct Folder {
    /// Whether they are the repository's own, which every row of a table of exceptions must be needed by.
    pub own: bool,
    /// By name.
    pub recordings: Vec<Recording>,
}

/// Every recording of the sub-folder `part`.
///
/// # Panics
/// When a file is no JSON, or the repository has none.
#[must_use]
pub fn recordings(part: &str) -> Folder {
    let theirs = std::env::var_os("DORMOUSE_GOLDEN").map(|folder| read(&PathBuf::from(folder).join(part))).unwrap_or_default();
    if !theirs.is_empty() {
        return Folder { own: false, recordings: theirs };
    }
    let recordings = ours(part);
    assert!(!recordings.is_empty(), "no recordings of {part}");
    Folder { own: true, recordings }
}

/// The repository's own recordings of `part`.
#[must_use]
pub fn ours(part: &str) -> Vec<Recording> {
    read(&PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(part))
}

/// The definitions that stand alone in a file: what conversations speak of, whatever folder they are in.
#[must_use]
pub fn definitions(folder: &Folder) -> Vec<Value> {
    let ours = if folder.own { Vec::new() } else { ours("api") };
    let all = ours.iter().chain(&folder.recordings).map(|recording| recording.content.clone());
    all.filter(|content| content["kind"] == "CustomResourceDefinition").collect()
}

/// The conversations of a folder: name and steps.
///
/// # Panics
/// When a file is neither a conversation nor a definition: nobody would read it.
pub fn conversations(folder: &Folder) -> impl Iterator<Item = (&Recording, &[Value])> {
    let conversations = folder.recordings.iter().filter(|recording| recording.content["kind"] != "CustomResourceDefinition");
    conversations.map(|recording| {
        let steps = recording.content["steps"].as_array().unwrap_or_else(|| panic!("{}: nobody reads a file like this", recording.name));
        (recording, steps.as_slice())
    })
}

fn read(folder: &PathBuf) -> Vec<Recording> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let content = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        out.push(Recording { name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), content });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// What the CEL rules of a definition may say, so that an answer which one of them gave is known without evaluating it.
#[derive(Debug, Default)]
pub struct Rules {
    /// Ends of messages.
    ends: Vec<String>,
    /// Parts of messages: literals of message expressions.
    parts: Vec<String>,
}

impl Rules {
    /// The rules anywhere in `definition`.
    #[must_use]
    pub fn of(definition: &Value) -> Self {
        let mut rules = Self::default();
        rules.gather(definition);
        rules
    }

    fn gather(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                for rule in map.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                    let text = |key: &str| rule[key].as_str().map(str::trim).filter(|text| !text.is_empty());
                    self.ends.extend(text("message").map(str::to_owned));
                    // "failed rule: …", "… evaluating rule: …", "… for rule: …"
                    self.ends.extend(text("rule").map(|rule| format!("rule: {rule}")));
                    let literals = text("messageExpression").unwrap_or("").split('\'').skip(1).step_by(2);
                    self.parts.extend(literals.filter(|literal| literal.len() > 6).map(str::to_owned));
                }
                map.values().for_each(|value| self.gather(value));
            }
            Value::Array(items) => items.iter().for_each(|value| self.gather(value)),
            _ => {}
        }
    }

    /// Whether one of them said `message`.
    #[must_use]
    pub fn said(&self, message: &str) -> bool {
        self.ends.iter().any(|end| message.ends_with(end.as_str())) || self.parts.iter().any(|part| message.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_rule_says_is_known() {
        let rules = Rules::of(&json!({"spec": {"x-kubernetes-validations": [
            {"rule": "self.a > 1", "message": "a is small"},
            {"rule": "self.b", "messageExpression": "'size ' + self.b + ' needs green'"},
        ]}}));
        for said in ["Invalid value: a is small", "failed rule: self.a > 1", "no such key: b evaluating rule: self.b", "size 3 needs green"]
        {
            assert!(rules.said(said), "{said}");
        }
        for other in ["Required value", "a is small indeed", "size 3"] {
            assert!(!rules.said(other), "{other}");
        }
    }

    #[test]
    fn a_need_is_pending_for_one_reason() {
        let needs: std::collections::BTreeSet<Need> = PENDING.iter().map(|(need, _)| *need).collect();
        assert_eq!(needs.len(), PENDING.len());
    }
}
