//! Which values stand at given ranks, among very many that are not sorted for it.
//!
//! One pass over the values weighs them into narrow buckets of ascending values; that says in which buckets the ranks are. A
//! second pass picks what is in those, and only that is gone on with: again so where it is much, and else sorted. What comes out
//! is what sorting all would have found. The values are gone through and not kept, so that they may be computed on the way.

/// Buckets at most: a table that a cache holds.
const MOST: u32 = 18;

/// Smallest and largest, by the total order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) min: f64,
    pub(crate) max: f64,
    count: usize,
}

impl Extent {
    pub(crate) const NONE: Self = Self { min: f64::INFINITY, max: f64::NEG_INFINITY, count: 0 };

    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        // Most are neither, and that is said faster.
        if !(value > self.min && value < self.max) {
            if self.count == 0 || value.total_cmp(&self.min).is_lt() {
                self.min = value;
            }
            if self.count == 0 || value.total_cmp(&self.max).is_gt() {
                self.max = value;
            }
        }
        self.count += 1;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.count == 0
    }
}

/// Where a value's bucket is. As narrow above the smallest value as the largest allows: buckets are equal parts of each doubling
/// of the distance, so that one far away does not throw all others together.
#[derive(Clone, Copy, Debug)]
struct Scale {
    min: f64,
    /// Distances below this one are all the same.
    unit: f64,
    shift: u32,
    last: usize,
}

impl Scale {
    fn of(extent: Extent) -> Self {
        let range = extent.max - extent.min;
        let mut scale = Self { min: extent.min, unit: range / f64::from(1 << 24), shift: 0, last: 0 };
        if range.is_finite() && range > 0.0 {
            let wanted = (extent.count.ilog2() + 2).min(MOST);
            let places = scale.distance(extent.max);
            scale.shift = (u64::BITS - places.leading_zeros()).saturating_sub(wanted);
            scale.last = usize::try_from(places >> scale.shift).unwrap_or(0);
        }
        scale
    }

    /// Grows with the value. So do the bits of numbers that are not below nought.
    fn distance(self, value: f64) -> u64 {
        ((value - self.min) + self.unit).to_bits().saturating_sub(self.unit.to_bits())
    }

    #[inline]
    fn bucket(self, value: f64) -> usize {
        // What does not fit is beyond the last.
        usize::try_from(self.distance(value) >> self.shift).map_or(self.last, |at| at.min(self.last))
    }
}

/// The first pass.
#[derive(Debug)]
pub(crate) struct Buckets {
    extent: Extent,
    scale: Scale,
    weights: Vec<f64>,
}

impl Buckets {
    pub(crate) fn of(extent: Extent) -> Self {
        let scale = Scale::of(extent);
        Self { extent, scale, weights: vec![0.0; scale.last + 1] }
    }

    /// One of the values. Weights are whole numbers: sums of them have no error.
    #[inline]
    pub(crate) fn add(&mut self, value: f64, weight: f64) {
        if let Some(sum) = self.weights.get_mut(self.scale.bucket(value)) {
            *sum += weight;
        }
    }

    /// What is wanted, a handful: for each of these the first value, ascending, up to which all weigh that much.
    pub(crate) fn seek(self, wanted: &[f64]) -> Seek {
        let mut wanted: Vec<(f64, usize)> = wanted.iter().copied().zip(0..).collect();
        wanted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        self.seek_behind(0.0, &wanted)
    }

    /// The same behind what weighs so much, of ascending wants with the numbers of their answers.
    fn seek_behind(self, mut before: f64, mut wanted: &[(f64, usize)]) -> Seek {
        let Self { extent, scale, weights } = self;
        let mut seek = Seek { extent, scale, places: Vec::new(), picked: Vec::new(), beyond: Vec::new() };
        if extent.min.to_bits() != extent.max.to_bits() {
            seek.places = vec![NONE; weights.len()];
            for (place, weight) in seek.places.iter_mut().zip(weights) {
                let reached = before + weight;
                let here = wanted.partition_point(|(wanted, _)| *wanted <= reached);
                if weight > 0.0 && here > 0 {
                    *place = u16::try_from(seek.picked.len()).unwrap_or(NONE);
                    let (here, behind) = wanted.split_at(here);
                    seek.picked.push(Picked { before, wanted: here.to_vec(), extent: Extent::NONE, values: Vec::new() });
                    wanted = behind;
                }
                before = reached;
            }
        }
        seek.beyond = wanted.to_vec();
        seek
    }
}

/// The mark of a bucket in which nothing is sought.
const NONE: u16 = u16::MAX;

/// The second pass.
#[derive(Debug)]
pub(crate) struct Seek {
    extent: Extent,
    scale: Scale,
    places: Vec<u16>,
    picked: Vec<Picked>,
    /// What is in no bucket: it is the largest value.
    beyond: Vec<(f64, usize)>,
}

/// What is in a bucket, what all before it weighs, and what is sought in it.
#[derive(Debug)]
struct Picked {
    before: f64,
    wanted: Vec<(f64, usize)>,
    extent: Extent,
    values: Vec<(f64, f64)>,
}

impl Seek {
    /// The same values again.
    #[inline]
    pub(crate) fn add(&mut self, value: f64, weight: f64) {
        if let Some(place) = self.places.get(self.scale.bucket(value))
            && let Some(picked) = self.picked.get_mut(usize::from(*place))
        {
            picked.extent.add(value);
            picked.values.push((value, weight));
        }
    }

    /// The values, in the order of what was wanted; the largest one for what is more than all weigh.
    pub(crate) fn found(self) -> Vec<f64> {
        let mut found = Vec::new();
        self.find(0, &mut found);
        found.sort_unstable_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, value)| value).collect()
    }

    fn find(self, depth: usize, found: &mut Vec<(usize, f64)>) {
        found.extend(self.beyond.iter().map(|(_, at)| (*at, self.extent.max)));
        for picked in self.picked {
            picked.find(depth, found);
        }
    }
}

impl Picked {
    fn find(mut self, depth: usize, found: &mut Vec<(usize, f64)>) {
        const FEW: usize = 512;
        const DEEP: usize = 4;
        if self.values.len() > FEW && depth < DEEP {
            let mut buckets = Buckets::of(self.extent);
            self.values.iter().for_each(|(value, weight)| buckets.add(*value, *weight));
            let mut seek = buckets.seek_behind(self.before, &self.wanted);
            self.values.iter().for_each(|(value, weight)| seek.add(*value, *weight));
            return seek.find(depth + 1, found);
        }
        self.values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (wanted, at) in self.wanted {
            let mut reached = self.before;
            let first = self.values.iter().find(|(_, weight)| {
                reached += weight;
                reached >= wanted
            });
            found.push((at, first.map_or(self.extent.max, |(value, _)| *value)));
        }
    }
}

/// Of values that weigh the same, those with these places among the sorted ones, from 0.
pub(crate) fn at(values: &[f64], extent: Extent, places: &[usize]) -> Vec<f64> {
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^53")]
    let wanted: Vec<f64> = places.iter().map(|at| (at + 1) as f64).collect();
    let mut buckets = Buckets::of(extent);
    values.iter().for_each(|v| buckets.add(*v, 1.0));
    let mut seek = buckets.seek(&wanted);
    values.iter().for_each(|v| seek.add(*v, 1.0));
    seek.found()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent(values: &[f64]) -> Extent {
        let mut extent = Extent::NONE;
        values.iter().for_each(|v| extent.add(*v));
        extent
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0_u32..3000).prop_map(f64::from),
            4 => 5e6..5.01e6_f64,
            2 => proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
            1 => -1e3..1e3_f64,
        ]
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_sorted_values(
            values in proptest::collection::vec(any_value(), 1..1500), odd in proptest::option::weighted(0.1, proptest::num::f64::ANY),
        ) {
            let mut values = values;
            values.extend(odd);
            let places: Vec<usize> = (0..values.len()).rev().collect();
            let got = at(&values, extent(&values), &places);
            values.sort_unstable_by(f64::total_cmp);
            let want: Vec<u64> = values.iter().rev().map(|v| v.to_bits()).collect();
            prop_assert_eq!(got.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), want);
        }

        #[test]
        fn weights_count(items in proptest::collection::vec((any_value(), 1_u32..50), 1..100), shares in proptest::collection::vec(0.001..1.2_f64, 4)) {
            let mut items: Vec<(f64, f64)> = items.into_iter().map(|(v, w)| (v, f64::from(w))).collect();
            let total: f64 = items.iter().map(|(_, w)| w).sum();
            let wanted: Vec<f64> = shares.iter().map(|s| s * total).collect();
            let mut buckets = Buckets::of(extent(&items.iter().map(|(v, _)| *v).collect::<Vec<_>>()));
            items.iter().for_each(|(v, w)| buckets.add(*v, *w));
            let mut seek = buckets.seek(&wanted);
            items.iter().for_each(|(v, w)| seek.add(*v, *w));
            let got = seek.found();
            items.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            for (wanted, got) in wanted.iter().zip(got) {
                let mut reached = 0.0;
                let want = items.iter().find(|(_, w)| { reached += w; reached >= *wanted }).map_or(items[items.len() - 1].0, |(v, _)| *v);
                prop_assert_eq!(got, want);
            }
        }
    }
}
