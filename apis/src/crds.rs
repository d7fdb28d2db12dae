//! The CustomResourceDefinitions of the FMA kinds, generated.
//!
//! The structure of the Pod template inside `LauncherConfig` comes from machinery's table of built-in types.
//! Descriptions of Pod fields are left out: they would make the definition ten times as large.

use dormouse_machinery::schema;
use serde_json::{Value, json};

use crate::fma::{self, KindNames};

/// The definitions, in the order of [`fma::KINDS`].
#[must_use]
pub fn all() -> Vec<Value> {
    vec![
        definition(fma::INFERENCE_SERVER_CONFIG, &inference_server_config(), &["spec"]),
        definition(fma::LAUNCHER_CONFIG, &launcher_config(), &["spec"]),
        definition(fma::LAUNCHER_POPULATION_POLICY, &launcher_population_policy(), &[]),
    ]
}

fn definition(names: KindNames, spec: &Value, required: &[&str]) -> Value {
    let mut root = json!({
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": {
                "type": "object",
                "properties": {
                    "observedGeneration": {"type": "integer", "format": "int64", "description": "The generation of the spec that `errors` speaks of."},
                    "errors": {"type": "array", "items": {"type": "string"}, "description": "What is wrong with the object; absent when nothing is."},
                },
            },
        },
    });
    if !required.is_empty() {
        root["required"] = json!(required);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", names.plural, fma::GROUP),
            "annotations": {"controller-gen.kubebuilder.io/version": "v0.19.0"},
        },
        "spec": {
            "group": fma::GROUP,
            "names": {
                "kind": names.kind, "listKind": format!("{}List", names.kind),
                "plural": names.plural, "singular": names.singular, "shortNames": [names.short],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": fma::VERSION, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": root},
                "subresources": {"status": {}},
            }],
        },
    })
}

fn strings(description: &str) -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}, "description": description})
}

fn inference_server_config() -> Value {
    json!({
        "type": "object",
        "required": ["launcherConfigName", "modelServerConfig"],
        "properties": {
            "modelServerConfig": {
                "type": "object",
                "required": ["port"],
                "description": "How the engine is started and reached.",
                "properties": {
                    "port": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535, "description": "Where the engine listens."},
                    "options": {"type": "string", "description": "Command line of the engine, without the port."},
                    "env_vars": strings("Environment of the engine."),
                    "labels": strings("Labels of the launcher Pod while it is bound and serves."),
                    "annotations": strings("Annotations of the launcher Pod while it is bound and serves."),
                },
            },
            "launcherConfigName": {"type": "string", "description": "The LauncherConfig whose launchers host this server."},
        },
    })
}

fn launcher_config() -> Value {
    json!({
        "type": "object",
        "required": ["maxInstances"],
        "properties": {
            "podTemplate": {
                "type": "object",
                "description": "What a launcher Pod is made from; its container `inference-server` runs the launcher.",
                "properties": {
                    "metadata": {"type": "object", "properties": {"labels": strings("Labels."), "annotations": strings("Annotations.")}},
                    "spec": pod_spec(),
                },
            },
            "maxInstances": {"type": "integer", "format": "int32", "minimum": 1, "description": "Instances per launcher, the awake one counted."},
        },
    })
}

fn launcher_population_policy() -> Value {
    let text_list = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"});
    json!({
        "type": "object",
        "required": ["countForLauncher", "enhancedNodeSelector"],
        "properties": {
            "enhancedNodeSelector": {
                "type": "object",
                "required": ["labelSelector"],
                "description": "Which nodes.",
                "properties": {
                    "labelSelector": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "description": "By label; {} selects every node.",
                        "properties": {
                            "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
                            "matchExpressions": {
                                "type": "array", "x-kubernetes-list-type": "atomic",
                                "items": {
                                    "type": "object", "required": ["key", "operator"],
                                    "properties": {"key": {"type": "string"}, "operator": {"type": "string"}, "values": text_list},
                                },
                            },
                        },
                    },
                    "allocatableResources": {
                        "type": "object",
                        "description": "By what a node can give: inclusive bounds per resource.",
                        "additionalProperties": {"type": "object", "properties": {"min": quantity(), "max": quantity()}},
                    },
                },
            },
            "countForLauncher": {
                "type": "array",
                "description": "How many launchers of which LauncherConfig on each selected node; a total, bound ones counted.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["launcherConfigName"],
                "items": {
                    "type": "object",
                    "required": ["launcherConfigName", "launcherCount"],
                    "properties": {"launcherConfigName": {"type": "string"}, "launcherCount": {"type": "integer", "format": "int32"}},
                },
            },
        },
    })
}

fn quantity() -> Value {
    json!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    })
}

/// The structural schema of a PodSpec.
fn pod_spec() -> Value {
    match schema::named("k8s.io/api/core/v1.PodSpec") {
        Some(ty) => schema::openapi::structural(ty),
        // The table is compiled in; without the type a template is at least not pruned away.
        None => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(i: usize) -> Value {
        all()[i]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
    }

    #[test]
    fn names_and_subresources_are_the_peers() {
        for (crd, names) in all().iter().zip(fma::KINDS) {
            assert_eq!(crd["metadata"]["name"], format!("{}.fma.llm-d.ai", names.plural));
            assert_eq!(crd["spec"]["names"]["shortNames"][0], names.short);
            assert_eq!(crd["spec"]["versions"][0]["subresources"], json!({"status": {}}));
            assert!(crd["spec"]["versions"][0].get("additionalPrinterColumns").is_none());
        }
        let required = |i: usize| all()[i]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["required"].clone();
        assert_eq!((required(0), required(1), required(2)), (json!(["spec"]), json!(["spec"]), Value::Null));
    }

    #[test]
    fn fields_carry_the_rules_of_the_contract() {
        let isc = spec(0);
        assert_eq!(isc["required"], json!(["launcherConfigName", "modelServerConfig"]));
        let port = &isc["properties"]["modelServerConfig"]["properties"]["port"];
        assert_eq!((&port["minimum"], &port["maximum"]), (&json!(1), &json!(65535)));
        assert_eq!(spec(1)["properties"]["maxInstances"]["minimum"], 1);
        let counts = &spec(2)["properties"]["countForLauncher"];
        assert_eq!(counts["x-kubernetes-list-map-keys"], json!(["launcherConfigName"]));
        assert!(counts["items"]["properties"]["launcherCount"].get("minimum").is_none());
    }

    #[test]
    fn the_pod_template_has_the_structure_of_a_pod() {
        let pod = &spec(1)["properties"]["podTemplate"]["properties"]["spec"];
        assert_eq!(pod["required"], json!(["containers"]));
        let containers = &pod["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        assert_eq!(containers["items"]["required"], json!(["name"]));
        let ports = &containers["items"]["properties"]["ports"];
        assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
        assert_eq!(ports["items"]["properties"]["protocol"]["default"], "TCP");
        assert_eq!(
            containers["items"]["properties"]["resources"]["properties"]["limits"]["additionalProperties"]["x-kubernetes-int-or-string"],
            true
        );
    }
}
