//! A server, a command, and its files.

pub(crate) mod command;
pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod machine;
pub(crate) mod server;

pub(crate) use command::{Profile, Ran, dormouse};
pub(crate) use files::{int, kept_whole, text};
pub(crate) use server::{Mock, Row};
