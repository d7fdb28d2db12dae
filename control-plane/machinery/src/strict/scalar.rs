//! Scalars with a form of their own: quantities, times, bytes. Each is checked and brought into the form that the
//! API server prints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::go;
use crate::quantity::Quantity;

/// The second that Go's zero time has: the year 1.
const GO_ZERO: i64 = -62_135_596_800;

/// A quantity in canonical form: `1000m` is `1`.
///
/// # Errors
/// The API server's text.
pub fn quantity(text: &str) -> Result<Value, String> {
    Quantity::canonical(text.trim()).map(|text| Value::String(text.into_owned())).map_err(|error| error.to_string())
}

/// A time in UTC and whole seconds, null for Go's zero time.
///
/// # Errors
/// The API server's text.
pub fn time(text: &str) -> Result<Value, String> {
    parse_time(text, "2006-01-02T15:04:05Z07:00").map(time_value)
}

/// A time in UTC and microseconds, null for Go's zero time.
///
/// # Errors
/// The API server's text.
pub fn micro_time(text: &str) -> Result<Value, String> {
    parse_time(text, "2006-01-02T15:04:05.000000Z07:00").map(micro_time_value)
}

fn parse_time(text: &str, layout: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| {
        let text = go::quote(text);
        format!("parsing time {text} as \"{layout}\": cannot parse {text} as \"2006\"")
    })
}

/// How the API server prints a time of whole seconds.
pub fn time_value(time: Timestamp) -> Value {
    if time.as_second() == GO_ZERO { Value::Null } else { Value::String(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()) }
}

/// How the API server prints a time of microseconds.
pub fn micro_time_value(time: Timestamp) -> Value {
    if time.as_second() == GO_ZERO { Value::Null } else { Value::String(time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()) }
}

/// How the API server prints a number that is no integer in Go: whole ones without a fraction. `None` when it is
/// not finite.
pub fn double(number: f64) -> Option<Value> {
    /// Up to here every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation)] // whole and exact
    let whole = (number.fract() == 0.0 && number.abs() <= EXACT).then(|| Value::from(number as i64));
    whole.or_else(|| serde_json::Number::from_f64(number).map(Value::Number))
}

/// Base64 in canonical form; line breaks inside are skipped.
///
/// # Errors
/// The API server's text.
pub fn bytes(text: &str) -> Result<Value, String> {
    let joined;
    let text = if text.contains(['\r', '\n']) {
        joined = text.replace(['\r', '\n'], "");
        &joined
    } else {
        text
    };
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(bytes_value(&bytes)),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len(),
            };
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// How the API server prints bytes.
pub fn bytes_value(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (given, printed) in [("1000m", "1"), (" 0.5 ", "500m"), ("1024Mi", "1Gi"), ("2", "2")] {
            assert_eq!(quantity(given), Ok(Value::from(printed)));
        }
        assert!(quantity("1,5").unwrap_err().starts_with("quantities must match"));
        assert_eq!(time("2026-01-02T05:04:05.9+02:00"), Ok(Value::from("2026-01-02T03:04:05Z")));
        assert_eq!(time("0001-01-01T00:00:00Z"), Ok(Value::Null));
        assert!(time("yesterday").unwrap_err().starts_with("parsing time \"yesterday\" as"));
        assert_eq!(micro_time("2026-01-02T03:04:05.1234567Z"), Ok(Value::from("2026-01-02T03:04:05.123456Z")));
        assert_eq!(micro_time("2026-01-02T03:04:05Z"), Ok(Value::from("2026-01-02T03:04:05.000000Z")));
        assert_eq!(bytes("aGVs\nbG8="), Ok(Value::from("aGVsbG8=")));
        assert_eq!(bytes("a-b="), Err("illegal base64 data at input byte 1".to_owned()));
    }
}
