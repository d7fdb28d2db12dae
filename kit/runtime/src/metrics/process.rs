//! `process_*`: this process as the kernel counts it, under the names of Prometheus' client libraries.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The collector: looks when it is asked.
#[derive(Debug, Default, Clone, Copy)]
pub struct Process;

/// What `/proc/self` says.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    cpu_seconds: f64,
    start_seconds: f64,
    virtual_bytes: i64,
    resident_bytes: i64,
    open_files: i64,
    most_files: i64,
}

impl Figures {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()?;
        #[allow(clippy::cast_precision_loss, reason = "100 on every Linux there is")]
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let mut figures = Self::of(&stat, boot, ticks, i64::try_from(rustix::param::page_size()).ok()?)?;
        figures.open_files = i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        figures.most_files = limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
        Some(figures)
    }

    /// From the line of `/proc/self/stat` (proc_pid_stat(5)), whose second field may hold anything in parentheses.
    fn of(stat: &str, boot: f64, ticks: f64, page: i64) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // The third field of the line is the first here.
        let field = |n: usize| fields.get(n - 3).copied();
        let number = |n: usize| field(n)?.parse::<f64>().ok();
        let whole = |n: usize| field(n)?.parse::<i64>().ok();
        Some(Self {
            cpu_seconds: (number(14)? + number(15)?) / ticks,
            start_seconds: boot + number(22)? / ticks,
            virtual_bytes: whole(23)?,
            resident_bytes: whole(24)?.saturating_mul(page),
            ..Self::default()
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        // Where there is no /proc there is nothing to tell.
        let Some(figures) = Figures::read() else { return Ok(()) };
        let mut tell = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let cpu = "Total user and system CPU time spent in seconds";
        tell("process_cpu_seconds", cpu, &ConstCounter::new(figures.cpu_seconds))?;
        tell(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            &ConstGauge::new(figures.start_seconds),
        )?;
        tell("process_virtual_memory_bytes", "Virtual memory size in bytes", &ConstGauge::new(figures.virtual_bytes))?;
        tell("process_resident_memory_bytes", "Resident memory size in bytes", &ConstGauge::new(figures.resident_bytes))?;
        tell("process_open_fds", "Number of open file descriptors", &ConstGauge::new(figures.open_files))?;
        tell("process_max_fds", "Maximum number of open file descriptors", &ConstGauge::new(figures.most_files))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_name_in_parentheses_does_not_shift_the_fields() {
        let tail: Vec<String> = (3..=40).map(|n| if n == 3 { "S".to_owned() } else { n.to_string() }).collect();
        let figures = Figures::of(&format!("1 (a ) b (c)) {}", tail.join(" ")), 1_000.0, 100.0, 4_096).unwrap();
        let wanted =
            Figures { cpu_seconds: 0.29, start_seconds: 1_000.22, virtual_bytes: 23, resident_bytes: 24 * 4_096, ..Figures::default() };
        assert_eq!(figures, wanted);
        assert_eq!(Figures::of("1 (x) S 1", 0.0, 100.0, 4_096), None);
    }

    #[test]
    fn this_process_is_shown() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for name in ["process_cpu_seconds_total ", "process_start_time_seconds 1", "process_resident_memory_bytes ", "process_open_fds "] {
            assert!(text.contains(name), "{name} in\n{text}");
        }
    }
}
