//! The test requester: picks GPUs itself from a shared table, then is a requester.
//!
//! [`allocate`] is the PURE choice; [`cluster`] reads and writes the table. Its correctness rests on one update of one object
//! with a resourceVersion: two requesters cannot both succeed from the same base.

mod allocate;
mod cluster;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use clap::Parser;
use dormouse_controller::KubeFlags;
use dormouse_runtime::flags::KlogFlags;
use dormouse_runtime::{CancellationToken, clock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::accelerators::Source;
use crate::args::Serving;
use crate::error::Error;
use crate::requester;

/// Picks GPUs from the ConfigMaps gpu-map and gpu-allocs and then acts as requester.
///
/// Example (in a Pod): dormouse test-requester --node=$NODE_NAME --pod-uid=$POD_UID --namespace=$NAMESPACE --num-gpus=1
#[derive(Debug, Clone, Parser)]
#[command(name = "test-requester", verbatim_doc_comment)]
pub struct Args {
    /// Name of the node this Pod runs on.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub node: String,
    /// UID of this Pod.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub pod_uid: String,
    /// Number of GPUs to take.
    #[arg(long, default_value_t = 1)]
    pub num_gpus: u32,
    /// Namespace of the ConfigMaps and Pods.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub namespace: String,
    /// Takes the same GPUs again after a restart of the container.
    #[arg(long)]
    pub sticky: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub serving: Serving,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub kube: KubeFlags,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub klog: KlogFlags,
}

/// Allocates GPUs, then runs a requester until `shutdown` and what has to follow it.
///
/// # Errors
/// When a required flag is empty, there are no credentials, the allocation is cancelled, or as [`crate::run`].
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    for (value, what) in [(&args.node, "--node"), (&args.pod_uid, "--pod-uid"), (&args.namespace, "Namespace")] {
        if value.is_empty() {
            return Err(Error::Usage(format!("{what} must not be the empty string")));
        }
    }
    let started = clock::system().now();
    let name = format!("test-requester/{}/{}", args.node, started.as_second());
    let client = args.kube.credentials(Some(name.clone())).client().await?;
    let mut hasher = DefaultHasher::new();
    (&args.pod_uid, started.as_nanosecond()).hash(&mut hasher);
    run_with(client, args, &name, hasher.finish(), shutdown).await
}

/// As [`run`], with a client, the name under which the table is written, and a seed.
///
/// # Errors
/// As [`run`].
pub async fn run_with(client: kube::Client, args: Args, name: &str, seed: u64, shutdown: CancellationToken) -> Result<(), Error> {
    let visible = std::env::var(dormouse_names::env::NVIDIA_VISIBLE_DEVICES).ok();
    tracing::info!(seed, node = %args.node, "Allocating GPUs");
    let wish = cluster::Wish {
        node: args.node.clone(),
        pod_uid: args.pod_uid.clone(),
        number: usize::try_from(args.num_gpus).unwrap_or(usize::MAX),
        visible,
        sticky: args.sticky,
    };
    let table = cluster::Table::new(client, &args.namespace, name);
    let gpus = allocate_until(&table, &wish, StdRng::seed_from_u64(seed), &shutdown).await?;
    tracing::info!(gpuUUIDs = ?gpus, "Allocated GPUs");
    // Listening begins only now: until then the controller is refused.
    let bound = requester::bind_with(args.serving, Source::Fixed(gpus)).await?;
    bound.serve(shutdown, Box::new(std::io::stdout())).await
}

async fn allocate_until(
    table: &cluster::Table,
    wish: &cluster::Wish,
    mut rng: StdRng,
    shutdown: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let mut told = String::new();
    loop {
        let problem = tokio::select! {
            attempt = table.attempt(wish, &mut rng) => match attempt {
                Ok(gpus) => return Ok(gpus),
                Err(problem) => problem.to_string(),
            },
            () = shutdown.cancelled() => return Err(Error::Allocation("cancelled".to_owned())),
        };
        // A second, more or less, so that requesters that met do not meet again.
        let pause = Duration::from_millis(rng.random_range(800..=1200));
        if problem != told {
            tracing::info!(%problem, "Failed to allocate GPUs; trying again");
            told.clone_from(&problem);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Err(Error::Allocation(problem)),
        }
    }
}
