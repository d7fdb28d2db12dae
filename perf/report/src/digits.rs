//! Numbers and strings as JSON, to the byte as `serde_json` writes them, and faster where they are of the usual kind.
//!
//! A time is whole nanoseconds, shown as milliseconds. Mostly that is the very double that is nearest to the decimal number
//! which one gets by moving the point; then no shorter one can stand for it, and its digits are those of the nanoseconds.

use dormouse_perf_metrics::unit::Unit;

/// The decimal digits of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut at = 0;
    while at < 100 {
        #[allow(clippy::cast_possible_truncation, reason = "a digit")]
        {
            pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        }
        at += 1;
    }
    pairs
};

/// A value in its base unit, as it is shown. What is counted is written without a point.
///
/// # Errors
/// None in practice: every number can be JSON.
pub(crate) fn number(text: &mut Vec<u8>, unit: Unit, base: f64) -> serde_json::Result<()> {
    let shown = unit.show(base);
    match unit {
        Unit::Tokens | Unit::Requests | Unit::Count | Unit::Ratio if shown.fract() == 0.0 && shown.abs() < 9e15 => {
            #[allow(clippy::cast_possible_truncation, reason = "whole, and small enough")]
            let whole = shown as i64;
            match u64::try_from(whole) {
                Ok(whole) => {
                    self::whole(text, whole);
                    Ok(())
                }
                Err(_) => serde_json::to_writer(text, &whole),
            }
        }
        // Of at most 15 digits no two are the same double. What is very small is written with an exponent.
        Unit::Time if (1e3..1e15).contains(&base) && base.fract() == 0.0 && (base / 1e6).to_bits() == shown.to_bits() => {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and small enough")]
            let ns = base as u64;
            whole(text, ns / 1_000_000);
            fraction(text, ns % 1_000_000);
            Ok(())
        }
        _ => serde_json::to_writer(text, &shown),
    }
}

/// A whole number.
pub(crate) fn whole(text: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    while value >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
    } else {
        at -= 1;
        digits[at] = PAIRS[(value % 100) as usize][1];
    }
    text.extend_from_slice(&digits[at..]);
}

/// A point and so many millionths, without the noughts at the end, but with one digit.
fn fraction(text: &mut Vec<u8>, millionths: u64) {
    let pair = |at: u64| PAIRS[(at % 100) as usize];
    let ([a, b], [c, d], [e, f]) = (pair(millionths / 10_000), pair(millionths / 100), pair(millionths));
    let digits = [b'.', a, b, c, d, e, f];
    let len = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    text.extend_from_slice(&digits[..len.max(2)]);
}

/// A string.
///
/// # Errors
/// None in practice.
pub(crate) fn string(text: &mut Vec<u8>, value: &str) -> serde_json::Result<()> {
    if value.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\') {
        return serde_json::to_writer(text, value);
    }
    text.push(b'"');
    text.extend_from_slice(value.as_bytes());
    text.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(unit: Unit, base: f64) -> String {
        let mut text = Vec::new();
        number(&mut text, unit, base).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[allow(clippy::cast_precision_loss)]
    fn nanoseconds() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (0_u64..100_000_000_000).prop_map(|ns| ns as f64),
            1 => (0_u64..2_000_000_000_000_000).prop_map(|ns| ns as f64),
            1 => (0_u64..100_000).prop_map(|ms| ms as f64 * 1e6),
            1 => (0_u64..30_000).prop_map(|ns| ns as f64),
            1 => proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn numbers_are_those_of_serde(base in nanoseconds()) {
            for unit in [Unit::Time, Unit::Bytes, Unit::Percent, Unit::TokensPerSecond] {
                prop_assert_eq!(written(unit, base), serde_json::to_string(&unit.show(base)).unwrap());
            }
            let counted = written(Unit::Tokens, base);
            #[allow(clippy::cast_possible_truncation)]
            let whole = serde_json::to_string(&(base as i64)).unwrap();
            let want = if base.fract() == 0.0 && base.abs() < 9e15 { whole } else { serde_json::to_string(&base).unwrap() };
            prop_assert_eq!(counted, want);
        }

        #[test]
        fn whole_numbers_are_those_of_serde(value: u64, shift in 0..64) {
            let value = value >> shift;
            let mut text = Vec::new();
            whole(&mut text, value);
            prop_assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
        }

        #[test]
        fn strings_are_those_of_serde(value: String) {
            let mut text = Vec::new();
            string(&mut text, &value).unwrap();
            prop_assert_eq!(String::from_utf8(text).unwrap(), serde_json::to_string(&value).unwrap());
        }
    }
}
