//! What `up` prints when it is ready: lines that can be typed and that then return tokens, or why there are none.

use std::path::Path;

use dormouse_plane::{Plane, holder};
use dormouse_runtime::output::Out;

use super::{GpuMap, UpArgs};
use crate::engine::Engine;

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
    let (name, patience, apply) = match args.engine {
        Engine::Sim => (MODEL, 60, "kubectl apply -f examples/direct.yaml".to_owned()),
        Engine::Embedded => (
            "tiny",
            60,
            format!(
                "[ -e {folder}/config.json ] || {dormouse} engine make-model {folder} --name tiny\n  \
                 sed 's,MODEL_FOLDER,{folder},' examples/embedded.yaml | kubectl apply -f -"
            ),
        ),
        // Fetched first; that may take its time.
        Engine::Host => (HOST_MODEL, 900, format!("sed 's,- {MODEL},- {HOST_MODEL},' examples/direct.yaml | kubectl apply -f -")),
    };
    let (app, label) = if args.engine == Engine::Embedded { ("embedded", "tiny") } else { ("direct", MODEL) };
    format!(
        "  {apply}\n  kubectl wait --for=condition=Ready pod -l app={app} --timeout={patience}s\n\n  # ask the model\n  \
         curl -s http://$(kubectl get pod -l model={label} -o jsonpath='{{.items[0].status.podIP}}'):8000/v1/completions \
         -H 'content-type: application/json' -d '{{\"model\": \"{name}\", \"prompt\": \"Hello\", \"max_tokens\": 16}}'\n"
    )
}
