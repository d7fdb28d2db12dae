//! GPUs as DCGM tells of them, and as files tell.

use dormouse_perf_report::json::Json;
use dormouse_perf_scrape::files::gpu::section;
use dormouse_perf_scrape::gpu::Fields;
use dormouse_perf_scrape::{Collected, telemetry_urls};

use crate::{S, about, endpoint, history, phase, window};

fn body(power: f64, energy: f64, used: f64, pod: &str) -> String {
    let label = |gpu: u32| {
        format!(
            "gpu=\"{gpu}\",UUID=\"GPU-{gpu}\",pci_bus_id=\"0:{gpu}\",device=\"nvidia{gpu}\",modelName=\"NVIDIA H200\",Hostname=\"node, one\",pod=\"{pod}\""
        )
    };
    format!(
        "# TYPE DCGM_FI_DEV_POWER_USAGE gauge\nDCGM_FI_DEV_POWER_USAGE{{{a}}} {power}\nDCGM_FI_DEV_POWER_USAGE{{{b}}} 100\n\
         # TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\nDCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{a}}} {energy}\n\
         # TYPE DCGM_FI_DEV_FB_USED gauge\nDCGM_FI_DEV_FB_USED{{{a}}} {used}\n# TYPE other gauge\nother 1\n",
        a = label(0),
        b = label(1),
    )
}

fn collected() -> Collected {
    // Energy grows by 1e9 mJ a second; the pod changes on the way.
    let bodies = [body(100.0, 5e9, 1_000.0, "a"), body(300.0, 6e9, 2_000.0, "b"), body(500.0, 7e9, 2_000.0, "b")];
    let history = history(&[(0, &bodies[0]), (10, &bodies[1]), (20, &bodies[2])]);
    let mut silent = endpoint("http://localhost:9401/metrics", dormouse_perf_scrape::collect::History::default());
    silent.reached = false;
    Collected::new(vec![endpoint("http://localhost:9400/metrics", history), silent], Vec::new())
}

fn at<'a>(json: &'a Json, path: &str) -> &'a Json {
    path.split('/').fold(json, |json, name| json.get(name).unwrap_or_else(|| panic!("no {name} of {path}")))
}

fn names(json: &Json) -> Vec<&str> {
    json.members().iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn telemetry_is_of_the_window() {
    let told = collected().telemetry(&Fields::default(), &about(vec![phase("profiling", window(5, 20))]));
    assert_eq!(names(&told), ["summary", "endpoints", "error_summary"]);
    assert_eq!(at(&told, "summary/endpoints_configured"), at(&told, "summary/endpoints_successful"));
    assert_eq!(names(at(&told, "endpoints")), ["localhost:9400"]);
    let gpus = at(at(&told, "endpoints").get("localhost:9400").unwrap(), "gpus");
    assert_eq!(names(gpus), ["gpu_0", "gpu_1"]);
    let first = at(gpus, "gpu_0");
    assert_eq!(names(first), ["gpu_index", "gpu_name", "gpu_uuid", "platform", "hostname", "pod_name", "metrics"]);
    assert_eq!(names(at(first, "metrics")), ["nvidia_power_usage", "nvidia_energy_consumption", "nvidia_memory_used"]);
    let power = at(first, "metrics/nvidia_power_usage");
    let figures = ["unit", "avg", "min", "max", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "std", "count"];
    assert_eq!(names(power), figures);
    assert_eq!((at(power, "avg").as_f64(), at(power, "count").as_f64()), (Some(400.0), Some(2.0)));
    // Half a second more than the one between two scrapes.
    let energy = at(first, "metrics/nvidia_energy_consumption");
    assert_eq!(names(energy), ["unit", "avg"]);
    assert!((at(energy, "avg").as_f64().unwrap() - 1.5).abs() < 1e-9);
    let used = at(first, "metrics/nvidia_memory_used/max").as_f64().unwrap();
    assert!((used - 2.097_152).abs() < 1e-9, "{used}");
}

#[test]
fn a_phase_between_two_scrapes_is_told_by_the_next() {
    let told = collected().telemetry(&Fields::default(), &about(vec![phase("profiling", window(2, 3))]));
    let metrics = at(&told, "endpoints").get("localhost:9400").map(|e| at(e, "gpus/gpu_0/metrics").clone()).unwrap();
    assert_eq!(at(&metrics, "nvidia_power_usage/avg").as_f64(), Some(300.0));
    assert!((at(&metrics, "nvidia_energy_consumption/avg").as_f64().unwrap() - 0.1).abs() < 1e-9);
}

#[test]
fn the_table_has_a_row_for_each_figure() {
    let fields = Fields::default();
    let told = collected().telemetry(&fields, &about(vec![phase("profiling", window(5, 20))]));
    let table = section(&told, &fields);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "",
            "",
            "Endpoint,GPU_Index,GPU_Name,GPU_UUID,Platform,Metric,avg,min,max,sum,p1,p5,p10,p25,p50,p75,p90,p95,p99,std,Hostname,Pod Name",
            "localhost:9400,0,NVIDIA H200,GPU-0,nvidia,NVIDIA GPU Power Usage (W),400.00,300.00,500.00,,302.00,310.00,320.00,350.00,400.00,450.00,480.00,490.00,498.00,141.42,\"node, one\",b",
        ]
    );
    assert_eq!(lines[4], "localhost:9400,0,NVIDIA H200,GPU-0,nvidia,NVIDIA Energy Consumption (MJ),1.50,,,,,,,,,,,,,,\"node, one\",b");
    assert_eq!(lines.len(), 7);
}

#[test]
fn lines_are_of_one_gpu_and_scrape() {
    let (collected, fields) = (collected(), Fields::default());
    let lines: Vec<String> = collected.telemetry_lines(&fields).map(|line| serde_json::to_string(&line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        lines[1],
        format!(
            "{{\"timestamp_ns\":{S},\"dcgm_url\":\"http://localhost:9400/metrics\",\"gpu_index\":0,\"gpu_model_name\":\"NVIDIA H200\",\
             \"gpu_uuid\":\"GPU-0\",\"pci_bus_id\":\"0:0\",\"device\":\"nvidia0\",\"hostname\":\"node, one\",\"pod_name\":\"b\",\
             \"telemetry_data\":{{\"nvidia_power_usage\":300.0,\"nvidia_energy_consumption\":6.0,\"nvidia_memory_used\":2.0971520000000003}}}}"
        )
    );
}

#[test]
fn with_no_gpu_it_is_what_the_peer_writes() {
    let urls = telemetry_urls(&[]);
    let silent = |url: &String| dormouse_perf_scrape::Endpoint { url: url.clone(), ..Default::default() };
    let collected = Collected::new(urls.iter().map(silent).collect(), Vec::new());
    let told = collected.telemetry(&Fields::default(), &about(vec![phase("profiling", window(5, 20))]));
    let run = crate::recorded::json("completions-poisson", "profile_export_aiperf.json");
    let recorded = run.get("telemetry_data").unwrap();
    assert_eq!(names(&told), names(recorded));
    assert_eq!(names(at(&told, "summary")), names(at(recorded, "summary")));
    for path in ["summary/endpoints_configured", "summary/endpoints_successful", "endpoints", "error_summary"] {
        assert_eq!(at(&told, path), at(recorded, path), "{path}");
    }
    let csv = crate::recorded::text("completions-poisson", "profile_export_aiperf.csv");
    assert!(csv.ends_with(&section(&told, &Fields::default())));
}
