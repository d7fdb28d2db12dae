//! Quantities: `500m`, `2`, `1.5Gi`, `1e3`.
//!
//! A quantity is an exact decimal number and the family of suffixes it was written in, which it keeps when
//! printed. As in Kubernetes there are two representations: a small one (64 bits and a power of ten) that
//! nearly every quantity has, and a large one. They differ only in what happens when a value does not fit an
//! `i64`: [`Quantity::value`] and [`Quantity::milli_value`] then answer what Kubernetes' arithmetic
//! answers, so compare quantities, not their values, where sizes come from outside.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It has not the form of one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The digits are no number.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is none of those known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
    /// More than 38 significant digits. Kubernetes knows no limit.
    #[error("the quantity has more digits than can be kept exactly")]
    Range,
}

/// The family of suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// `n`, `u`, `m`, none, `k`, `M`, `G`, `T`, `P`, `E`: powers of 1000.
    #[default]
    DecimalSI,
    /// `Ki` to `Ei`: powers of 1024.
    BinarySI,
    /// `e3`: powers of ten.
    DecimalExponent,
}

/// The finest step that is kept, as a power of ten.
const NANO: i64 = -9;
const DECIMAL: [(&str, i64); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

#[derive(Clone, Copy, Debug)]
enum Amount {
    /// `value * 10^scale`.
    Small { value: i64, scale: i64 },
    /// `value * 10^scale`.
    Large { value: i128, scale: i64 },
}

/// An exact amount. Equality and order are those of the number; the suffix does not count.
#[derive(Clone, Debug)]
pub struct Quantity {
    amount: Amount,
    format: Format,
    /// What was parsed, where Kubernetes prints it again without looking whether it is canonical.
    text: Option<Box<str>>,
}

impl Quantity {
    /// A whole number.
    pub fn new(value: i64, format: Format) -> Self {
        Self { amount: Amount::Small { value, scale: 0 }, format, text: None }
    }

    /// A number of thousandths.
    pub fn from_milli(value: i64, format: Format) -> Self {
        Self { amount: Amount::Small { value, scale: -3 }, format, text: None }
    }

    /// Nothing, in decimal form.
    pub fn zero() -> Self {
        Self::new(0, Format::DecimalSI)
    }

    /// Reads a quantity; the grammar is that of Kubernetes.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (quantity, canonical) = Self::read(text)?;
        Ok(Self { text: canonical.then(|| text.into()), ..quantity })
    }

    /// The text as it is printed again: `1` for `1000m`. Usually it is the same.
    pub fn canonical(text: &str) -> Result<Cow<'_, str>, QuantityError> {
        let (quantity, canonical) = Self::read(text)?;
        Ok(if canonical { Cow::Borrowed(text) } else { Cow::Owned(quantity.to_string()) })
    }

    /// A quantity without its text, and whether that is printed again as it stands.
    fn read(text: &str) -> Result<(Self, bool), QuantityError> {
        let parts = Parts::split(text)?;
        let (base, exponent, format) = interpret(parts.suffix).ok_or(QuantityError::Suffix)?;
        if let Some((quantity, canonical)) = parts.small(base, exponent, format) {
            return Ok((quantity, canonical || text == "0"));
        }
        Ok((parts.large(base, exponent, format)?, false))
    }

    /// Reads a quantity from JSON, where numbers are allowed too.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, QuantityError> {
        match value {
            serde_json::Value::String(text) => Self::parse(text.trim()),
            serde_json::Value::Number(number) => Self::parse(&number.to_string()),
            serde_json::Value::Null => Ok(Self::zero()),
            _ => Err(QuantityError::Format),
        }
    }

    /// The family of suffixes it is printed in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// True for nothing.
    pub fn is_zero(&self) -> bool {
        self.wide().0 == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match self.wide().0.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// The whole number at or next beyond it, away from zero.
    pub fn value(&self) -> i64 {
        self.scaled(0)
    }

    /// The number of thousandths at or next beyond it, away from zero.
    pub fn milli_value(&self) -> i64 {
        self.scaled(-3)
    }

    /// Close to it.
    pub fn to_f64(&self) -> f64 {
        let (value, scale) = self.wide();
        // Through text, so that the one rounding is the parser's.
        format!("{value}e{scale}").parse().unwrap_or(f64::NAN)
    }

    /// The sum, in the format of `self` unless that is zero.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        self.combine(other, i64::checked_add, i128::checked_add)
    }

    /// The difference, in the format of `self` unless that is zero.
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        self.combine(other, i64::checked_sub, i128::checked_sub)
    }

    /// The same amount with the other sign.
    #[must_use]
    pub fn neg(&self) -> Self {
        Self::new(0, self.format).sub(self).with_format(self.format)
    }

    /// The same amount printed in another family.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Self {
        if self.format != format {
            self.text = None;
        }
        self.format = format;
        self
    }

    fn wide(&self) -> (i128, i64) {
        match self.amount {
            Amount::Small { value, scale } => (value.into(), scale),
            Amount::Large { value, scale } => (value, scale),
        }
    }

    fn combine(&self, other: &Self, small: fn(i64, i64) -> Option<i64>, large: fn(i128, i128) -> Option<i128>) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        let done = |amount| Self { amount, format, text: None };
        if other.is_zero() {
            return done(self.amount);
        }
        if let (Amount::Small { value: a, scale: sa }, Amount::Small { value: b, scale: sb }) = (self.amount, other.amount) {
            // A zero takes the scale of the other.
            let (sa, sb) = if a == 0 { (sb, sb) } else { (sa, sb) };
            let scale = sa.min(sb);
            let aligned = scale_up(a, sa - scale).zip(scale_up(b, sb - scale));
            if let Some(value) = aligned.and_then(|(a, b)| small(a, b)) {
                return done(Amount::Small { value, scale });
            }
        }
        let ((a, sa), (b, sb)) = (self.wide(), other.wide());
        let scale = if a == 0 { sb } else { sa.min(sb) };
        let aligned = scale_up_wide(a, sa - scale).zip(scale_up_wide(b, sb - scale));
        match aligned.and_then(|(a, b)| large(a, b)) {
            Some(value) => done(Amount::Large { value, scale }),
            // So far apart, or so large, that 38 digits do not hold the result: the larger one is nearest.
            None if magnitude_cmp((a.unsigned_abs(), sa), (b.unsigned_abs(), sb)) == Ordering::Less => {
                done(Amount::Large { value: large(0, b).unwrap_or(i128::MAX), scale: sb })
            }
            None => done(self.amount),
        }
    }

    /// The number of `10^to` at or next beyond it. Where the answer does not fit, what Kubernetes says.
    fn scaled(&self, to: i64) -> i64 {
        match self.amount {
            Amount::Small { value, scale } if scale >= to => small_scaled(value, scale - to),
            amount => {
                let (value, scale) = match amount {
                    Amount::Small { value, scale } => (value.into(), scale),
                    Amount::Large { value, scale } => (value, scale),
                };
                if scale >= to {
                    // Only the lowest 64 bits count, and those of 10^64 and above are zero.
                    let steps = u32::try_from(scale - to).unwrap_or(u32::MAX).min(64);
                    low_bits(value.wrapping_mul(10_i128.wrapping_pow(steps)))
                } else {
                    low_bits(divide_away(value, to - scale))
                }
            }
        }
    }
}

/// The pieces of a quantity's text.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point without leading zeros, `0` when there are none.
    whole: &'a str,
    /// Digits after the point.
    fraction: &'a str,
    suffix: &'a str,
    /// Whether there is any digit.
    digits: bool,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
        let count = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, rest) = rest.split_at(count(rest));
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(count(rest)),
            None => ("", rest),
        };
        let tail = suffix.trim_start_matches(['e', 'E', 'i', 'n', 'u', 'm', 'k', 'K', 'M', 'G', 'T', 'P']);
        let tail = tail.strip_prefix(['+', '-']).unwrap_or(tail);
        if count(tail) != tail.len() {
            return Err(QuantityError::Format);
        }
        let stripped = whole.trim_start_matches('0');
        Ok(Self {
            negative: text.starts_with('-'),
            whole: if stripped.is_empty() { "0" } else { stripped },
            fraction,
            suffix,
            // A text of nothing but signs and zeros counts as zero; only the large form needs a digit.
            digits: !(whole.is_empty() && fraction.is_empty()),
        })
    }

    /// The small representation, where Kubernetes chooses it, and whether Kubernetes prints the text again without a closer
    /// look whether it is canonical: `+5` stays `+5`.
    fn small(&self, base: u32, exponent: i64, format: Format) -> Option<(Quantity, bool)> {
        let (fits, factor, scale) = if base == 10 {
            (self.whole.len() + self.fraction.len() <= 18, 1, exponent)
        } else {
            // 2^10 has about three digits.
            let digits = self.whole.len() as i64 + exponent * 3 / 10;
            (self.fraction.is_empty() && digits <= 14, 1_i64 << exponent.clamp(0, 60), 0)
        };
        let scale = scale - self.fraction.len() as i64;
        if !fits || scale < NANO {
            return None;
        }
        // At most 18 digits.
        let digits = self.whole.bytes().chain(self.fraction.bytes());
        let value = digits.fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
        let product = value.checked_mul(factor)?;
        let canonical = if format == Format::BinarySI { value & 7 != 0 } else { scale % 3 == 0 && value % 1000 != 0 && self.whole != "0" };
        let amount = Amount::Small { value: if self.negative { -product } else { product }, scale };
        Some((Quantity { amount, format, text: None }, canonical))
    }

    /// The large representation: any number of digits, rounded to nano away from zero.
    fn large(&self, base: u32, exponent: i64, format: Format) -> Result<Quantity, QuantityError> {
        if !self.digits {
            return Err(QuantityError::Numeric);
        }
        // Zeros at the end cost no digits.
        let fraction = self.fraction.trim_end_matches('0');
        let all = format!("{}{fraction}", self.whole);
        let mut significant = all.trim_end_matches('0');
        let mut scale = (all.len() - significant.len()) as i64 - fraction.len() as i64;
        if base == 10 {
            scale += exponent;
        }
        // Digits far below nano only tell that there is something to round up.
        let keep = (significant.len() as i64 + scale - NANO + 2).clamp(0, 1 << 20);
        let mut rest = false;
        if base == 10 && scale < NANO && (significant.len() as i64) > keep {
            let cut = usize::try_from(keep).unwrap_or(0);
            rest = significant[cut..].bytes().any(|b| b != b'0');
            scale += (significant.len() - cut) as i64;
            significant = &significant[..cut];
        }
        let mut value: i128 = if significant.is_empty() { 0 } else { significant.parse().map_err(|_| QuantityError::Range)? };
        if rest {
            value = value.checked_mul(10).and_then(|v| v.checked_add(1)).ok_or(QuantityError::Range)?;
            scale -= 1;
        }
        if base == 2 {
            let factor = 1_i128 << exponent.clamp(0, 60);
            value = value.checked_mul(factor).ok_or(QuantityError::Range)?;
        }
        if scale < NANO {
            value = divide_away(value, NANO - scale);
            scale = NANO;
        }
        let mut format = format;
        if format == Format::BinarySI {
            let cap = i128::from(i64::MAX);
            if magnitude_cmp((value.unsigned_abs(), scale), (cap.unsigned_abs(), 0)) == Ordering::Greater {
                (value, scale) = (cap, 0);
            }
            if value != 0 && magnitude_cmp((value.unsigned_abs(), scale), (1, 0)) == Ordering::Less {
                format = Format::DecimalSI;
            }
        }
        let value = if self.negative { -value } else { value };
        Ok(Quantity { amount: Amount::Large { value, scale }, format, text: None })
    }
}

/// Base, exponent and family of a suffix.
fn interpret(suffix: &str) -> Option<(u32, i64, Format)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((10, *exponent, Format::DecimalSI));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((2, i64::from(*exponent), Format::BinarySI));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((10, exponent.into(), Format::DecimalExponent))
}

/// `value * 10^steps`, if it fits.
fn scale_up(value: i64, steps: i64) -> Option<i64> {
    value.checked_mul(10_i64.checked_pow(u32::try_from(steps).ok()?)?)
}

fn scale_up_wide(value: i128, steps: i64) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    value.checked_mul(10_i128.checked_pow(u32::try_from(steps).ok()?)?)
}

/// `value * 10^steps` as Kubernetes' small arithmetic gives it: one multiplication that wraps for the steps
/// it has a shortcut for, zero for others that do not fit.
fn small_scaled(value: i64, steps: i64) -> i64 {
    match steps {
        0 => value,
        1 | 2 | 3 | 6 | 9 if value != i64::MIN => {
            // The pattern bounds the exponent.
            let factor = 10_i64.pow(u32::try_from(steps).unwrap_or(0));
            value.wrapping_mul(factor)
        }
        _ => scale_up(value, steps).unwrap_or(0),
    }
}

/// `value / 10^steps`, away from zero where it does not come out even.
fn divide_away(value: i128, steps: i64) -> i128 {
    if value == 0 {
        return 0;
    }
    match u32::try_from(steps).ok().and_then(|s| 10_i128.checked_pow(s)) {
        None => value.signum(),
        Some(divisor) => value / divisor + if value % divisor == 0 { 0 } else { value.signum() },
    }
}

/// The lowest 64 bits, as Go's conversion of a big integer gives them.
#[allow(clippy::cast_possible_truncation)] // that is what it is for
fn low_bits(value: i128) -> i64 {
    value as i64
}

/// Compares `a * 10^sa` with `b * 10^sb` without making numbers that are too large.
fn magnitude_cmp((a, sa): (u128, i64), (b, sb): (u128, i64)) -> Ordering {
    if a == 0 || b == 0 {
        return a.cmp(&b);
    }
    let digits = |v: u128| i64::from(v.ilog10());
    (digits(a) + sa).cmp(&(digits(b) + sb)).then_with(|| {
        // As many digits before the point: the difference of the scales is at most 38.
        let up = |v: u128, by: i64| u32::try_from(by).ok().and_then(|s| v.checked_mul(10_u128.checked_pow(s)?));
        if sa >= sb {
            up(a, sa - sb).map_or(Ordering::Greater, |a| a.cmp(&b))
        } else {
            up(b, sb - sa).map_or(Ordering::Less, |b| a.cmp(&b))
        }
    })
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Amount::Small { value: a, scale: sa }, Amount::Small { value: b, scale: sb }) = (self.amount, other.amount)
            && sa == sb
        {
            return a.cmp(&b);
        }
        let ((a, sa), (b, sb)) = (self.wide(), other.wide());
        a.signum().cmp(&b.signum()).then_with(|| {
            let order = magnitude_cmp((a.unsigned_abs(), sa), (b.unsigned_abs(), sb));
            if a < 0 { order.reverse() } else { order }
        })
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl Default for Quantity {
    fn default() -> Self {
        Self::zero()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        let (mut value, mut scale) = self.wide();
        if value == 0 {
            return f.write_str("0");
        }
        while value % 10 == 0 {
            value /= 10;
            scale += 1;
        }
        if self.format == Format::BinarySI
            && scale >= 0
            && let Some(whole) = scale_up_wide(value, scale)
            && whole.unsigned_abs() >= 1024
        {
            let (mut mantissa, mut suffix) = (whole, "");
            for (name, _) in BINARY {
                if mantissa % 1024 != 0 {
                    break;
                }
                mantissa /= 1024;
                suffix = name;
            }
            return write!(f, "{mantissa}{suffix}");
        }
        // The exponent is a multiple of three, with digits moved to the mantissa.
        let extra = scale.rem_euclid(3);
        let zeros = &"00"[..usize::try_from(extra).unwrap_or(0)];
        let exponent = scale - extra;
        let si = DECIMAL.iter().find(|(_, e)| *e == exponent).filter(|_| self.format != Format::DecimalExponent);
        match si {
            Some((suffix, _)) => write!(f, "{value}{zeros}{suffix}"),
            None if exponent == 0 => write!(f, "{value}{zeros}"),
            None => write!(f, "{value}{zeros}e{exponent}"),
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn order_is_that_of_the_number() {
        let sorted = ["-1Gi", "-1", "-1m", "0", "1n", "1m", "0.5", "1", "1000m", "1k", "1Ki", "1e3", "9Ei", "1e30", "2e30", "1e300"];
        let mut quantities: Vec<Quantity> = sorted.iter().map(|t| q(t)).collect();
        quantities.sort();
        let text: Vec<String> = quantities.iter().map(ToString::to_string).collect();
        assert_eq!(text.join(" "), "-1Gi -1 -1m 0 1n 1m 500m 1 1 1k 1e3 1Ki 9223372036854775807 1e30 2e30 1e300");
        assert_eq!(q("1000m"), q("1"));
        assert_eq!(q("1024"), q("1Ki"));
    }

    #[test]
    fn rounding_is_away_from_zero() {
        assert_eq!(q("1.1n").to_string(), "2n");
        assert_eq!(q("0.0000000001").to_string(), "1n");
        assert_eq!(q("1e-1000000").to_string(), "1e-9");
        assert_eq!(q(&format!("0.{}1", "0".repeat(100_000))).to_string(), "1n");
        assert_eq!(q("-0.00000000015").to_string(), "-1n");
        assert_eq!((q("-1.5").value(), q("1.5").value(), q("-0.0001").milli_value()), (-2, 2, -1));
    }

    #[test]
    fn numbers_beyond_reach_are_refused_or_kept() {
        assert_eq!("123456789".repeat(5).parse::<Quantity>(), Err(QuantityError::Range));
        assert_eq!("1e99999999999".parse::<Quantity>(), Err(QuantityError::Suffix));
        let huge = q("1e2000000000");
        assert_eq!(huge.to_string(), "100e1999999998");
        assert_eq!(huge.add(&q("1n")), huge);
        assert_eq!(q("1n").sub(&huge), huge.neg());
        assert_eq!(huge.value(), 0);
    }

    #[test]
    fn json_numbers_are_quantities() {
        assert_eq!(serde_json::from_str::<Quantity>("2").unwrap(), q("2"));
        assert_eq!(serde_json::from_str::<Quantity>("0.5").unwrap().to_string(), "500m");
        assert_eq!(serde_json::from_str::<Quantity>("\" 1Gi \"").unwrap().to_string(), "1Gi");
        assert!(serde_json::from_str::<Quantity>("[]").is_err());
        assert_eq!(serde_json::to_string(&q("0.5Gi")).unwrap(), "\"512Mi\"");
    }

    #[test]
    fn floats() {
        assert!((q("1500m").to_f64() - 1.5).abs() < 1e-12);
    }
}
