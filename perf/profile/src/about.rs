//! What a summary says beside its metrics (perf contract 6.3): what was run, how it ended, and whether it can be trusted.

use std::collections::BTreeMap;

use dormouse_perf_data::Dataset;
use dormouse_perf_report::json::{Json, Members};
use dormouse_perf_report::records::Problem;

use crate::config::Config;
use crate::config::tree::Object;

/// The peer's version whose files ours are.
pub const AIPERF_VERSION: &str = "0.13.0";

/// Members of the peer that always stand there, in its order.
const ORDER: [&str; 14] = [
    "models",
    "endpoint",
    "datasets",
    "phases",
    "artifacts",
    "slos",
    "tokenizer",
    "gpu_telemetry",
    "server_metrics",
    "network_latency",
    "otel",
    "mlflow",
    "wandb",
    "runtime",
];

/// The configuration as it stands in files: what differs from the defaults, what the peer always says, and no secrets.
#[must_use]
pub fn input_config(document: &Json, config: &Config, dir: &str, data: &Dataset, seed: Option<u64>, tokenizer: Option<&str>) -> Json {
    let benchmark = document.get("benchmark").cloned().unwrap_or(Json::Null);
    let mut out = Members::new();
    for name in ORDER {
        let given = benchmark.get(name).cloned();
        let value = match name {
            "endpoint" => Some(endpoint(given, config)),
            "datasets" => {
                let one = || benchmark.get("dataset").map(|dataset| Json::Array(vec![dataset.clone()]));
                Some(datasets(given.or_else(one), data, seed))
            }
            "artifacts" => Some(artifacts(given, dir, config)),
            "tokenizer" => given.or_else(|| tokenizer.map(|name| object([("name", Json::from(name))]))),
            "gpu_telemetry" | "network_latency" => Some(enabled(given, name == "gpu_telemetry")),
            "server_metrics" => Some(server_metrics(given)),
            "otel" | "mlflow" | "wandb" => Some(Json::Object(Vec::new())),
            "runtime" => Some(given.unwrap_or_else(|| object([("ui", Json::from("none"))]))),
            _ => given,
        };
        if let Some(value) = value {
            out.push((name.to_owned(), value));
        }
    }
    if let Some(ours) = document.get("dormouse") {
        out.push(("dormouse".to_owned(), ours.clone()));
    }
    Json::Object(out)
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Json::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
}

fn members(json: Option<Json>) -> Members {
    match json {
        Some(Json::Object(members)) => members,
        _ => Members::new(),
    }
}

/// Stands where a secret was.
pub(crate) const REDACTED: &str = "<redacted>";

/// Whether a header field holds a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    ["authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"].contains(&name.to_lowercase().as_str())
}

fn endpoint(given: Option<Json>, config: &Config) -> Json {
    let mut out = members(given);
    let has = |out: &Members, name: &str| out.iter().any(|(n, _)| n == name);
    if !has(&out, "urls") {
        let urls = config.benchmark.endpoint.urls.0.iter().map(|url| Json::from(url.as_str())).collect();
        out.retain(|(name, _)| name != "url");
        out.insert(0, ("urls".to_owned(), Json::Array(urls)));
    }
    if !has(&out, "type") {
        out.insert(1, ("type".to_owned(), Json::from(config.benchmark.endpoint.r#type.as_str())));
    }
    for (name, value) in &mut out {
        match (name.as_str(), value) {
            ("api_key", value) => *value = Json::from(REDACTED),
            ("headers", Json::Object(headers)) => {
                for (_, value) in headers.iter_mut().filter(|(name, _)| is_secret(name)) {
                    *value = Json::from(REDACTED);
                }
            }
            _ => {}
        }
    }
    Json::Object(out)
}

fn datasets(given: Option<Json>, data: &Dataset, seed: Option<u64>) -> Json {
    let given = match given {
        Some(Json::Array(items)) => members(items.into_iter().next()),
        _ => Members::new(),
    };
    let take = |name: &str| given.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let mut out = Object::new();
    out.put("name", take("name").unwrap_or_else(|| Json::from(crate::config::document::DATASET)));
    out.put("type", take("type").unwrap_or_else(|| Json::from("synthetic")));
    out.put("entries", data.len() as u64);
    out.put_some("random_seed", take("random_seed").or_else(|| seed.map(Json::from)));
    out.0.extend(given.iter().filter(|(name, _)| !["name", "type", "entries", "random_seed"].contains(&name.as_str())).cloned());
    Json::Array(vec![out.json()])
}

fn artifacts(given: Option<Json>, dir: &str, config: &Config) -> Json {
    let given = members(given);
    let mut out = Object::new();
    out.put("dir", dir);
    out.put("records", config.benchmark.artifacts.records.clone().unwrap_or_else(|| vec!["jsonl".to_owned()]));
    out.put("raw", config.benchmark.artifacts.raw);
    out.0.extend(given.into_iter().filter(|(name, _)| !["dir", "records", "raw", "auto_plot", "plot_required"].contains(&name.as_str())));
    out.put("auto_plot", false).put("plot_required", false);
    out.json()
}

fn enabled(given: Option<Json>, default: bool) -> Json {
    let mut out = members(given);
    if !out.iter().any(|(name, _)| name == "enabled") {
        out.insert(0, ("enabled".to_owned(), Json::Bool(default)));
    }
    Json::Object(out)
}

fn server_metrics(given: Option<Json>) -> Json {
    let Json::Object(mut out) = enabled(given, true) else { return Json::Null };
    for (name, default) in [("urls", vec![]), ("formats", vec![Json::from("json"), Json::from("csv")])] {
        if !out.iter().any(|(n, _)| n == name) {
            out.push((name.to_owned(), Json::Array(default)));
        }
    }
    Json::Object(out)
}

/// Failures as a summary lists them, most first.
#[must_use]
pub fn error_summary(problems: &BTreeMap<Problem, usize>) -> Json {
    let mut counted: Vec<(&Problem, &usize)> = problems.iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let one = |(problem, count): (&Problem, &usize)| {
        let mut details = Object::new();
        details.put_some("code", problem.code.map(|code| Json::Number(code.into())));
        details.put_some("type", problem.class.clone());
        details.put("message", problem.message.clone());
        object([("error_details", details.json()), ("count", Json::from(*count as u64))])
    };
    Json::Array(counted.into_iter().map(one).collect())
}

/// The command line, as it can be given to a shell again; secrets are left out.
#[must_use]
pub fn command_line(args: impl IntoIterator<Item = String>) -> String {
    let mut out = Vec::new();
    let (mut secret, mut header) = (false, false);
    for (at, arg) in args.into_iter().enumerate() {
        if at == 0 {
            out.push(arg.rsplit('/').next().unwrap_or(&arg).to_owned());
            continue;
        }
        let value = if std::mem::take(&mut secret) {
            REDACTED.to_owned()
        } else if std::mem::take(&mut header) {
            redacted(&arg)
        } else {
            match arg.split_once('=') {
                Some((option @ "--api-key", _)) => format!("{option}={REDACTED}"),
                Some((option @ "--header", value)) => format!("{option}={}", redacted(value)),
                _ => arg,
            }
        };
        secret = value == "--api-key";
        header = value == "--header" || value == "-H";
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
        let bare = value.starts_with('-') && value.chars().all(plain) || value.parse::<f64>().is_ok();
        out.push(if bare || at == 1 { value } else { format!("'{}'", value.replace('\'', "'\\''")) });
    }
    out.join(" ")
}

fn redacted(header: &str) -> String {
    match header.split_once(':') {
        Some((name, _)) if is_secret(name.trim()) => format!("{name}:{REDACTED}"),
        _ => header.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_quoted_and_keeps_no_secret() {
        let line = |args: &[&str]| command_line(args.iter().map(|arg| (*arg).to_owned()));
        assert_eq!(
            line(&["/bin/aiperf", "profile", "-m", "m", "--concurrency", "4", "--streaming", "--goodput", "a:1 b:2"]),
            "aiperf profile -m 'm' --concurrency 4 --streaming --goodput 'a:1 b:2'"
        );
        let secret =
            line(&["d", "profile", "--api-key", "sk", "-H", "Authorization: Bearer x", "--api-key=y", "--header=X-Api-Key:z", "-H", "A:b"]);
        for lost in ["sk", "Bearer", "=y", ":z"] {
            assert!(!secret.contains(lost), "{secret}");
        }
        assert!(secret.contains("A:b"));
    }
}
