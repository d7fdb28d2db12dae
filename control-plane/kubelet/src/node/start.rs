//! Starting one run of a container: environment, command, sandbox, log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_names::{Programs, env as names};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::context::Node;
use super::folder::{self, ContainerFolder};
use super::prepare::{self, Stage, blocking};
use super::scripts;
use super::tree::Tree;
use crate::logs::{self, RunLog, Stream};
use crate::machine::Failure;
use crate::plan::env::{self, Environment, expand};
use crate::plan::image::{self, Resolution, Target, Wish};
use crate::plan::mount::{self, MountPlan};
use crate::plan::volume::SERVICE_ACCOUNT_PATH;
use crate::plan::{hidden, user};
use crate::shim::{Control, Mount, Place, Reports, RunSpec, Sandbox, User};

/// Where this binary and its links are inside a sandbox.
const INSIDE: &str = "/.dormouse";
/// What the host's PATH is when it has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A run that began.
pub(super) struct Running {
    pub(super) id: String,
    pub(super) image: String,
    pub(super) control: Control,
    /// What an exec in the container takes over.
    pub(super) exec: ExecBase,
}

/// How probes and hooks run something beside the container's process.
#[derive(Clone, Debug)]
pub(super) struct ExecBase {
    env: Vec<String>,
    path: String,
    cwd: Option<String>,
    user: Option<User>,
    place: Place,
    inside: bool,
    tree: Tree,
    programs: Programs,
}

/// What watches a run to its end.
pub(super) struct Watch {
    pub(super) reports: Reports,
    pub(super) output: [tokio::task::JoinHandle<()>; 2],
    pub(super) log: Arc<RunLog>,
    pub(super) termination_log: PathBuf,
    pub(super) fall_back_to_log: bool,
}

/// What a start tells about itself while it goes on.
pub(super) type Tell<'a> = &'a (dyn Fn(bool, &str, String) + Sync);

type Failed = (Failure, String);

/// The `index`-th container of a Pod, init containers first.
pub(super) fn container_spec(pod: &Pod, index: usize) -> Option<&Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).nth(index)
}

/// Starts attempt `attempt` of the `index`-th container of `pod`, which may be newer than the stage.
pub(super) async fn start(
    node: &Node,
    pod: &Pod,
    stage: &Stage,
    index: usize,
    attempt: u32,
    tell: Tell<'_>,
) -> Result<(Running, Watch), Failed> {
    let Some(container) = container_spec(pod, index) else { return Err((Failure::Config, "no such container".to_owned())) };
    let sandboxed = node.sandbox().await;
    let inside = sandboxed.is_ok();
    let image = container.image.as_deref().unwrap_or("");
    let scripts = image::scripts(&node.options.programs, image);
    let variables = variables(node, stage, pod, container).await?;
    let lookup = |name: &str| variables.get(name).map(str::to_owned);
    let mounts = mount::mounts(pod, container, &lookup).map_err(|e| (Failure::Config, e))?;
    if let Err(why) = sandboxed {
        refuse_mounts(container, &mounts, stage, &why)?;
    }
    let environment = environment(node, stage, pod, container, &variables, inside, !scripts.is_empty());
    let tree = if inside { Tree::inside(stage, &mounts) } else { Tree::default() };
    let resolution = resolve(node, container, &environment, inside, &mounts, &tree).inspect_err(|_| {
        if inside && attempt == 0 {
            tell_hidden(container, &on_host(container, &environment), &mounts, tell);
        }
    })?;
    tell(false, "Pulled", format!("Container image {image:?} means {}", resolution.how));
    if inside && attempt == 0 {
        tell_hidden(container, &resolution.argv, &mounts, tell);
    }
    let files = {
        let (dir, name, bin, scripts) = (stage.dir.clone(), container.name.clone(), bin(node, inside), scripts.clone());
        let make = move || {
            let files = folder::container(&dir, &name)?;
            if !scripts.is_empty() {
                scripts::write(&files.app, &bin, &scripts)?;
            }
            Ok(files)
        };
        blocking(make).await.map_err(|e| (Failure::Start, format!("making the container's files: {e}")))?
    };
    let (wanted, ignored) = identity(pod, container);
    if ignored && attempt == 0 {
        let text = format!("Container {}: runAsUser and runAsGroup are ignored, because this kubelet does not run as root", container.name);
        tell(true, "RunAsUserIgnored", text);
    }
    let place = if inside { Place::New(sandbox(node, stage, container, &files, &mounts)?) } else { Place::Host };
    let program = match &resolution.program {
        Target::Ours if inside => format!("{INSIDE}/dormouse"),
        Target::Ours => path_text(&node.options.executable),
        Target::Path(path) => path.clone(),
    };
    let app = (!scripts.is_empty()).then(|| if inside { scripts::FOLDER.to_owned() } else { path_text(&files.app) });
    let cwd = container.working_dir.clone().filter(|d| !d.is_empty()).or_else(|| resolution.working_dir.clone()).or(app);
    let argv = resolution.argv_at(stage.facts.pod_ip.parse().ok(), &node.options.programs);
    let spec = RunSpec { program, argv, env: environment.to_strings(), cwd: cwd.clone(), user: wanted, place };
    let start_error = |e: String| (Failure::Start, format!("failed to start container {:?}: {e}", container.name));
    let log = node.logs.begin(&stage.uid, &container.name, attempt).map_err(|e| start_error(format!("log: {e}")))?;
    tell(false, "Created", format!("Created container: {}", container.name));
    let run = stage.shim.run(&spec).await.map_err(|e| start_error(e.to_string()))?;
    let (mut reports, control, stdout, stderr) = run.split();
    let clock = &node.options.clock;
    let output = [
        tokio::spawn(logs::copy(stdout, Stream::Stdout, log.clone(), clock.clone())),
        tokio::spawn(logs::copy(stderr, Stream::Stderr, log.clone(), clock.clone())),
    ];
    let (_, init) = match reports.started().await {
        Ok(pids) => pids,
        Err(error) => {
            log.end();
            return Err(start_error(error));
        }
    };
    tell(false, "Started", format!("Started container {}", container.name));
    let path = environment.get("PATH").unwrap_or(PATH).to_owned();
    let place = if inside { Place::Join(init) } else { Place::Host };
    let running = Running {
        id: container_id(),
        image: resolution.digest(),
        control,
        exec: ExecBase {
            env: environment.to_strings(),
            path,
            cwd,
            user: wanted,
            place,
            inside,
            tree,
            programs: node.options.programs.clone(),
        },
    };
    let fall_back_to_log = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    Ok((running, Watch { reports, output, log, termination_log: files.termination_log, fall_back_to_log }))
}

/// Without a sandbox a mount cannot be shown at its path, unless it is there already.
fn refuse_mounts(container: &Container, mounts: &[MountPlan], stage: &Stage, why: &str) -> Result<(), Failed> {
    for m in mounts.iter().filter(|m| m.declared) {
        let there = stage.volumes.get(&m.volume).is_some_and(|root| path_text(root) == m.target && m.sub_path.is_none());
        if !there {
            let text = format!(
                "Container {} mounts volume {:?} at {}, which needs a mount namespace, and there is none: {why}",
                container.name, m.volume, m.target
            );
            return Err((Failure::Mount, text));
        }
    }
    Ok(())
}

/// The file of the host that a container's command would be.
fn on_host(container: &Container, environment: &Environment) -> Vec<String> {
    let name = container.command.iter().flatten().next();
    name.and_then(|name| Tree::default().which(name, environment.get("PATH").unwrap_or(PATH))).into_iter().collect()
}

/// Says which files of the host the container names and cannot see.
fn tell_hidden(container: &Container, words: &[String], mounts: &[MountPlan], tell: Tell<'_>) {
    let mut hidden: Vec<String> = hidden::tmp_paths(words, mounts).into_iter().collect();
    hidden.retain(|path| Path::new(path).exists());
    if !hidden.is_empty() {
        let text = format!(
            "Container {} names {}, there on the host and hidden by the container's own /tmp. To show it, mount it as a hostPath volume",
            container.name,
            hidden.join(", ")
        );
        tell(true, "HiddenByPrivateTmp", text);
    }
}

/// The variables of Kubernetes: those that the container declares, and services. Paths of volumes may name these and no others.
async fn variables(node: &Node, stage: &Stage, pod: &Pod, container: &Container) -> Result<Environment, Failed> {
    let sources = prepare::fetch(&node.options.client, prepare::namespace(pod), env::references(container)).await;
    let sources = sources.map_err(|e| (Failure::Config, e.to_string()))?;
    let mut services = Environment::default();
    if let Some(api) = &node.options.api {
        services.set("KUBERNETES_SERVICE_HOST", api.host.clone());
        services.set("KUBERNETES_SERVICE_PORT", api.port.to_string());
        services.set("KUBERNETES_SERVICE_PORT_HTTPS", api.port.to_string());
    }
    env::declared(pod, container, &sources, &stage.facts, &services).map_err(|e| (Failure::Config, e.to_string()))
}

/// Where a container finds the links to our programs.
fn bin(node: &Node, inside: bool) -> String {
    if inside { format!("{INSIDE}/bin") } else { path_text(&node.dir.join("bin")) }
}

/// All that a container finds in its environment. `scripted`: its image has scripts, which want an interpreter.
fn environment(
    node: &Node,
    stage: &Stage,
    pod: &Pod,
    container: &Container,
    variables: &Environment,
    inside: bool,
    scripted: bool,
) -> Environment {
    let mut all = Environment::default();
    // Nothing else of the host's environment reaches a Pod.
    for name in ["HOME", "LANG"] {
        if let Ok(value) = std::env::var(name) {
            all.set(name, value);
        }
    }
    all.set("HOSTNAME", prepare::hostname(pod));
    // A rule of --images says more than we do by ourselves, and less than the container.
    let none = BTreeMap::new();
    let rule = node.options.images.find(container.image.as_deref().unwrap_or("")).map_or(&none, |rule| &rule.env);
    for (name, value) in rule {
        all.set(name.as_str(), value.as_str());
    }
    for (name, value) in variables.iter() {
        all.set(name, value);
    }
    let host_path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let wanted = variables.get("PATH").or(rule.get("PATH").map(String::as_str)).unwrap_or(&host_path);
    let mut path = format!("{}:{wanted}", bin(node, inside));
    if scripted {
        let last = if inside { format!("{INSIDE}/last") } else { path_text(&node.dir.join("last")) };
        path = format!("{path}:{last}");
    }
    all.set("PATH", path);
    all.set(names::POD_IP, stage.facts.pod_ip.clone());
    for (name, value) in &node.options.env {
        all.set(name.clone(), value.clone());
    }
    // What waits for a controller does so until shortly before the grace ends; it cannot see the Pod's spec.
    let grace = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds).unwrap_or(30);
    all.set(names::TERMINATION_GRACE_SECONDS, grace.to_string());
    all.set(names::DEVICES, node.options.device_socket());
    if let Some(indexes) = stage.gpus.get(&container.name)
        && !image::runs(&node.options.programs, container, |p| p.gpus_by_manifest)
    {
        let uuids: Vec<String> = indexes.iter().map(|i| node.options.gpus.uuid(*i)).collect();
        all.set(names::NVIDIA_VISIBLE_DEVICES, uuids.join(","));
    }
    // By the Pod's UID the sweep knows its processes: that is nobody else's to say.
    for (name, value) in rule.iter().filter(|(name, _)| name.starts_with(names::PREFIX) && *name != names::POD_UID) {
        all.set(name.as_str(), variables.get(name).unwrap_or(value));
    }
    all.set(names::POD_UID, stage.uid.clone());
    if !inside && let Some(config) = kubeconfig(node, stage, container) {
        all.set_default("KUBECONFIG", config);
    }
    all
}

/// For containers without a sandbox: the account's files cannot be at their usual path.
fn kubeconfig(node: &Node, stage: &Stage, container: &Container) -> Option<String> {
    let api = node.options.api.as_ref()?;
    let mount = container.volume_mounts.iter().flatten().find(|m| m.mount_path.trim_end_matches('/') == SERVICE_ACCOUNT_PATH)?;
    let root = stage.volumes.get(&mount.name)?;
    let namespace = prepare::namespace(&stage.pod);
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "pod",
        "clusters": [{"name": "plane", "cluster": {
            "server": format!("https://{}:{}", api.host, api.port), "certificate-authority": path_text(&root.join("ca.crt"))}}],
        "users": [{"name": "account", "user": {"tokenFile": path_text(&root.join("token"))}}],
        "contexts": [{"name": "pod", "context": {"cluster": "plane", "user": "account", "namespace": namespace}}],
    });
    let path = stage.dir.join("kubeconfig");
    folder::write_file(&path, text.to_string().as_bytes(), 0o600).ok()?;
    Some(path_text(&path))
}

fn resolve(
    node: &Node,
    container: &Container,
    environment: &Environment,
    inside: bool,
    mounts: &[MountPlan],
    tree: &Tree,
) -> Result<Resolution, Failed> {
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> { words.iter().flatten().map(|w| expand(w, &lookup)).collect() };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    // What is ours is known by its name; a link of ours found here would be taken for a program of the host.
    let links = format!("{}:", bin(node, inside));
    let path = environment.get("PATH").unwrap_or(PATH);
    let path = path.strip_prefix(&links).unwrap_or(path);
    let find = |name: &str| {
        if name.contains('/') {
            // A volume of the container may bring the file; that is known only inside.
            let mounted = mounts.iter().any(|m| Path::new(name).starts_with(&m.target)) || !name.starts_with('/');
            return (mounted || Path::new(name).exists()).then(|| name.to_owned());
        }
        tree.which(name, path)
    };
    let wish = Wish { image: container.image.as_deref().unwrap_or(""), command: &command, args: &args };
    image::resolve(wish, &node.options.images, &node.options.programs, &find).map_err(|e| (Failure::Image, e.to_string()))
}

/// Who to become, and whether a wish is ignored.
fn identity(pod: &Pod, container: &Container) -> (Option<User>, bool) {
    let wanted = user::wanted(pod, container);
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let changes = wanted.uid.is_some_and(|u| u != uid) || wanted.gid.is_some_and(|g| g != gid);
    match (changes, uid == 0) {
        (true, true) => (Some(User { uid: wanted.uid, gid: wanted.gid.or(wanted.uid.map(|_| 0)) }), false),
        (true, false) => (None, true),
        (false, _) => (None, false),
    }
}

fn sandbox(node: &Node, stage: &Stage, container: &Container, files: &ContainerFolder, plans: &[MountPlan]) -> Result<Sandbox, Failed> {
    let mut mounts: Vec<Mount> = Vec::new();
    let mut add = |source: PathBuf, target: &str, read_only: bool| {
        let target = PathBuf::from(target);
        mounts.retain(|m| m.target != target);
        mounts.push(Mount { source, target, read_only });
    };
    add(node.options.executable.clone(), &format!("{INSIDE}/dormouse"), false);
    add(node.dir.join("bin"), &format!("{INSIDE}/bin"), false);
    if files.app.exists() {
        add(node.dir.join("last"), &format!("{INSIDE}/last"), false);
        add(files.app.clone(), scripts::FOLDER, false);
    }
    add(files.tmp.clone(), "/tmp", false);
    add(stage.dir.join("hosts"), "/etc/hosts", false);
    let last_words = container.termination_message_path.as_deref().filter(|p| p.starts_with('/')).unwrap_or("/dev/termination-log");
    add(files.termination_log.clone(), last_words, false);
    for plan in plans {
        let Some(root) = stage.volumes.get(&plan.volume) else {
            return Err((Failure::Config, format!("cannot find volume {:?} to mount into container {:?}", plan.volume, container.name)));
        };
        let source = match &plan.sub_path {
            None => root.clone(),
            Some(sub) => folder::sub_path(root, sub).map_err(|what| {
                (Failure::Config, format!("failed to {what} for volumeMount {:?} of container {:?}", plan.volume, container.name))
            })?,
        };
        add(source, &plan.target, plan.read_only);
    }
    mounts.sort_by_key(|m| m.target.components().count());
    Ok(Sandbox { root: stage.dir.join("root"), mounts })
}

impl ExecBase {
    /// A command beside the container's process.
    pub(super) fn spec(&self, command: &[String]) -> Result<RunSpec, String> {
        let first = command.first().ok_or("the command is empty")?;
        let program = if first.contains('/') {
            first.clone()
        } else if self.inside && self.programs.called(first).is_some() {
            format!("{INSIDE}/bin/{first}")
        } else {
            self.tree.which(first, &self.path).ok_or_else(|| format!("exec: {first:?}: executable file not found in $PATH"))?
        };
        Ok(RunSpec {
            program,
            argv: command.to_vec(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            user: self.user,
            place: self.place.clone(),
        })
    }
}

/// 64 hexadecimal digits, as container ids have.
fn container_id() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
