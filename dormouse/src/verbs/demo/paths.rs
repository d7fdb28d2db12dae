//! The ways a model gets served, played one after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use dormouse_apis::names::{SERVER_CONTAINER, annotation, path, port};
use dormouse_engine_client::Endpoint;
use dormouse_engine_client::openai::{ChatMessage, ChatRequest, Common};
use dormouse_runtime::clock::{Clock, SystemClock};
use dormouse_runtime::{http as clients, monotonic, net};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::DemoArgs;
use super::manifests::{self, Model, Readiness};
use super::measure::{self, Offset, Sample, Work};
use super::observed::{self, Begin};
use super::ports::Ports;
use super::report::{Path, Report};
use super::scene::{Scene, step};
use super::stage::{Stage, ip, timeline};
use crate::engine::Engine;

/// Peak of a PCIe 5 x16 link and what storage gives, bytes per second: what the simulated node has.
const LINK_PEAK: f64 = 63e9;
const STORAGE: f64 = 5e9;
/// GPUs: launcher flow on one, direct flow and the plain Pod on the other.
const GPU: &str = "GPU-0";
const OTHER_GPU: &str = "GPU-1";
/// Time of a call, its whole answer included.
const CALL: Duration = Duration::from_secs(60);
const PROMPT: &str = "Who are you?";

/// Requesters of a model.
#[derive(Debug, Clone, Copy)]
struct Set {
    model: usize,
    readiness: Readiness,
}

/// As everybody has them.
fn probed(model: usize) -> Set {
    Set { model, readiness: Readiness::Probe }
}

struct Player<'a> {
    args: &'a DemoArgs,
    stage: &'a mut Stage,
    models: [Model; 2],
    ports: Ports,
    http: reqwest::Client,
    offset: Offset,
    /// What each model said first.
    said: [Option<String>; 2],
}

/// Plays all paths (or those asked for) and puts what was seen into the report.
pub(super) async fn all(args: &DemoArgs, scene: &mut Scene, report: &mut Report) -> anyhow::Result<()> {
    let http = clients::client(clients::Timeouts { connect: Duration::from_secs(2), total: Some(CALL) })?;
    let offset = Offset::new(SystemClock.now(), monotonic::now_us());
    let (models, ports) = (scene.models.clone(), scene.ports);
    let mut p = Player { args, stage: &mut scene.stage, models, ports, http, offset, said: [None, None] };
    let [a, b] = p.models.clone();
    for (model, at) in [(&a, 0), (&b, 1)] {
        for readiness in [Readiness::Probe, Readiness::Gate] {
            let (name, notes) = (p.name(Set { model: at, readiness }), manifests::by_config(model));
            p.stage.apply(&manifests::requesters(&name, notes, GPU, &p.ports, args.delay_ready_ms, readiness)).await?;
        }
    }
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|o| o == name);
    if wanted("cold-plain") {
        let path = p.cold_plain().await.context("path cold-plain")?;
        report.push(path);
    }
    // The launcher paths build on each other.
    let cold = p.cold().await.context("path cold")?;
    report.push(cold);
    let warm = p.warm().await.context("path warm")?;
    report.push(warm);
    for (name, readiness) in [("hot", Readiness::Probe), ("hot-gated", Readiness::Gate)] {
        if wanted(name) {
            let path = p.hot(name, readiness).await.with_context(|| format!("path {name}"))?;
            report.push(path);
        }
    }
    for (name, readiness) in [("swap", Readiness::Probe), ("swap-gated", Readiness::Gate)] {
        if wanted(name) {
            let path = p.swap(name, readiness).await.with_context(|| format!("path {name}"))?;
            report.push(path);
        }
    }
    #[cfg(feature = "perf")]
    if wanted("load") {
        let load = p.load().await.context("path load")?;
        report.under_load(load);
    }
    if wanted("direct") {
        for path in p.direct().await.context("path direct")? {
            report.push(path);
        }
    }
    Ok(())
}

impl Player<'_> {
    /// The ReplicaSet.
    fn name(&self, set: Set) -> String {
        let model = &self.models[set.model].name;
        if set.readiness == Readiness::Gate { format!("{model}-gated") } else { model.clone() }
    }

    fn modelled(&self) -> Vec<&'static str> {
        if self.args.engine == Engine::Sim { vec!["engine_seconds", "first_token_seconds"] } else { Vec::new() }
    }

    fn floor(&self, samples: &[Sample], from_storage: bool) -> Option<f64> {
        if self.args.engine == Engine::Host {
            return None;
        }
        let bytes = samples.last()?.bytes;
        #[allow(clippy::cast_precision_loss, reason = "gigabytes")]
        let bytes = bytes as f64;
        if self.args.engine == Engine::Embedded {
            return Some(bytes / copy_bandwidth());
        }
        let peak = self.args.link.map_or(LINK_PEAK, |l| LINK_PEAK.max(l * 1e9));
        Some(bytes / peak + if from_storage { bytes / STORAGE } else { 0.0 })
    }

    fn path(&self, name: &'static str, samples: Vec<Sample>, from_storage: bool, answers: Vec<String>) -> Path {
        let floor = self.floor(&samples, from_storage);
        Path { name, samples, floor, modelled: self.modelled(), answers }
    }

    /// A Pod that runs the engine itself.
    async fn cold_plain(&mut self) -> anyhow::Result<Path> {
        step("cold-plain: a Pod that runs the engine itself");
        let model = Model { name: "plain".into(), port: self.ports.plain, ..self.models[0].clone() };
        self.stage.apply(&manifests::plain(&model, OTHER_GPU)).await?;
        let pod = self.stage.served("plain").await?;
        let (answer, first_token) = self.ask(&pod, &model).await?;
        let (started, ready) = life(&pod)?;
        let log = if self.args.engine == Engine::Host {
            // Nobody saw more of it than the kubelet.
            self.offset.start(started, ready).into()
        } else {
            measure::stamps(&self.stage.log(&pod.name_any(), SERVER_CONTAINER).await?)
        };
        let sample = measure::plain(self.offset, started, ready, &log, first_token).context("the engine left no stamps")?;
        self.stage.remove("plain").await?;
        Ok(self.path("cold-plain", vec![sample], true, vec![answer]))
    }

    /// First requester: launcher made, instance made.
    async fn cold(&mut self) -> anyhow::Result<Path> {
        step("cold: the first requester, for which a launcher and an engine are made");
        self.stage.scale(&self.name(probed(0)), 1).await?;
        let (sample, answer) = self.actuation(probed(0), Work::Start).await?;
        // From here on the launcher stays: made on demand for this path, kept by policy for the next.
        self.stage.apply(&manifests::population_policy()).await?;
        Ok(self.path("cold", vec![sample], true, vec![answer]))
    }

    /// Another model on that launcher.
    async fn warm(&mut self) -> anyhow::Result<Path> {
        step("warm: another model on that launcher");
        self.release(probed(0)).await?;
        self.stage.scale(&self.name(probed(1)), 1).await?;
        let (sample, answer) = self.actuation(probed(1), Work::Start).await?;
        self.release(probed(1)).await?;
        Ok(self.path("warm", vec![sample], true, vec![answer]))
    }

    /// To nought and back.
    async fn hot(&mut self, name: &'static str, readiness: Readiness) -> anyhow::Result<Path> {
        step(&format!("{name}: put to sleep and woken, {} times{}", self.args.iterations, by(readiness)));
        let set = Set { model: 0, readiness };
        let mut samples = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..self.args.iterations {
            self.stage.scale(&self.name(set), 1).await?;
            let (sample, answer) = self.actuation(set, Work::Wake).await?;
            samples.push(sample);
            answers = vec![answer];
            self.release(set).await?;
        }
        Ok(self.path(name, samples, false, answers))
    }

    /// One model goes, the other comes, on one GPU.
    async fn swap(&mut self, name: &'static str, readiness: Readiness) -> anyhow::Result<Path> {
        let rounds = part(self.args.iterations);
        step(&format!("{name}: one model for the other on one GPU, {rounds} times{}", by(readiness)));
        let set = |model: usize| Set { model, readiness };
        let mut samples = Vec::new();
        let mut answers = vec![String::new(); 2];
        self.stage.scale(&self.name(set(0)), 1).await?;
        self.actuation(set(0), Work::Wake).await?;
        for i in 0..rounds {
            let (from, to) = if i % 2 == 0 { (0, 1) } else { (1, 0) };
            let (old, new) = (self.name(set(from)), self.name(set(to)));
            let (down, up) = tokio::join!(self.stage.scale(&old, 0), self.stage.scale(&new, 1));
            down.and(up)?;
            let (sample, answer) = self.actuation(set(to), Work::Wake).await?;
            samples.push(sample);
            answers[to] = answer;
            self.stage.unserved(&old).await?;
        }
        for model in 0..2 {
            let name = self.name(set(model));
            self.stage.scale(&name, 0).await?;
            self.stage.unserved(&name).await?;
        }
        answers.retain(|a| !a.is_empty());
        Ok(self.path(name, samples, false, answers))
    }

    /// Requests all the while a model is woken.
    #[cfg(feature = "perf")]
    async fn load(&mut self) -> anyhow::Result<super::load::Load> {
        step("load: requests all the while a sleeping model is woken");
        let set = Set { model: 0, readiness: Readiness::Gate };
        let name = self.name(set);
        self.stage.scale(&name, 1).await?;
        let requester = self.stage.served(&name).await?;
        let provider = self.stage.provider(&requester).await?;
        let base = net::base_url(ip(&provider).context("the provider has no address")?, self.models[0].port);
        let engine = Endpoint::new(&base, self.http.clone(), CALL);
        let model = engine.models().await?.data.into_iter().next().context("the engine names no model")?.id;
        self.release(set).await?;
        let load = tokio::task::spawn_blocking(move || super::load::run(&base, &model));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let scaled = SystemClock.now();
        self.stage.scale(&name, 1).await?;
        let requester = self.stage.served(&name).await?;
        let (started, ready) = life(&requester)?;
        let seen = load.await.context("the load failed")??;
        self.release(set).await?;
        Ok(seen.beside(scaled, started, ready))
    }

    /// The older flow with a server patch: cold, then hot.
    async fn direct(&mut self) -> anyhow::Result<Vec<Path>> {
        step("direct: the older flow, with a server patch");
        let model = Model { name: "direct".into(), port: self.ports.plain, ..self.models[0].clone() };
        let (notes, delay) = (manifests::by_patch(&model), self.args.delay_ready_ms);
        self.stage.apply(&manifests::requesters("direct", notes, OTHER_GPU, &self.ports, delay, Readiness::Probe)).await?;
        let mut paths = Vec::new();
        for (name, work) in [("direct-cold", Work::Start), ("direct-hot", Work::Wake)] {
            let rounds = if work == Work::Start { 1 } else { part(self.args.iterations) };
            let (mut samples, mut answers) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                self.stage.scale("direct", 1).await?;
                let requester = self.stage.served("direct").await?;
                let provider = self.stage.provider(&requester).await?;
                let (answer, first_token) = self.ask(&provider, &model).await?;
                let engine = self.direct_stamps(&provider, &model).await?;
                samples.push(self.sample(&requester, &engine, work, first_token).await?);
                self.same(0, &answer)?;
                answers = vec![answer];
                self.stage.scale("direct", 0).await?;
                self.stage.unserved("direct").await?;
                self.stage.asleep(&provider.name_any()).await?;
            }
            paths.push(self.path(name, samples, work == Work::Start, answers));
        }
        Ok(paths)
    }

    /// Scales a model to nought and waits until its engine sleeps.
    async fn release(&mut self, set: Set) -> anyhow::Result<()> {
        let name = self.name(set);
        let requester = self.stage.served(&name).await?;
        let provider = self.stage.provider(&requester).await?.name_any();
        self.stage.scale(&name, 0).await?;
        self.stage.unserved(&name).await?;
        self.stage.asleep(&provider).await
    }

    /// Waits until the model's requester is ready; asks the engine; reads the stamps.
    async fn actuation(&mut self, set: Set, work: Work) -> anyhow::Result<(Sample, String)> {
        let m = self.models[set.model].clone();
        let requester = self.stage.served(&self.name(set)).await?;
        let provider = self.stage.provider(&requester).await?;
        let (answer, first_token) = self.ask(&provider, &m).await?;
        self.same(set.model, &answer)?;
        let engine = self.instance_stamps(&provider, &m).await?;
        let sample = self.sample(&requester, &engine, work, first_token).await?;
        Ok((sample, answer))
    }

    async fn sample(&mut self, requester: &Pod, engine: &[monotonic::Stamp], work: Work, first_token: f64) -> anyhow::Result<Sample> {
        let name = requester.name_any();
        let log = measure::stamps(&self.stage.log(&name, SERVER_CONTAINER).await?);
        let (started, ready) = life(requester)?;
        measure::actuated(self.offset, started, ready, &log, engine, work, first_token)
            .with_context(|| format!("stamps of {name} or its engine are missing ({} and {} were found)", log.len(), engine.len()))
    }

    /// The same prompt must get the same answer before and after every sleep.
    fn same(&mut self, model: usize, answer: &str) -> anyhow::Result<()> {
        let first = self.said[model].get_or_insert_with(|| answer.to_owned());
        ensure!(first == answer, "model {} answered {answer:?} after {first:?}", self.models[model].name);
        Ok(())
    }

    /// What the engine of a direct provider did.
    async fn direct_stamps(&self, provider: &Pod, model: &Model) -> anyhow::Result<Vec<monotonic::Stamp>> {
        if self.args.engine != Engine::Host {
            return Ok(measure::stamps(&self.stage.log(&provider.name_any(), SERVER_CONTAINER).await?));
        }
        let started = timeline(provider).started.context("the kubelet left no start of the provider")?;
        self.observed(provider, model, Begin::Container(started)).await
    }

    /// What the bound instance of a launcher did, from its log.
    async fn instance_stamps(&self, launcher: &Pod, model: &Model) -> anyhow::Result<Vec<monotonic::Stamp>> {
        let id = launcher.annotations().get(annotation::INSTANCE_ID).context("the launcher names no instance")?;
        if self.args.engine == Engine::Host {
            return self.observed(launcher, model, Begin::Call(&format!("{}/{id}", path::INSTANCES))).await;
        }
        let base = net::base_url(ip(launcher).context("the launcher has no address")?, port::LAUNCHER);
        let url = format!("{base}{}/{id}/log", path::INSTANCES);
        let response = self.http.get(&url).header("range", "bytes=0-16777215").send().await?.error_for_status()?;
        Ok(measure::stamps(&response.text().await?))
    }

    async fn observed(&self, provider: &Pod, model: &Model, begin: Begin<'_>) -> anyhow::Result<Vec<monotonic::Stamp>> {
        let base = net::base_url(ip(provider).context("the provider has no address")?, model.port);
        Ok(observed::stamps(self.offset, &self.stage.controller_log().await?, &base, begin))
    }

    /// Asks the engine and streams the answer: its text, and the time to its first token.
    async fn ask(&self, pod: &Pod, model: &Model) -> anyhow::Result<(String, f64)> {
        let base = net::base_url(ip(pod).context("the provider has no address")?, model.port);
        let engine = Endpoint::new(&base, self.http.clone(), CALL);
        let name = engine.models().await?.data.into_iter().next().context("the engine names no model")?.id;
        let common = Common { model: Some(name), max_tokens: Some(24), temperature: Some(0.0), ..Common::default() };
        let messages = vec![ChatMessage::user(PROMPT)];
        let begun = Instant::now();
        let mut answer = engine.chat(ChatRequest { messages, max_completion_tokens: None, add_generation_prompt: None, common }).await?;
        let (mut text, mut first) = (String::new(), None);
        while let Some(chunk) = answer.next().await? {
            let piece = chunk.choices.into_iter().next().and_then(|choice| choice.delta?.content);
            if let Some(piece) = piece.filter(|p| !p.is_empty()) {
                first.get_or_insert_with(|| begun.elapsed().as_secs_f64());
                text.push_str(&piece);
            }
        }
        Ok((text.trim().to_owned(), first.context("the engine answered nothing")?))
    }
}

/// How its readiness comes about, as the end of a sentence.
fn by(readiness: Readiness) -> &'static str {
    if readiness == Readiness::Gate { ", ready by the gate" } else { "" }
}

/// Rounds of the paths beside `hot`: each waits a second for a readiness probe, and the whole is to end within a minute.
fn part(iterations: u32) -> u32 {
    iterations.div_ceil(4)
}

/// Start of the container and readiness of a Pod by the kubelet's stamps.
fn life(pod: &Pod) -> anyhow::Result<(jiff::Timestamp, jiff::Timestamp)> {
    let t = timeline(pod);
    let name = pod.name_any();
    Ok((
        t.started.with_context(|| format!("the kubelet left no start of {name}"))?,
        t.ready.with_context(|| format!("the kubelet left no readiness of {name}"))?,
    ))
}

/// Bytes per second of a plain copy on this machine, measured now: the floor of the embedded engine.
fn copy_bandwidth() -> f64 {
    const SIZE: usize = 64 << 20;
    let from = vec![1_u8; SIZE];
    let mut to = vec![0_u8; SIZE];
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let begun = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
        best = best.min(begun.elapsed().as_secs_f64());
    }
    #[allow(clippy::cast_precision_loss, reason = "64 MiB")]
    let size = SIZE as f64;
    size / best.max(1e-9)
}
