//! The paths of a version: which operations there are, on which kind, with which parameters.
//!
//! `kubectl` looks here for two things: whether a PATCH of a kind takes `fieldValidation`, and which kind a path is about.

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, Form};
use crate::registry::{Kind, Subresource, Verb};

/// Query parameters of writes, beside those of the path.
const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
/// Query parameters of lists.
const LIST: [&str; 10] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const DELETE: [&str; 4] = ["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];

/// Kinds of patches. The last is for built-in kinds only, and `kubectl apply` believes what stands here.
const PATCHES: [&str; 3] = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// Writes the paths of one row.
pub(super) struct Paths<'a, 'b> {
    pub(super) form: Form,
    pub(super) definitions: &'a mut Definitions<'b>,
    pub(super) out: &'a mut Map<String, Value>,
}

/// What an operation takes and gives.
struct Operation<'a> {
    method: &'a str,
    /// The server's own name of the action, for instance `deletecollection`.
    action: &'a str,
    query: &'a [&'a str],
    body: Option<Value>,
    answer: Value,
    created: bool,
}

impl Paths<'_, '_> {
    /// All paths of a row. `object` and `list` refer to its types.
    pub(super) fn row(&mut self, row: &Kind, object: &Value, list: &Value) {
        let root = if row.group.is_empty() { format!("/api/{}", row.version) } else { format!("/apis/{}/{}", row.group, row.version) };
        let own = (row.group.as_str(), row.version.as_str(), row.kind.as_str());
        let base =
            if row.namespaced { format!("{root}/namespaces/{{namespace}}/{}", row.plural) } else { format!("{root}/{}", row.plural) };
        let listing =
            |_: &mut Self| Operation { method: "get", action: "list", query: &LIST, body: None, answer: list.clone(), created: false };
        if row.namespaced && row.can(Verb::List) {
            let operation = listing(self);
            self.path(&format!("{root}/{}", row.plural), own, row, &[operation]);
        }
        let mut operations = Vec::new();
        if row.can(Verb::List) {
            operations.push(listing(self));
        }
        if row.can(Verb::Create) {
            let body = Some(object.clone());
            operations.push(Operation { method: "post", action: "post", query: &WRITE, body, answer: object.clone(), created: true });
        }
        if row.can(Verb::DeleteCollection) {
            operations.push(self.delete("deletecollection"));
        }
        self.path(&base, own, row, &operations);

        let operations = self.item(&row.verbs, object);
        let item = format!("{base}/{{name}}");
        self.path(&item, own, row, &operations);
        for sub in &row.subresources {
            self.subresource(row, sub, object, &item);
        }
    }

    fn subresource(&mut self, row: &Kind, sub: &Subresource, object: &Value, item: &str) {
        let (group, version) = sub.group_version.as_ref().map_or((&row.group, &row.version), |(g, v)| (g, v));
        let exchanged = if sub.kind == row.kind && sub.group_version.is_none() {
            object.clone()
        } else {
            self.definitions.kind(group, version, &sub.kind).unwrap_or_else(|| json!({"type": "string"}))
        };
        let mut operations = self.item(&sub.verbs, &exchanged);
        if sub.verbs.contains(&Verb::Create) {
            let body = Some(exchanged.clone());
            operations.push(Operation { method: "post", action: "post", query: &WRITE, body, answer: exchanged, created: true });
        }
        self.path(&format!("{item}/{}", sub.name), (group, version, &sub.kind), row, &operations);
    }

    fn item(&mut self, verbs: &[Verb], object: &Value) -> Vec<Operation<'static>> {
        let mut operations = Vec::new();
        let same = |method, query, body| Operation { method, action: method, query, body, answer: object.clone(), created: false };
        if verbs.contains(&Verb::Get) {
            operations.push(same("get", &[], None));
        }
        if verbs.contains(&Verb::Update) {
            operations.push(same("put", &WRITE, Some(object.clone())));
        }
        if verbs.contains(&Verb::Patch) {
            let patch = self.definitions.meta("Patch");
            operations.push(same("patch", &["dryRun", "fieldManager", "fieldValidation", "force"], Some(patch)));
        }
        if verbs.contains(&Verb::Delete) {
            operations.push(self.delete("delete"));
        }
        operations
    }

    fn delete(&mut self, action: &'static str) -> Operation<'static> {
        let body = Some(self.definitions.meta("DeleteOptions"));
        let answer = self.definitions.meta("Status");
        Operation { method: "delete", action, query: &DELETE, body, answer, created: false }
    }

    fn path(&mut self, path: &str, gvk: (&str, &str, &str), row: &Kind, operations: &[Operation<'_>]) {
        if operations.is_empty() {
            return;
        }
        let mut item = Map::new();
        for operation in operations {
            item.insert(operation.method.to_owned(), self.operation(path, gvk, row, operation));
        }
        let in_path = ["name", "namespace"].into_iter().filter(|name| path.contains(&format!("{{{name}}}")));
        let parameters: Vec<Value> = in_path.map(|name| self.parameter("path", name)).collect();
        if !parameters.is_empty() {
            item.insert("parameters".to_owned(), Value::Array(parameters));
        }
        self.out.insert(path.to_owned(), Value::Object(item));
    }

    fn operation(&self, path: &str, (group, version, kind): (&str, &str, &str), row: &Kind, operation: &Operation<'_>) -> Value {
        let mut parameters: Vec<Value> = operation.query.iter().map(|name| self.parameter("query", name)).collect();
        let mut written = Map::new();
        let words = path.split(['/', '.', '-']).filter(|w| !w.is_empty() && !w.starts_with('{'));
        let mut id = operation.action.to_owned();
        for word in words {
            let mut letters = word.chars();
            id.extend(letters.next().map(|c| c.to_ascii_uppercase()));
            id.push_str(letters.as_str());
        }
        if path.contains("{name}") {
            id.push_str("Named");
        }
        written.insert("operationId".to_owned(), json!(id));
        written.insert("description".to_owned(), json!(format!("{} {}", operation.action, row.kind)));
        written.insert("x-kubernetes-action".to_owned(), json!(operation.action));
        written.insert("x-kubernetes-group-version-kind".to_owned(), json!({"group": group, "version": version, "kind": kind}));
        let patches = if row.custom { &PATCHES[..2] } else { &PATCHES[..] };
        let answers: &[&str] = if operation.created { &["200", "201"] } else { &["200"] };
        let mut responses = Map::new();
        match self.form {
            Form::V2 => {
                if let Some(schema) = &operation.body {
                    parameters.push(json!({"in": "body", "name": "body", "required": operation.method != "delete", "schema": schema}));
                }
                let consumes = if operation.method == "patch" { json!(patches) } else { json!(["*/*"]) };
                written.insert("consumes".to_owned(), consumes);
                written.insert("produces".to_owned(), json!(["application/json"]));
                written.insert("schemes".to_owned(), json!(["https"]));
                for code in answers {
                    responses.insert((*code).to_owned(), json!({"description": "OK", "schema": operation.answer}));
                }
            }
            Form::V3 => {
                if let Some(schema) = &operation.body {
                    let types: &[&str] = if operation.method == "patch" { patches } else { &["*/*"] };
                    let content: Map<String, Value> = types.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect();
                    written.insert("requestBody".to_owned(), json!({"content": content, "required": operation.method != "delete"}));
                }
                for code in answers {
                    let content = json!({"application/json": {"schema": operation.answer}});
                    responses.insert((*code).to_owned(), json!({"description": "OK", "content": content}));
                }
            }
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        written.insert("parameters".to_owned(), Value::Array(parameters));
        written.insert("responses".to_owned(), Value::Object(responses));
        Value::Object(written)
    }

    fn parameter(&self, place: &str, name: &str) -> Value {
        let kind = match name {
            "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
            "watch" | "allowWatchBookmarks" | "sendInitialEvents" | "force" | "orphanDependents" => "boolean",
            _ => "string",
        };
        let mut parameter = json!({"name": name, "in": place});
        if place == "path" {
            parameter["required"] = json!(true);
        }
        match self.form {
            Form::V2 => parameter["type"] = json!(kind),
            Form::V3 => parameter["schema"] = json!({"type": kind}),
        }
        parameter
    }
}
