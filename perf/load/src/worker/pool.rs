//! Connections: opened, ready, idle, gone.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dormouse_perf_net::{self as net, EventLoop};

use crate::answer::Field;
use crate::exchange::{Ask, Exchange, Limits};
use crate::target::Target;
use crate::transport::{Transport, Trust};

use super::Settings;

/// Names a connection; a place that is used again has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnId {
    pub(super) slot: u32,
    generation: u32,
}

impl ConnId {
    pub(super) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// TCP has not answered.
    Connecting,
    /// TLS has not agreed.
    Agreeing,
    /// It can carry a request.
    Ready,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) transport: Transport,
    pub(super) state: State,
    pub(super) exchange: Exchange,
    /// The request that has it, or waits for it to stand.
    pub(super) request: Option<usize>,
    /// How many it has served.
    pub(super) served: u32,
    pub(super) target: Arc<Target>,
    /// Which of the target's addresses it goes to.
    address: usize,
    pub(super) opened: u64,
    pub(super) ready: Option<u64>,
    idle_since: u64,
    generation: u32,
}

/// All connections of a worker.
#[derive(Debug)]
pub(super) struct Pool {
    slots: Vec<Option<Conn>>,
    free: Vec<u32>,
    generations: Vec<u32>,
    /// By origin: what can be taken, the last one first.
    idle: HashMap<Arc<str>, Vec<ConnId>>,
    ask: Ask,
    limits: Limits,
    record: bool,
    field: Option<Field>,
    trust: Option<Trust>,
    keep_alive: u64,
    opening: usize,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { ask, limits, record, keep_alive, .. } = *settings;
        let (field, trust) = (settings.field.clone(), settings.trust.clone());
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            generations: Vec::new(),
            idle: HashMap::new(),
            ask,
            limits,
            record,
            field,
            trust,
            keep_alive,
            opening: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn ask(&self) -> Ask {
        self.ask
    }

    /// The connection of an event, if it is still that one.
    pub(super) fn of_token(&self, token: u64) -> Option<ConnId> {
        let id = ConnId { slot: u32::try_from(token & 0xffff_ffff).ok()?, generation: u32::try_from(token >> 32).ok()? };
        self.get(id).map(|_| id)
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots.get(id.slot as usize)?.as_ref().filter(|conn| conn.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.generation == id.generation)
    }

    /// Begins to open a connection.
    pub(super) fn open(&mut self, events: &EventLoop, target: &Arc<Target>, request: Option<usize>, now: u64) -> io::Result<ConnId> {
        self.open_to(events, target, 0, request, now)
    }

    /// The same at the next address of its target, where there is one.
    pub(super) fn open_elsewhere(&mut self, events: &EventLoop, failed: &Conn) -> Option<io::Result<ConnId>> {
        let next = failed.address + 1;
        (next < failed.target.addresses.len()).then(|| self.open_to(events, &failed.target, next, failed.request, failed.opened))
    }

    fn open_to(
        &mut self,
        events: &EventLoop,
        target: &Arc<Target>,
        address: usize,
        request: Option<usize>,
        now: u64,
    ) -> io::Result<ConnId> {
        let to: SocketAddr = *target.addresses.get(address).ok_or_else(|| io::Error::other("there is no address to connect to"))?;
        let socket = net::connect(to, None)?;
        let tls = self.trust.as_ref().filter(|_| target.is_tls()).map(|trust| (trust, target.host()));
        let transport = Transport::new(socket, tls)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let at = slot as usize;
        let generation = self.generations[at].wrapping_add(1) & 0x7f_ffff;
        self.generations[at] = generation;
        let id = ConnId { slot, generation };
        events.add(transport.socket(), id.token()).inspect_err(|_| self.free.push(slot))?;
        let mut exchange = Exchange::new(self.ask, self.limits);
        if self.record {
            exchange.record();
        }
        if self.field.is_some() {
            exchange.look_at(self.field.clone());
        }
        self.slots[at] = Some(Conn {
            transport,
            state: State::Connecting,
            exchange,
            request,
            served: 0,
            target: Arc::clone(target),
            address,
            opened: now,
            ready: None,
            idle_since: now,
            generation,
        });
        self.opening += 1;
        Ok(id)
    }

    /// It can carry requests from now on.
    pub(super) fn stands(&mut self, id: ConnId, now: u64) {
        if let Some(conn) = self.get_mut(id).filter(|conn| conn.state != State::Ready) {
            conn.state = State::Ready;
            conn.ready = Some(now);
            self.opening = self.opening.saturating_sub(1);
        }
    }

    /// Closes a connection and gives back what it was.
    pub(super) fn close(&mut self, id: ConnId) -> Option<Conn> {
        self.get(id)?;
        let conn = self.slots.get_mut(id.slot as usize)?.take()?;
        self.free.push(id.slot);
        if conn.state != State::Ready {
            self.opening = self.opening.saturating_sub(1);
        }
        Some(conn)
    }

    /// A connection has nothing to do, and any request may take it.
    pub(super) fn rest(&mut self, id: ConnId, now: u64) {
        let Some(conn) = self.get_mut(id) else { return };
        (conn.request, conn.idle_since) = (None, now);
        let origin = Arc::clone(&conn.target.origin);
        let slots = &self.slots;
        let idle = self.idle.entry(origin).or_default();
        // Those that were closed while they were idle are still in the list, until they are taken or it grows too long.
        if idle.len() > 2 * slots.len() {
            idle.retain(|id| slots.get(id.slot as usize).and_then(Option::as_ref).is_some_and(|conn| conn.generation == id.generation));
        }
        idle.push(id);
    }

    /// Takes one that has nothing to do: the one that had something last.
    pub(super) fn take_idle(&mut self, origin: &str, now: u64) -> Option<ConnId> {
        loop {
            let id = self.idle.get_mut(origin)?.pop()?;
            let Some(conn) = self.get(id) else { continue };
            if now.saturating_sub(conn.idle_since) < self.keep_alive {
                return Some(id);
            }
            self.close(id);
        }
    }

    /// Whether any has nothing to do.
    pub(super) fn has_idle(&self, origin: &str) -> bool {
        self.idle.get(origin).is_some_and(|idle| !idle.is_empty())
    }

    /// Those that do not stand yet.
    pub(super) fn opening(&self) -> usize {
        self.opening
    }
}
