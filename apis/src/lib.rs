//! Kubernetes types of Dormouse and of the peers it is compatible with, and the names they share on the
//! wire. Types and constants only: no I/O, no decisions.
//!
//! A kind of ours stands in one file, `<group>/<kind>.rs`, and its definition is made from there: names, scope and
//! status from `#[kube(…)]` on the type of the spec, the schema from its fields.
//!
//! # How to add a field
//!
//! Add it to the struct. Its type makes the schema, its attributes the rules (`#[schemars(range(min = 1))]`,
//! `#[x_kube(validation = …)]`, `#[x_kube(merge_strategy = …)]`), the first paragraph of its comment the description
//! that users read; more paragraphs are for readers of the code. `Option` and `#[serde(default)]` make it optional; with a
//! default it also needs `skip_serializing_if`, else the default goes into the definition. What is kept as JSON takes its
//! structure from the table of built-in types (`definition::builtin`). Then write the golden file again and read
//! what changed: `DORMOUSE_GOLDEN_WRITE=1 cargo test -p dormouse-apis`. The test of the fields fails to build until its full
//! value has the field too.
//!
//! # How to add a kind
//!
//! A file as its neighbours, with a `KIND`; that row goes into `KINDS` of its group, which the command, the chart and
//! the tests read. A group is a folder with such a list.

pub mod definition;
pub mod fma;
pub mod names;

pub use kube_core::{ApiResource, CustomResourceExt, Resource};
