//! Waiting for a model that is being loaded (perf contract 4.9): only where a user asked for it, because it may cost a request.

use std::time::{Duration, Instant};

use dormouse_perf_load::fetch;
use dormouse_perf_load::target;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::error_line;

use crate::config::{name, wrong};
use crate::system_controller::{Prepared, UNREACHABLE};

/// How long one look may take.
const ONE: Duration = Duration::from_secs(10);

/// Waits until the model is there.
///
/// # Errors
/// When it is not there in time.
pub(crate) fn wait(prepared: &Prepared, within: Duration) -> anyhow::Result<()> {
    let given = &prepared.config.benchmark.endpoint;
    let mode = name(&given.wait_for_model_mode);
    let (models, inference) = match mode.as_str() {
        "models" => (true, false),
        "inference" => (false, true),
        "both" => (true, true),
        other => return Err(wrong(format!("--wait-for-model-mode: {other:?} is none of models, inference, both")).into()),
    };
    let until = Instant::now() + within;
    let interval = Duration::from_secs_f64(given.wait_for_model_interval.clamp(0.05, 3600.0));
    error_line(&format!("waiting up to {} s for the model", within.as_secs_f64()));
    loop {
        let seen = (if models { listed(prepared) } else { Ok(()) }).and_then(|()| if inference { answers(prepared) } else { Ok(()) });
        let Err(why) = seen else { return Ok(()) };
        if Instant::now() + interval >= until {
            return Err(Failure::with_code(UNREACHABLE, format!("the model is not there after {} s: {why}", within.as_secs_f64())).into());
        }
        std::thread::sleep(interval);
    }
}

/// Whether the server lists the model; one that has no list is asked whether it is there.
fn listed(prepared: &Prepared) -> Result<(), String> {
    for (url, base) in prepared.urls().iter().zip(&prepared.config.benchmark.endpoint.urls.0) {
        let base = target::base(base).map_err(|why| why.to_string())?;
        let get = |url: &url::Url| fetch::fetch("GET", url, prepared.headers(), prepared.trust(), ONE).map_err(|why| why.to_string());
        let answer = get(&target::join(&base, "v1/models"))?;
        if answer.status == 404 {
            get(&base)?;
            continue;
        }
        let list: serde_json::Value =
            serde_json::from_slice(&answer.body).map_err(|why| format!("{url}: its list of models cannot be read: {why}"))?;
        let there = |model: &String| list["data"].as_array().is_some_and(|data| data.iter().any(|entry| entry["id"] == model.as_str()));
        if let Some(model) = prepared.models.iter().find(|model| !there(model)) {
            return Err(format!("the server does not list {model:?}"));
        }
    }
    Ok(())
}

/// Whether the endpoint answers the smallest request with anything but a failure of its own.
fn answers(prepared: &Prepared) -> Result<(), String> {
    let ready = prepared.conversations.get(0).map_err(|why| why.to_string())?;
    let mut body = Vec::new();
    dormouse_perf_load::script::Script::body(&*ready, 0, &[], &mut body);
    for url in prepared.urls() {
        let answer = fetch::post(&url, prepared.headers(), &body, prepared.trust(), ONE).map_err(|why| why.to_string())?;
        if answer.status >= 500 {
            return Err(format!("{url} answers with {}", answer.status));
        }
    }
    Ok(())
}
