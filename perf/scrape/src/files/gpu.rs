//! GPUs in the files of a run: `telemetry_data` of the summary (perf contract 6.3), the last section of its table, and lines.

use std::collections::BTreeSet;

use dormouse_perf_metrics::stats::PERCENTILES;
use dormouse_perf_report::json::{Json, Members};

use super::{About, Endpoint, floats, member, text, urls};
use crate::gpu::{DEFAULT_URLS, Fields, Gpu, Read, Reading, User, read, records};

/// `telemetry_data`. An endpoint that is only looked for because it is usual, and is not there, is not told.
#[must_use]
pub fn telemetry(endpoints: &[Endpoint], fields: &Fields, about: &About) -> Json {
    let window = about.window(false).unwrap_or_default();
    let reached = || endpoints.iter().filter(|e| e.reached);
    let [start, end] = about.times();
    let summary = vec![
        member("endpoints_configured", urls(endpoints.iter().filter(|e| e.reached || !DEFAULT_URLS.contains(&e.url.as_str())))),
        member("endpoints_successful", urls(reached())),
        start,
        end,
    ];
    let endpoint = |endpoint: &Endpoint| {
        let mut keys = BTreeSet::new();
        let gpu = |read: &Read| (key(&read.gpu, &mut keys), gpu(read, fields));
        let gpus = read(&endpoint.history, fields, window).iter().map(gpu).collect();
        (text::short_endpoint(&endpoint.url), Json::Object(vec![member("gpus", Json::Object(gpus))]))
    };
    let failures = endpoints.iter().filter(|e| e.reached).flat_map(|e| e.failures.iter().map(|f| (text::without_user(&e.url), f)));
    let failure = |(url, (why, count)): (String, &(String, u64))| {
        let details = vec![member("message", Json::String(format!("{url}: {why}")))];
        Json::Object(vec![member("error_details", Json::Object(details)), member("count", (*count).into())])
    };
    Json::Object(vec![
        member("summary", Json::Object(summary)),
        member("endpoints", Json::Object(reached().map(endpoint).collect())),
        member("error_summary", Json::Array(failures.map(failure).collect())),
    ])
}

/// What a GPU is called among those of its endpoint: by its number, unless that is another's.
fn key(gpu: &Gpu, taken: &mut BTreeSet<String>) -> String {
    let mut key = format!("gpu_{}", gpu.index);
    for more in [&gpu.instance, &gpu.hostname, &gpu.uuid] {
        if taken.contains(&key) {
            key = format!("{key}_{more}");
        }
    }
    taken.insert(key.clone());
    key
}

fn gpu(read: &Read, fields: &Fields) -> Json {
    let Read { gpu, user, readings } = read;
    let mut members = vec![
        member("gpu_index", gpu.index.into()),
        member("gpu_name", gpu.model.as_str().into()),
        member("gpu_uuid", gpu.uuid.as_str().into()),
        member("platform", "nvidia".into()),
    ];
    members.extend(place(gpu, user));
    let metric = |(name, reading): &(String, Reading)| {
        let mut members = vec![member("unit", fields.named(name).map_or("", |f| f.unit.as_str()).into())];
        match reading {
            Reading::Grown(by) => members.extend(floats([("avg", *by)])),
            Reading::Gauge(g) => {
                members.extend(floats([("avg", g.avg), ("min", g.min), ("max", g.max)]));
                members.extend(PERCENTILES.iter().zip(g.percentiles).map(|(p, v)| (format!("p{p}"), Json::float(v))));
                members.extend(floats([("std", g.std)]));
                members.push(member("count", u64::try_from(g.count).unwrap_or(u64::MAX).into()));
            }
        }
        (name.clone(), Json::Object(members))
    };
    members.push(member("metrics", Json::Object(readings.iter().map(metric).collect())));
    Json::Object(members)
}

/// Where a GPU is, as far as that is known.
fn place(gpu: &Gpu, user: &User) -> Members {
    let known = |name: &str, value: &str| (!value.is_empty()).then(|| member(name, value.into()));
    let mut members: Members = known("hostname", &gpu.hostname).into_iter().collect();
    members.extend(user.namespace.as_deref().and_then(|value| known("namespace", value)));
    members.extend(user.pod.as_deref().and_then(|value| known("pod_name", value)));
    members
}

/// Columns that stand at the end where any GPU has them, and their members.
const PLACES: [(&str, &str); 3] = [("Hostname", "hostname"), ("Namespace", "namespace"), ("Pod Name", "pod_name")];

/// Columns of figures.
const COLUMNS: [&str; 14] = ["avg", "min", "max", "sum", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "std"];

/// The section of the summary's table, with the two blank lines before it, of `telemetry_data` as it was written or read.
#[must_use]
pub fn section(telemetry_data: &Json, fields: &Fields) -> String {
    let endpoints = telemetry_data.get("endpoints").map(Json::members).unwrap_or_default();
    let gpus: Vec<(&str, &Json)> = endpoints
        .iter()
        .flat_map(|(endpoint, told)| {
            told.get("gpus").map(Json::members).unwrap_or_default().iter().map(move |(_, gpu)| (endpoint.as_str(), gpu))
        })
        .collect();
    let places: Vec<(&str, &str)> = PLACES.into_iter().filter(|(_, name)| gpus.iter().any(|(_, gpu)| gpu.get(name).is_some())).collect();
    let head = ["Endpoint", "GPU_Index", "GPU_Name", "GPU_UUID", "Platform", "Metric"];
    let columns = head.into_iter().chain(COLUMNS).chain(places.iter().map(|(column, _)| *column));
    let mut out = format!("\n\n{}", text::csv_line(columns));
    for (endpoint, gpu) in gpus {
        let said = |name: &str| gpu.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let index = gpu.get("gpu_index").and_then(Json::as_f64).map(|i| format!("{i:.0}")).unwrap_or_default();
        for (name, metric) in gpu.get("metrics").map(Json::members).unwrap_or_default() {
            let header = fields.named(name).map_or(name.as_str(), |field| field.header.as_str());
            let shown = match metric.get("unit").and_then(Json::as_str).filter(|unit| !unit.is_empty()) {
                Some(unit) => format!("{header} ({unit})"),
                None => header.to_owned(),
            };
            let mut cells = vec![endpoint.to_owned(), index.clone(), said("gpu_name"), said("gpu_uuid"), said("platform"), shown];
            let cell = |name: &&str| metric.get(name).and_then(Json::as_f64).map(|v| format!("{v:.2}")).unwrap_or_default();
            cells.extend(COLUMNS.iter().map(cell));
            cells.extend(places.iter().map(|(_, name)| said(name)));
            out.push_str(&text::csv_line(cells));
        }
    }
    out
}

/// `gpu_telemetry_export.jsonl`: a line for each GPU and scrape that said something new.
pub fn lines<'a>(endpoints: &'a [Endpoint], fields: &'a Fields) -> impl Iterator<Item = Json> + 'a {
    endpoints.iter().flat_map(move |endpoint| {
        let url = text::without_user(&endpoint.url);
        records(&endpoint.history, fields).map(move |record| {
            let known = |name: &str, value: &str| (!value.is_empty()).then(|| member(name, value.into()));
            let mut members = vec![
                member("timestamp_ns", record.when.answered_ns.into()),
                member("dcgm_url", url.as_str().into()),
                member("gpu_index", record.gpu.index.into()),
                member("gpu_model_name", record.gpu.model.as_str().into()),
                member("gpu_uuid", record.gpu.uuid.as_str().into()),
            ];
            members.extend(known("pci_bus_id", &record.gpu.pci_bus_id));
            members.extend(known("device", &record.gpu.device));
            members.extend(place(&record.gpu, &record.user));
            let values = record.values.into_iter().filter(|(_, v)| v.is_finite()).map(|(name, v)| (name, Json::float(v)));
            members.push(member("telemetry_data", Json::Object(values.collect())));
            Json::Object(members)
        })
    })
}
