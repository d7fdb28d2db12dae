//! Quantities as whole numbers of billionths, the kubelet's way to add and divide them. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in billionths, rounded up; `None` when the text is no quantity or far too large.
#[must_use]
pub fn nano(q: &Quantity) -> Option<i128> {
    let text = q.0.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+' || c == '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (multiplier, divisor): (i128, i128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let e: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(e.unsigned_abs())?;
            if e < 0 { (1, power) } else { (power, 1) }
        }
    };
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let numerator = whole.checked_mul(scale)?.checked_add(fraction)?.checked_mul(multiplier)?.checked_mul(1_000_000_000)?;
    let denominator = scale.checked_mul(divisor)?;
    let value = numerator / denominator + i128::from(numerator % denominator != 0);
    Some(if negative { -value } else { value })
}

/// The quantity rounded up to whole units, as device counts are.
#[must_use]
pub fn whole(q: &Quantity) -> Option<i128> {
    let n = nano(q)?;
    Some(n.div_euclid(1_000_000_000) + i128::from(n.rem_euclid(1_000_000_000) > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_billionths() {
        for (text, want) in [
            ("0", Some(0)),
            ("1", Some(1_000_000_000)),
            ("250m", Some(250_000_000)),
            ("1.5", Some(1_500_000_000)),
            ("1Ki", Some(1_024_000_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            ("100n", Some(100)),
            ("-2", Some(-2_000_000_000)),
            (".5", Some(500_000_000)),
            ("0.1n", Some(1)),
            ("", None),
            ("x", None),
            ("1Zi", None),
            (".", None),
        ] {
            assert_eq!(nano(&Quantity(text.into())), want, "{text}");
        }
        assert_eq!(whole(&Quantity("8".into())), Some(8));
    }
}
