//! The CustomResourceDefinitions of the FMA kinds, generated.
//!
//! The structure of the Pod template inside `LauncherConfig` comes from machinery's table of built-in types
//! (lists and their keys), its required marks from the OpenAPI schemas of `k8s-openapi`. Descriptions of Pod
//! fields are left out: they would make the definition ten times as large.

use std::collections::BTreeMap;

use dormouse_machinery::schema::{self, Field, ListType, Shape, Type, TypeRef};
use k8s_openapi::api::core::v1::PodSpec;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

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
    let Some(ty) = schema::named("k8s.io/api/core/v1.PodSpec") else {
        return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    };
    Pods { required: required_marks() }.object(ty)
}

/// OpenAPI name of a type to the members that must be there.
fn required_marks() -> BTreeMap<String, Vec<String>> {
    let generator = SchemaSettings::openapi3().into_generator();
    let root = Value::from(generator.into_root_schema_for::<PodSpec>());
    let members =
        |schema: &Value| schema["required"].as_array().into_iter().flatten().filter_map(|m| m.as_str().map(str::to_owned)).collect();
    let mut marks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, schema) in root.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten() {
        marks.insert(name.clone(), members(schema));
    }
    marks.insert("io.k8s.api.core.v1.PodSpec".into(), members(&root));
    marks
}

struct Pods {
    required: BTreeMap<String, Vec<String>>,
}

impl Pods {
    fn object(&self, ty: TypeRef) -> Value {
        let mut properties = Map::new();
        for field in ty.fields() {
            properties.insert(field.name.to_owned(), self.member(field));
        }
        let mut schema = json!({"type": "object", "properties": properties});
        if let Some(required) = self.required.get(&ty.openapi_name()).filter(|r| !r.is_empty()) {
            schema["required"] = json!(required);
        }
        if ty.is_atomic() {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        schema
    }

    fn member(&self, field: &Field) -> Value {
        let item = self.value(field.shape.item());
        let mut schema = match field.shape {
            Shape::One(_) => item,
            Shape::Map(_) => json!({"type": "object", "additionalProperties": item}),
            Shape::List(_) => {
                let mut list = json!({"type": "array", "items": item});
                match field.list {
                    ListType::Atomic => list["x-kubernetes-list-type"] = json!("atomic"),
                    ListType::Set => list["x-kubernetes-list-type"] = json!("set"),
                    ListType::Map => {
                        list["x-kubernetes-list-type"] = json!("map");
                        list["x-kubernetes-list-map-keys"] = json!(field.keys);
                        // A key must be there or have a default.
                        if let Type::Struct(ty) = field.shape.item() {
                            let must = list["items"]["required"].as_array().cloned().unwrap_or_default();
                            let extra = field.keys.iter().filter(|k| ty.field(k).is_some_and(|f| f.default.is_none())).map(|k| json!(k));
                            let mut all: Vec<Value> = must.iter().cloned().chain(extra.filter(|k| !must.contains(k))).collect();
                            all.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                            if !all.is_empty() {
                                list["items"]["required"] = Value::Array(all);
                            }
                        }
                    }
                }
                list
            }
        };
        if field.atomic && !matches!(field.shape, Shape::List(_)) {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        if let Some(default) = field.default {
            schema["default"] = json!(default);
        }
        schema
    }

    fn value(&self, ty: Type) -> Value {
        match ty {
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Quantity => quantity(),
            Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
            Type::IntOrString => json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true}),
            Type::Strings => json!({"type": "array", "items": {"type": "string"}}),
            Type::Struct(ty) => self.object(ty),
            Type::Any | Type::SchemaOrArray | Type::SchemaOrBool | Type::SchemaOrStrings => {
                json!({"x-kubernetes-preserve-unknown-fields": true})
            }
        }
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
