//! What DCGM says of GPUs (perf contract 5.14): which of its fields are told, by what name and in what unit, and how each GPU did in a
//! window.

use dormouse_perf_metrics::Window;

use crate::collect::history::{Series, Values};
use crate::collect::window::{Gauge, Span, gauge, line, seconds};
use crate::collect::{History, When};

/// Where DCGM's exporter listens when nobody says otherwise.
pub const DEFAULT_URLS: [&str; 2] = ["http://localhost:9400/metrics", "http://localhost:9401/metrics"];

/// One field of DCGM, and how it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// DCGM's name.
    pub dcgm: String,
    /// Ours, as it stands in files.
    pub name: String,
    /// For people.
    pub header: String,
    /// What it is told in.
    pub unit: String,
    /// What DCGM's values are multiplied by.
    pub scale: f64,
    /// It only grows: what counts is by how much.
    pub is_counter: bool,
}

/// All fields that are told, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(Vec<Field>);

impl Default for Fields {
    fn default() -> Self {
        let field = |(dcgm, name, header, unit, scale, is_counter): (&str, &str, &str, &str, f64, bool)| Field {
            dcgm: format!("DCGM_FI_{dcgm}"),
            name: format!("nvidia_{name}"),
            header: format!("NVIDIA {header}"),
            unit: unit.to_owned(),
            scale,
            is_counter,
        };
        let fields = [
            ("DEV_POWER_USAGE", "power_usage", "GPU Power Usage", "W", 1.0, false),
            ("DEV_TOTAL_ENERGY_CONSUMPTION", "energy_consumption", "Energy Consumption", "MJ", 1e-9, true),
            ("DEV_GPU_UTIL", "gpu_utilization", "GPU Utilization", "%", 1.0, false),
            ("DEV_MEM_COPY_UTIL", "memory_utilization", "Memory Utilization", "%", 1.0, false),
            ("DEV_FB_USED", "memory_used", "GPU Memory Used", "GB", 0.001_048_576, false),
            ("DEV_GPU_TEMP", "temperature", "GPU Temperature", "°C", 1.0, false),
            ("PROF_SM_ACTIVE", "sm_utilization", "SM Utilization", "%", 100.0, false),
            ("DEV_DEC_UTIL", "decoder_utilization", "Decoder Utilization", "%", 1.0, false),
            ("DEV_ENC_UTIL", "encoder_utilization", "Encoder Utilization", "%", 1.0, false),
            ("DEV_XID_ERRORS", "xid_errors", "XID Errors", "count", 1.0, true),
            ("DEV_POWER_VIOLATION", "power_violation", "Power Violation", "µs", 0.001, true),
        ];
        Self(fields.map(field).to_vec())
    }
}

/// Custom fields that are read of one file.
const MAX_CUSTOM: usize = 1_000;

impl Fields {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// The field of our name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name == name)
    }

    /// Adds those of a file as DCGM's exporter takes it: `DCGM_FI_NAME, gauge|counter, help (in unit)` on each line, `#` before a
    /// comment. What is known stays as it is. Says which lines were not understood.
    #[must_use]
    pub fn with_custom(mut self, csv: &str) -> (Self, Vec<String>) {
        let mut odd = Vec::new();
        for (number, line) in (1..).zip(csv.trim_start_matches('\u{feff}').lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if self.0.len() >= MAX_CUSTOM {
                odd.push(format!("line {number}: more than {MAX_CUSTOM} fields"));
                break;
            }
            match custom(line) {
                Ok(field) => {
                    if !self.0.iter().any(|known| known.dcgm == field.dcgm || known.name == field.name) {
                        self.0.push(field);
                    }
                }
                Err(why) => odd.push(format!("line {number}: {why}")),
            }
        }
        (self, odd)
    }
}

fn custom(line: &str) -> Result<Field, &'static str> {
    let mut cells = line.splitn(3, ',').map(str::trim);
    let dcgm = cells.next().unwrap_or_default();
    let short = dcgm.strip_prefix("DCGM_FI_").filter(|s| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    let Some(short) = short else { return Err("no name that begins with DCGM_FI_") };
    let short = short.strip_prefix("DEV_").or_else(|| short.strip_prefix("PROF_")).unwrap_or(short);
    let is_counter = match cells.next() {
        Some("gauge") => false,
        Some("counter") => true,
        _ => return Err("neither gauge nor counter"),
    };
    let Some(help) = cells.next().filter(|help| !help.is_empty()) else { return Err("no help text") };
    let (text, unit) = match help.rsplit_once("(in ") {
        Some((text, unit)) => (text.trim(), unit.trim_end_matches(')').trim()),
        None => (help, ""),
    };
    // Memory is told in powers of ten.
    let (unit, scale) = if unit == "MiB" { ("MB", 1.048_576) } else { (unit, 1.0) };
    let words: Vec<String> = text.split_whitespace().map(capitalised).collect();
    Ok(Field {
        dcgm: dcgm.to_owned(),
        name: format!("nvidia_{}", short.to_ascii_lowercase()),
        header: words.join(" "),
        unit: unit.to_owned(),
        scale,
        is_counter,
    })
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Which GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gpu {
    /// Its number on its machine.
    pub index: u64,
    /// The machine.
    pub hostname: String,
    /// Its own name.
    pub uuid: String,
    /// The part of it, where it is divided.
    pub instance: String,
    /// Its model.
    pub model: String,
    /// Where it is plugged in.
    pub pci_bus_id: String,
    /// Its device file.
    pub device: String,
}

impl Gpu {
    fn of(labels: &[(String, String)]) -> Option<Self> {
        let label = |name: &str| labels.iter().find(|(have, _)| have == name).map(|(_, value)| value.clone()).unwrap_or_default();
        Some(Self {
            index: label("gpu").parse().ok()?,
            hostname: label("Hostname"),
            uuid: label("UUID"),
            instance: label("GPU_I_ID"),
            model: label("modelName"),
            pci_bus_id: label("pci_bus_id"),
            device: label("device"),
        })
    }
}

/// Who uses it: Kubernetes' words, where the exporter knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The namespace.
    pub namespace: Option<String>,
    /// The pod.
    pub pod: Option<String>,
    /// The container.
    pub container: Option<String>,
}

impl User {
    fn of(labels: &[(String, String)]) -> Self {
        let label = |names: [&str; 2]| {
            let value = labels.iter().find(|(name, value)| names.contains(&name.as_str()) && !value.is_empty());
            value.map(|(_, value)| value.clone())
        };
        Self {
            namespace: label(["namespace", "exported_namespace"]),
            pod: label(["pod", "exported_pod"]),
            container: label(["container", "exported_container"]),
        }
    }
}

/// A figure of a GPU in a window, in the unit that is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// What its samples say.
    Gauge(Gauge),
    /// What it grew by.
    Grown(f64),
}

/// A GPU in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Which.
    pub gpu: Gpu,
    /// Who used it, at last.
    pub user: User,
    /// Our name of each field that it has, and its figures.
    pub readings: Vec<(String, Reading)>,
}

/// All series of one field that are of one GPU; who uses it may change, and with that its labels.
type Of<'a> = Vec<(&'a Field, Vec<&'a Series>)>;

/// All GPUs that an endpoint knows, by number, and the series of each.
fn gpus<'a>(history: &'a History, fields: &'a Fields) -> Vec<(Gpu, Of<'a>)> {
    let mut all: Vec<(Gpu, Of<'a>)> = Vec::new();
    for field in fields.iter() {
        let series = history.metrics.iter().filter(|m| m.name == field.dcgm).flat_map(|m| &m.series);
        for (gpu, series) in series.filter_map(|s| Some((Gpu::of(&s.labels)?, s))) {
            let at = all.iter().position(|(have, _)| *have == gpu).unwrap_or_else(|| {
                all.push((gpu, Vec::new()));
                all.len() - 1
            });
            match all[at].1.iter_mut().find(|(have, _)| have.dcgm == field.dcgm) {
                Some((_, known)) => known.push(series),
                None => all[at].1.push((field, vec![series])),
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// The value of each scrape, of whichever series has one.
fn values(history: &History, series: &[&Series], scale: f64) -> Vec<Option<f64>> {
    let mut values = vec![None; history.scrapes.len()];
    for series in series {
        let Values::Scalar(column) = &series.values else { continue };
        for (value, have) in column.at(history.scrapes.iter().map(|s| s.row)).zip(&mut values) {
            *have = have.or(value.filter(|v| v.is_finite()).map(|v| v * scale));
        }
    }
    values
}

/// How each GPU did in a window.
#[must_use]
pub fn read(history: &History, fields: &Fields, window: Window) -> Vec<Read> {
    let Some(span) = Span::of(history, window) else { return Vec::new() };
    let gpu = |(gpu, of): (Gpu, Of<'_>)| {
        let reading = |(field, series): &(&Field, Vec<&Series>)| {
            let values = values(history, series, field.scale);
            let reading = if field.is_counter { grown(history, &values, window) } else { level(history, &values, span, window) };
            Some((field.name.clone(), reading?))
        };
        let readings: Vec<(String, Reading)> = of.iter().filter_map(reading).collect();
        let user = of.iter().flat_map(|(_, series)| series).map(|s| User::of(&s.labels)).next_back().unwrap_or_default();
        (!readings.is_empty()).then_some(Read { gpu, user, readings })
    };
    gpus(history, fields).into_iter().filter_map(gpu).collect()
}

/// Samples inside the window; of one shorter than the time between two, the first behind it.
fn level(history: &History, values: &[Option<f64>], span: Span, window: Window) -> Option<Reading> {
    let is_inside = |when: When| (window.start_ns..=window.end_ns).contains(&when.middle_ns());
    let samples = history.scrapes.iter().zip(values).filter(|(s, _)| is_inside(s.when)).filter_map(|(_, v)| *v);
    let samples: Vec<f64> = samples.collect();
    let samples = if samples.is_empty() { values[span.first..=span.last].iter().flatten().copied().collect() } else { samples };
    gauge(&samples).map(Reading::Gauge)
}

/// By the line between the scrapes around each edge: energy and the rest go on evenly. What was not told before is not known to
/// have been nothing; a value under the one before has begun anew.
fn grown(history: &History, values: &[Option<f64>], window: Window) -> Option<Reading> {
    let origin = history.scrapes.first()?.when.middle_ns();
    let (mut times, mut sums, mut before) = (Vec::new(), Vec::new(), None);
    let mut sum = 0.0;
    for (scrape, value) in history.scrapes.iter().zip(values).filter_map(|(s, v)| Some((s, (*v)?))) {
        sum += before.map_or(0.0, |before| if value < before { value } else { value - before });
        before = Some(value);
        times.push(seconds(origin, scrape.when.middle_ns()));
        sums.push(sum);
    }
    let at = |ns| line(&times, &sums, seconds(origin, ns));
    before.map(|_| Reading::Grown(at(window.end_ns) - at(window.start_ns)))
}

/// What one scrape said of one GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When.
    pub when: When,
    /// Of which.
    pub gpu: Gpu,
    /// Who used it.
    pub user: User,
    /// Our name of each field that it has, and its value.
    pub values: Vec<(String, f64)>,
}

/// Everything that was said of GPUs, GPU by GPU, each in the order of time.
pub fn records<'a>(history: &'a History, fields: &'a Fields) -> impl Iterator<Item = Record> + 'a {
    gpus(history, fields).into_iter().flat_map(move |(gpu, of)| {
        let columns: Vec<(&str, Vec<Option<f64>>)> =
            of.iter().map(|(field, series)| (field.name.as_str(), values(history, series, field.scale))).collect();
        let user = of.iter().flat_map(|(_, series)| series).map(|s| User::of(&s.labels)).next_back().unwrap_or_default();
        history.scrapes.iter().enumerate().filter(|(_, s)| s.is_new).filter_map(move |(at, scrape)| {
            let values = columns.iter().filter_map(|(name, column)| Some(((*name).to_owned(), (*column.get(at)?)?)));
            let values: Vec<(String, f64)> = values.collect();
            (!values.is_empty()).then(|| Record { when: scrape.when, gpu: gpu.clone(), user: user.clone(), values })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_fields_are_added_and_known_ones_stay() {
        let csv = "\u{feff}# a comment\r\n\r\nDCGM_FI_DEV_SM_CLOCK, gauge, SM clock frequency (in MHz)\r\nDCGM_FI_DEV_FB_FREE, gauge, Framebuffer memory free (in MiB)\n\
                   DCGM_FI_DEV_POWER_USAGE, counter, other (in kW)\nDCGM_FI_DEV_THERMAL_VIOLATION, counter, Throttling, thermal (in us)\nX, gauge, y\nDCGM_FI_A, what, y\nDCGM_FI_A, gauge\n";
        let (fields, odd) = Fields::default().with_custom(csv);
        assert_eq!(fields.iter().count(), Fields::default().iter().count() + 3);
        let told = |name: &str| fields.named(name).map(|f| (f.header.as_str(), f.unit.as_str(), f.scale, f.is_counter));
        assert_eq!(told("nvidia_sm_clock"), Some(("SM Clock Frequency", "MHz", 1.0, false)));
        assert_eq!(told("nvidia_fb_free"), Some(("Framebuffer Memory Free", "MB", 1.048_576, false)));
        assert_eq!(told("nvidia_thermal_violation"), Some(("Throttling, Thermal", "us", 1.0, true)));
        assert_eq!(told("nvidia_power_usage"), Some(("NVIDIA GPU Power Usage", "W", 1.0, false)));
        assert!(odd.len() == 3 && odd[0].starts_with("line 7: no name"), "{odd:?}");
    }
}
