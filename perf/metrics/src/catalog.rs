//! Every metric: its tag, how it is headed, its unit and where it is shown (perf contract 5). Tags, headers, units and orders are
//! the peer's; a quantity that is defined otherwise has a tag of its own.

use std::sync::OnceLock;

use crate::unit::Unit;

/// Where on the console a metric stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// In the main table.
    Main,
    /// With what servers report of usage.
    Usage,
    /// With the times of HTTP.
    Http,
    /// With the curves over the whole window.
    Effective,
    /// With the curves over the time in which there was work.
    Active,
    /// In files only.
    Files,
    /// Nowhere: other metrics are made of it.
    Internal,
}

/// How a metric comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value in each valid record; statistics over them.
    Record,
    /// A value in each failed record; statistics over them.
    Failed,
    /// A value in each record, failed ones too; statistics over them.
    Every,
    /// One value of the whole.
    Single,
    /// A curve over time; statistics weighted by time.
    Curve,
}

/// What is known of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in files and options.
    pub tag: &'static str,
    /// Its name for people.
    pub header: &'static str,
    /// A shorter one, where there is one.
    pub short: &'static str,
    /// What it is measured in.
    pub unit: Unit,
    /// Its place in its group on the console.
    pub order: u16,
    /// Its group.
    pub group: Group,
    /// How it comes about.
    pub kind: Kind,
    /// More of it is better.
    pub larger_is_better: bool,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident $tag:literal $header:literal $short:literal $unit:ident $order:literal $group:ident $kind:ident $better:literal;)*) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Metric {
            $($(#[$doc])* $name,)*
        }

        const ALL: &[Metric] = &[$(Metric::$name,)*];
        const ENTRIES: &[Entry] = &[$(Entry {
            tag: $tag,
            header: $header,
            short: $short,
            unit: Unit::$unit,
            order: $order,
            group: Group::$group,
            kind: Kind::$kind,
            larger_is_better: $better,
        },)*];
    };
}

metrics! {
    /// First content response, from the start.
    TimeToFirstToken "time_to_first_token" "Time to First Token" "TTFT" Time 100 Main Record false;
    /// Second content response, from the first.
    TimeToSecondToken "time_to_second_token" "Time to Second Token" "TTST" Time 200 Main Record false;
    /// First content response that is no reasoning, from the start.
    TimeToFirstOutputToken "time_to_first_output_token" "Time to First Output Token" "TTFO" Time 210 Main Record false;
    /// Last content response, from the start.
    RequestLatency "request_latency" "Request Latency" "Req Latency" Time 300 Main Record false;
    /// Last content response, from the first.
    DecodeDuration "decode_duration" "Decode Duration" "" Time 350 Main Record false;
    /// Mean time of a token behind the first content response.
    InterTokenLatency "inter_token_latency" "Inter Token Latency" "ITL" Time 400 Main Record false;
    /// Its reciprocal.
    OutputTokenThroughputPerUser "output_token_throughput_per_user" "Output Token Throughput Per User" "Output TPS/User" TokensPerSecondPerUser 500 Main Record true;
    /// All tokens by the whole latency.
    E2eOutputTokenThroughput "e2e_output_token_throughput" "E2E Output Token Throughput" "E2E Output TPS/User" TokensPerSecondPerUser 510 Main Record true;
    /// Tokens that came, reasoning included.
    OutputSequenceLength "output_sequence_length" "Output Sequence Length" "OSL" Tokens 600 Main Record true;
    /// Tokens that went.
    InputSequenceLength "input_sequence_length" "Input Sequence Length" "ISL" Tokens 700 Main Record true;
    /// Gaps between content responses, of all requests.
    InterChunkLatency "inter_chunk_latency" "Inter Chunk Latency" "ICL" Time 410 Files Record false;
    /// Tokens that came, without reasoning.
    OutputTokenCount "output_token_count" "Output Token Count" "" Tokens 610 Files Record true;
    /// Tokens of reasoning.
    ReasoningTokenCount "reasoning_token_count" "Reasoning Token Count" "" Tokens 620 Files Record true;
    /// Input by the time to the first token.
    PrefillThroughputPerUser "prefill_throughput_per_user" "Prefill Throughput Per User" "" TokensPerSecondPerUser 520 Files Record true;
    /// The limit that was sent.
    RequestedOsl "requested_osl" "Requested OSL" "" Tokens 630 Internal Record true;
    /// How far the answer's length is from it.
    OslMismatchDiffPct "osl_mismatch_diff_pct" "OSL Mismatch Diff %" "" Percent 640 Files Record false;
    /// Input of failed requests.
    ErrorIsl "error_isl" "Error Input Sequence Length" "" Tokens 710 Files Failed true;
    /// Tokens of the prompt, as the server counts.
    UsagePromptTokens "usage_prompt_tokens" "Usage Prompt Tokens" "" Tokens 1000 Usage Record true;
    /// Of them, read from a cache.
    UsagePromptCacheReadTokens "usage_prompt_cache_read_tokens" "Usage Prompt Cache Read Tokens" "" Tokens 1010 Usage Record true;
    /// Of them, written to a cache.
    UsagePromptCacheWriteTokens "usage_prompt_cache_write_tokens" "Usage Prompt Cache Write Tokens" "" Tokens 1015 Usage Record true;
    /// Of them, not found in a cache.
    UsagePromptCacheMissTokens "usage_prompt_cache_miss_tokens" "Usage Prompt Cache Miss Tokens" "" Tokens 1017 Usage Record true;
    /// Of them, audio.
    UsagePromptAudioTokens "usage_prompt_audio_tokens" "Usage Prompt Audio Tokens" "" Tokens 1020 Usage Record true;
    /// Of them, of tools.
    UsageToolUsePromptTokens "usage_tool_use_prompt_tokens" "Usage Tool Use Prompt Tokens" "" Tokens 1030 Usage Record true;
    /// Seconds of audio in the prompt.
    UsagePromptAudioSeconds "usage_prompt_audio_seconds" "Usage Prompt Audio Seconds" "" Seconds 1040 Usage Record true;
    /// Tokens of the answer, as the server counts.
    UsageCompletionTokens "usage_completion_tokens" "Usage Completion Tokens" "" Tokens 1100 Usage Record true;
    /// Of them, reasoning.
    UsageReasoningTokens "usage_reasoning_tokens" "Usage Reasoning Tokens" "" Tokens 1110 Usage Record true;
    /// Of them, audio.
    UsageCompletionAudioTokens "usage_completion_audio_tokens" "Usage Completion Audio Tokens" "" Tokens 1120 Usage Record true;
    /// Predicted and accepted.
    UsageAcceptedPredictionTokens "usage_accepted_prediction_tokens" "Usage Accepted Prediction Tokens" "" Tokens 1130 Usage Record true;
    /// Predicted and rejected.
    UsageRejectedPredictionTokens "usage_rejected_prediction_tokens" "Usage Rejected Prediction Tokens" "" Tokens 1140 Usage Record true;
    /// Both together, as the server counts.
    UsageTotalTokens "usage_total_tokens" "Usage Total Tokens" "" Tokens 1200 Usage Record true;
    /// How far the server's count of the prompt is from ours.
    UsagePromptTokensDiffPct "usage_prompt_tokens_diff_pct" "Usage Prompt Diff %" "" Percent 1300 Files Record false;
    /// How far its count of the answer is.
    UsageCompletionTokensDiffPct "usage_completion_tokens_diff_pct" "Usage Completion Diff %" "" Percent 1310 Files Record false;
    /// How far its count of reasoning is.
    UsageReasoningTokensDiffPct "usage_reasoning_tokens_diff_pct" "Usage Reasoning Diff %" "" Percent 1320 Files Record false;
    /// Waiting for a connection.
    HttpReqBlocked "http_req_blocked" "HTTP Blocked" "" Time 2000 Http Record false;
    /// Looking the name up.
    HttpReqDnsLookup "http_req_dns_lookup" "HTTP DNS Lookup" "" Time 2010 Http Record false;
    /// TCP and TLS.
    HttpReqConnecting "http_req_connecting" "HTTP Connecting" "" Time 2020 Http Record false;
    /// Sending the request.
    HttpReqSending "http_req_sending" "HTTP Sending" "" Time 2030 Http Record false;
    /// From sent to the first byte of the body.
    HttpReqWaiting "http_req_waiting" "HTTP Waiting (TTFB)" "" Time 2040 Http Record false;
    /// From the first byte of the body to the last.
    HttpReqReceiving "http_req_receiving" "HTTP Receiving" "" Time 2050 Http Record false;
    /// 1 on a connection that was there.
    HttpReqConnectionReused "http_req_connection_reused" "HTTP Connection Reused" "" Ratio 2060 Http Record true;
    /// Bytes of the request's body.
    HttpReqDataSent "http_req_data_sent" "HTTP Data Sent" "" Bytes 2070 Http Record true;
    /// Writes.
    HttpReqChunksSent "http_req_chunks_sent" "HTTP Chunks Sent" "" Count 2080 Http Record true;
    /// Bytes of the answer's body.
    HttpReqDataReceived "http_req_data_received" "HTTP Data Received" "" Bytes 2090 Http Record true;
    /// Reads.
    HttpReqChunksReceived "http_req_chunks_received" "HTTP Chunks Received" "" Count 2100 Http Record true;
    /// Blocked, looking up and connecting.
    HttpReqConnectionOverhead "http_req_connection_overhead" "HTTP Connection Overhead" "" Time 2110 Http Record false;
    /// Sending, waiting and receiving.
    HttpReqDuration "http_req_duration" "HTTP Duration (excl. conn)" "" Time 2120 Http Record false;
    /// All six.
    HttpReqTotal "http_req_total" "HTTP Total Time" "" Time 2130 Http Record false;
    /// From the permission to send to the start.
    CreditToStartLatency "credit_to_start_latency" "Credit-to-Start Latency" "" Time 3090 Files Every false;
    /// From the permission to send to the end.
    EffectiveLatency "effective_latency" "Effective Latency (CO-aware)" "" Time 3100 Effective Every false;

    /// Output by the window.
    OutputTokenThroughput "output_token_throughput" "Output Token Throughput" "Output TPS" TokensPerSecond 800 Main Single true;
    /// Input by the window.
    InputTokenThroughput "input_token_throughput" "Input Token Throughput" "" TokensPerSecond 805 Main Single true;
    /// Valid requests by the window.
    RequestThroughput "request_throughput" "Request Throughput" "Req/sec" RequestsPerSecond 900 Main Single true;
    /// Good requests by the window.
    Goodput "goodput" "Goodput" "" RequestsPerSecond 1000 Main Single true;
    /// Valid and failed.
    CompletedRequestCount "completed_request_count" "Completed Requests (Success + Error)" "" Requests 1075 Main Single false;
    /// Failed, of all.
    RequestErrorRate "request_error_rate" "Request Error Rate" "" Percent 1080 Main Single false;
    /// Valid.
    RequestCount "request_count" "Request Count" "" Requests 1100 Main Single true;
    /// Failed.
    ErrorRequestCount "error_request_count" "Error Request Count" "" Requests 1110 Files Single false;
    /// Failed because the context was full.
    ContextOverflowCount "context_overflow_count" "Context Overflow Count" "" Requests 1120 Files Single false;
    /// First start to last content.
    BenchmarkDuration "benchmark_duration" "Benchmark Duration" "" Span 1130 Files Single false;
    /// Input of valid requests.
    TotalIsl "total_isl" "Total Input Sequence Length" "" Tokens 1140 Files Single true;
    /// Output of valid requests.
    TotalOsl "total_osl" "Total Output Sequence Length" "" Tokens 1150 Files Single true;
    /// Output without reasoning.
    TotalOutputTokens "total_output_tokens" "Total Output Tokens" "" Tokens 1160 Files Single true;
    /// Reasoning.
    TotalReasoningTokens "total_reasoning_tokens" "Total Reasoning Tokens" "" Tokens 1170 Files Single true;
    /// Input of failed requests.
    TotalErrorIsl "total_error_isl" "Total Error Input Sequence Length" "" Tokens 1180 Files Single true;
    /// Input and output by the window.
    TotalTokenThroughput "total_token_throughput" "Total Token Throughput" "" TokensPerSecond 1190 Files Single true;
    /// Requests that met every objective.
    GoodRequestCount "good_request_count" "Good Request Count" "" Requests 1200 Files Single true;
    /// Of all, failed ones too.
    GoodRequestFraction "good_request_fraction" "GoodRequestFraction" "" Ratio 1210 Files Single true;
    /// Answers of another length than was asked for.
    OslMismatchCount "osl_mismatch_count" "OSL Mismatch Count" "" Requests 1220 Files Single false;
    /// Requests that the server counts otherwise.
    UsageDiscrepancyCount "usage_discrepancy_count" "Usage Discrepancy Count" "" Requests 1230 Files Single false;
    /// Requests that were sent once more, on a fresh connection.
    ReconnectedCount "reconnected_count" "Reconnected Request Count" "" Requests 1240 Files Single false;
    /// Requests that were cut off: how long they would have taken nobody knows.
    CensoredCount "censored_count" "Censored Request Count" "" Requests 1250 Files Single false;
    /// Streams that ended without saying so.
    IncompleteStreamCount "incomplete_stream_count" "Incomplete Stream Count" "" Requests 1260 Files Single false;
    /// Requests that found no free place at their time.
    ScheduleMissedCount "schedule_missed_count" "Schedule Missed Count" "" Requests 1270 Files Single false;
    /// Sum.
    TotalUsagePromptTokens "total_usage_prompt_tokens" "Total Usage Prompt Tokens" "" Tokens 2000 Usage Single true;
    /// Sum.
    TotalUsagePromptCacheReadTokens "total_usage_prompt_cache_read_tokens" "Total Usage Prompt Cache Read Tokens" "" Tokens 2010 Usage Single true;
    /// Read from a cache, of all.
    OverallUsagePromptCacheReadPct "overall_usage_prompt_cache_read_pct" "Overall Usage Prompt Cache Read %" "" Percent 2012 Usage Single true;
    /// Sum.
    TotalUsagePromptCacheWriteTokens "total_usage_prompt_cache_write_tokens" "Total Usage Prompt Cache Write Tokens" "" Tokens 2015 Usage Single true;
    /// Sum.
    TotalUsagePromptCacheMissTokens "total_usage_prompt_cache_miss_tokens" "Total Usage Prompt Cache Miss Tokens" "" Tokens 2017 Usage Single true;
    /// Sum.
    TotalUsagePromptAudioTokens "total_usage_prompt_audio_tokens" "Total Usage Prompt Audio Tokens" "" Tokens 2020 Usage Single true;
    /// Sum.
    TotalUsageToolUsePromptTokens "total_usage_tool_use_prompt_tokens" "Total Usage Tool Use Prompt Tokens" "" Tokens 2030 Usage Single true;
    /// Sum.
    TotalUsagePromptAudioSeconds "total_usage_prompt_audio_seconds" "Total Usage Prompt Audio Seconds" "" Seconds 2040 Usage Single true;
    /// Sum.
    TotalUsageCompletionTokens "total_usage_completion_tokens" "Total Usage Completion Tokens" "" Tokens 2100 Usage Single true;
    /// Sum.
    TotalUsageReasoningTokens "total_usage_reasoning_tokens" "Total Usage Reasoning Tokens" "" Tokens 2110 Usage Single true;
    /// Sum.
    TotalUsageCompletionAudioTokens "total_usage_completion_audio_tokens" "Total Usage Completion Audio Tokens" "" Tokens 2120 Usage Single true;
    /// Sum.
    TotalUsageAcceptedPredictionTokens "total_usage_accepted_prediction_tokens" "Total Usage Accepted Prediction Tokens" "" Tokens 2130 Usage Single true;
    /// Sum.
    TotalUsageRejectedPredictionTokens "total_usage_rejected_prediction_tokens" "Total Usage Rejected Prediction Tokens" "" Tokens 2140 Usage Single true;
    /// Sum.
    TotalUsageTotalTokens "total_usage_total_tokens" "Total Usage Total Tokens" "" Tokens 2200 Usage Single true;

    /// Requests under way.
    EffectiveConcurrency "effective_concurrency" "Effective Concurrency" "" Requests 3010 Effective Curve true;
    /// Tokens that come, in a second.
    EffectiveDecodeThroughput "effective_decode_throughput" "Effective Decode Throughput" "" TokensPerSecond 3020 Effective Curve true;
    /// Tokens that are taken in, in a second.
    EffectivePrefillThroughput "effective_prefill_throughput" "Effective Prefill Throughput" "" TokensPerSecond 3030 Effective Curve true;
    /// Requests whose first token has come.
    EffectiveDecodeConcurrency "effective_decode_concurrency" "Effective Decode Concurrency" "" Requests 3040 Effective Curve true;
    /// Requests whose first token has not.
    EffectivePrefillConcurrency "effective_prefill_concurrency" "Effective Prefill Concurrency" "" Requests 3050 Effective Curve true;
    /// Both.
    EffectiveTotalThroughput "effective_total_throughput" "Effective Total Throughput" "" TokensPerSecond 3060 Effective Curve true;
    /// Tokens that come, for each request whose first has come.
    EffectiveDecodeThroughputPerUser "effective_decode_throughput_per_user" "Effective Decode Throughput Per User" "" TokensPerSecondPerUser 3070 Effective Curve true;
    /// Tokens that are taken in, for each request whose first has not come.
    EffectivePrefillThroughputPerUser "effective_prefill_throughput_per_user" "Effective Prefill Throughput Per User" "" TokensPerSecondPerUser 3080 Effective Curve true;
    /// Tokens that a server holds.
    TokensInFlight "tokens_in_flight" "Tokens In Flight" "" Tokens 3085 Effective Curve true;
    /// Over the time in which tokens came.
    ActiveDecodeThroughput "active_decode_throughput" "Active Decode Throughput" "" TokensPerSecond 3110 Active Curve true;
    /// Over the time in which some were taken in.
    ActivePrefillThroughput "active_prefill_throughput" "Active Prefill Throughput" "" TokensPerSecond 3120 Active Curve true;
    /// Over the time in which tokens came.
    ActiveDecodeThroughputPerUser "active_decode_throughput_per_user" "Active Decode Throughput Per User" "" TokensPerSecondPerUser 3130 Active Curve true;
    /// Over the time in which some were taken in.
    ActivePrefillThroughputPerUser "active_prefill_throughput_per_user" "Active Prefill Throughput Per User" "" TokensPerSecondPerUser 3140 Active Curve true;
    /// Over the time in which there was a request.
    ActiveTotalThroughput "active_total_throughput" "Active Total Throughput" "" TokensPerSecond 3150 Active Curve true;
}

/// How many metrics have values in records: those before all others.
pub const OF_RECORDS: usize = Metric::EffectiveLatency as usize + 1;

/// Each usage count of a record and its sum over all (perf contract 5.5).
pub const USAGE: [(Metric, Metric); 13] = [
    (Metric::UsagePromptTokens, Metric::TotalUsagePromptTokens),
    (Metric::UsagePromptCacheReadTokens, Metric::TotalUsagePromptCacheReadTokens),
    (Metric::UsagePromptCacheWriteTokens, Metric::TotalUsagePromptCacheWriteTokens),
    (Metric::UsagePromptCacheMissTokens, Metric::TotalUsagePromptCacheMissTokens),
    (Metric::UsagePromptAudioTokens, Metric::TotalUsagePromptAudioTokens),
    (Metric::UsageToolUsePromptTokens, Metric::TotalUsageToolUsePromptTokens),
    (Metric::UsagePromptAudioSeconds, Metric::TotalUsagePromptAudioSeconds),
    (Metric::UsageCompletionTokens, Metric::TotalUsageCompletionTokens),
    (Metric::UsageReasoningTokens, Metric::TotalUsageReasoningTokens),
    (Metric::UsageCompletionAudioTokens, Metric::TotalUsageCompletionAudioTokens),
    (Metric::UsageAcceptedPredictionTokens, Metric::TotalUsageAcceptedPredictionTokens),
    (Metric::UsageRejectedPredictionTokens, Metric::TotalUsageRejectedPredictionTokens),
    (Metric::UsageTotalTokens, Metric::TotalUsageTotalTokens),
];

/// What has a twin that counts failures as infinitely slow (perf contract 5.12).
pub const ADJUSTED: [Metric; 4] = [Metric::RequestLatency, Metric::TimeToFirstToken, Metric::InterTokenLatency, Metric::DecodeDuration];

impl Metric {
    /// All of them, in the order of this table.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().copied()
    }

    /// What is known of it.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        &ENTRIES[self as usize]
    }

    /// Its name in files and options.
    #[must_use]
    pub fn tag(self) -> &'static str {
        self.entry().tag
    }

    /// The metric of a tag.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        static SORTED: OnceLock<Vec<(&str, Metric)>> = OnceLock::new();
        let sorted = SORTED.get_or_init(|| {
            let mut all: Vec<_> = Self::all().map(|m| (m.tag(), m)).collect();
            all.sort_unstable();
            all
        });
        sorted.binary_search_by_key(&tag, |(t, _)| t).ok().map(|at| sorted[at].1)
    }

    /// The metric of a tag, or of one of the short names that people use.
    #[must_use]
    pub fn of(tag: &str) -> Option<Self> {
        Self::of_tag(match tag {
            "ttft" => "time_to_first_token",
            "itl" | "tpot" => "inter_token_latency",
            "icl" => "inter_chunk_latency",
            "e2el" | "latency" => "request_latency",
            "error_rate" => "request_error_rate",
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_unique_and_found() {
        for metric in Metric::all() {
            assert_eq!(Metric::of(metric.tag()), Some(metric));
        }
        assert_eq!(Metric::of("ttft"), Some(Metric::TimeToFirstToken));
        assert_eq!(Metric::of("nonsense"), None);
    }

    #[test]
    fn metrics_of_records_come_first() {
        let of_record = |m: Metric| matches!(m.entry().kind, Kind::Record | Kind::Failed | Kind::Every);
        assert!(Metric::all().enumerate().all(|(at, metric)| of_record(metric) == (at < OF_RECORDS)));
    }

    #[test]
    fn sums_of_usage_stand_a_thousand_behind() {
        for (one, all) in USAGE {
            assert_eq!((all.tag(), all.entry().order), (format!("total_{}", one.tag()).as_str(), one.entry().order + 1000));
        }
    }
}
