//! The peer's recorded runs (`tests/golden/perf`, or the folder in `DORMOUSE_GOLDEN`): what it wrote of its server comes out of such scrapes.

use std::path::{Path, PathBuf};

use dormouse_perf_metrics::Window;
use dormouse_perf_report::json::Json;
use dormouse_perf_scrape::collect::{History, When};
use dormouse_perf_scrape::{About, Collected, Phase};

use crate::{S, about, endpoint};

const URL: &str = "http://127.0.0.1:8100/metrics";

fn path(run: &str, name: &str) -> PathBuf {
    let given = std::env::var_os("DORMOUSE_GOLDEN").map(|folder| PathBuf::from(folder).join("perf")).filter(|folder| folder.is_dir());
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/perf")).join(run).join(name)
}

pub(crate) fn text(run: &str, name: &str) -> String {
    std::fs::read_to_string(path(run, name)).unwrap()
}

pub(crate) fn json(run: &str, name: &str) -> Json {
    serde_json::from_str(&text(run, name)).unwrap()
}

/// What the server of the recordings told.
fn body(running: u32, tokens: u64, [low, mid, all]: [u64; 3]) -> String {
    let sum = f64::from(u32::try_from(all).unwrap()) * 0.03;
    format!(
        "# HELP vllm:num_requests_running Running\n# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{{model_name=\"m\"}} {running}\n\
         # HELP vllm:prompt_tokens_total Prompt tokens\n# TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{{model_name=\"m\"}} {tokens}\n\
         # HELP vllm:ttft_seconds TTFT\n# TYPE vllm:ttft_seconds histogram\nvllm:ttft_seconds_bucket{{le=\"0.01\"}} {low}\n\
         vllm:ttft_seconds_bucket{{le=\"0.05\"}} {mid}\nvllm:ttft_seconds_bucket{{le=\"+Inf\"}} {all}\nvllm:ttft_seconds_sum {sum}\nvllm:ttft_seconds_count {all}\n"
    )
}

fn collected(scrapes: &[(u64, String)]) -> Collected {
    let mut history = History::default();
    for (at, body) in scrapes {
        assert!(history.add(When { sent_ns: at - 1_000_000, answered_ns: *at, keep: false }, body.as_bytes()));
    }
    Collected::new(vec![endpoint(URL, history)], Vec::new())
}

/// The windows that the recording names.
fn recorded_about(recorded: &Json) -> About {
    let ranges = recorded.get("summary").and_then(|s| s.get("phase_time_ranges")).unwrap();
    let time = |range: &Json, name: &str| match range.get(name) {
        Some(Json::Number(number)) => number.as_u64().unwrap(),
        _ => panic!("no {name}"),
    };
    let mut phases: Vec<Phase> = ranges
        .members()
        .iter()
        .map(|(name, range)| crate::phase(name, Window { start_ns: time(range, "start_ns"), end_ns: time(range, "end_ns") }))
        .collect();
    phases.sort_by_key(|phase| phase.window.start_ns);
    let mut about = about(phases);
    recorded.get("benchmark_id").and_then(Json::as_str).unwrap().clone_into(&mut about.benchmark_id);
    about.input_config = recorded.get("input_config").cloned().unwrap_or(Json::Null);
    about
}

/// Where the two differ: in members and their order, and in values, but for those that are of the clock.
fn differences(got: &Json, wanted: &Json, at: &str, found: &mut Vec<String>) {
    match (got, wanted) {
        (Json::Object(a), Json::Object(b)) => {
            let names = |members: &[(String, Json)]| members.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            if names(a) != names(b) {
                found.push(format!("{at}: {:?}, not {:?}", names(a), names(b)));
            }
            for (name, value) in a {
                if let Some(wanted) = wanted.get(name) {
                    differences(value, wanted, &format!("{at}/{name}"), found);
                }
            }
        }
        (Json::Array(a), Json::Array(b)) => {
            if a.len() != b.len() {
                found.push(format!("{at}: {}, not {}", a.len(), b.len()));
            }
            a.iter().zip(b).for_each(|(a, b)| differences(a, b, at, found));
        }
        (Json::Number(a), Json::Number(b)) => {
            let last = at.rsplit('/').next().unwrap_or_default();
            let of_the_clock = at.contains("/endpoint_info/")
                || at.contains("/info/")
                || last == "rate"
                || last.ends_with("_rate")
                || last.ends_with("_ns");
            let apart = a.as_f64().unwrap() - b.as_f64().unwrap();
            if a.is_f64() != b.is_f64() || !of_the_clock && apart.abs() > 1e-12 {
                found.push(format!("{at}: {a}, not {b}"));
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{at}: {a:?}, not {b:?}")),
    }
}

fn same(got: &Json, wanted: &Json) {
    let mut found = Vec::new();
    differences(got, wanted, "", &mut found);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The scrapes of the run with a warm-up: what they must have said, by what was written of them.
fn poisson(about: &About) -> Vec<(u64, String)> {
    let (warmup, measured) = (about.phases[0].window, about.phases[1].window);
    let mut scrapes = vec![
        (warmup.start_ns - S, body(0, 1_000, [10, 20, 30])),
        (warmup.start_ns + 2_000_000, body(0, 1_000, [10, 20, 30])),
        (warmup.start_ns + 90_000_000, body(4, 1_040, [10, 21, 32])),
        // Its answer is there when the next phase has begun: the last of the one, and within the other.
        (warmup.end_ns + 1_000_000, body(1, 1_080, [11, 22, 34])),
    ];
    // The reference of what is measured.
    let at = |part: u64| measured.start_ns + 10_000_000 + (measured.end_ns - measured.start_ns - 10_000_000) * part / 12;
    let running = [0, 2, 3, 8, 7, 5, 5, 4, 4, 3, 3];
    for (part, running) in (1..).zip(running) {
        let done = if part == 11 { [18, 37, 64] } else { [12, 24, 40] };
        scrapes.push((at(part), body(running, 1_080 + part * 10, done)));
    }
    scrapes.push((measured.end_ns + 2_000_000, body(2, 1_680, [18, 37, 64])));
    scrapes
}

#[test]
fn a_run_with_a_warm_up() {
    let recorded = json("completions-poisson", "server_metrics_export.json");
    let mut about = recorded_about(&recorded);
    // The recording has the warm-up end when the other phase had begun; phases do not overlap.
    let begun = about.phases[1].window.start_ns;
    let told = about.phases[0].window.end_ns;
    about.phases[0].window.end_ns = begun - 1_000_000;
    let collected = collected(&poisson(&about));
    same(&collected.document(&about), &recorded);
    assert!(told > begun);
    let written = serde_json::to_string_pretty(&recorded).unwrap();
    assert_eq!(written.len(), text("completions-poisson", "server_metrics_export.json").len(), "indent 2, no line feed at the end");
}

#[test]
fn its_phases() {
    let recorded = json("completions-poisson", "server_metrics_export.json");
    let mut about = recorded_about(&recorded);
    about.phases[0].window.end_ns = about.phases[1].window.start_ns - 1_000_000;
    let collected = collected(&poisson(&about));
    for (index, name) in ["warmup", "profiling"].into_iter().enumerate() {
        same(&collected.phase_document(&about, index), &json("completions-poisson", &format!("phases/{name}/server_metrics.json")));
    }
    assert_eq!(collected.phase_document(&about, 2), Json::Null);
}

#[test]
fn a_run_that_observed_nothing() {
    let recorded = json("embeddings", "server_metrics_export.json");
    let about = recorded_about(&recorded);
    let Window { start_ns, end_ns } = about.phases[0].window;
    let mut scrapes = vec![(start_ns - S, body(0, 7, [1, 2, 3]))];
    let running = [0, 0, 1, 1, 3, 5, 5, 7];
    scrapes.extend((1..).zip(running).map(|(at, running)| (start_ns + at * (end_ns - start_ns) / 9, body(running, 7, [1, 2, 3]))));
    scrapes.push((end_ns + 2_000_000, body(6, 7, [1, 2, 3])));
    let collected = collected(&scrapes);
    let mut got = collected.document(&about);
    // These samples are not those of the recording, of which not enough is known.
    let gauge = |json: &mut Json| {
        let mut at = json;
        for name in ["metrics", "vllm:num_requests_running"] {
            let Json::Object(members) = at else { panic!("no object") };
            at = members.iter_mut().find(|(have, _)| have == name).map(|(_, value)| value).unwrap();
        }
        std::mem::replace(at, Json::Null)
    };
    let mut wanted = recorded.clone();
    let names = |json: &Json| {
        let Some(Json::Array(series)) = json.get("series") else { panic!("no series") };
        series[0].get("stats").unwrap().members().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&gauge(&mut got)), names(&gauge(&mut wanted)));
    same(&got, &wanted);
    let rows = collected.csv(&about);
    assert!(rows.ends_with("127.0.0.1:8100,histogram,vllm:ttft_seconds,seconds,0,,,,,,,,,,,,,,TTFT,0.01=0;0.05=0;+Inf=0\n"), "{rows}");
    assert!(rows.contains("127.0.0.1:8100,counter,vllm:prompt_tokens,tokens,0.0000,0.0000,,,,,m,Prompt tokens\n"), "{rows}");
}

#[test]
fn a_run_with_slices() {
    let recorded = json("stream-concurrency", "server_metrics_export.json");
    let mut about = recorded_about(&recorded);
    about.slice_ns = Some(S / 2);
    let Window { start_ns, end_ns } = about.phases[0].window;
    let scrapes = [
        (start_ns - S / 5, body(0, 100, [0, 0, 0])),
        (start_ns + S / 10, body(3, 200, [2, 5, 9])),
        (start_ns + S / 2 + 10_000_000, body(4, 500, [4, 9, 19])),
        (end_ns + 1_000_000, body(0, 900, [10, 20, 40])),
    ];
    let got = collected(&scrapes).document(&about);
    let metric = |json: &Json, name: &str| json.get("metrics").and_then(|m| m.get(name)).cloned().unwrap();
    let series = |json: &Json| match json.get("series") {
        Some(Json::Array(series)) => series[0].clone(),
        _ => panic!("no series"),
    };
    let names = |json: &Json| json.members().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    for name in ["vllm:num_requests_running", "vllm:prompt_tokens", "vllm:ttft_seconds"] {
        let (ours, theirs) = (series(&metric(&got, name)), series(&metric(&recorded, name)));
        assert_eq!(names(&ours), names(&theirs));
        assert_eq!(names(ours.get("stats").unwrap()), names(theirs.get("stats").unwrap()));
        let ends = |json: &Json| match json.get("timeslices") {
            Some(Json::Array(all)) => (names(&all[0]), names(all.last().unwrap())),
            _ => panic!("no slices"),
        };
        assert_eq!(ends(&ours), ends(&theirs), "{name}");
    }
    // The histogram is the same to the last estimate.
    let stats = |json: &Json| {
        let stats = series(&metric(json, "vllm:ttft_seconds"));
        stats.get("stats").unwrap().clone()
    };
    same(&stats(&got), &stats(&recorded));
}

#[test]
fn tables() {
    let recorded = json("completions-poisson", "server_metrics_export.json");
    let mut about = recorded_about(&recorded);
    about.phases[0].window.end_ns = about.phases[1].window.start_ns - 1_000_000;
    let got = collected(&poisson(&about)).csv(&about);
    let wanted = "\
# AIPerf Server Metrics Export (CSV)
# aiperf_version: 0.13.0
# schema_version: 1.0
# benchmark_id: 283178d762cc
# Note: Same benchmark_id and version appear in JSON and Parquet exports
#
Endpoint,Type,Metric,Unit,avg,min,max,std,p1,p5,p10,p25,p50,p75,p90,p95,p99,model_name,Description
127.0.0.1:8100,gauge,vllm:num_requests_running,requests,3.6154,0.0000,8.0000,2.2560,0.1200,0.6000,1.2000,2.0000,3.0000,5.0000,6.6000,7.4000,7.8800,m,Running

Endpoint,Type,Metric,Unit,total,rate,rate_avg,rate_min,rate_max,rate_std,model_name,Description
127.0.0.1:8100,counter,vllm:prompt_tokens,tokens,600.0000,RATE,,,,,m,Prompt tokens

Endpoint,Type,Metric,Unit,count,count_rate,sum,sum_rate,avg,p1_estimate,p5_estimate,p10_estimate,p25_estimate,p50_estimate,p75_estimate,p90_estimate,p95_estimate,p99_estimate,Description,buckets
127.0.0.1:8100,histogram,vllm:ttft_seconds,seconds,30,RATE,0.9000,RATE,0.0300,0.0011,0.0028,0.0049,0.0138,0.0488,0.0741,0.0896,0.0948,0.0990,TTFT,0.01=7;0.05=15;+Inf=30
";
    let with_rates = |text: &str, rates: &[usize]| {
        let cells = text.split(',').enumerate().map(|(at, cell)| if rates.contains(&at) { "RATE" } else { cell });
        cells.collect::<Vec<_>>().join(",")
    };
    let lines = got.lines().map(|line| match line {
        line if line.contains(",counter,") => with_rates(line, &[5]),
        line if line.contains(",histogram,") => with_rates(line, &[5, 7]),
        line => line.to_owned(),
    });
    let got = lines.map(|line| line + "\n").collect::<String>();
    assert_eq!(got, wanted);
}

#[test]
fn lines() {
    let scrapes = [(S, body(1, 2, [1, 2, 3])), (2 * S, body(1, 2, [1, 2, 3])), (3 * S, body(2, 2, [1, 2, 3]))];
    let lines: Vec<String> = collected(&scrapes).lines().map(|line| serde_json::to_string(&line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "the same body is told once");
    assert_eq!(
        lines[0],
        "{\"endpoint_url\":\"http://127.0.0.1:8100/metrics\",\"timestamp_ns\":1000000000,\"endpoint_latency_ns\":1000000,\"metrics\":{\
         \"vllm:num_requests_running\":[{\"labels\":{\"model_name\":\"m\"},\"value\":1.0}],\
         \"vllm:prompt_tokens\":[{\"labels\":{\"model_name\":\"m\"},\"value\":2.0}],\
         \"vllm:ttft_seconds\":[{\"buckets\":{\"0.01\":1.0,\"0.05\":2.0,\"+Inf\":3.0},\"sum\":0.09,\"count\":3.0}]},\"request_sent_ns\":999000000}"
    );
}

#[test]
fn nothing_reachable_is_an_empty_document() {
    let silent = dormouse_perf_scrape::Endpoint { url: URL.to_owned(), ..Default::default() };
    let collected = Collected::new(vec![silent], Vec::new());
    let about = about(vec![crate::phase("profiling", crate::window(1, 2))]);
    let json = collected.document(&about);
    let summary = json.get("summary").unwrap();
    assert_eq!(summary.get("endpoints_successful"), Some(&Json::Array(Vec::new())));
    assert_eq!((json.get("metrics"), collected.is_empty()), (Some(&Json::Object(Vec::new())), true));
    assert!(collected.csv(&about).ends_with("exports\n#\n") && collected.lines().next().is_none());
}
