//! What a suite's file says. Read strictly: a key that means nothing is an error, so that no expectation is lost by
//! a typing error.

use std::collections::BTreeMap;

use dormouse_machinery::yaml;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::repository;

/// The files under `tests/suites`.
const FILES: [&str; 2] = ["direct.yaml", "launcher.yaml"];

/// One file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Suite {
    /// Its name.
    pub(crate) suite: String,
    /// Where its rows come from.
    pub(crate) contract: String,
    /// Seconds that an `expect` without a limit has.
    pub(crate) within: u64,
    /// What differs from the original everywhere.
    pub(crate) changes: Vec<Change>,
    /// The plane, when it is one of ours.
    pub(crate) plane: PlaneOfOurs,
    /// How often, and how, it runs.
    pub(crate) runs: Vec<Run>,
    /// Manifests of the repository that are applied before anything else.
    pub(crate) files: Vec<String>,
    /// Variables.
    pub(crate) vars: BTreeMap<String, String>,
    /// Objects that steps create.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Lists of steps with a name.
    pub(crate) sequences: BTreeMap<String, Vec<Step>>,
    /// Steps before the first row.
    pub(crate) setup: Vec<Step>,
    /// The rows, in order; each begins where the one before ended.
    pub(crate) rows: Vec<Row>,
}

impl Suite {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        let read = |file: &&str| {
            let path = repository().join("tests/suites").join(file);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let value = yaml::from_str_strict(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
            serde_json::from_value(value).unwrap_or_else(|e| panic!("{file}: {e}"))
        };
        FILES.iter().map(read).collect()
    }
}

/// A plane for a suite.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaneOfOurs {
    /// Names of its nodes.
    pub(crate) nodes: Vec<String>,
}

/// One run of the suite.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) name: String,
    /// The controller's `--reclaim-order`.
    pub(crate) reclaim_order: String,
    /// Rows that take part; all unless given.
    pub(crate) rows: Option<Vec<String>>,
}

/// What the original has, and why ours differs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) original: String,
    pub(crate) reason: String,
}

/// A case of the contract.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// The contract's number.
    pub(crate) row: String,
    pub(crate) name: String,
    /// What is expected, in words.
    pub(crate) expectation: String,
    /// How that differs from the original.
    pub(crate) change: Option<Change>,
    /// Why it cannot run.
    pub(crate) skip: Option<String>,
    pub(crate) steps: Vec<Step>,
}

/// Something that is done or waited for, and how long that may take.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(crate) struct Step {
    pub(crate) does: Does,
    /// `within` of an `expect`, `for` of a `stays`.
    pub(crate) seconds: Option<u64>,
}

impl TryFrom<Map<String, Value>> for Step {
    type Error = String;

    fn try_from(mut members: Map<String, Value>) -> Result<Self, String> {
        let limit = ["within", "for"].iter().find_map(|k| members.remove(*k));
        let seconds = limit.map(|v| v.as_u64().ok_or_else(|| format!("{v} is no number of seconds"))).transpose()?;
        let text = Value::Object(members.clone()).to_string();
        if members.len() != 1 {
            return Err(format!("a step has one verb: {text}"));
        }
        let does = serde_json::from_value(Value::Object(members)).map_err(|e| format!("{e}: {text}"))?;
        Ok(Self { does, seconds })
    }
}

/// What a step does.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Does {
    /// Creates an entry of `objects`.
    Create(String),
    /// Creates one that must be refused.
    Refused { create: String, code: u16, saying: String },
    /// Patches `kind/name` or `kind/name/subresource`.
    Patch {
        object: String,
        #[serde(default, rename = "type")]
        kind: PatchType,
        with: Value,
    },
    /// Sets `spec.replicas`.
    Scale { object: String, to: u32 },
    /// Deletes `kind/name`, which is there unless said otherwise.
    #[serde(rename_all = "camelCase")]
    Delete {
        object: String,
        #[serde(default)]
        may_be_gone: bool,
    },
    /// Sets variables.
    Set(BTreeMap<String, String>),
    /// Waits until all conditions hold at the same look.
    Expect(Vec<Condition>),
    /// They hold at every look for a while.
    Stays(Vec<Condition>),
    /// HTTP to a Pod, which must answer 2xx.
    Call { method: String, pod: String, port: u16, path: String },
    /// Steps of `sequences`.
    Do(String),
    /// Steps for every node, named `${node}`.
    EachNode(Vec<Step>),
    /// Steps for a plane of our own.
    Own(Vec<Step>),
    /// Steps by reclaim order.
    Order(BTreeMap<String, Vec<Step>>),
    /// Installs the controllers by our chart.
    #[serde(rename_all = "camelCase")]
    Controllers { populator: bool, sleeper_limit: u32 },
    /// Writes ConfigMap `gpu-map`: so many GPUs for each node, counted over all.
    GpuMap { gpus: usize },
}

/// Of a patch.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PatchType {
    #[default]
    Merge,
    Strategic,
}

/// Something that can be looked at. Which members go together depends on what is looked at; see the README.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Condition {
    Pods(PodsCondition),
    Object(ObjectCondition),
    Http(HttpCondition),
    Launcher(LauncherCondition),
}

/// About a set of Pods.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PodsCondition {
    pub(crate) pods: Select,
    pub(crate) count: Option<usize>,
    pub(crate) at_least: Option<usize>,
    /// Field to what it must be, for each Pod.
    #[serde(default)]
    pub(crate) each: BTreeMap<String, Value>,
    /// Remembers the only one.
    #[serde(rename = "as")]
    pub(crate) remember: Option<String>,
    /// Remembers the names, sorted.
    pub(crate) names_as: Option<String>,
    /// The names are these.
    pub(crate) names: Option<String>,
}

/// Which Pods; all that are said must fit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Select {
    /// A label selector.
    pub(crate) labels: Option<String>,
    pub(crate) named: Option<Vec<String>>,
    pub(crate) starting_with: Option<String>,
    /// Only those that are not being deleted.
    #[serde(default)]
    pub(crate) live: bool,
}

/// About one object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ObjectCondition {
    /// `kind/name`.
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) each: BTreeMap<String, Value>,
    #[serde(rename = "as")]
    pub(crate) remember: Option<String>,
    pub(crate) gone: Option<Gone>,
}

/// How far away something must be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(from = "GoneData")]
pub(crate) enum Gone {
    Wholly,
    /// Or on its way.
    Terminating,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GoneData {
    Flag(bool),
    Word(String),
}

impl From<GoneData> for Gone {
    fn from(data: GoneData) -> Self {
        match data {
            GoneData::Flag(true) => Self::Wholly,
            GoneData::Word(word) if word == "terminating" => Self::Terminating,
            GoneData::Flag(false) => panic!("gone: true or terminating"),
            GoneData::Word(word) => panic!("gone: {word:?} is neither true nor terminating"),
        }
    }
}

/// About an answer over HTTP.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HttpCondition {
    pub(crate) http: Target,
    /// Whether anybody answers 2xx.
    #[serde(default = "yes")]
    pub(crate) answers: bool,
    /// JSON pointer to what must be there.
    #[serde(default)]
    pub(crate) each: BTreeMap<String, Value>,
    /// Text in the body.
    pub(crate) holds: Option<String>,
}

/// A server in a Pod.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) pod: String,
    pub(crate) port: u16,
    pub(crate) path: String,
}

/// About a launcher.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LauncherCondition {
    pub(crate) instances: InstancesCondition,
}

/// About the engine instances of a launcher.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InstancesCondition {
    pub(crate) launcher: String,
    pub(crate) count: Option<usize>,
    /// Remembers the IDs, sorted.
    pub(crate) ids_as: Option<String>,
    /// The IDs are these.
    pub(crate) ids: Option<String>,
}

fn yes() -> bool {
    true
}
