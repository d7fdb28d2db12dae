//! Who is in service: at most so many at once, at most so many beginnings per second, in the order of arrival.
//!
//! This is the server's knee, and it is exact: who leaves hands the place to the first of the queue at that very moment.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Names a waiting request: the thread and the token of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) worker: usize,
    pub(crate) token: u64,
}

#[derive(Debug)]
pub(crate) struct Gate {
    places: usize,
    interval: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    busy: usize,
    queue: VecDeque<Ticket>,
    /// No service begins before.
    next_start: u64,
}

impl State {
    fn start(&mut self, now: u64, interval: u64) -> u64 {
        let start = now.max(self.next_start);
        self.next_start = start.saturating_add(interval);
        start
    }
}

impl Gate {
    /// So many places, and so many nanoseconds between two beginnings.
    pub(crate) fn new(places: Option<usize>, interval: u64) -> Self {
        Self { places: places.unwrap_or(usize::MAX), interval, state: Mutex::default() }
    }

    fn open(&self) -> bool {
        self.places == usize::MAX && self.interval == 0
    }

    /// When service begins, or `None`: the ticket is in the queue.
    pub(crate) fn enter(&self, ticket: Ticket, now: u64) -> Option<u64> {
        if self.open() {
            return Some(now);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.busy >= self.places {
            state.queue.push_back(ticket);
            return None;
        }
        state.busy += 1;
        Some(state.start(now, self.interval))
    }

    /// Whoever waits with this ticket waits no more; one that has its place already finds nobody and is handed on.
    pub(crate) fn withdraw(&self, ticket: Ticket) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.queue.retain(|waiting| *waiting != ticket);
    }

    /// A place is free: who gets it, and when its service begins.
    pub(crate) fn leave(&self, now: u64) -> Option<(Ticket, u64)> {
        if self.open() {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ticket) = state.queue.pop_front() else {
            state.busy = state.busy.saturating_sub(1);
            return None;
        };
        Some((ticket, state.start(now, self.interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(token: u64) -> Ticket {
        Ticket { worker: 0, token }
    }

    #[test]
    fn places_go_to_who_came_first() {
        let gate = Gate::new(Some(2), 0);
        assert_eq!([1, 2, 3, 4].map(|n| gate.enter(ticket(n), n)), [Some(1), Some(2), None, None]);
        assert_eq!(gate.leave(10), Some((ticket(3), 10)));
        gate.withdraw(ticket(9));
        assert_eq!((gate.enter(ticket(9), 10), gate.leave(11)), (None, Some((ticket(4), 11))));
        gate.withdraw(ticket(9));
        assert_eq!((gate.leave(12), gate.leave(13)), (None, None));
        assert_eq!(gate.enter(ticket(5), 14), Some(14));
    }

    #[test]
    fn beginnings_are_evenly_spaced() {
        let gate = Gate::new(None, 100);
        assert_eq!([5, 5, 6, 900].map(|now| gate.enter(ticket(now), now)), [Some(5), Some(105), Some(205), Some(900)]);
        assert_eq!(gate.leave(950), None);
    }
}
