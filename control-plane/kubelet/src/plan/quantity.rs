//! Quantities as whole numbers of thousandths, to add and divide them. Pure.

use dormouse_machinery::quantity::Quantity as Parsed;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in thousandths, rounded up; `None` when the text is no quantity.
#[must_use]
pub fn milli(q: &Quantity) -> Option<i128> {
    Parsed::parse(&q.0).ok().map(|q| i128::from(q.milli_value()))
}

/// The quantity in whole units, rounded up, as devices are counted.
#[must_use]
pub fn whole(q: &Quantity) -> Option<i128> {
    Parsed::parse(&q.0).ok().map(|q| i128::from(q.value()))
}

/// So many thousandths as a quantity.
#[must_use]
pub fn text(thousandths: i128) -> String {
    if thousandths % 1_000 == 0 { (thousandths / 1_000).to_string() } else { format!("{thousandths}m") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_rounded_up() {
        let both = |text: &str| (milli(&Quantity(text.into())), whole(&Quantity(text.into())));
        assert_eq!(both("250m"), (Some(250), Some(1)));
        assert_eq!(both("8"), (Some(8000), Some(8)));
        assert_eq!(both("1Ki"), (Some(1_024_000), Some(1024)));
        assert_eq!(both("x"), (None, None));
        assert_eq!((text(2_000), text(500)), ("2".to_owned(), "500m".to_owned()));
    }
}
