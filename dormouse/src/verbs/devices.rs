//! `dormouse devices`: who holds the memory of a plane's GPUs.

use anyhow::Context;
use clap::Args;
use dormouse_controller::Credentials;
use dormouse_plane::{Engine, devices, run_folder};
use dormouse_runtime::flags::Output;
use dormouse_runtime::output::Out;
use dormouse_runtime::program;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

/// Arguments of `devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Name of the plane
    #[arg(long, default_value = "default")]
    name: String,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(crate) fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let state = run_folder::found(&args.name)?;
    program::block_on(async {
        let config = Credentials { kubeconfig: Some(state.kubeconfig.clone()), ..Credentials::default() }.config().await?;
        let client = Client::try_from(config).context("cannot make a client")?;
        let pods = Api::<Pod>::all(client).list(&ListParams::default()).await.context("cannot list Pods")?.items;
        let ledgers = devices::gather(&state.devices, engines(&pods).await).await?;
        match args.output {
            Output::Json => Out.line(&serde_json::to_string_pretty(&ledgers.json()?)?)?,
            Output::Table => Out.text(&ledgers.table())?,
        }
        Ok(())
    })
}

/// The engines that these Pods tell of.
async fn engines(pods: &[Pod]) -> Vec<Engine> {
    #[cfg(feature = "actuation")]
    let told = dormouse_actuation::status::engines(pods).await;
    #[cfg(not(feature = "actuation"))]
    let told = Vec::new();
    with_plain(pods, &told)
}

#[cfg(feature = "actuation")]
type Told = dormouse_actuation::status::Engine;
/// Nobody tells of any.
#[cfg(not(feature = "actuation"))]
type Told = std::convert::Infallible;

/// What actuation tells of, and every other Pod that was given GPUs.
pub(super) fn with_plain(pods: &[Pod], told: &[Told]) -> Vec<Engine> {
    #[cfg(feature = "actuation")]
    let (plain, told) = (pods.iter().filter(|p| !dormouse_actuation::status::stands_for_engines(p)), told.iter().map(neutral));
    #[cfg(not(feature = "actuation"))]
    let (plain, told) = (pods.iter(), told.iter().map(|none| match *none {}));
    told.chain(plain.filter_map(Engine::of)).collect()
}

#[cfg(feature = "actuation")]
fn neutral(engine: &Told) -> Engine {
    use dormouse_plane::LeaseState;
    Engine {
        node: engine.node.clone(),
        gpus: engine.gpus.clone(),
        pod: engine.pod.name.clone(),
        pod_uid: engine.pod.uid.clone(),
        name: engine.name.clone(),
        state: if engine.asleep { LeaseState::Asleep } else { LeaseState::Awake },
    }
}
