//! What can be wrong with a document, without a server, without a tokenizer and without a name that is looked up.
//!
//! Each check stands for itself, so that all that is wrong is said and not only the first. They are those of `profile`, by the same
//! functions where it has them.

use dormouse_perf_data::{Dataset, Error, Source, Spec};
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;

use crate::config::model::Config;
use crate::config::{name, plan, sweep, wrong};
use crate::dataset_manager::Conversations;
use crate::search::Search;
use crate::slo::Slo;
use crate::system_controller as controller;

/// So many combinations of a sweep are looked at.
const COMBINATIONS: usize = 64;

/// What is wrong with a document and with each combination of its sweep; `data` is its data set, where that could be opened.
#[must_use]
pub fn of_document(document: &Json, data: Option<&Dataset>) -> Vec<String> {
    let config = match Config::read(document) {
        Ok(config) => config,
        Err(error) => return vec![error.to_string()],
    };
    let variations = match sweep::variations(document, &config) {
        Ok(variations) => variations,
        Err(error) => {
            let mut all = of_config(&config, data);
            all.push(error.to_string());
            return all;
        }
    };
    let mut all = Vec::new();
    if config.dormouse.search.is_some() && (variations.len() > 1 || config.multi_run.num_runs > 1) {
        all.push("--search finds a level in one run: it takes no lists and no repeated runs".to_owned());
    }
    for variation in variations.iter().take(COMBINATIONS) {
        let found = match Config::read(&variation.document) {
            Ok(config) => of_config(&config, data),
            Err(error) => vec![error.to_string()],
        };
        for problem in found {
            if !all.contains(&problem) {
                all.push(problem);
            }
        }
    }
    all
}

/// What is wrong with one benchmark.
#[must_use]
pub fn of_config(config: &Config, data: Option<&Dataset>) -> Vec<String> {
    let mut all = Vec::new();
    let mut note = |result: Result<(), Failure>| all.extend(result.err().map(|error| error.to_string()));
    let endpoint = plan::endpoint(config);
    let models = plan::models(config);
    note(endpoint.as_ref().map(|_| ()).map_err(wrong));
    note(models.as_ref().map(|_| ()).map_err(wrong));
    // The rest is looked at all the same.
    let endpoint = endpoint.unwrap_or_default();
    let streaming = plan::streams(config, endpoint);
    note(plan::headers(config, endpoint, streaming).map(|_| ()));
    note(plan::urls(config, endpoint).map(|_| ()));
    note(plan::data(config, endpoint, config.random_seed).map(|_| ()));
    note(plan::payloads(config, endpoint, models.unwrap_or_default(), streaming).map(|_| ()));
    // Where nothing is known of the data, phases are looked at as if text were made up.
    let made = data.is_none().then(|| dormouse_perf_data::open(&Spec { batch: 0, ..Spec::default() }, None).ok()).flatten();
    if let Some(data) = data.or(made.as_ref()) {
        note(plan::phases(config, data, streaming).map(|_| ()));
    }
    note(connections(config));
    note(plan::objectives(config).map(|_| ()));
    config.dormouse.slo.iter().for_each(|slo| note(Slo::parse(slo).map(|_| ())));
    if let Some(search) = &config.dormouse.search {
        note(Search::parse(search).map(|_| ()));
        note(if config.dormouse.slo.is_empty() { Err(wrong("--search needs an objective: --slo \"ttft:p95<500ms\"")) } else { Ok(()) });
    }
    all
}

fn connections(config: &Config) -> Result<(), Failure> {
    let given = &config.benchmark.endpoint;
    if !["pooled", "never", "sticky_user_sessions"].contains(&name(&given.connection_reuse).as_str()) {
        return Err(wrong(format!(
            "--connection-reuse-strategy: {:?} is none of pooled, never, sticky-user-sessions",
            given.connection_reuse
        )));
    }
    if !(given.timeout.is_finite() && given.timeout > 0.0) {
        return Err(wrong("--request-timeout-seconds must be above 0"));
    }
    if !["models", "inference", "both"].contains(&name(&given.wait_for_model_mode).as_str()) {
        return Err(wrong(format!("--wait-for-model-mode: {:?} is none of models, inference, both", given.wait_for_model_mode)));
    }
    Ok(())
}

/// What came of opening a data set.
#[derive(Debug)]
pub enum Opened {
    /// Text is made up: there is nothing to open.
    Made,
    /// All of it is good.
    Good(Box<Conversations>),
    /// Its lines are good; the rest needs a tokenizer.
    Lines,
    /// What is wrong with it.
    Bad(String),
}

/// Opens the data set of a configuration, every line of it, and looks whether the endpoint takes each conversation.
#[must_use]
pub fn open(config: &Config) -> Opened {
    // What is wrong before that is said by the other checks.
    let Ok(endpoint) = plan::endpoint(config) else { return Opened::Made };
    let Ok(spec) = plan::data(config, endpoint, config.random_seed) else { return Opened::Made };
    if spec.source == Source::Synthetic {
        // But images may be made of pictures.
        let images = Spec { images: spec.images, batch: 0, ..Spec::default() };
        return dormouse_perf_data::open(&images, None).map_or_else(|error| Opened::Bad(error.to_string()), |_| Opened::Made);
    }
    let data = match dormouse_perf_data::open(&spec, None) {
        Ok(data) => data,
        Err(Error::Option { flag: "--tokenizer", .. }) => return Opened::Lines,
        Err(error) => return Opened::Bad(error.to_string()),
    };
    let models = plan::models(config).unwrap_or_else(|_| vec!["model".to_owned()]);
    let payloads = plan::payloads(config, endpoint, models, plan::streams(config, endpoint));
    let known = payloads.is_ok();
    let conversations = Conversations::new(data, payloads.unwrap_or_default(), 0.0);
    match controller::check(&conversations) {
        Err(error) if known => Opened::Bad(error.to_string()),
        _ => Opened::Good(Box::new(conversations)),
    }
}
