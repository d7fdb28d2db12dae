//! Pure Kubernetes API machinery: what an API server, its clients and our controllers must compute in
//! exactly the same way, as functions from data to data.
//!
//! Nothing here has a clock, a file, a socket or randomness. Objects are [`serde_json::Value`]s, because
//! most users hold them in that form and because every rule here is a rule about JSON. Input comes from
//! outside: every entry point bounds its depth and answers bad input with an error, never with a panic.
//!
//! | Module | Idea |
//! |---|---|
//! | [`schema`] | the built-in kinds: fields, list strategies, protobuf numbers, OpenAPI |
//! | [`patch`] | JSON patch, merge patch, strategic merge patch |
//! | [`strict`] | duplicate and unknown fields, wrong types, pruning |
//! | [`protobuf`] | protobuf request bodies of built-in kinds to JSON |
//! | [`structural`] | schemas of custom resources: validation, defaults, pruning |
//! | [`quantity`], [`selector`], [`names`] | the small grammars |
//! | [`field`], [`go`] | errors that name a place in an object; values printed as Go prints them |
//! | [`jsonpath`], [`yaml`], [`hash`] | paths of `kubectl -o jsonpath`, YAML to JSON, hashes |

pub mod field;
pub mod go;
pub mod hash;
pub mod jsonpath;
pub mod names;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod strict;
pub mod structural;
pub mod yaml;
