//! Doing what steps say.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::conditions;
use crate::data::{Condition, Does, PatchType, Run, Step, Suite};
use crate::place::Place;
use crate::vars::Vars;

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// Between two looks, at most.
const PAUSE: Duration = Duration::from_millis(250);

/// A run under way.
pub(crate) struct State<'a> {
    pub(crate) suite: &'a Suite,
    pub(crate) run: &'a Run,
    pub(crate) place: Place,
    pub(crate) vars: Vars,
}

impl State<'_> {
    /// Does steps until one fails.
    pub(crate) fn all(&mut self, steps: &[Step]) -> Result<(), String> {
        steps.iter().try_for_each(|step| self.one(step))
    }

    fn one(&mut self, step: &Step) -> Result<(), String> {
        let cluster = &self.place.cluster;
        match &step.does {
            Does::Create(name) => {
                cluster.create(&self.object(name)?).map_err(|(code, message)| format!("create {name}: {code} {message}"))?;
            }
            Does::Refused { create, code, saying } => match cluster.create(&self.object(create)?) {
                Ok(_) => return Err(format!("{create} was created")),
                Err((got, message)) if got == *code && message.contains(saying.as_str()) => {}
                Err((got, message)) => return Err(format!("{create} was refused with {got}, {message}")),
            },
            Does::Patch { object, kind, with } => {
                let content_type = match kind {
                    PatchType::Merge => MERGE,
                    PatchType::Strategic => STRATEGIC,
                };
                cluster.patch(&self.vars.fill(object)?, content_type, &self.vars.fill_value(with)?)?;
            }
            Does::Scale { object, to } => cluster.patch(&self.vars.fill(object)?, MERGE, &json!({"spec": {"replicas": to}}))?,
            Does::Delete { object, may_be_gone } => match cluster.delete(&self.vars.fill(object)?) {
                Err((404, _)) if *may_be_gone => {}
                other => other.map_err(|(code, message)| format!("delete of {object}: {code} {message}"))?,
            },
            Does::Set(pairs) => {
                // All from the values before: one step may move a name and replace it.
                let filled: Vec<_> = pairs.iter().map(|(name, text)| Ok((name, self.vars.fill(text)?))).collect::<Result<_, String>>()?;
                filled.into_iter().for_each(|(name, text)| self.vars.text(name, text));
            }
            Does::Expect(conditions) => self.expect(conditions, step.seconds.unwrap_or(self.suite.within))?,
            Does::Stays(conditions) => self.stays(conditions, step.seconds.ok_or("stays wants for: seconds")?)?,
            Does::Call { method, pod, port, path } => {
                let (pod, path) = (self.vars.fill(pod)?, self.vars.fill(path)?);
                match cluster.call(method, &pod, *port, &path)? {
                    Some(answer) if (200..300).contains(&answer.status) => {}
                    other => return Err(format!("{method} {pod}:{port}{path}: {other:?}")),
                }
            }
            Does::Do(name) => {
                let suite = self.suite;
                let steps = suite.sequences.get(name).ok_or_else(|| format!("there is no sequence {name}"))?;
                self.all(steps).map_err(|e| format!("{name}: {e}"))?;
            }
            Does::EachNode(steps) => {
                for node in cluster.nodes() {
                    self.vars.text("node", node);
                    self.all(steps)?;
                }
            }
            Does::Own(steps) if self.place.own.is_some() => self.all(steps)?,
            Does::Own(_) => {}
            Does::Order(by_order) => {
                let steps = by_order.get(&self.run.reclaim_order);
                self.all(steps.ok_or_else(|| format!("no steps for order {}", self.run.reclaim_order))?)?;
            }
            Does::Controllers { populator, sleeper_limit } => {
                self.place.install(&self.vars, &self.run.reclaim_order, *populator, *sleeper_limit)?;
            }
            Does::GpuMap { gpus } => {
                let entry = |(i, node): (usize, String)| {
                    let indices: Map<String, Value> = (0..*gpus).map(|k| (format!("GPU-{}", i * gpus + k), json!(k))).collect();
                    (node, Value::String(Value::Object(indices).to_string()))
                };
                let data: Map<String, Value> =
                    if *gpus == 0 { Map::new() } else { cluster.nodes().into_iter().enumerate().map(entry).collect() };
                cluster.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gpu-map"}, "data": data}))?;
            }
        }
        Ok(())
    }

    fn object(&self, name: &str) -> Result<Value, String> {
        self.vars.fill_value(self.suite.objects.get(name).ok_or_else(|| format!("there is no object {name}"))?)
    }

    fn expect(&mut self, conditions: &[Condition], seconds: u64) -> Result<(), String> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(10);
        while let Some(unmet) = conditions::look(&self.place.cluster, conditions, &mut self.vars)? {
            if begun.elapsed() >= Duration::from_secs(seconds) {
                return Err(format!("after {seconds} s: {unmet}"));
            }
            std::thread::sleep(pause);
            pause = (pause * 3 / 2).min(PAUSE);
        }
        Ok(())
    }

    fn stays(&mut self, conditions: &[Condition], seconds: u64) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if let Some(broken) = conditions::look(&self.place.cluster, conditions, &mut self.vars)? {
                return Err(format!("no longer after {:.1} s: {broken}", begun.elapsed().as_secs_f64()));
            }
            if begun.elapsed() >= Duration::from_secs(seconds) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }
}
