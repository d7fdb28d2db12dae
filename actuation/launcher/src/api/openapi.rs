//! What the API says of itself: the index, which is the peer's to the byte, and a description for people and tools.

use serde::Serialize;
use serde_json::{Value, json};

/// The index of `GET /`, members in the peer's order.
#[derive(Serialize)]
pub(crate) struct Index {
    name: &'static str,
    version: &'static str,
    endpoints: Endpoints,
}

#[derive(Serialize)]
struct Endpoints {
    index: &'static str,
    health: &'static str,
    create_instance: &'static str,
    create_named_instance: &'static str,
    delete_instance: &'static str,
    delete_all_instances: &'static str,
    get_instance_status: &'static str,
    get_all_instances: &'static str,
    get_instance_logs: &'static str,
    watch_instances: &'static str,
}

const NAME: &str = "Multi-Instance vLLM Management API";
const VERSION: &str = "2.0";

/// The index.
pub(crate) fn index() -> Index {
    Index {
        name: NAME,
        version: VERSION,
        endpoints: Endpoints {
            index: "GET /",
            health: "GET /health",
            create_instance: "POST /v2/vllm/instances",
            create_named_instance: "PUT /v2/vllm/instances/{instance_id}",
            delete_instance: "DELETE /v2/vllm/instances/{instance_id}",
            delete_all_instances: "DELETE /v2/vllm/instances",
            get_instance_status: "GET /v2/vllm/instances/{instance_id}",
            get_all_instances: "GET /v2/vllm/instances",
            get_instance_logs: "GET /v2/vllm/instances/{instance_id}/log",
            watch_instances: "GET /v2/vllm/instances/watch",
        },
    }
}

/// Path, method, summary, parameters (name, place), success status.
type Operation = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

const ID: (&str, &str) = ("instance_id", "path");
const OPERATIONS: [Operation; 12] = [
    ("/", "get", "Index", &[], "200"),
    ("/health", "get", "Liveness", &[], "200"),
    ("/metrics", "get", "Counters in OpenMetrics text", &[], "200"),
    ("/v2/gpu-debug", "get", "Memory of the GPUs, used and in all", &[], "200"),
    ("/v2/vllm/instances", "get", "List instances", &[("detail", "query")], "200"),
    ("/v2/vllm/instances", "post", "Create an instance with a generated ID", &[], "201"),
    ("/v2/vllm/instances", "delete", "Delete all instances", &[], "200"),
    ("/v2/vllm/instances/{instance_id}", "get", "State of an instance", &[ID], "200"),
    (
        "/v2/vllm/instances/{instance_id}",
        "put",
        "Create an instance; ifExists=same makes it idempotent",
        &[ID, ("ifExists", "query")],
        "201",
    ),
    ("/v2/vllm/instances/{instance_id}", "delete", "Delete an instance", &[ID], "200"),
    ("/v2/vllm/instances/{instance_id}/log", "get", "Log, by Range or as a stream", &[ID, ("Range", "header"), ("follow", "query")], "200"),
    (
        "/v2/vllm/instances/watch",
        "get",
        "Events, one JSON object per line",
        &[("since", "query"), ("epoch", "query"), ("heartbeat", "query")],
        "200",
    ),
];

/// An `OpenAPI` document.
pub(crate) fn document() -> Value {
    let strings = json!({"type": ["object", "null"], "additionalProperties": {"type": "string"}});
    let body = json!({
        "type": "object",
        "required": ["options"],
        "properties": {
            "options": {"type": "string", "description": "Engine command line, split on blanks"},
            "gpu_uuids": {"type": ["array", "null"], "items": {"type": "string"}},
            "env_vars": strings,
            "annotations": strings,
        },
    });
    let mut paths = json!({});
    for (path, method, summary, parameters, status) in OPERATIONS {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|(name, place)| json!({"name": name, "in": place, "required": *place == "path", "schema": {"type": "string"}}))
            .collect();
        let mut operation = json!({"summary": summary, "parameters": parameters, "responses": {status: {"description": "Success"}}});
        if matches!(method, "post" | "put") {
            operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": body}}});
        }
        paths[path][method] = operation;
    }
    json!({"openapi": "3.1.0", "info": {"title": NAME, "version": VERSION}, "paths": paths})
}

/// A page for people.
pub(crate) fn page() -> String {
    let rows: String = OPERATIONS
        .iter()
        .map(|(path, method, summary, ..)| {
            format!("<tr><td>{}</td><td><code>{path}</code></td><td>{summary}</td></tr>", method.to_uppercase())
        })
        .collect();
    format!(
        "<!doctype html><title>{NAME}</title><h1>{NAME} {VERSION}</h1><p><a href=\"/openapi.json\">openapi.json</a></p><table>{rows}</table>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_peers() {
        let text = serde_json::to_string(&index()).unwrap();
        assert!(text.starts_with(r#"{"name":"Multi-Instance vLLM Management API","version":"2.0","endpoints":{"index":"GET /","health":"#));
        assert_eq!(text.len(), 550);
        assert_eq!(document()["paths"].as_object().unwrap().len(), 8);
    }
}
