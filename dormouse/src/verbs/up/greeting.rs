//! What `up` prints when it is ready: lines that can be typed and that then return tokens, or why there are none.

use std::path::Path;

use dormouse_plane::{Plane, holder};
use dormouse_runtime::output::Out;

use super::{GpuMap, UpArgs};
use crate::engine::{Engine, accelerated};

/// What the examples call their model, and the label of its server.
const MODEL: &str = "sim-model";
/// A small model that a real vLLM can fetch.
const HOST_MODEL: &str = "HuggingFaceTB/SmolLM2-360M-Instruct";

pub(super) fn print(args: &UpArgs, plane: &Plane, run_folder: &Path) -> anyhow::Result<()> {
    if let Some(port) = plane.moved_from() {
        let by = holder(None, port).map(|h| format!(" by {h}")).unwrap_or_default();
        Out.line(&format!("port {port} is taken{by}; using {}", plane.address().port()))?;
    }
    let (nodes, gpus) = (plane.devices().len(), args.plane.gpus_per_node);
    Out.line(&format!("ready: https://{} with {nodes} node(s), {gpus} simulated GPU(s) each", plane.address()))?;
    Out.line("\n  # use it")?;
    Out.line(&format!("  export KUBECONFIG={}", plane.kubeconfig().display()))?;
    match no_model(args) {
        Some(why) => Out.line(&format!("  # {why}"))?,
        None => Out.text(&model(args, &run_folder.join("model")))?,
    }
    Ok(Out.line("")?)
}

/// Why no example would get its model served here.
fn no_model(args: &UpArgs) -> Option<&'static str> {
    if args.plane.gpus_per_node == 0 {
        Some("no model can be served here: the nodes have no GPUs (--gpus-per-node 0)")
    } else if !args.controllers.has("dual-pods") {
        Some("no model is served here: the dual-pods controller does not run (--controllers)")
    } else if args.gpu_map == GpuMap::None {
        Some("no model is served here until somebody fills the ConfigMap gpu-map (--gpu-map none)")
    } else if args.engine != Engine::Host && !cfg!(feature = "engine") {
        Some("no model is served here: this build has no engine (Cargo feature engine, or --engine host)")
    } else {
        None
    }
}

/// The lines that get a model served, and ask it.
fn model(args: &UpArgs, folder: &Path) -> String {
    let folder = folder.display();
    // What the user called this program is what can be typed again.
    let dormouse = std::env::args().next().unwrap_or_else(|| "dormouse".to_owned());
    // A real engine takes the model that we make too: nothing need be fetched for the first answer.
    let made = args.engine == Engine::Embedded || args.engine == Engine::Host && cfg!(feature = "engine");
    let plain = args.engine == Engine::Host && !accelerated();
    // Nor does it keep to a part of the memory there by itself.
    let on_cpu = if plain { " -e s/--enable-sleep-mode/--gpu-memory-utilization=0.25/" } else { "" };
    let patience = if args.engine == Engine::Host { 900 } else { 60 };
    let (name, app, label, apply) = if made {
        let make = format!("[ -e {folder}/config.json ] || {dormouse} engine make-model {folder} --name tiny");
        let apply = format!("sed -e 's,MODEL_FOLDER,{folder},'{on_cpu} examples/embedded.yaml | kubectl apply -f -");
        ("tiny", "embedded", "tiny", format!("{make}\n  {apply}"))
    } else if args.engine == Engine::Host {
        let apply = format!("sed -e 's,- {MODEL},- {HOST_MODEL},'{on_cpu} examples/direct.yaml | kubectl apply -f -");
        (HOST_MODEL, "direct", MODEL, apply)
    } else {
        (MODEL, "direct", MODEL, "kubectl apply -f examples/direct.yaml".to_owned())
    };
    format!(
        "  {apply}\n  kubectl wait --for=condition=Ready pod -l app={app} --timeout={patience}s\n\n  # ask the model\n  \
         curl -s http://$(kubectl get pod -l model={label} -o jsonpath='{{.items[0].status.podIP}}'):8000/v1/completions \
         -H 'content-type: application/json' -d '{{\"model\": \"{name}\", \"prompt\": \"Hello\", \"max_tokens\": 16}}'\n"
    )
}
