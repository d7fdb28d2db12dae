//! What becomes of a request, by seed and number alone: its fault, its stall, its delays.
//!
//! Every request has a stream of random numbers of its own, that with its number. Draws come in a fixed order, and those that nobody
//! asked for are made as well: whether errors are switched on does not change when the others are answered.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::dist::{Dist, nanoseconds, unit};
use crate::fault::{Fault, FaultRate};

/// What is decided for every request alike.
#[derive(Debug)]
pub(crate) struct Odds {
    random: ChaCha12Rng,
    error_rate: f64,
    error_status: u16,
    faults: Vec<FaultRate>,
    stall_rate: f64,
    ttft: Dist,
    itl: Dist,
    /// Nothing is left to chance: no numbers need to be made.
    certain: bool,
}

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Its number, from 0, in the order in which heads came.
    pub(crate) number: u64,
    pub(crate) fault: Option<Fault>,
    pub(crate) stall: bool,
    /// Nanoseconds from the begin of service to the first token.
    pub(crate) ttft: u64,
    pub(crate) gaps: Gaps,
}

/// The delays between tokens.
#[derive(Debug, Clone)]
pub(crate) enum Gaps {
    /// All alike.
    Fixed(u64),
    /// Each drawn.
    Drawn(Dist, Box<ChaCha12Rng>),
}

impl Gaps {
    /// Nanoseconds for the next `tokens` tokens together.
    pub(crate) fn next(&mut self, tokens: usize) -> u64 {
        match self {
            Self::Fixed(gap) => gap.saturating_mul(tokens as u64),
            Self::Drawn(dist, random) => (0..tokens).map(|_| dist.draw(random)).fold(0, u64::saturating_add),
        }
    }
}

impl Odds {
    pub(crate) fn new(seed: u64, errors: (f64, u16), faults: &[FaultRate], stall_rate: f64, ttft: Dist, itl: Dist) -> Self {
        let certain = errors.0 == 0.0 && faults.iter().all(|f| f.rate == 0.0) && stall_rate == 0.0 && ttft.is_fixed() && itl.is_fixed();
        let random = ChaCha12Rng::seed_from_u64(seed);
        Self { random, error_rate: errors.0, error_status: errors.1, faults: faults.to_vec(), stall_rate, ttft, itl, certain }
    }

    /// The plan of the request with this number.
    pub(crate) fn plan(&self, number: u64) -> Plan {
        if let (true, Dist::Fixed(ttft), Dist::Fixed(itl)) = (self.certain, self.ttft, self.itl) {
            return Plan { number, fault: None, stall: false, ttft: nanoseconds(ttft), gaps: Gaps::Fixed(nanoseconds(itl)) };
        }
        let mut random = self.random.clone();
        random.set_stream(number);
        let (error, fault, stall) = (unit(&mut random), unit(&mut random), unit(&mut random));
        let ttft = self.ttft.draw(&mut random);
        let gaps = match self.itl {
            Dist::Fixed(itl) => Gaps::Fixed(nanoseconds(itl)),
            dist => Gaps::Drawn(dist, Box::new(random)),
        };
        let fault = if error < self.error_rate { Some(Fault::Status(self.error_status)) } else { self.fault(fault) };
        Plan { number, fault, stall: stall < self.stall_rate, ttft, gaps }
    }

    /// Rates are stretches of the unit line, one after another.
    fn fault(&self, drawn: f64) -> Option<Fault> {
        let mut end = 0.0;
        self.faults.iter().find_map(|f| {
            end += f.rate;
            (drawn < end).then_some(f.fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odds(seed: u64, error_rate: f64) -> Odds {
        let faults = ["crlf:0.2".parse().unwrap(), "hang:0.1".parse().unwrap()];
        Odds::new(seed, (error_rate, 503), &faults, 0.25, Dist::Exp(20.0), Dist::Uniform(1.0, 9.0))
    }

    fn gaps(mut plan: Plan) -> Vec<u64> {
        (0..5).map(|_| plan.gaps.next(1)).collect()
    }

    #[test]
    fn seed_and_number_alone_decide() {
        let (one, same, other) = (odds(7, 0.0), odds(7, 0.0), odds(8, 0.0));
        // In another order, too.
        let backwards: Vec<Plan> = (0..200).rev().map(|n| same.plan(n)).collect();
        let mut differ = 0;
        for (n, again) in (0..200).zip(backwards.into_iter().rev()) {
            let plan = one.plan(n);
            assert_eq!((plan.fault, plan.stall, plan.ttft), (again.fault, again.stall, again.ttft));
            assert_eq!(gaps(plan.clone()), gaps(again));
            differ += usize::from(plan.ttft != other.plan(n).ttft);
        }
        assert!(differ > 190);
    }

    #[test]
    fn a_rate_changes_only_its_own_requests() {
        let (without, with) = (odds(7, 0.0), odds(7, 0.3));
        let mut errors = 0;
        for n in 0..1000 {
            let (a, b) = (without.plan(n), with.plan(n));
            assert_eq!((a.stall, a.ttft, gaps(a.clone())), (b.stall, b.ttft, gaps(b.clone())));
            errors += i32::from(b.fault == Some(Fault::Status(503)));
            assert!(a.fault == b.fault || b.fault == Some(Fault::Status(503)));
        }
        assert!((250..350).contains(&errors), "{errors}");
        let share = |fault| (0..1000).filter(|n| without.plan(*n).fault == Some(fault)).count();
        assert!((150..250).contains(&share(Fault::Crlf)) && (70..130).contains(&share(Fault::Hang)));
    }

    #[test]
    fn many_tokens_take_the_sum_of_their_gaps() {
        let (one, mut other) = (odds(7, 0.0).plan(3), odds(7, 0.0).plan(3));
        assert_eq!(gaps(one).iter().sum::<u64>(), other.gaps.next(5));
        assert_eq!(Gaps::Fixed(5).next(3), 15);
    }
}
