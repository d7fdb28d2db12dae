//! Enhancement proposals in a repository, as they are: Markdown and git, no database, no server.

pub mod config;
pub mod edit;
pub mod finding;
pub mod model;
pub mod numbers;
pub mod parse;
pub mod rules;
pub mod text;
pub mod tree;
