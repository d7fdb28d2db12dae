//! One request as `profile` would send it, and all that its answer shows.

use std::time::Duration;

use dormouse_perf_data::json::Members;
use dormouse_perf_load::answer::Kind;
use dormouse_perf_load::exchange::{Answered, Ask, Failure as Failed, Outcome};
use dormouse_perf_load::fetch::{self, Exchanged};
use dormouse_perf_load::script::Script as _;
use dormouse_perf_load::target::Target;
use dormouse_perf_load::transport::Trust;

use super::subject::Subject;
use super::{Report, State};
use crate::script::Ready;
use crate::system_controller as controller;

/// No answer is waited for longer than this.
const LONGEST: f64 = 300.0;
/// Redirects that are followed, as the load does.
const REDIRECTS: usize = 5;

/// Where requests are posted.
pub(super) struct Poster {
    target: Target,
    ask: Ask,
    trust: Option<Trust>,
    within: Duration,
}

impl Poster {
    /// To the first address.
    pub(super) fn of(subject: &Subject) -> Result<Self, String> {
        let url = subject.urls.first().ok_or("no address")?;
        let target = Target::new(url.clone(), &subject.headers, "POST").map_err(|why| why.to_string())?;
        let trust = target.is_tls().then(controller::trust).transpose().map_err(|why| why.to_string())?;
        let seconds = subject.config.benchmark.endpoint.timeout;
        let seconds = if seconds.is_finite() && seconds > 0.0 { seconds.min(LONGEST) } else { LONGEST };
        Ok(Self { target, ask: subject.ask(), trust, within: Duration::from_secs_f64(seconds) })
    }

    /// Posts a body; with `until_content` only until the answer has begun.
    pub(super) fn post(&self, body: &[u8], until_content: bool, report: &mut Report) -> Result<Exchanged, String> {
        let mut target = self.target.clone();
        for _ in 0..=REDIRECTS {
            report.posted += 1;
            let exchanged = fetch::exchange(&target, body, self.ask, self.trust.as_ref(), self.within, until_content);
            let exchanged = exchanged.map_err(|why| why.to_string())?;
            match &exchanged.answered.outcome {
                Outcome::Moved { to, .. } => target = target.moved(to).map_err(|why| why.to_string())?,
                _ => return Ok(exchanged),
            }
        }
        Err("the answers point from one address to the next without an end".to_owned())
    }
}

/// A failure in the server's words.
pub(super) fn told(failed: &Failed) -> String {
    match failed.code {
        Some(code) => format!("{code}: {}", failed.message),
        None => format!("{}: {}", failed.class, failed.message),
    }
}

/// Sends it; whether it is worth while to send more.
pub(super) fn send(subject: &Subject, report: &mut Report) -> bool {
    const NAME: &str = "request";
    let poster = match Poster::of(subject) {
        Ok(poster) => poster,
        Err(why) => {
            report.failed(NAME, why, "look at --url and --header");
            return false;
        }
    };
    let Some((_, ready)) = subject.first() else {
        report.skipped(NAME, "there are no data to send; the fields are looked at with a short text");
        return true;
    };
    let mut body = Vec::new();
    ready.body(0, &[], &mut body);
    let exchanged = match poster.post(&body, false, report) {
        Ok(exchanged) => exchanged,
        Err(why) => {
            report.failed(NAME, why, "the address was reached before: did the server end?");
            return false;
        }
    };
    let answered = &exchanged.answered;
    if let Outcome::Failed(failed) = &answered.outcome {
        let code = failed.code.or(answered.status).unwrap_or(0);
        report.failed(NAME, told(failed), advice(code, subject));
        return matches!(code, 400 | 402 | 409..=428 | 431..=500) || (200..300).contains(&code);
    }
    took(subject, &exchanged, report);
    if subject.endpoint.tokens() {
        content(answered, report);
        end(subject, answered, report);
        usage(subject, answered, &body, report);
        counts(subject, &ready, answered, report);
    }
    true
}

/// What to do about a status.
fn advice(code: u16, subject: &Subject) -> String {
    let path = subject.urls.first().map_or("", |url| url.path());
    match code {
        401 | 403 => "pass --api-key KEY (or OPENAI_API_KEY), or the header that the server wants with --header".to_owned(),
        404 | 405 => format!(
            "is {} the server's name of the model (--model), and {path} where it serves {} (--endpoint-type, --custom-endpoint)?",
            subject.models.first().map_or("", String::as_str),
            subject.endpoint.name()
        ),
        413 => "the prompt is too long for the server: a shorter --isl".to_owned(),
        429 => "the server limits how much it is asked: wait, or pass a key with a higher limit".to_owned(),
        400..500 => "below is which field it refuses, if it is one".to_owned(),
        500..600 => "the server failed by itself: look into its log".to_owned(),
        _ => "look into the server's log, and at what stands between: a proxy may have closed the connection".to_owned(),
    }
}

fn ms(from: u64, to: Option<u64>) -> String {
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let time = to.map(|to| to.saturating_sub(from) as f64 * 1e-6);
    time.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"))
}

/// Status, form and times.
fn took(subject: &Subject, exchanged: &Exchanged, report: &mut Report) {
    let answered = &exchanged.answered;
    let status = answered.status.unwrap_or(0);
    let media = exchanged.media_type.as_deref().unwrap_or("no media type");
    let first = answered.pieces.first().map(|piece| piece.at());
    let (start, end) = (exchanged.start, answered.stamps.end);
    let seen = if answered.streamed {
        format!(
            "{status}, {media}, {} events in {} reads; first content after {}, all after {}",
            answered.counters.events,
            answered.counters.body_reads,
            ms(start, first),
            ms(start, end)
        )
    } else {
        format!("{status}, {media}, a whole answer after {}", ms(start, end))
    };
    if subject.streaming && !answered.streamed {
        let advice = "there will be no time to the first token: leave --streaming out, or ask a server that streams";
        report.warning("request", format!("a stream was asked for, and there is none: {seen}"), advice);
    } else if answered.other_media_type {
        report.warning(
            "request",
            seen,
            "events under another media type than text/event-stream: they are read, and proxies may hold them back",
        );
    } else if answered.streamed && answered.pieces.len() > 4 && answered.counters.body_reads <= 2 {
        report.warning("request", seen, "all of the stream came at once: something between holds it back, or the server sends it whole");
    } else {
        report.ok("request", seen);
    }
}

/// What kind of content came.
fn content(answered: &Answered, report: &mut Report) {
    let of = |kind: Kind| answered.pieces.iter().any(|piece| piece.kind() == kind);
    let mut kinds = Vec::new();
    if !answered.text.is_empty() {
        kinds.push(format!("text ({} characters)", answered.text.chars().count()));
    }
    if !answered.reasoning.is_empty() {
        kinds.push(format!("reasoning ({} characters)", answered.reasoning.chars().count()));
    }
    if !answered.tools.is_empty() || of(Kind::ToolCall) {
        kinds.push("tool calls".to_owned());
    }
    let seen = if kinds.is_empty() { "content without text".to_owned() } else { kinds.join(", ") };
    if answered.text.is_empty() && answered.tools.is_empty() && !answered.reasoning.is_empty() {
        report.warning("content", seen, "nothing but reasoning came: time to the first output token needs a longer answer (--osl)");
    } else if answered.counters.undecodable > 0 {
        let seen = format!("{seen}; {} events could not be read", answered.counters.undecodable);
        report.warning("content", seen, "tokens in them are not counted: look at what the server sends with --export-level raw");
    } else if answered.other_choices {
        report.warning("content", format!("{seen}; there were several choices"), "only the first counts: leave n out of --extra-inputs");
    } else {
        report.ok("content", seen);
    }
}

/// Whether the answer said that it had ended, and why.
fn end(subject: &Subject, answered: &Answered, report: &mut Report) {
    let done = answered.raw.iter().rev().take(2).any(|raw| raw.event && raw.bytes.windows(6).any(|at| at == b"[DONE]"));
    let reason = answered.finish.as_deref().map_or("no finish reason".to_owned(), |reason| format!("finish reason {reason}"));
    let seen = if answered.streamed { format!("{reason}, {}", if done { "[DONE]" } else { "no [DONE]" }) } else { reason };
    if answered.incomplete && subject.says_its_end() {
        report.warning("end", seen, "the stream does not say that it has ended: one that was cut looks the same, and counts as incomplete");
    } else {
        report.ok("end", seen);
    }
}

/// Whether the server counts, and does so where it was asked.
fn usage(subject: &Subject, answered: &Answered, body: &[u8], report: &mut Report) {
    const NAME: &str = "usage";
    let given = &subject.config.benchmark.endpoint;
    let members = std::str::from_utf8(body).ok().and_then(|text| Members::parse(text).ok()).unwrap_or_default();
    let asked = members.get("stream_options").is_some_and(|options| options.contains("include_usage\":true"));
    let Some(usage) = answered.usage else {
        let how = if asked { "none, although stream_options.include_usage asks for it" } else { "none" };
        let advice = if given.use_server_token_count {
            "--use-server-token-count would leave every figure of tokens out: leave it out, and pass --tokenizer DIR"
        } else {
            "tokens are counted here alone, and nothing says whether the tokenizer is the server's"
        };
        return report.warning(NAME, how, advice);
    };
    let mut parts = Vec::new();
    for (name, count) in
        [("prompt", usage.prompt), ("completion", usage.completion), ("reasoning", usage.reasoning), ("cached", usage.cache_read)]
    {
        parts.extend(count.map(|count| format!("{name} {}", count.get())));
    }
    let seen = format!("{}{}", parts.join(", "), if asked { "; include_usage is kept to" } else { "" });
    if given.per_chunk_usage && answered.first_tokens.is_none() {
        return report.warning(NAME, seen, "no counts in each event, although --per-chunk-usage asks for them: leave it out");
    }
    report.ok(NAME, seen);
}

/// The counts of both sides, and the limit.
fn counts(subject: &Subject, ready: &Ready, answered: &Answered, report: &mut Report) {
    let server = |count: Option<dormouse_perf_load::answer::Count>| count.map(dormouse_perf_load::answer::Count::get);
    let usage = answered.usage.unwrap_or_default();
    let (prompt, completion) = (server(usage.prompt), server(usage.completion));
    let here = subject.tokenizer.as_ref().map(|tokenizer| {
        let answer = format!("{}{}", answered.text, answered.tools);
        let answer = tokenizer.count(&answered.reasoning) + tokenizer.count(&answer);
        (ready.input_tokens(0, &[], tokenizer), answer as u64)
    });
    if let Some((input, output)) = here {
        compare("prompt tokens", input, prompt, report);
        compare("answer tokens", output, completion, report);
    }
    let got = completion.or(here.map(|(_, output)| output));
    match (ready.max_tokens(0), got) {
        (None, _) => report.skipped("limit", "none is sent: --osl sets one"),
        (Some(most), None) => report.skipped("limit", format!("{most}: nobody counted")),
        // Our own count of a text may differ a little.
        (Some(most), Some(got)) if got > most + if completion.is_some() { 0 } else { most / 20 + 2 } => report.warning(
            "limit",
            format!("{got} tokens, and at most {most} were asked for"),
            "the server does not keep to it: try --use-legacy-max-tokens, or the other way round",
        ),
        (Some(most), Some(got)) if got + most / 20 < most => report.ok(
            "limit",
            format!(
                "{got} tokens of at most {most}: answers end where the model does, unless --extra-inputs ignore_eos:true or min_tokens"
            ),
        ),
        (Some(most), Some(got)) => report.ok("limit", format!("{got} tokens of at most {most}")),
    }
}

/// By more than a tenth, and more than a template has.
fn compare(name: &str, here: u64, server: Option<u64>, report: &mut Report) {
    let Some(server) = server else { return report.skipped(name, format!("{here} here; the server does not say")) };
    let seen = format!("{here} here, {server} at the server");
    let apart = here.abs_diff(server);
    if apart * 10 > here.max(server) && apart > 16 {
        let advice = "is the tokenizer the model's own? --use-server-token-count takes the server's word";
        report.push(State::Warning, name, seen, Some(advice.to_owned()));
    } else {
        report.ok(name, seen);
    }
}
