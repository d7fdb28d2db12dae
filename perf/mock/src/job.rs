//! From a request to its answer: what was asked and what is planned make an order; an order and the begin of service make a script.

use crate::answer::{Answer, Counts};
use crate::args::{Endpoint, MockServerArgs, Usage};
use crate::dist::nanoseconds;
use crate::draft::{self, Sound};
use crate::plan::Plan;
use crate::scan::Asked;
use crate::script::{Cut, Script, Stall, Stream};

/// A request's own limit is cut to this, so that no answer grows without bound.
const MAX_TOKENS: u64 = 131_072;

/// What every answer of this server has in common.
#[derive(Debug)]
pub(crate) struct Knobs {
    seed: u64,
    output_tokens: Option<u32>,
    reasoning: usize,
    usage: Usage,
    cut: Cut,
    early_head: bool,
    stall_ns: u64,
    byte_gap_ns: u64,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) models: Vec<String>,
}

impl Knobs {
    pub(crate) fn new(args: &MockServerArgs) -> Self {
        let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            seed: args.seed,
            output_tokens: args.output_tokens,
            reasoning: number(args.reasoning_tokens),
            usage: args.usage,
            cut: Cut { tokens_per_event: number(args.tokens_per_chunk), events_per_write: number(args.chunks_per_write) },
            early_head: args.early_head,
            stall_ns: nanoseconds(args.stall_ms),
            byte_gap_ns: nanoseconds(args.loris_ms),
            endpoints: args.endpoints.clone(),
            models: args.models.clone(),
        }
    }

    /// Why the model is refused, if it is.
    pub(crate) fn refuses(&self, asked: &Asked<'_>) -> Option<String> {
        let model = asked.model.as_deref().unwrap_or_default();
        let known = self.models.is_empty() || self.models.iter().any(|known| known == model);
        (!known).then(|| format!("The model `{model}` does not exist."))
    }
}

/// What one request is to get, whenever its service begins.
#[derive(Debug)]
pub(crate) struct Order {
    answer: Answer,
    stream: bool,
    plan: Plan,
    target: String,
    close: bool,
    version10: bool,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) path: &'a str,
    pub(crate) close: bool,
    pub(crate) version10: bool,
    /// Seconds since the epoch.
    pub(crate) created: u64,
}

impl Order {
    /// `shared` of the prompt's bytes are in the prefix cache, if there is one.
    pub(crate) fn new(knobs: &Knobs, origin: Origin<'_>, asked: &Asked<'_>, mut plan: Plan, shared: Option<usize>) -> Self {
        let endpoint = origin.endpoint;
        let model = match &asked.model {
            Some(model) => model.clone().into_owned(),
            None => knobs.models.first().cloned().unwrap_or_else(|| "mock-model".to_owned()),
        };
        let stream = asked.stream && endpoint != Endpoint::Embeddings;
        let mut answer = Answer::new(endpoint, mix(knobs.seed, plan.number), origin.created, model);
        answer.prompt_tokens = asked.prompt_tokens();
        if let Some(shared) = shared {
            let whole = asked.prompt.len().max(1);
            answer.cached_tokens = Some(answer.prompt_tokens * shared.min(whole) / whole);
            plan.ttft = scaled(plan.ttft, whole - shared.min(whole), whole);
        }
        let limit = asked.max_tokens.map(|limit| limit.clamp(1, MAX_TOKENS));
        let tokens = knobs.output_tokens.map(u64::from).or(limit).unwrap_or(16);
        let tokens = if endpoint == Endpoint::Embeddings { 1 } else { usize::try_from(tokens).unwrap_or(1) };
        answer.limited = limit.is_some_and(|limit| limit <= tokens as u64);
        answer.reasoning = if endpoint == Endpoint::Completions { 0 } else { knobs.reasoning.min(tokens - 1) };
        answer.content = tokens - answer.reasoning;
        answer.counts = match knobs.usage {
            Usage::None => Counts::Never,
            Usage::Continuous => Counts::Each,
            Usage::Final if !stream || matches!(endpoint, Endpoint::Responses | Endpoint::Messages) => Counts::Last,
            Usage::Final if asked.continuous_usage => Counts::Each,
            Usage::Final if asked.include_usage => Counts::Last,
            Usage::Final => Counts::Never,
        };
        answer.inputs = asked.inputs.clamp(1, 2048);
        answer.dimensions = usize::try_from(asked.dimensions.unwrap_or(16).clamp(1, 4096)).unwrap_or(16);
        Self { answer, stream, plan, target: origin.path.to_owned(), close: origin.close, version10: origin.version10 }
    }

    /// Tokens that it generates.
    pub(crate) fn tokens(&self) -> u32 {
        u32::try_from(self.answer.tokens()).unwrap_or(u32::MAX)
    }

    /// The answer in time, with service beginning at `start`.
    pub(crate) fn script(self, knobs: &Knobs, start: u64) -> Script {
        let Self { answer, stream, mut plan, target, close, version10 } = self;
        let tokens = answer.tokens();
        let stall = plan.stall.then_some(Stall { token: tokens / 2, for_ns: knobs.stall_ns });
        if let Some(fault) = plan.fault {
            let (ttft, gaps, cut, byte_gap_ns) = (plan.ttft, plan.gaps, knobs.cut, knobs.byte_gap_ns);
            let sound = Sound { answer, stream, target, start, ttft, gaps, cut, stall, close, version10, byte_gap_ns };
            return Script::Made(Box::new(draft::spoil(sound, fault)));
        }
        let first = start.saturating_add(plan.ttft);
        if stream {
            let early = knobs.early_head.then_some(start);
            return Script::Stream(Box::new(Stream::new(answer, first, plan.gaps, knobs.cut, stall).with_head(early, close, version10)));
        }
        let rest = plan.gaps.next(tokens - 1).saturating_add(stall.map_or(0, |stall| stall.for_ns));
        Script::Whole { answer: Box::new(answer), at: first.saturating_add(rest), close, version10 }
    }
}

/// `whole * part / of` without overflow.
fn scaled(whole: u64, part: usize, of: usize) -> u64 {
    u64::try_from(u128::from(whole) * part as u128 / of.max(1) as u128).unwrap_or(whole)
}

/// A number that looks like none of its neighbours (splitmix64).
fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::plan::Odds;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: MockServerArgs,
    }

    /// When the first write of the answer to this is due, with service beginning at 1000.
    fn due(options: &str, asked: &Asked<'_>, shared: Option<usize>) -> u64 {
        let args = Cli::parse_from(["mock"].into_iter().chain(options.split_whitespace())).args;
        let odds = Odds::new(0, (0.0, 503), &args.faults, args.stall_rate, args.ttft(), args.itl());
        let origin = Origin { endpoint: Endpoint::Chat, path: "/", close: false, version10: false, created: 0 };
        let knobs = Knobs::new(&args);
        Order::new(&knobs, origin, asked, odds.plan(0), shared).script(&knobs, 1000).due()
    }

    #[test]
    fn an_answer_is_due_by_its_plan() {
        let stream = Asked { stream: true, max_tokens: Some(3), prompt: 0..400, ..Asked::default() };
        let whole = Asked { stream: false, ..stream.clone() };
        let times = "--ttft-ms 0.01 --itl-ms 0.002";
        assert_eq!((due(times, &stream, None), due(times, &whole, None)), (11_000, 15_000));
        assert_eq!(due(&format!("{times} --early-head"), &stream, None), 1000);
        assert_eq!(due(&format!("{times} --chunks-per-write 2"), &stream, None), 13_000);
        // A stall before the second of three tokens is in the middle of a whole body, and after a stream's first token.
        let stall = format!("{times} --stall-rate 1 --stall-ms 1");
        assert_eq!((due(&stall, &stream, None), due(&stall, &whole, None)), (11_000, 1_015_000));
        // Three quarters of the prompt are known: they take none of the time to the first token.
        assert_eq!((due(times, &stream, Some(300)), due(times, &whole, Some(300))), (3500, 7500));
        // A fault changes bytes, not times; an error leaves at once.
        for fault in ["crlf", "gzip", "usage-null"] {
            assert_eq!(due(&format!("{times} --fault {fault}"), &stream, None), 11_000, "{fault}");
            assert_eq!(due(&format!("{times} --fault {fault}"), &whole, None), 15_000, "{fault}");
        }
        assert_eq!(due(&format!("{times} --fault status-500"), &stream, None), 1000);
    }

    #[test]
    fn ids_differ_between_neighbours_and_seeds() {
        let ids: std::collections::BTreeSet<u64> = (0..1000).flat_map(|n| [mix(0, n), mix(1, n)]).collect();
        assert!(ids.len() >= 1999);
    }
}
