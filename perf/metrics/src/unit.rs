//! Units: values are kept in a base unit and shown in another (perf contract 5.1).

/// What a metric is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Whole nanoseconds, shown in milliseconds.
    Time,
    /// Whole nanoseconds, shown in seconds.
    Span,
    /// Bytes, shown in units of 1,024.
    Bytes,
    /// Tokens.
    Tokens,
    /// Tokens in a second.
    TokensPerSecond,
    /// Tokens in a second, for one request.
    TokensPerSecondPerUser,
    /// Requests.
    Requests,
    /// Requests in a second.
    RequestsPerSecond,
    /// Hundredths.
    Percent,
    /// A part of one, or of something.
    Ratio,
    /// A number of things.
    Count,
    /// Seconds, as a server reported them.
    Seconds,
}

impl Unit {
    /// What it is shown in.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Self::Time => "ms",
            Self::Span | Self::Seconds => "sec",
            Self::Bytes => "KB",
            Self::Tokens => "tokens",
            Self::TokensPerSecond => "tokens/sec",
            Self::TokensPerSecondPerUser => "tokens/sec/user",
            Self::Requests => "requests",
            Self::RequestsPerSecond => "requests/sec",
            Self::Percent => "%",
            Self::Ratio => "ratio",
            Self::Count => "count",
        }
    }

    /// The base value as it is shown. A product and no quotient: so the peer's figures come out to the last bit.
    #[must_use]
    pub fn show(self, base: f64) -> f64 {
        match self {
            Self::Time => base * 1e-6,
            Self::Span => base * 1e-9,
            Self::Bytes => base / 1024.0,
            _ => base,
        }
    }

    /// The base value of what is shown, unrounded: of limits, which need not be whole.
    #[must_use]
    pub fn base(self, shown: f64) -> f64 {
        match self {
            Self::Time => shown * 1e6,
            Self::Span => shown * 1e9,
            Self::Bytes => shown * 1024.0,
            _ => shown,
        }
    }

    /// The base value of what is shown. Nanoseconds are whole, so that they come back exactly.
    #[must_use]
    pub fn read(self, shown: f64) -> f64 {
        match self {
            Self::Time => (shown * 1e6).round(),
            Self::Span => (shown * 1e9).round(),
            Self::Bytes => shown * 1024.0,
            _ => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whole_nanoseconds_come_back(ns in 0_u64..(1 << 50)) {
            #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
            let base = ns as f64;
            prop_assert_eq!(Unit::Time.read(Unit::Time.show(base)).to_bits(), base.to_bits());
            prop_assert_eq!(Unit::Bytes.read(Unit::Bytes.show(base)).to_bits(), base.to_bits());
        }
    }
}
