//! When sessions begin that do not wait for a free place: a list, or users who come and go (perf contract 2.5, 2.6).

use std::sync::Arc;

use super::plan::Planned;

/// The beginnings of sessions, ascending.
#[derive(Debug)]
pub(super) struct Starts {
    list: Arc<[Planned]>,
    next: usize,
    births: Option<Births>,
}

/// One more user each time that a lifetime has passed for one of them.
#[derive(Debug)]
struct Births {
    every: u64,
    number: u64,
    first_user: u64,
}

impl Starts {
    pub(super) fn of(list: Arc<[Planned]>) -> Self {
        Self { list, next: 0, births: None }
    }

    /// As if the users had been there for ever: those of the beginning are in the midst of their sessions, so that the rate is right
    /// from the first second.
    pub(super) fn users(users: u32, rate: f64, turns: f64) -> Self {
        let n = u64::from(users.max(1));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "turns of a session, at least one")]
        let life = ((turns.round() - 1.0).max(1.0)) as u64;
        let stagger = 1e9 / rate.max(1e-9);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "what is too late saturates"
        )]
        let after = |staggers: u64| (staggers as f64 * stagger).round() as u64;
        let step = if gcd(n, life) == 1 { None } else { (2..n).find(|step| gcd(*step, n) == 1) };
        let mut list: Vec<Planned> = (0..n)
            .filter_map(|i| {
                let age = (n - i) * life;
                let left = life - (age / n).min(life);
                let slot = step.map_or(age % n, |step| (i * step) % n);
                let turns = u32::try_from(left).ok().filter(|left| *left > 0)?;
                Some(Planned { at: after(n - slot), turns: Some(turns), user: Some(i) })
            })
            .collect();
        list.sort_by_key(|planned| planned.at);
        Self { list: list.into(), next: 0, births: Some(Births { every: after(life).max(1), number: 0, first_user: n }) }
    }

    /// The next one.
    pub(super) fn peek(&self) -> Option<Planned> {
        let listed = self.list.get(self.next).copied();
        let born = self.births.as_ref().map(Births::next);
        match (listed, born) {
            (Some(listed), Some(born)) => Some(if born.at <= listed.at { born } else { listed }),
            (listed, born) => listed.or(born),
        }
    }

    /// It has begun.
    pub(super) fn advance(&mut self) {
        let Some(planned) = self.peek() else { return };
        match &mut self.births {
            Some(births) if births.next() == planned => births.number += 1,
            _ => self.next += 1,
        }
    }
}

impl Births {
    fn next(&self) -> Planned {
        Planned { at: self.number.saturating_mul(self.every), turns: None, user: Some(self.first_user + self.number) }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vector A8 of the perf contract: 8 users, 4 turns a second, 20 turns each.
    #[test]
    fn a8() {
        let mut starts = Starts::users(8, 4.0, 20.0);
        let mut all = Vec::new();
        while all.len() < 40 {
            all.extend(starts.peek());
            starts.advance();
        }
        // The fresh one first; then one of the old ones each 0.25 s, in the place that its age gives.
        assert_eq!((all[0].at, all[0].turns, all[0].user), (0, None, Some(8)));
        let old: Vec<Planned> = all.iter().copied().filter(|p| p.turns.is_some()).collect();
        assert!(old.iter().all(|p| p.at % 250_000_000 == 0 && p.at > 0 && p.at <= 2_000_000_000));
        let slot = |user: u64| (8 - user) * 19 % 8;
        for planned in &old {
            assert_eq!(planned.at, (8 - slot(planned.user.unwrap())) * 250_000_000);
        }
        // The oldest has no turn left; a new one is born each 19 times 0.25 s.
        assert_eq!(old.len(), 7);
        let born: Vec<u64> = all.iter().filter(|p| p.turns.is_none()).map(|p| p.at).collect();
        assert!(born.windows(2).all(|w| w[1] - w[0] == 4_750_000_000), "{born:?}");
    }

    #[test]
    fn places_of_users_are_apart_when_ages_would_meet() {
        let mut starts = Starts::users(8, 8.0, 9.0);
        let mut at = Vec::new();
        while let Some(planned) = starts.peek().filter(|p| p.at <= 1_000_000_000) {
            at.push(planned.at);
            starts.advance();
        }
        at.dedup();
        assert_eq!(at.len(), 9, "{at:?}");
    }
}
