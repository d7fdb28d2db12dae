//! A `nvidia-smi` that answers from the node's device ledger the queries that requesters, launchers and people make.
//!
//! Which accelerators there are follows `NVIDIA_VISIBLE_DEVICES`, as in a container. Texts and exit statuses are those of the
//! real program; a field it does not know here is said to be unknown rather than invented. [`answer`] is PURE.

use clap::Parser;
use dormouse_devices::{Bytes, Client, GpuSnapshot, Identity, visible};
use dormouse_names::env as names;
use dormouse_runtime::output::Out;

const MIB: u64 = 1 << 20;

/// Shows the accelerators of the node's device ledger.
///
/// Examples:
///   nvidia-smi -L
///   nvidia-smi --query-gpu=index,uuid,memory.used --format=csv,noheader,nounits
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "nvidia-smi", verbatim_doc_comment)]
pub struct Args {
    /// Lists the accelerators.
    #[arg(short = 'L', long)]
    pub list_gpus: bool,
    /// Fields to show per accelerator.
    #[arg(long, value_delimiter = ',', conflicts_with = "list_gpus")]
    pub query_gpu: Vec<String>,
    /// Fields to show per process.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["list_gpus", "query_gpu"])]
    pub query_compute_apps: Vec<String>,
    /// Form of the answer: csv, with noheader and nounits as wished.
    #[arg(long, value_delimiter = ',')]
    pub format: Vec<String>,
    /// Only these, by index or UUID.
    #[arg(short, long, value_delimiter = ',')]
    pub id: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No ledger, or it does not answer.
    #[error("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver: {0}")]
    NoDriver(String),
    /// Nothing is visible.
    #[error("No devices were found")]
    NoDevices,
    /// Asked for something unknown.
    #[error("{0}")]
    Usage(String),
    /// Standard output does not take it.
    #[error("{0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    /// The real program's exit status.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoDriver(_) => 9,
            Self::NoDevices => 6,
            Self::Usage(_) => 2,
            Self::Output(_) => 1,
        }
    }
}

/// Prints the answer.
///
/// # Errors
/// When there is no ledger or no accelerator, or the question is not understood.
pub async fn run(args: Args) -> Result<(), Error> {
    let socket = std::env::var(names::DEVICES).map_err(|_| Error::NoDriver(format!("{} is not set", names::DEVICES)))?;
    let failed = |e: dormouse_devices::ClientError| Error::NoDriver(e.to_string());
    let client = Client::connect(&socket, Identity::of_this_process("nvidia-smi")).await.map_err(failed)?;
    let gpus = client.snapshot().await.map_err(failed)?.gpus;
    let seen = std::env::var(names::NVIDIA_VISIBLE_DEVICES).ok();
    let text = answer(&args, &gpus, seen.as_deref())?;
    Ok(Out.text(&text)?)
}

/// The answer to a question about `gpus`, of which `seen` shows some.
fn answer(args: &Args, gpus: &[GpuSnapshot], seen: Option<&str>) -> Result<String, Error> {
    let node: Vec<_> = gpus.iter().map(|g| g.gpu.clone()).collect();
    let chosen = visible(&node, seen, None).map_err(|e| Error::NoDriver(e.to_string()))?;
    // In a container indexes count within what it sees.
    let shown: Vec<(usize, &GpuSnapshot)> = chosen.iter().filter_map(|c| gpus.iter().find(|g| g.gpu == *c)).enumerate().collect();
    let wanted = |(i, g): &(usize, &GpuSnapshot)| args.id.is_empty() || args.id.iter().any(|id| *id == g.gpu.uuid || id.parse() == Ok(*i));
    let shown: Vec<_> = shown.into_iter().filter(wanted).collect();
    if shown.is_empty() {
        return Err(Error::NoDevices);
    }
    if args.list_gpus {
        return Ok(shown.iter().map(|(i, g)| format!("GPU {i}: {} (UUID: {})\n", g.gpu.product, g.gpu.uuid)).collect());
    }
    let queries = args.query_gpu.len() + args.query_compute_apps.len();
    if queries == 0 {
        return Ok(table(&shown));
    }
    let form = |word: &str| args.format.iter().any(|f| f == word);
    if !form("csv") || args.format.iter().any(|f| !matches!(f.as_str(), "csv" | "noheader" | "nounits")) {
        return Err(Error::Usage("\"--format=\" switch is missing or wrong: it takes csv, and noheader and nounits as wished.".to_owned()));
    }
    let (fields, rows) =
        if args.query_gpu.is_empty() { processes(&args.query_compute_apps, &shown)? } else { devices(&args.query_gpu, &shown)? };
    let units = !form("nounits");
    let mut text = String::new();
    if !form("noheader") {
        let heads: Vec<String> = fields
            .iter()
            .map(|(name, unit)| if units && !unit.is_empty() { format!("{name} [{unit}]") } else { (*name).to_owned() })
            .collect();
        text += &(heads.join(", ") + "\n");
    }
    for row in rows {
        let cells: Vec<String> = row
            .into_iter()
            .zip(&fields)
            .map(|(cell, (_, unit))| if units && !unit.is_empty() { format!("{cell} {unit}") } else { cell })
            .collect();
        text += &(cells.join(", ") + "\n");
    }
    Ok(text)
}

/// Names of the columns with their units, and the rows.
type Columns<'a> = (Vec<(&'a str, &'static str)>, Vec<Vec<String>>);

fn unknown(field: &str) -> Error {
    Error::Usage(format!("Field \"{field}\" is not a valid field to query."))
}

fn devices<'a>(fields: &'a [String], shown: &[(usize, &GpuSnapshot)]) -> Result<Columns<'a>, Error> {
    let unit = |field: &str| match field {
        "memory.total" | "memory.used" | "memory.free" => "MiB",
        "utilization.gpu" => "%",
        _ => "",
    };
    let columns = fields.iter().map(|f| (f.trim(), unit(f.trim()))).collect::<Vec<_>>();
    let cell = |field: &str, i: usize, g: &GpuSnapshot| {
        Ok(match field {
            "index" => i.to_string(),
            "uuid" | "gpu_uuid" => g.gpu.uuid.clone(),
            "name" | "gpu_name" => g.gpu.product.clone(),
            "count" => shown.len().to_string(),
            "memory.total" => (g.gpu.total_bytes / MIB).to_string(),
            "memory.used" => (g.used_bytes / MIB).to_string(),
            "memory.free" => (g.gpu.total_bytes.saturating_sub(g.used_bytes) / MIB).to_string(),
            "utilization.gpu" => (if g.awake().next().is_some() { "100" } else { "0" }).to_owned(),
            "mig.mode.current" => "[N/A]".to_owned(),
            "driver_version" => "simulated".to_owned(),
            other => return Err(unknown(other)),
        })
    };
    let rows = shown.iter().map(|(i, g)| columns.iter().map(|(f, _)| cell(f, *i, g)).collect()).collect::<Result<_, Error>>()?;
    Ok((columns, rows))
}

fn processes<'a>(fields: &'a [String], shown: &[(usize, &GpuSnapshot)]) -> Result<Columns<'a>, Error> {
    let unit = |field: &str| if matches!(field, "used_memory" | "used_gpu_memory") { "MiB" } else { "" };
    let columns = fields.iter().map(|f| (f.trim(), unit(f.trim()))).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for (_, g) in shown {
        for lease in &g.leases {
            let cell = |field: &str| {
                Ok(match field {
                    "pid" => lease.owner.pid.map_or_else(|| "[N/A]".to_owned(), |p| p.to_string()),
                    "gpu_uuid" => g.gpu.uuid.clone(),
                    "gpu_name" => g.gpu.product.clone(),
                    "process_name" | "name" => lease.owner.identity.program.clone(),
                    "used_memory" | "used_gpu_memory" => (lease.bytes / MIB).to_string(),
                    other => return Err(unknown(other)),
                })
            };
            rows.push(columns.iter().map(|(f, _)| cell(f)).collect::<Result<_, Error>>()?);
        }
    }
    Ok((columns, rows))
}

/// The plain table for people.
fn table(shown: &[(usize, &GpuSnapshot)]) -> String {
    let mut text = "GPU  UUID        Product                     Memory in use\n".to_owned();
    for (i, g) in shown {
        let (used, total) = (Bytes(g.used_bytes), Bytes(g.gpu.total_bytes));
        text += &format!("{i:<3}  {:<10}  {:<26}  {used} of {total}\n", g.gpu.uuid, g.gpu.product);
        for lease in &g.leases {
            let pid = lease.owner.pid.map_or_else(|| "-".to_owned(), |p| p.to_string());
            text += &format!("     {pid:>8}  {:<26}  {}  {:?}\n", lease.owner.identity.program, Bytes(lease.bytes), lease.state);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use dormouse_devices::{Allocation, Config, Devices, Gpu, LeaseState, Rates};

    use super::*;

    async fn gpus() -> Vec<GpuSnapshot> {
        let gpu = |k: u32| Gpu { uuid: format!("GPU-{}", k + 4), index: k, product: "H100".into(), total_bytes: 80 << 30 };
        let devices = Devices::new(Config { gpus: vec![gpu(0), gpu(1)], rates: Rates::default() }).unwrap();
        let client = Client::local(&devices, Identity { program: "vllm".into(), ..Identity::default() });
        let wish = Allocation { gpu: "GPU-5".into(), bytes: 3 << 30, label: "x".into(), model: None, state: LeaseState::Awake };
        client.allocate(wish).await.unwrap();
        client.snapshot().await.unwrap().gpus
    }

    fn ask(line: &str, gpus: &[GpuSnapshot], seen: Option<&str>) -> Result<String, Error> {
        answer(&Args::try_parse_from(line.split(' ')).unwrap(), gpus, seen)
    }

    #[tokio::test]
    async fn the_queries_of_our_programs_and_peers() {
        let g = gpus().await;
        let csv = "nvidia-smi --format=csv,noheader --query-gpu=";
        assert_eq!(ask(&format!("{csv}uuid"), &g, None).unwrap(), "GPU-4\nGPU-5\n");
        assert_eq!(ask(&format!("{csv}index,uuid"), &g, Some("GPU-5")).unwrap(), "0, GPU-5\n");
        assert_eq!(ask(&format!("{csv}uuid,memory.used"), &g, None).unwrap(), "GPU-4, 0 MiB\nGPU-5, 3072 MiB\n");
        let plain = "nvidia-smi --query-gpu=uuid,memory.used --format=csv,noheader,nounits";
        assert_eq!(ask(plain, &g, Some("all")).unwrap(), "GPU-4, 0\nGPU-5, 3072\n");
        assert_eq!(
            ask("nvidia-smi --query-gpu=index,memory.total --format=csv", &g, None).unwrap(),
            "index, memory.total [MiB]\n0, 81920 MiB\n1, 81920 MiB\n"
        );
        assert_eq!(ask("nvidia-smi -L", &g, None).unwrap(), "GPU 0: H100 (UUID: GPU-4)\nGPU 1: H100 (UUID: GPU-5)\n");
        assert_eq!(ask("nvidia-smi -L -i 1", &g, None).unwrap(), "GPU 1: H100 (UUID: GPU-5)\n");
        let apps = "nvidia-smi --query-compute-apps=process_name,used_memory --format=csv,noheader,nounits";
        assert_eq!(ask(apps, &g, None).unwrap(), "vllm, 3072\n");
        assert!(ask("nvidia-smi", &g, None).unwrap().contains("3.00 GiB of 80.00 GiB"));
    }

    #[tokio::test]
    async fn what_it_cannot_answer() {
        let g = gpus().await;
        assert_eq!(ask("nvidia-smi -L", &g, Some("none")).unwrap_err().exit_code(), 6);
        assert_eq!(ask("nvidia-smi -L", &g, Some("GPU-99")).unwrap_err().exit_code(), 9);
        assert_eq!(ask("nvidia-smi --query-gpu=uuid", &g, None).unwrap_err().exit_code(), 2);
        let odd = ask("nvidia-smi --query-gpu=fan.speed --format=csv", &g, None).unwrap_err();
        assert_eq!((odd.exit_code(), odd.to_string().as_str()), (2, "Field \"fan.speed\" is not a valid field to query."));
    }
}
