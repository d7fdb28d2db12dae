//! A connection and the request that it is at, and the slots that hold all connections of a thread.
//!
//! A slot's token names its connection, not its place: what was meant for a connection that has gone finds nobody.

use std::net::TcpStream;

use dormouse_perf_net::TimerId;

use crate::job::Order;
use crate::plan::Plan;
use crate::request::Reader;
use crate::script::{End, Script};
use crate::stats::Record;

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    pub(crate) token: u64,
    pub(crate) reader: Reader,
    /// What has come and is not yet understood.
    pub(crate) pending: Vec<u8>,
    /// There may be more to read.
    pub(crate) readable: bool,
    /// The client has closed its side.
    pub(crate) left: bool,
    /// What could not be written yet.
    pub(crate) out: Vec<u8>,
    /// What becomes of the connection when all is written.
    pub(crate) then: Option<End>,
    pub(crate) job: Option<Job>,
    /// Decided with the head of the request that is being read.
    pub(crate) plan: Option<Plan>,
    /// The body that comes belongs to a request that is answered already.
    pub(crate) discard: bool,
    /// All has been said; what still comes is thrown away until the client ends too.
    pub(crate) draining: bool,
    /// A request has begun to come and is not complete.
    pub(crate) reading: bool,
    /// When it last got on: limits count from here.
    pub(crate) since: u64,
    pub(crate) timer: Option<TimerId>,
    pub(crate) limit: Option<TimerId>,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream, now: u64) -> Self {
        Self {
            stream,
            token: 0,
            reader: Reader::default(),
            pending: Vec::new(),
            readable: true,
            left: false,
            out: Vec::new(),
            then: None,
            job: None,
            plan: None,
            discard: false,
            draining: false,
            reading: false,
            since: now,
            timer: None,
            limit: None,
        }
    }
}

/// The request that is being answered.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) record: Record,
    pub(crate) state: State,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Waits for a place.
    Queued(Box<Order>),
    Serving(Script),
    /// Waits for the client to go.
    Hanging,
}

/// The connections of a thread.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    taken: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u64,
    conn: Option<Box<Conn>>,
}

const INDEX_BITS: u32 = 32;
/// Generations stay below it, so that no token is one of the loop's or the worker's own.
const GENERATIONS: u64 = 1 << 30;
/// Set in tokens of limits, which share the numbers of their connections.
pub(crate) const LIMIT: u64 = 1 << 62;

fn index(token: u64) -> usize {
    usize::try_from(token & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX)
}

impl Slots {
    /// Gives a connection its token and keeps it.
    pub(crate) fn add(&mut self, mut conn: Box<Conn>) -> u64 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let slot = &mut self.slots[at];
        slot.generation = (slot.generation + 1) % GENERATIONS;
        conn.token = slot.generation << INDEX_BITS | at as u64;
        let token = conn.token;
        slot.conn = Some(conn);
        self.taken += 1;
        token
    }

    /// Lends the connection, if it is still there; [`put`](Self::put) or [`forget`](Self::forget) follows.
    pub(crate) fn take(&mut self, token: u64) -> Option<Box<Conn>> {
        self.slots.get_mut(index(token)).filter(|slot| slot.generation == token >> INDEX_BITS)?.conn.take()
    }

    pub(crate) fn put(&mut self, conn: Box<Conn>) {
        if let Some(slot) = self.slots.get_mut(index(conn.token)) {
            slot.conn = Some(conn);
        }
    }

    /// Its place is free again.
    pub(crate) fn forget(&mut self, token: u64) {
        self.free.push(index(token));
        self.taken -= 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.taken
    }

    pub(crate) fn tokens(&self) -> Vec<u64> {
        self.slots.iter().filter_map(|slot| slot.conn.as_ref()).map(|conn| conn.token).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_token_names_no_later_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let conn = || Box::new(Conn::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap(), 0));
        let mut slots = Slots::default();
        let first = slots.add(conn());
        let second = slots.add(conn());
        assert_eq!((slots.len(), slots.tokens()), (2, vec![first, second]));
        drop(slots.take(first).unwrap());
        slots.forget(first);
        assert!(slots.take(first).is_none());
        let third = slots.add(conn());
        assert_ne!(first, third);
        assert!(slots.take(first).is_none());
        let lent = slots.take(third).unwrap();
        assert!(slots.take(third).is_none());
        slots.put(lent);
        assert!(slots.take(third).is_some());
    }
}
