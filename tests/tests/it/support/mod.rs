//! What the tests share: the binary, a running plane, its API, `kubectl`, processes, waiting.

mod api;
mod binary;
mod kubectl;
mod process;
mod up;
mod wait;

pub(crate) use api::{Api, condition, name_of, names_of};
pub(crate) use binary::{dormouse, from_root, repository};
pub(crate) use kubectl::{Kubectl, On, table};
pub(crate) use process::{Process, Said, run, wait_for_exit};
pub(crate) use up::Up;
pub(crate) use wait::{stays, until};
