//! Enhancement proposals in a repository, as they are: Markdown and git, no database, no server.

pub mod config;
pub mod edit;
pub mod finding;
pub mod index;
pub mod lint;
pub mod mentions;
pub mod model;
pub mod new;
pub mod numbers;
mod parallel;
pub mod parse;
pub mod query;
pub mod record;
pub mod report;
pub mod rules;
mod suppression;
pub mod text;
pub mod tree;
pub mod triage;
pub mod verb;
