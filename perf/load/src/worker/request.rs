//! One request on its way, and its session.

use std::sync::Arc;

use dormouse_perf_net::TimerId;

use crate::script::{Answer, Script};
use crate::target::Target;

use super::done::Wire;
use super::pool::ConnId;

/// A running session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) script: Arc<dyn Script>,
    pub(super) name: Arc<str>,
    /// The turn under way, or the next one.
    pub(super) turn: usize,
    pub(super) turns: usize,
    pub(super) answers: Vec<Option<Answer>>,
    pub(super) target: Arc<Target>,
    /// Its own connection, where sessions have their own.
    pub(super) connection: Option<ConnId>,
    /// When the turn before was planned: users keep a pace of their own.
    pub(super) planned: u64,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) session: usize,
    pub(super) credit: u64,
    pub(super) intended: u64,
    pub(super) due: u64,
    pub(super) start: u64,
    pub(super) id: uuid::Uuid,
    pub(super) target: Arc<Target>,
    /// Head and body, and how much of it has left.
    pub(super) bytes: Vec<u8>,
    pub(super) written: usize,
    pub(super) wire: Wire,
    pub(super) connection: Option<ConnId>,
    pub(super) had_token: bool,
    pub(super) reconnected: bool,
    pub(super) redirected: u32,
    /// It is to be given up so long behind its last byte.
    pub(super) cancel_after: Option<u64>,
    pub(super) cancel_timer: Option<TimerId>,
    pub(super) timeout: Option<TimerId>,
    /// When the last byte of its answer came.
    pub(super) heard: u64,
    pub(super) silence_told: bool,
}
