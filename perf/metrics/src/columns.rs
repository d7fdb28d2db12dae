//! Finished records, kept small: by column, each no wider than its values need.
//!
//! A [`Row`] has a place for every metric, and most stay empty. Here a block of rows keeps what is there, metric by metric:
//! nothing but the value where all are the same, four bytes where most are whole and not large (nanoseconds, tokens, bytes),
//! eight otherwise. What went in comes out to the last bit, in the same order.

use std::sync::Arc;

use crate::catalog::{Metric, OF_RECORDS};
use crate::record::Row;

/// Rows of a block: enough that its own size is lost in theirs, few enough that the one which is open is no burden.
const BLOCK: usize = 1024;

/// Marks of a row, beside those of the metrics that it has.
const FAILED: u64 = 1 << 62;
const OVERFLOWED: u64 = 1 << 63;
const _: () = assert!(OF_RECORDS <= 62, "a bit for each metric, and two more");

/// Records, in the order in which they were pushed.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// They are never changed, so that several may hold them.
    full: Vec<Arc<Block>>,
    open: Block,
}

impl Columns {
    /// Keeps one more.
    pub fn push(&mut self, row: &Row) {
        self.open.push(row);
        if self.open.len() == BLOCK {
            self.close();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks().map(Block::len).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.len() == 0
    }

    /// All of them, one by one, as they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.blocks().flat_map(|block| {
            let mut reader = Reader::of(block, Wanted::ALL);
            std::iter::from_fn(move || {
                let mut row = Row::default();
                reader.read(&mut row).then_some(row)
            })
        })
    }

    /// Adds those of another, such as the next phase. Full blocks are shared and not copied.
    pub fn append(&mut self, other: &Self) {
        self.close();
        self.full.extend(other.full.iter().cloned());
        self.open = other.open.clone();
    }

    /// The memory that they take, what is shared included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.blocks().map(Block::bytes).sum::<usize>() + self.full.capacity() * size_of::<Arc<Block>>()
    }

    /// Each with its number, of which only what is wanted is read: the rest of the row says nothing. Faster than [`Self::iter`].
    pub(crate) fn each(&self, wanted: Wanted, mut take: impl FnMut(usize, &Row)) {
        let (mut row, mut at) = (Row::default(), 0);
        for block in self.blocks() {
            let mut reader = Reader::of(block, wanted);
            while reader.read(&mut row) {
                take(at, &row);
                at += 1;
            }
        }
    }

    /// Credit, start and end of each.
    pub(crate) fn moments(&self) -> impl Iterator<Item = [u64; 3]> + '_ {
        self.blocks().flat_map(|block| block.moments.iter().copied())
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.full.iter().map(Arc::as_ref).chain([&self.open])
    }

    fn close(&mut self) {
        if self.open.len() > 0 {
            let mut block = std::mem::take(&mut self.open);
            block.narrow();
            self.full.push(Arc::new(block));
        }
    }
}

impl<'a> Extend<&'a Row> for Columns {
    fn extend<T: IntoIterator<Item = &'a Row>>(&mut self, rows: T) {
        rows.into_iter().for_each(|row| self.push(row));
    }
}

impl<'a> FromIterator<&'a Row> for Columns {
    fn from_iter<T: IntoIterator<Item = &'a Row>>(rows: T) -> Self {
        let mut columns = Self::default();
        columns.extend(rows);
        columns
    }
}

/// What is to be read of each row, beside its moments and whether it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    metrics: u64,
    gaps: bool,
}

impl Wanted {
    pub(crate) const ALL: Self = Self { metrics: FAILED - 1, gaps: true };

    /// These metrics' values.
    pub(crate) fn of(metrics: &[Metric], gaps: bool) -> Self {
        Self { metrics: metrics.iter().fold(0, |all, m| all | 1 << (*m as u8)), gaps }
    }
}

/// Some rows. A row's values stand in the columns of the metrics that are marked as present in it.
#[derive(Clone, Debug, Default)]
struct Block {
    moments: Vec<[u64; 3]>,
    present: Vec<u64>,
    values: Vec<Column>,
    /// How many gaps each row has.
    counts: Column,
    gaps: Column,
}

impl Block {
    fn len(&self) -> usize {
        self.moments.len()
    }

    fn push(&mut self, row: &Row) {
        self.values.resize_with(OF_RECORDS, Column::default);
        let mut present = if row.failed { FAILED } else { 0 } | if row.overflowed { OVERFLOWED } else { 0 };
        for ((at, column), value) in self.values.iter_mut().enumerate().zip(row.values.places()) {
            if !value.is_nan() {
                present |= 1 << at;
                column.push(*value);
            }
        }
        self.moments.push([row.credit_ns, row.start_ns, row.end_ns]);
        self.present.push(present);
        #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
        self.counts.push(row.gaps.len() as f64);
        row.gaps.iter().for_each(|gap| self.gaps.push(*gap));
    }

    /// Makes everything as small as it can be.
    fn narrow(&mut self) {
        self.moments.shrink_to_fit();
        self.present.shrink_to_fit();
        self.values.iter_mut().chain([&mut self.counts, &mut self.gaps]).for_each(Column::narrow);
        self.values.shrink_to_fit();
    }

    fn bytes(&self) -> usize {
        let columns = self.values.iter().chain([&self.counts, &self.gaps]).map(Column::bytes).sum::<usize>();
        size_of::<Self>()
            + self.moments.capacity() * size_of::<[u64; 3]>()
            + self.present.capacity() * size_of::<u64>()
            + self.values.capacity() * size_of::<Column>()
            + columns
    }
}

/// Values in their order.
#[derive(Clone, Debug)]
enum Column {
    /// So many of this one.
    Same { value: f64, len: usize },
    /// Most fit; where [`ELSEWHERE`] stands the next of the others is meant.
    Small { small: Vec<u32>, others: Vec<f64> },
    /// As they are.
    Any(Vec<f64>),
}

const ELSEWHERE: u32 = u32::MAX;

impl Default for Column {
    fn default() -> Self {
        Self::Any(Vec::new())
    }
}

/// A value in four bytes, if that is all of it.
fn small(value: f64) -> Option<u32> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is looked at whether it is the same")]
    let whole = value as u32;
    (whole != ELSEWHERE && f64::from(whole).to_bits() == value.to_bits()).then_some(whole)
}

impl Column {
    fn push(&mut self, value: f64) {
        if let Self::Any(values) = self {
            values.push(value);
        } else {
            *self = Self::Any(self.iter().chain([value]).collect());
        }
    }

    /// Into the smallest form that says the same.
    fn narrow(&mut self) {
        let Self::Any(values) = self else { return };
        let first = values.first().copied().unwrap_or(0.0);
        if values.iter().all(|v| v.to_bits() == first.to_bits()) {
            *self = Self::Same { value: first, len: values.len() };
            return;
        }
        let others: Vec<f64> = values.iter().copied().filter(|v| small(*v).is_none()).collect();
        if others.len() < values.len() / 2 {
            let small = values.iter().map(|v| small(*v).unwrap_or(ELSEWHERE)).collect();
            *self = Self::Small { small, others: others.into_boxed_slice().into_vec() };
        } else {
            values.shrink_to_fit();
        }
    }

    fn iter(&self) -> Values<'_> {
        match self {
            Self::Same { value, len } => Values::Same(std::iter::repeat_n(*value, *len)),
            Self::Small { small, others } => Values::Small(small.iter(), others.iter()),
            Self::Any(values) => Values::Any(values.iter()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Same { .. } => 0,
            Self::Small { small, others } => small.capacity() * size_of::<u32>() + others.capacity() * size_of::<f64>(),
            Self::Any(values) => values.capacity() * size_of::<f64>(),
        }
    }
}

/// The values of a column, one by one.
enum Values<'a> {
    Same(std::iter::RepeatN<f64>),
    Small(std::slice::Iter<'a, u32>, std::slice::Iter<'a, f64>),
    Any(std::slice::Iter<'a, f64>),
}

impl Iterator for Values<'_> {
    type Item = f64;

    #[inline]
    fn next(&mut self) -> Option<f64> {
        match self {
            Self::Same(values) => values.next(),
            Self::Small(small, others) => match small.next()? {
                &ELSEWHERE => others.next().copied(),
                small => Some(f64::from(*small)),
            },
            Self::Any(values) => values.next().copied(),
        }
    }
}

/// Where one is in a block.
struct Reader<'a> {
    rows: std::iter::Zip<std::slice::Iter<'a, [u64; 3]>, std::slice::Iter<'a, u64>>,
    values: Vec<Values<'a>>,
    counts: Values<'a>,
    gaps: Values<'a>,
    wanted: Wanted,
    /// Of the row that was read before.
    stale: u64,
}

impl<'a> Reader<'a> {
    fn of(block: &'a Block, wanted: Wanted) -> Self {
        Self {
            rows: block.moments.iter().zip(&block.present),
            values: block.values.iter().map(Column::iter).collect(),
            counts: block.counts.iter(),
            gaps: block.gaps.iter(),
            wanted,
            stale: FAILED - 1,
        }
    }

    /// Makes a row the next one; false behind the last.
    fn read(&mut self, row: &mut Row) -> bool {
        let Some(([credit_ns, start_ns, end_ns], present)) = self.rows.next() else { return false };
        (row.credit_ns, row.start_ns, row.end_ns) = (*credit_ns, *start_ns, *end_ns);
        (row.failed, row.overflowed) = (present & FAILED != 0, present & OVERFLOWED != 0);
        let (here, places) = (present & self.wanted.metrics, row.values.places_mut());
        for at in bits(self.stale & !here) {
            if let Some(place) = places.get_mut(at) {
                *place = f64::NAN;
            }
        }
        for at in bits(here) {
            if let (Some(place), Some(values)) = (places.get_mut(at), self.values.get_mut(at)) {
                *place = values.next().unwrap_or(f64::NAN);
            }
        }
        self.stale = here;
        row.gaps.clear();
        if self.wanted.gaps {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a length")]
            let count = self.counts.next().unwrap_or(0.0) as usize;
            row.gaps.extend(self.gaps.by_ref().take(count));
        }
        true
    }
}

/// The places of the ones.
fn bits(mut of: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = of.trailing_zeros();
        of &= of.wrapping_sub(1);
        (at < u64::BITS).then_some(at as usize)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Values;

    /// Anything that a row can hold, with what is usual more often.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0_u32..20_000_000).prop_map(f64::from),
            2 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(f64::from(u32::MAX)),
            1 => 0.0..1e12_f64,
            1 => -200.0..200.0_f64,
        ]
    }

    /// Records of the usual sort, and of all others.
    pub(crate) fn row() -> impl Strategy<Value = Row> {
        let values = proptest::collection::vec(proptest::option::weighted(0.7, value()), OF_RECORDS);
        let gaps = proptest::collection::vec(value(), 0..12);
        let moments = (0_u64..60_000_000, 0_u64..2_000_000, 0_u64..90_000_000);
        let kind = (proptest::bool::weighted(0.15), any::<bool>(), proptest::bool::weighted(0.3));
        (moments, kind, values, gaps).prop_map(|((start, wait, length), (failed, overflowed, consistent), given, mut gaps)| {
            let mut values = Values::default();
            for (metric, value) in Metric::all().zip(given) {
                if let Some(value) = value {
                    values.set(metric, value);
                }
            }
            if consistent {
                // A stream whose gaps fill it.
                gaps.iter_mut().for_each(|gap| *gap = gap.abs().min(5e6).trunc());
                values.set(Metric::TimeToFirstToken, 1e6);
            }
            let start_ns = 1_795_253_705_000_000_000 + start;
            let passed = gaps.iter().sum::<f64>();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let end_ns = start_ns + if consistent { 1_000_000 + passed as u64 } else { length };
            Row { credit_ns: start_ns - wait, start_ns, end_ns, failed, overflowed: failed && overflowed, values, gaps }
        })
    }

    /// All of a row, to the last bit.
    fn all_of(row: &Row) -> (Vec<u64>, Vec<u64>, [u64; 3], [bool; 2]) {
        let of = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect();
        let moments = [row.credit_ns, row.start_ns, row.end_ns];
        (of(row.values.places()), of(&row.gaps), moments, [row.failed, row.overflowed])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_kept_comes_back(rows in proptest::collection::vec(row(), 0..40), times in 1_usize..60) {
            let many: Vec<&Row> = rows.iter().cycle().take(rows.len() * times).collect();
            let columns: Columns = many.iter().copied().collect();
            prop_assert_eq!((columns.len(), columns.is_empty()), (many.len(), many.is_empty()));
            let mut back = columns.iter();
            for row in &many {
                prop_assert_eq!(all_of(&back.next().unwrap()), all_of(row));
            }
            prop_assert!(back.next().is_none());
            let mut twice = columns.clone();
            twice.append(&columns);
            twice.extend(many.first().copied());
            let twice: Vec<_> = twice.iter().map(|row| all_of(&row)).collect();
            let want = many.iter().chain(&many).chain(many.first()).map(|row| all_of(row));
            prop_assert!(twice.into_iter().eq(want));
        }

        #[test]
        fn only_what_is_wanted_is_read(rows in proptest::collection::vec(row(), 0..40)) {
            let columns: Columns = rows.iter().collect();
            let mut seen = 0;
            columns.each(Wanted::of(&[Metric::RequestLatency, Metric::ErrorIsl], false), |at, row| {
                let of = |metric: Metric| (row.values.get(metric), rows[at].values.get(metric));
                let same = [Metric::RequestLatency, Metric::ErrorIsl].into_iter().map(of).all(|(got, want)| got == want);
                seen += usize::from(same && row.gaps.is_empty() && row.values.iter().count() <= 2 && row.start_ns == rows[at].start_ns);
            });
            prop_assert_eq!(seen, rows.len());
        }
    }

    /// A stream of sixteen tokens with everything that is known of it (half of which is the peer's arithmetic).
    #[test]
    fn a_request_is_small() {
        let row = |number: u32| {
            let mut values = Values::default();
            for (at, metric) in Metric::all().take(OF_RECORDS).enumerate().filter(|(at, _)| at % 3 < 2) {
                values.set(metric, f64::from(number) * if at % 2 == 0 { 1.0 } else { 0.1 });
            }
            Row { values, gaps: (0..15).map(|i| f64::from(i * 1_000 + number)).collect(), ..Row::default() }
        };
        let rows: Vec<Row> = (0..3 * 1024).map(row).collect();
        let columns: Columns = rows.iter().collect();
        assert!(columns.bytes() / columns.len() < 400, "{} bytes", columns.bytes() / columns.len());
    }
}
