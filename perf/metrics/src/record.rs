//! One request: what was observed of it becomes the values of its metrics (perf contract 5.2, 5.5, 5.6).

use crate::catalog::{Metric, OF_RECORDS, USAGE};

/// The values of one record by metric, in base units; most are there or not for good reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Values([f64; OF_RECORDS]);

impl Default for Values {
    fn default() -> Self {
        Self([f64::NAN; OF_RECORDS])
    }
}

impl Values {
    /// The value of a metric, if it has one.
    #[must_use]
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(metric as usize).copied().filter(|v| !v.is_nan())
    }

    /// Gives a metric its value; one that is no number is none, and what is no metric of records has none.
    pub fn set(&mut self, metric: Metric, value: f64) {
        if let Some(place) = self.0.get_mut(metric as usize) {
            *place = if value.is_finite() { value } else { f64::NAN };
        }
    }

    /// All places; what is not there is no number.
    pub(crate) fn places(&self) -> &[f64; OF_RECORDS] {
        &self.0
    }

    pub(crate) fn places_mut(&mut self) -> &mut [f64; OF_RECORDS] {
        &mut self.0
    }

    fn set_some(&mut self, metric: Metric, value: Option<f64>) {
        if let Some(value) = value {
            self.set(metric, value);
        }
    }

    /// Those that are there.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, f64)> {
        Metric::all().zip(self.0).filter(|(_, value)| !value.is_nan())
    }
}

/// A request that ended, as the metrics of a phase see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// When it was allowed to leave, Unix nanoseconds.
    pub credit_ns: u64,
    /// When it left.
    pub start_ns: u64,
    /// When it was over: its last byte, or its failure.
    pub end_ns: u64,
    /// It failed.
    pub failed: bool,
    /// It failed because the context was full.
    pub overflowed: bool,
    /// Its values.
    pub values: Values,
    /// Nanoseconds between its content responses.
    pub gaps: Vec<f64>,
}

/// What kind of answers a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Answers come in pieces.
    pub streaming: bool,
    /// Answers are made of tokens; those of embeddings are not.
    pub tokens: bool,
    /// Tokens are counted by the server, so that it cannot differ from us.
    pub server_counts: bool,
}

/// Tokens as a server reports them, in the order of [`USAGE`].
pub type Usage = [Option<f64>; USAGE.len()];

/// The times of HTTP in nanoseconds, and its counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Http {
    /// Waiting for a connection.
    pub blocked: u64,
    /// Looking the name up.
    pub dns_lookup: u64,
    /// TCP and TLS.
    pub connecting: u64,
    /// First to last byte of the request.
    pub sending: u64,
    /// Last byte of the request to the first of the answer's body.
    pub waiting: u64,
    /// First to last byte of that.
    pub receiving: u64,
    /// The connection was there.
    pub reused: bool,
    /// Bytes of the request's body, and writes.
    pub sent: (u64, u64),
    /// Bytes of the answer's body, and reads.
    pub received: (u64, u64),
}

/// What was observed of a request that succeeded. Times are nanoseconds from its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts<'a> {
    /// Content responses, ascending.
    pub content: &'a [u64],
    /// The first of them that is not reasoning alone.
    pub first_output: Option<u64>,
    /// Tokens of the first one, where the server counts in each piece.
    pub first_tokens: Option<u64>,
    /// Tokens that were sent.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer without reasoning.
    pub output_tokens: Option<u64>,
    /// Tokens of reasoning.
    pub reasoning_tokens: Option<u64>,
    /// The limit that was sent.
    pub requested_tokens: Option<u64>,
    /// What the server reports.
    pub usage: Usage,
    /// What the connection did.
    pub http: Option<Http>,
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds and tokens below 2^53")]
fn float(value: u64) -> f64 {
    value as f64
}

/// Per second of something that took nanoseconds.
fn per_second(amount: f64, ns: f64) -> f64 {
    amount / (ns * 1e-9)
}

impl Facts<'_> {
    /// The gaps between content responses.
    #[must_use]
    pub fn gaps(&self, shape: Shape) -> Vec<f64> {
        if !shape.streaming || !shape.tokens {
            return Vec::new();
        }
        self.content.windows(2).map(|pair| float(pair[1].saturating_sub(pair[0]))).collect()
    }

    /// The values of its metrics.
    #[must_use]
    pub fn values(&self, shape: Shape) -> Values {
        let mut v = Values::default();
        self.times(shape, &mut v);
        self.tokens(shape, &mut v);
        rates(shape, self.first_tokens, &mut v);
        self.usage(shape, &mut v);
        if let Some(http) = &self.http {
            http.put(&mut v);
        }
        v
    }

    fn times(&self, shape: Shape, v: &mut Values) {
        let Some((first, last)) = self.content.first().zip(self.content.last()) else { return };
        v.set(Metric::RequestLatency, float(*last));
        if !shape.streaming || !shape.tokens {
            return;
        }
        v.set(Metric::TimeToFirstToken, float(*first));
        v.set_some(Metric::TimeToSecondToken, self.content.get(1).map(|second| float(second.saturating_sub(*first))));
        v.set_some(Metric::TimeToFirstOutputToken, self.first_output.map(float));
        v.set(Metric::DecodeDuration, float(last.saturating_sub(*first)));
    }

    fn tokens(&self, shape: Shape, v: &mut Values) {
        v.set_some(Metric::InputSequenceLength, self.input_tokens.map(float));
        if !shape.tokens {
            // The answer is no text: its length is none, and still it is said.
            v.set(Metric::OutputSequenceLength, 0.0);
            return;
        }
        v.set_some(Metric::OutputTokenCount, self.output_tokens.filter(|n| *n > 0).map(float));
        v.set_some(Metric::ReasoningTokenCount, self.reasoning_tokens.map(float));
        if self.output_tokens.is_some() || self.reasoning_tokens.is_some() {
            v.set(Metric::OutputSequenceLength, float(self.output_tokens.unwrap_or(0) + self.reasoning_tokens.unwrap_or(0)));
        }
        v.set_some(Metric::RequestedOsl, self.requested_tokens.map(float));
        if let (Some(osl), Some(wanted)) = (v.get(Metric::OutputSequenceLength), v.get(Metric::RequestedOsl)) {
            v.set(Metric::OslMismatchDiffPct, (osl - wanted) / wanted * 100.0);
        }
    }

    fn usage(&self, shape: Shape, v: &mut Values) {
        if !shape.tokens {
            return;
        }
        for ((metric, _), count) in USAGE.iter().zip(self.usage) {
            v.set_some(*metric, count);
        }
        if shape.server_counts {
            return;
        }
        for (difference, theirs, ours) in [
            (Metric::UsagePromptTokensDiffPct, Metric::UsagePromptTokens, Metric::InputSequenceLength),
            (Metric::UsageCompletionTokensDiffPct, Metric::UsageCompletionTokens, Metric::OutputSequenceLength),
            (Metric::UsageReasoningTokensDiffPct, Metric::UsageReasoningTokens, Metric::ReasoningTokenCount),
        ] {
            if let (Some(theirs), Some(ours)) = (v.get(theirs), v.get(ours)) {
                v.set(difference, (theirs - ours).abs() / ours * 100.0);
            }
        }
    }
}

/// What follows from times and tokens.
fn rates(shape: Shape, first_tokens: Option<u64>, v: &mut Values) {
    let (latency, osl) = (v.get(Metric::RequestLatency), v.get(Metric::OutputSequenceLength));
    if shape.tokens
        && let (Some(latency), Some(osl)) = (latency, osl)
    {
        v.set(Metric::E2eOutputTokenThroughput, per_second(osl, latency));
    }
    if let (Some(ttft), Some(isl)) = (v.get(Metric::TimeToFirstToken), v.get(Metric::InputSequenceLength)) {
        v.set(Metric::PrefillThroughputPerUser, per_second(isl, ttft));
    }
    if let (Some(decode), Some(osl)) = (v.get(Metric::DecodeDuration), osl)
        && osl >= 2.0
    {
        let first = first_tokens.map(float).filter(|f| *f > 0.0 && *f < osl).unwrap_or(1.0);
        let itl = decode / (osl - first);
        v.set(Metric::InterTokenLatency, itl);
        v.set(Metric::OutputTokenThroughputPerUser, per_second(1.0, itl));
    }
}

impl Http {
    fn put(&self, v: &mut Values) {
        let overhead = self.blocked + self.dns_lookup + self.connecting;
        let exchange = self.sending + self.waiting + self.receiving;
        for (metric, value) in [
            (Metric::HttpReqBlocked, self.blocked),
            (Metric::HttpReqDnsLookup, self.dns_lookup),
            (Metric::HttpReqConnecting, self.connecting),
            (Metric::HttpReqSending, self.sending),
            (Metric::HttpReqWaiting, self.waiting),
            (Metric::HttpReqReceiving, self.receiving),
            (Metric::HttpReqConnectionReused, u64::from(self.reused)),
            (Metric::HttpReqDataSent, self.sent.0),
            (Metric::HttpReqChunksSent, self.sent.1),
            (Metric::HttpReqDataReceived, self.received.0),
            (Metric::HttpReqChunksReceived, self.received.1),
            (Metric::HttpReqConnectionOverhead, overhead),
            (Metric::HttpReqDuration, exchange),
            (Metric::HttpReqTotal, overhead + exchange),
        ] {
            v.set(metric, float(value));
        }
    }
}

/// Values of the failed record of a request with so many tokens.
#[must_use]
pub fn failed(input_tokens: Option<u64>) -> Values {
    let mut v = Values::default();
    v.set_some(Metric::ErrorIsl, input_tokens.map(float));
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Shape = Shape { streaming: true, tokens: true, server_counts: false };

    fn near(got: Option<f64>, want: f64) {
        let got = got.expect("a value");
        assert!((got - want).abs() <= 1e-9 * want.abs(), "{got} {want}");
    }

    /// Vector A1 of the perf contract.
    fn vector() -> Facts<'static> {
        Facts {
            content: &[20_000_000, 25_000_000, 25_000_000, 40_000_000],
            first_output: Some(20_000_000),
            input_tokens: Some(50),
            output_tokens: Some(7),
            ..Facts::default()
        }
    }

    #[test]
    fn a1() {
        let facts = vector();
        let v = facts.values(STREAM);
        assert_eq!(facts.gaps(STREAM), [5e6, 0.0, 15e6]);
        for (metric, want) in [
            (Metric::TimeToFirstToken, 20e6),
            (Metric::TimeToSecondToken, 5e6),
            (Metric::TimeToFirstOutputToken, 20e6),
            (Metric::RequestLatency, 40e6),
            (Metric::DecodeDuration, 20e6),
            (Metric::InterTokenLatency, 20e6 / 6.0),
            (Metric::OutputTokenThroughputPerUser, 300.0),
            (Metric::E2eOutputTokenThroughput, 175.0),
            (Metric::PrefillThroughputPerUser, 2500.0),
            (Metric::OutputSequenceLength, 7.0),
            (Metric::InputSequenceLength, 50.0),
        ] {
            near(v.get(metric), want);
        }
        for (first, want) in [(3, 5e6), (7, 20e6 / 6.0), (0, 20e6 / 6.0)] {
            let facts = Facts { first_tokens: Some(first), ..vector() };
            near(facts.values(STREAM).get(Metric::InterTokenLatency), want);
        }
    }

    #[test]
    fn a2_a_whole_body_has_a_latency_and_no_more() {
        let shape = Shape { streaming: false, ..STREAM };
        let facts = Facts { content: &[40_000_000], output_tokens: Some(7), ..Facts::default() };
        let v = facts.values(shape);
        near(v.get(Metric::RequestLatency), 40e6);
        for absent in [Metric::TimeToFirstToken, Metric::InterTokenLatency, Metric::TimeToSecondToken, Metric::DecodeDuration] {
            assert_eq!(v.get(absent), None, "{absent:?}");
        }
    }

    #[test]
    fn a3_a_single_piece_has_no_pace() {
        let facts = Facts { content: &[40_000_000], output_tokens: Some(7), ..Facts::default() };
        let v = facts.values(STREAM);
        near(v.get(Metric::TimeToFirstToken), 40e6);
        assert_eq!((v.get(Metric::InterTokenLatency), v.get(Metric::DecodeDuration)), (Some(0.0), Some(0.0)));
        assert_eq!((v.get(Metric::TimeToSecondToken), v.get(Metric::OutputTokenThroughputPerUser)), (None, None));
        assert!(facts.gaps(STREAM).is_empty());
    }

    #[test]
    fn embeddings_have_an_output_of_no_length() {
        let shape = Shape { streaming: false, tokens: false, server_counts: false };
        let mut facts = Facts { content: &[5], input_tokens: Some(9), ..Facts::default() };
        facts.usage[0] = Some(9.0);
        let v = facts.values(shape);
        assert_eq!((v.get(Metric::OutputSequenceLength), v.get(Metric::UsagePromptTokens)), (Some(0.0), None));
        assert_eq!(v.get(Metric::E2eOutputTokenThroughput), None);
    }
}
