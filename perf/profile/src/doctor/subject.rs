//! What is examined: a configuration, its tokenizer, its data. Each is looked at although another is wrong.

use std::sync::Arc;

use dormouse_perf_data::{Dataset, EndpointType, Payloads, Tokenizer};
use dormouse_perf_load::answer::Endpoint;
use dormouse_perf_load::exchange::Ask;
use dormouse_perf_load::target::Headers;
use dormouse_perf_load::timing::{Load, PhasePlan};
use dormouse_runtime::exit::Failure;
use url::Url;

use super::Report;
use crate::config::model::Config;
use crate::config::{plan, sweep};
use crate::config_verbs::checks;
use crate::dataset_manager::Conversations;
use crate::options::ProfileArgs;
use crate::run::document;
use crate::script::Ready;
use crate::system_controller as controller;

/// What is examined.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) config: Config,
    pub(super) endpoint: EndpointType,
    pub(super) streaming: bool,
    pub(super) models: Vec<String>,
    pub(super) urls: Vec<Url>,
    pub(super) headers: Headers,
    pub(super) payloads: Option<Payloads>,
    pub(super) tokenizer: Option<Arc<Tokenizer>>,
    pub(super) conversations: Option<Conversations>,
    pub(super) phases: Vec<PhasePlan>,
}

impl Subject {
    /// Whether there is anything that could be sent.
    pub(super) fn can_send(&self) -> bool {
        self.payloads.is_some() && !self.urls.is_empty()
    }

    /// How answers are read.
    pub(super) fn ask(&self) -> Ask {
        Ask { endpoint: controller::answers(self.endpoint), streaming: self.streaming }
    }

    /// Whether a stream of it says when it has ended.
    pub(super) fn says_its_end(&self) -> bool {
        Endpoint::says_its_end(self.ask().endpoint)
    }

    /// The first conversation that would be sent.
    pub(super) fn first(&self) -> Option<(usize, Arc<Ready>)> {
        let conversations = self.conversations.as_ref()?;
        let data = conversations.data();
        let scheduled = self.phases.iter().any(|phase| matches!(phase.load, Load::Schedule(_)));
        let earliest = || plan::schedule_order(data).ok().and_then(|order| order.first().map(|(_, k)| *k));
        let k = scheduled.then(earliest).flatten().or_else(|| data.order().next())?;
        Some((k, conversations.get(k).ok()?))
    }
}

/// Reads the configuration, and what it needs of this machine. `None` when not even the server is known.
pub(super) fn of(args: &ProfileArgs, report: &mut Report) -> Option<Subject> {
    const NAME: &str = "configuration";
    let mut refuse = |why: String| {
        report.usage = true;
        report.failed(NAME, why, "perf profile would refuse it the same; perf config validate looks at a file");
    };
    let read = document(args).and_then(|document| {
        let config = Config::read(&document)?;
        let mut variations = sweep::variations(&document, &config)?;
        let count = variations.len();
        if count == 0 {
            return Err(Failure::usage("there is nothing to run").into());
        }
        let first = variations.swap_remove(0);
        Ok((Config::read(&first.document)?, document, count))
    });
    let (config, document, count) = match read {
        Ok(read) => read,
        Err(error) => {
            refuse(error.to_string());
            return None;
        }
    };
    let problems = checks::of_document(&document, None);
    let wrong = !problems.is_empty();
    if wrong {
        refuse(problems.join("; "));
    }
    let endpoint = plan::endpoint(&config).ok()?;
    let streaming = plan::streams(&config, endpoint);
    let models = plan::models(&config).unwrap_or_default();
    let urls = plan::urls(&config, endpoint).unwrap_or_default().into_iter().map(super::server::bare).collect();
    let headers = plan::headers(&config, endpoint, streaming).unwrap_or_default();
    let payloads = plan::payloads(&config, endpoint, models.clone(), streaming).ok().filter(|_| !models.is_empty());
    let mut subject =
        Subject { endpoint, streaming, models, urls, headers, payloads, tokenizer: None, conversations: None, phases: Vec::new(), config };
    if !wrong {
        let first = if count > 1 { format!("; the first of {count} combinations is looked at") } else { String::new() };
        report.ok(NAME, format!("{}{first}", said(&subject)));
        if subject.config.benchmark.endpoint.streaming && !streaming {
            report.warning(
                "streaming",
                format!("{} has no streams: --streaming is switched off", endpoint.name()),
                "leave --streaming out",
            );
        }
    }
    data(&mut subject, report);
    Some(subject)
}

/// What would be run, in a line.
fn said(subject: &Subject) -> String {
    let mut parts = vec![subject.endpoint.name().to_owned()];
    parts.push(if subject.streaming { "streamed".to_owned() } else { "whole answers".to_owned() });
    parts.push(format!("model {}", subject.models.join(", ")));
    for phase in subject.config.benchmark.phases.iter().filter(|phase| !plan::is_warmup(phase)) {
        parts.extend(phase.concurrency.map(|n| format!("concurrency {n}")));
        parts.extend(phase.rate.map(|rate| format!("{rate} requests/s")));
        parts.extend(phase.requests.map(|n| format!("{n} requests")));
        parts.extend(phase.duration.map(|s| format!("{s} s")));
    }
    parts.join(", ")
}

/// Tokenizer, data set and phases.
fn data(subject: &mut Subject, report: &mut Report) {
    let (config, endpoint) = (&subject.config, subject.endpoint);
    let Ok(spec) = plan::data(config, endpoint, config.random_seed) else { return };
    match controller::tokenizer(config, endpoint, &subject.models, &spec) {
        Ok((Some(tokenizer), _)) => {
            report.ok("tokenizer", format!("{}, {} tokens", tokenizer.source(), tokenizer.all_ids().len()));
            subject.tokenizer = Some(tokenizer);
        }
        Ok((None, _)) => report.skipped("tokenizer", "none: the server's counts are taken, or none"),
        Err(error) => {
            report.usage = true;
            report.failed("tokenizer", error.to_string(), "pass --tokenizer DIR, or take text from a file with --use-server-token-count");
        }
    }
    let Some(payloads) = subject.payloads.clone() else { return };
    let opened = dormouse_perf_data::open(&spec, subject.tokenizer.clone());
    let data = match opened {
        Ok(data) => data,
        Err(_) if subject.tokenizer.is_none() && matches!(spec.source, dormouse_perf_data::Source::Synthetic) => {
            return report.skipped("data set", "text cannot be made up without a tokenizer");
        }
        Err(error) => {
            report.usage = true;
            return report.failed("data set", error.to_string(), "perf config validate --dataset looks at each line");
        }
    };
    let seen = said_of(&data);
    match plan::phases(config, &data, subject.streaming) {
        Ok(phases) => subject.phases = phases,
        Err(error) => {
            report.usage = true;
            report.failed("phases", error.to_string(), "perf profile would refuse it the same");
        }
    }
    let conversations = Conversations::new(data, payloads, 0.0);
    if let Err(error) = controller::check(&conversations) {
        report.usage = true;
        return report.failed("data set", format!("{seen}; {error}"), "the endpoint cannot take it: choose another --endpoint-type");
    }
    subject.conversations = Some(conversations);
    let first = subject.first().and_then(|(_, ready)| Some(ready.input_tokens(0, &[], subject.tokenizer.as_ref()?)));
    let first = first.map(|tokens| format!("; the first prompt has {tokens} tokens here")).unwrap_or_default();
    report.ok("data set", format!("{seen}{first}"));
}

fn said_of(data: &Dataset) -> String {
    format!("{}: {} conversations, {} turns", data.format().name(), data.len(), data.turns())
}
