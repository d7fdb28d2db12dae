//! The registry of kinds: what the one generic handler knows about each resource it serves.
//!
//! A kind is one [`Kind`] row: names, scope, verbs, table columns, field labels, a schema, the [`Right`]s that default roles
//! have to it, its [`Subresource`]s with what answers them, and a [`Strategy`] (defaults, validation) for what cannot be
//! said as data. Structure and words of a built-in kind's types stand in the table of the machinery, found by its names. Discovery, OpenAPI, tables and default roles are made from rows
//! and know no kind by name. Built-in rows stand in `kinds/`, rows of custom resources come and go with their definitions,
//! others are added with [`ApiServer::add_kinds`](crate::ApiServer::add_kinds).

mod kind;
mod rights;
mod snapshot;
mod strategy;
mod subresource;

use serde_json::{Map, Value};

pub use crate::subresources::ScalePaths;
pub use crate::table::{Cell, Column};
pub use kind::{FieldLabel, Generation, Kind, Schema, Verb};
pub use rights::{ALL, CREATE, READ, Right, Role, WRITE};
pub use snapshot::{Group, Registry, Snapshot, version_priority};
pub use strategy::{Cx, Plain, Strategy};
pub use subresource::{Answer, Handler, Subresource};

/// An object or a part of one.
pub type Object = Map<String, Value>;
