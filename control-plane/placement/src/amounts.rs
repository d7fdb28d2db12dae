//! Amounts of resources as whole numbers, to add and compare them.

use std::collections::BTreeMap;

use dormouse_machinery::quantity::{Format, Quantity as Parsed};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Amounts by resource name in thousandths (`1` CPU is 1,000), rounded up. Wide enough that no sum of Pods leaves it.
pub type Amounts = BTreeMap<String, i128>;

/// The quantity in thousandths, rounded up; `None` when the text is no quantity.
///
/// Kubernetes counts memory and devices in whole units of 64 bits; so much is the most that anything can be.
#[must_use]
pub fn thousandths(quantity: &Quantity) -> Option<i128> {
    let parsed = Parsed::parse(&quantity.0).ok()?;
    let above = |n: i64| parsed > Parsed::new(n, Format::DecimalSI);
    Some(if above(i64::MAX) {
        i128::from(i64::MAX) * 1_000
    } else if above(i64::MAX / 1_000) {
        // The thousandths do not fit 64 bits.
        i128::from(parsed.value()) * 1_000
    } else {
        i128::from(parsed.milli_value())
    })
}

/// The amounts of a resource list. What is no quantity counts as nothing: the API server let none in.
#[must_use]
pub fn amounts(list: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    list.into_iter().flatten().filter_map(|(name, quantity)| Some((name.clone(), thousandths(quantity)?))).collect()
}

/// Adds `more` to `total`.
pub(crate) fn add(total: &mut Amounts, more: &Amounts) {
    for (name, n) in more {
        match total.get_mut(name) {
            Some(sum) => *sum += n,
            None => drop(total.insert(name.clone(), *n)),
        }
    }
}

/// Raises `total` to what `other` is where that is more.
pub(crate) fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, n) in other {
        let sum = total.entry(name.clone()).or_default();
        *sum = (*sum).max(*n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_rounded_up_and_never_wrap() {
        let of = |text: &str| thousandths(&Quantity(text.to_owned()));
        assert_eq!((of("250m"), of("8"), of("1Ki"), of("1n")), (Some(250), Some(8_000), Some(1_024_000), Some(1)));
        assert_eq!((of("4Ei"), of("0"), of("x")), (Some((4 << 60) * 1_000), Some(0), None));
        let most = Some(i128::from(i64::MAX) * 1_000);
        assert_eq!((of("1e30"), of("1e300")), (most, most));
    }
}
