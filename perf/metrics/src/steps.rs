//! Step functions of time, from the changes of their level.
//!
//! Changes are many, and come almost in order: requests are kept as they end, and each changes the level for as long as it
//! lasts. So only those are held that something earlier may still come before; the rest is counted into short stretches of
//! time, laid down there, and what is left to sort is the few of a stretch.

/// A time, and by how much the level changes there.
type Change = (i64, f64);

/// Changes that are brought into order together, at least: what a cache holds. Tests have fewer, and several batches even so.
const BATCH: usize = if cfg!(test) { 1 << 5 } else { 1 << 15 };

/// Changes of a stretch, about.
const TOGETHER: usize = 4;

/// A step function in the making.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// In any order, but none before what was settled.
    pending: Vec<Change>,
    /// How many of them could not be settled the last time.
    held: usize,
    settled: i64,
    order: Order,
    level: f64,
    spans: usize,
    steps: Vec<(i64, f64)>,
}

impl Default for Sweep {
    fn default() -> Self {
        let (pending, steps, order) = (Vec::new(), Vec::new(), Order::default());
        Self { pending, held: 0, settled: i64::MIN, order, level: 0.0, spans: 0, steps }
    }
}

impl Sweep {
    /// What comes too late against what was promised, of records that cannot be, counts from where it still can.
    #[inline]
    pub(crate) fn add(&mut self, at: i64, change: f64) {
        self.pending.push((at.max(self.settled), change));
    }

    /// From now on nothing is added before this time. It is seen to when that is worth while: a change waits, and is looked at
    /// again, a few times at most.
    pub(crate) fn settle(&mut self, until: i64) {
        if self.pending.len() >= BATCH + 2 * self.held {
            let settled = self.order.take(&mut self.pending, until.saturating_sub(1));
            self.held = self.pending.len();
            self.settled = until;
            apply(settled, &mut self.level, &mut self.spans, &mut self.steps);
        }
    }

    /// All is added.
    pub(crate) fn finish(mut self) -> Steps {
        let settled = self.order.take(&mut self.pending, i64::MAX);
        apply(settled, &mut self.level, &mut self.spans, &mut self.steps);
        Steps(self.steps)
    }
}

fn apply(changes: &[Change], level: &mut f64, spans: &mut usize, steps: &mut Vec<(i64, f64)>) {
    for (at, change) in changes {
        *spans = if *change > 0.0 { *spans + 1 } else { spans.saturating_sub(1) };
        // What is left of a sum of nothing is an error of rounding.
        *level = if *spans == 0 { 0.0 } else { *level + change };
        match steps.last_mut() {
            Some((last, value)) if last == at => *value = *level,
            _ => steps.push((*at, *level)),
        }
    }
}

/// Brings changes into order; it is kept for its memory.
#[derive(Debug, Default)]
struct Order {
    ends: Vec<usize>,
    ordered: Vec<Change>,
}

impl Order {
    /// Takes out what is until this time, and gives it in order.
    fn take(&mut self, from: &mut Vec<Change>, until: i64) -> &[Change] {
        let Self { ends, ordered } = self;
        let (first, last) = from.iter().fold((i64::MAX, i64::MIN), |(first, last), (at, _)| (first.min(*at), last.max(*at)));
        let last = last.min(until);
        // Stretches are as long as a power of two, so that there are at most as many as are wanted.
        let length = last.saturating_sub(first).max(0).unsigned_abs();
        let wanted = from.len() / TOGETHER + 1;
        let each = length / u64::try_from(wanted).unwrap_or(u64::MAX);
        let shift = (u64::BITS - each.leading_zeros()).min(u64::BITS - 1);
        let stretch = |at: i64| usize::try_from(at.saturating_sub(first).unsigned_abs() >> shift).unwrap_or(usize::MAX).min(wanted);
        ends.clear();
        ends.resize(wanted + 1, 0);
        from.iter().filter(|(at, _)| *at <= last).for_each(|(at, _)| ends[stretch(*at)] += 1);
        let mut before = 0;
        for begin in ends.iter_mut() {
            before += std::mem::replace(begin, before);
        }
        ordered.resize(before, (0, 0.0));
        from.retain(|change| {
            let settled = change.0 <= last;
            if settled {
                let next = &mut ends[stretch(change.0)];
                ordered[*next] = *change;
                *next += 1;
            }
            !settled
        });
        let mut begin = 0;
        for end in ends.iter() {
            // What ends goes before what begins at the same time.
            ordered[begin..*end].sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            begin = *end;
        }
        ordered
    }
}

/// A step function: from each of these times on it is the value beside it, and nought before the first.
#[derive(Debug)]
pub(crate) struct Steps(Vec<(i64, f64)>);

/// A stretch on which two step functions stay as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) length: i64,
    pub(crate) value: f64,
    pub(crate) busy: f64,
}

/// What is behind the last step: no time, and what was there last.
const END: (i64, f64) = (i64::MAX, 0.0);

impl Steps {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of its steps are not after this time, and what it is then.
    fn until(&self, at: i64) -> (usize, f64) {
        let until = self.0.partition_point(|(time, _)| *time <= at);
        (until, until.checked_sub(1).map_or(0.0, |last| self.0[last].1))
    }

    /// The stretches between two moments on which neither changes.
    pub(crate) fn beside(&self, busy: &Self, from: i64, to: i64, mut take: impl FnMut(Stretch)) {
        let ((mut i, mut value), (mut j, mut held), mut at) = (self.until(from), busy.until(from), from);
        let next_of = |steps: &Self, at: usize| steps.0.get(at).copied().unwrap_or(END);
        let (mut own, mut other) = (next_of(self, i), next_of(busy, j));
        while at < to {
            let next = own.0.min(other.0).min(to);
            take(Stretch { length: next - at, value, busy: held });
            at = next;
            if own.0 == next {
                value = own.1;
                i += 1;
                own = next_of(self, i);
            }
            if other.0 == next {
                held = other.1;
                j += 1;
                other = next_of(busy, j);
            }
        }
    }
}
