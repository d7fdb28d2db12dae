//! Which fields the server refuses: the smallest body that it takes, plus one field at a time.
//!
//! Answers are kept short by a limit, and a stream is left when it has begun: what is asked is whether it is taken at all. Whether a
//! server follows what it takes cannot be seen.

use dormouse_perf_data::json::Members;
use dormouse_perf_data::{Conversation, EndpointType, Text, Turn};
use dormouse_perf_load::exchange::{Cause, Outcome};

use super::Report;
use super::request::{Poster, told};
use super::subject::Subject;

/// So many requests at most.
const MOST: u32 = 20;
/// Tokens of an answer: `OpenAI` takes no less of responses.
const LIMIT: u64 = 16;
/// What a body cannot do without.
const MINIMAL: [&str; 9] = ["messages", "model", "stream", "prompt", "input", "query", "passages", "documents", "texts"];
/// Names of the limit of an answer.
const LIMITS: [&str; 3] = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
/// What Dynamo takes inside of `nvext` and not beside the others.
const NVEXT: [&str; 6] = ["ignore_eos", "top_k", "repetition_penalty", "min_tokens", "greed_sampling", "annotations"];

/// What a server says to a body.
enum Verdict {
    Taken,
    /// No, in its words.
    Refused(String),
    /// It did not come to that.
    Unknown(String),
}

struct Probes<'a> {
    poster: Poster,
    left: u32,
    report: &'a mut Report,
}

impl Probes<'_> {
    fn ask(&mut self, body: &Members) -> Verdict {
        if self.left == 0 {
            return Verdict::Unknown(format!("not asked: {MOST} requests are the most"));
        }
        self.left -= 1;
        let streams = body.get("stream") == Some("true");
        let exchanged = match self.poster.post(body.to_json().as_bytes(), streams, self.report) {
            Ok(exchanged) => exchanged,
            Err(why) => return Verdict::Unknown(why),
        };
        match &exchanged.answered.outcome {
            Outcome::Failed(failed) => match failed.code.or(exchanged.answered.status) {
                // Whoever says nothing does not refuse.
                _ if failed.cause == Cause::Empty => Verdict::Taken,
                Some(401 | 403 | 408 | 429) => Verdict::Unknown(told(failed)),
                Some(400..500) => Verdict::Refused(told(failed)),
                _ => Verdict::Unknown(told(failed)),
            },
            _ => Verdict::Taken,
        }
    }

    fn takes(&mut self, body: &Members) -> bool {
        matches!(self.ask(body), Verdict::Taken)
    }
}

/// A short conversation as the configured one would be: its body, and the same with a system message where there is to be one.
fn bodies(subject: &Subject) -> Option<(Members, Option<Members>)> {
    let payloads = subject.payloads.as_ref()?;
    let first = subject.first().and_then(|(k, _)| Some(subject.conversations.as_ref()?.data().conversation(k))).unwrap_or_default();
    let like = first.turns.first().cloned().unwrap_or_default();
    let text = |name: &str, content: &str| Text { name: name.to_owned(), contents: vec![content.to_owned()] };
    let said = if subject.endpoint.ranks() {
        Turn { texts: vec![text("query", "yes or no"), text("passages", "yes")], ..Turn::default() }
    } else {
        Turn::saying("Say yes.")
    };
    // Without data the options say whether there is a limit.
    let limited = like.max_tokens.is_some() || subject.config.benchmark.datasets.iter().any(|set| set.prompts.osl.is_some());
    let most = (limited || subject.endpoint == EndpointType::Messages).then_some(LIMIT);
    let turn = Turn { max_tokens: most, extra: like.extra, tools: like.tools, ..said };
    let body = |system: Option<String>| {
        let conversation = Conversation { id: "doctor".to_owned(), system, turns: vec![turn.clone()], ..Conversation::default() };
        let mut bytes = Vec::new();
        payloads.prepare(&conversation).ok()?.body(0, &[], &mut bytes);
        Members::parse(std::str::from_utf8(&bytes).ok()?).ok()
    };
    let system = (first.system.is_some() || first.context.is_some()).then(|| body(Some("Be brief.".to_owned()))).flatten();
    Some((body(None)?, system))
}

/// Sends them.
pub(super) fn send(subject: &Subject, report: &mut Report) {
    if matches!(subject.endpoint, EndpointType::Template | EndpointType::Raw) {
        return report
            .skipped("fields", format!("{}: what is in the body is the user's own, and is sent as a whole", subject.endpoint.name()));
    }
    let raw = subject.first().and_then(|(k, _)| Some(subject.conversations.as_ref()?.data().conversation(k)));
    if raw.is_some_and(|first| first.turns.first().is_some_and(|turn| turn.raw.is_some())) {
        return report.skipped("fields", "the data set has whole payloads: they are sent as they are");
    }
    let Some((full, system)) = bodies(subject) else {
        return report.skipped("fields", "no body can be made of this configuration");
    };
    let poster = match Poster::of(subject) {
        Ok(poster) => poster,
        Err(why) => return report.failed("fields", why, "look at --url and --header"),
    };
    let mut probes = Probes { poster, left: MOST, report };
    let Some(base) = base(subject, &full, &mut probes) else { return };
    let needed = |name: &str| MINIMAL.contains(&name) || (subject.endpoint == EndpointType::Messages && name == "max_tokens");
    let limit = limit_of(subject);
    for (name, value) in full.iter().filter(|(name, _)| !needed(name) && limit != Some(*name)) {
        let mut body = base.clone();
        if LIMITS.contains(&name) {
            LIMITS.iter().filter(|other| !needed(other)).for_each(|other| _ = body.remove(other));
        }
        let bare = body.clone();
        body.set(name, value);
        field(subject, name, value, &bare, &body, &mut probes);
    }
    if let Some(system) = system {
        let mut body = base;
        for name in ["messages", "system", "instructions", "input"] {
            system.get(name).into_iter().for_each(|value| body.set(name, value));
        }
        conclude("system message", probes.ask(&body), "leave the system message out, or put it into the text", probes.report);
    }
}

/// The name under which the program asks for a limit.
fn limit_of(subject: &Subject) -> Option<&'static str> {
    match subject.endpoint {
        EndpointType::Chat if subject.config.benchmark.endpoint.use_legacy_max_tokens => Some("max_tokens"),
        EndpointType::Chat => Some("max_completion_tokens"),
        EndpointType::Completions => Some("max_tokens"),
        EndpointType::Responses => Some("max_output_tokens"),
        _ => None,
    }
}

fn conclude(name: &str, verdict: Verdict, advice: &str, report: &mut Report) {
    match verdict {
        Verdict::Taken => report.ok(name, "accepted"),
        Verdict::Refused(words) => report.failed(name, format!("refused: {words}"), advice),
        Verdict::Unknown(words) => report.warning(name, format!("not known: {words}"), "the server did not say yes or no: try again"),
    }
}

/// The smallest body that the server takes, with a limit under whatever name it takes one. `None` when it takes none.
fn base(subject: &Subject, full: &Members, probes: &mut Probes<'_>) -> Option<Members> {
    const NAME: &str = "smallest body";
    let mut minimal = Members::new();
    let messages = subject.endpoint == EndpointType::Messages;
    for (name, value) in full.iter().filter(|(name, _)| MINIMAL.contains(name) || (messages && *name == "max_tokens")) {
        minimal.set(name, value);
    }
    let named = |body: &Members| body.iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
    let mut first = minimal.clone();
    let limit = limit_of(subject);
    let configured = limit.filter(|limit| full.get(limit).is_some());
    if let Some(limit) = limit {
        first.set(limit, full.get(limit).map_or_else(|| LIMIT.to_string(), str::to_owned));
    }
    let words = match probes.ask(&first) {
        Verdict::Taken => {
            probes.report.ok(NAME, format!("accepted: {}", named(&first)));
            configured.into_iter().for_each(|limit| probes.report.ok(&format!("field {limit}"), "accepted"));
            return Some(first);
        }
        Verdict::Refused(words) => words,
        Verdict::Unknown(words) => {
            probes.report.warning(NAME, format!("not known: {words}"), "the server did not say yes or no: try again");
            return None;
        }
    };
    if let Some(limit) = limit {
        // Is it the limit? Under its other name, then without.
        let other = match limit {
            _ if subject.endpoint != EndpointType::Chat => None,
            "max_tokens" => Some(("max_completion_tokens", "the server takes max_completion_tokens: leave --use-legacy-max-tokens out")),
            _ => Some(("max_tokens", "the server takes max_tokens: pass --use-legacy-max-tokens")),
        };
        let mut found = None;
        if let Some((other, advice)) = other {
            let mut body = minimal.clone();
            body.set(other, LIMIT.to_string());
            found = probes.takes(&body).then_some((body, advice));
        }
        if found.is_none() && probes.takes(&minimal) {
            found = Some((minimal.clone(), "the server takes no limit of the answer under this name: leave --osl out"));
        }
        if let Some((body, advice)) = found {
            probes.report.ok(NAME, format!("accepted: {}", named(&body)));
            if configured.is_some() {
                probes.report.failed(&format!("field {limit}"), format!("refused: {words}"), advice);
            } else {
                probes.report.warning(
                    &format!("field {limit}"),
                    format!("refused: {words}"),
                    format!("it is not configured; with --osl: {advice}"),
                );
            }
            return Some(body);
        }
    }
    let mut whole = minimal.clone();
    whole.set("stream", "false");
    let advice = if subject.streaming && probes.takes(&whole) {
        "the server takes the same without a stream: leave --streaming out"
    } else {
        "it is the address, the kind of endpoint or the model: look at --url, --endpoint-type and --model"
    };
    probes.report.failed(NAME, format!("refused: {words} ({})", named(&minimal)), advice);
    None
}

/// One field, and what could be passed in its place.
fn field(subject: &Subject, name: &str, value: &str, bare: &Members, body: &Members, probes: &mut Probes<'_>) {
    let title = format!("field {name}");
    let verdict = probes.ask(body);
    if !matches!(verdict, Verdict::Refused(_)) {
        return conclude(&title, verdict, "", probes.report);
    }
    let extra = subject.payloads.as_ref().is_some_and(|payloads| payloads.extra.members().get(name).is_some());
    let from = if extra { "--extra-inputs" } else { "the data set" };
    let mut advice = format!("leave {name} out of {from}");
    match name {
        "stream_options" => {
            let mut usage_alone = bare.clone();
            usage_alone.set(name, "{\"include_usage\":true}");
            advice = if value.contains("continuous_usage_stats") && probes.takes(&usage_alone) {
                "the server takes include_usage alone: leave --per-chunk-usage out".to_owned()
            } else {
                "streams are always asked for counts so: leave --streaming out, or ask a newer server".to_owned()
            };
        }
        "tools" => {
            "tools are refused: does the server have to be started with them (vLLM: --enable-auto-tool-choice)?".clone_into(&mut advice);
        }
        "nvext" => "only Dynamo takes nvext: pass what is in it beside the others".clone_into(&mut advice),
        "extra_body" => {
            let mut apart = bare.clone();
            Members::parse(value).unwrap_or_default().iter().for_each(|(name, value)| apart.set(name, value));
            if probes.takes(&apart) {
                "extra_body is a word of OpenAI's library, and no field: pass what is in it by itself".clone_into(&mut advice);
            }
        }
        _ if NVEXT.contains(&name) => {
            let inner = format!("{{\"{name}\":{value}}}");
            let mut inside = bare.clone();
            inside.set("nvext", inner.as_str());
            if probes.takes(&inside) {
                advice = format!("the server takes it inside of nvext, as Dynamo does: --extra-inputs '{{\"nvext\":{inner}}}'");
            }
        }
        _ => {}
    }
    conclude(&title, verdict, &advice, probes.report);
}
