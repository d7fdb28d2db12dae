//! Recorded conversations with a real API server, held again with ours.
//!
//! Every file of the folder is read, whatever its name; what is in it says what to do. A recording is a list of steps;
//! the answer of each is compared with what the real server said. A lone definition is installed before the recordings
//! that speak of its group. Three things make a difference one that is expected:
//!
//! - the step needs something that is pending (`needs.rs`, and the table in `dormouse_testing::golden`): it is asked and
//!   compared all the same, and must differ. What it would have changed is then put right (`restore.rs`);
//! - it is in `managedFields`, while nobody owns fields here: a part of the answer, not all of it;
//! - it is wanted: a row of [`ALLOWED`].
//!
//! A row of either table that nothing needs any longer fails the test, and the output counts them.

mod bindings;
mod compare;
mod needs;
mod restore;
mod step;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use dormouse_apiserver::{ApiServer, Options};
use dormouse_testing::golden::{self, Need, PENDING};
use dormouse_testing::said;
use serde_json::{Value, json};

use bindings::Bindings;
use compare::{Difference, ORDER_OF_CAUSES, compare};
use step::Step;
use wire::Answer;

/// A difference that is wanted: whether it is this one, and why.
struct Allowed(fn(&str, Step<'_>, &Difference) -> bool, &'static str);

const ALLOWED: &[Allowed] = &[
    Allowed(
        |scenario, step, d| scenario == "crud" && step.method() == "GET" && d.path == "/response/data/k",
        "the recorder changed its copy of this answer for the next step before writing it down",
    ),
    Allowed(
        |_, step, d| d.path.starts_with("/response/paths") && step.response()["paths"].to_string().contains("\"/healthz\""),
        "the paths of a whole server, with one health check each instead of one per part",
    ),
    Allowed(
        |_, _, d| {
            let start = d.wanted.find("invalid character '");
            d.path == "/response/message" && start.is_some_and(|start| d.got.starts_with(&d.wanted[..start]))
        },
        "the end of the message is the JSON parser's, ours and not Go's",
    ),
    Allowed(|_, _, d| d.path == ORDER_OF_CAUSES, "the real server walks members in the order of a Go map"),
];

/// What came of one recording.
#[derive(Default)]
struct Replayed {
    problems: Vec<String>,
    /// Steps that wait for something.
    waiting: usize,
    /// Steps by what they wait for.
    pending: BTreeMap<Need, usize>,
    /// Steps whose answer lacks owners.
    unowned: usize,
    /// Differences by row of [`ALLOWED`].
    allowed: BTreeMap<usize, usize>,
}

struct Replay<'a> {
    scenario: &'a str,
    server: ApiServer,
    bindings: Bindings,
    /// Definitions as the recording shows them, by name.
    definitions: BTreeMap<String, Value>,
    /// Mutating policies that the recording has in force.
    mutating: BTreeSet<String>,
    /// Objects that are not as the recording has them: storage and name.
    unknown: BTreeSet<(String, String)>,
    outcome: Replayed,
}

/// A step that was asked and whose answer is awaited.
struct Open<'a> {
    index: usize,
    step: Step<'a>,
    closes_at: usize,
    needs: BTreeSet<Need>,
    answer: tokio::task::JoinHandle<Answer>,
}

impl<'a> Replay<'a> {
    fn new(scenario: &'a str) -> Self {
        Self {
            scenario,
            server: ApiServer::new(Options::bare()),
            bindings: Bindings::default(),
            definitions: BTreeMap::new(),
            mutating: BTreeSet::new(),
            unknown: BTreeSet::new(),
            outcome: Replayed::default(),
        }
    }

    async fn run(&mut self, steps: &'a [Value]) {
        let unordered_warnings = steps.iter().any(|step| Step(step).any_order().any(|list| list == "warnings"));
        let mut open: Vec<Open<'a>> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let step = Step(step);
            let before =
                needs::Before { server: &self.server, bindings: &self.bindings, definitions: &self.definitions, mutating: &self.mutating };
            let mut needs = needs::of(step, &before);
            needs.retain(|need| need.pending().is_some());
            // What the real server refused must not be kept here by a server that cannot refuse it.
            let keep_nothing = !needs.is_empty() && step.status() >= 400;
            let response = wire::ask(&self.server, step, &self.bindings, keep_nothing).await;
            let answer = tokio::spawn(wire::read(response, step.is_watch()));
            let closes_at = index + usize::try_from(step.0["open_during"].as_u64().unwrap_or(0)).unwrap();
            open.push(Open { index, step, closes_at, needs, answer });
            // Without others to wait for, the paused clock runs to the end of a watch at once.
            for at in (0..open.len()).rev() {
                if open[at].closes_at <= index {
                    let Open { index, step, needs, answer, .. } = open.remove(at);
                    let mut sets: Vec<&str> = step.any_order().collect();
                    if unordered_warnings {
                        sets.push("warnings");
                    }
                    self.judge(index, step, &needs, answer.await.unwrap(), &sets).await;
                }
            }
            self.follow(step);
        }
    }

    fn problem(&mut self, index: usize, step: Step<'_>, what: &str) {
        self.outcome.problems.push(format!("step {index} {} {}\n  {what}", step.method(), step.path()));
    }

    /// Compares an answer, and settles what a difference means.
    async fn judge(&mut self, index: usize, step: Step<'_>, needs: &BTreeSet<Need>, answer: Answer, sets: &[&str]) {
        let mut bindings = self.bindings.clone();
        let mut found = compare(step, answer, sets, &mut bindings);
        found.extend(bindings.order().err().map(|why| Difference::new("/response", why)));
        self.take_owners(index, step, needs, &mut found);
        found.retain(|difference| {
            let row = ALLOWED.iter().position(|allowed| allowed.0(self.scenario, step, difference));
            if let Some(row) = row {
                *self.outcome.allowed.entry(row).or_default() += 1;
            }
            row.is_none()
        });
        let unknown = self.is_unknown(step);
        if found.is_empty() {
            self.bindings = bindings;
            if !needs.is_empty() {
                self.problem(index, step, &format!("needs {needs:?}, which is pending, and passes: is the row over, or the mark wrong?"));
            }
            return;
        }
        if needs.is_empty() && !unknown {
            for Difference { path, what, .. } in &found {
                self.problem(index, step, &format!("{path}: {what}"));
            }
            self.bindings = bindings;
            return;
        }
        self.outcome.waiting += 1;
        // Nothing else leaves an object behind that is not as recorded.
        let conversion = [Need::Conversion].into();
        for need in if needs.is_empty() { &conversion } else { needs } {
            *self.outcome.pending.entry(*need).or_default() += 1;
        }
        if found.iter().all(|difference| difference.path == "/calls") {
            self.bindings = bindings;
        } else if needs.contains(&Need::Conversion) && step.response()["kind"] != "CustomResourceDefinition" {
            self.forget(step);
        } else {
            restore::restore(&self.server, step, &mut self.bindings).await;
            if step.response()["spec"]["conversion"]["strategy"] == "Webhook" {
                self.unknown.insert(self.place(step));
            } else {
                self.unknown.remove(&self.place(step));
            }
        }
    }

    /// Takes out the differences that are in owners, while that is pending.
    fn take_owners(&mut self, index: usize, step: Step<'_>, needs: &BTreeSet<Need>, found: &mut Vec<Difference>) {
        if Need::Owners.pending().is_none() || step.is_setup() {
            return;
        }
        let before = found.len();
        found.retain(|difference| !difference.path.contains("/managedFields"));
        let shown = step.objects().iter().any(|object| object["metadata"].get("managedFields").is_some());
        self.outcome.unowned += usize::from(before > found.len());
        if shown && needs.is_empty() && found.is_empty() && before == 0 {
            self.problem(index, step, "the owners are right, although they are pending");
        }
    }

    /// Keeps what the recording has in force beside objects.
    fn follow(&mut self, step: Step<'_>) {
        let info = step.info();
        if step.is_dry_run() {
            return;
        }
        if step.response()["kind"] == "CustomResourceDefinition" {
            let name = step.response()["metadata"]["name"].as_str().unwrap();
            self.definitions.insert(name.to_owned(), step.response().clone());
        }
        if info.resource == "mutatingadmissionpolicies" && step.status() < 300 {
            match step.method() {
                "DELETE" => drop(self.mutating.remove(&info.name)),
                _ => drop(self.mutating.insert(step.request("body")["metadata"]["name"].as_str().unwrap_or("").to_owned())),
            }
        }
    }

    fn has(&self, definition: &Value) -> bool {
        self.definitions.contains_key(definition["metadata"]["name"].as_str().unwrap())
    }

    /// Where the object of a step is kept.
    fn place(&self, step: Step<'_>) -> (String, String) {
        let info = step.info();
        let name = step.response()["metadata"]["name"].as_str().filter(|_| info.name.is_empty()).unwrap_or(&info.name);
        (format!("{}.{}", info.resource, info.group), name.to_owned())
    }

    /// A write was shown only as converted, so the stored form is not known.
    fn forget(&mut self, step: Step<'_>) {
        if step.method() != "GET" && !step.is_dry_run() && step.status() < 300 {
            self.unknown.insert(self.place(step));
        }
    }

    fn is_unknown(&self, step: Step<'_>) -> bool {
        let (storage, name) = self.place(step);
        if name.is_empty() { self.unknown.iter().any(|(s, _)| *s == storage) } else { self.unknown.contains(&(storage, name)) }
    }
}

/// Installs a definition that stands alone in a file.
async fn install(replay: &mut Replay<'_>, definition: &Value) {
    replay.definitions.insert(definition["metadata"]["name"].as_str().unwrap().to_owned(), definition.clone());
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let step = json!({"request": {"method": "POST", "path": path, "body": definition, "content_type": "application/json"}});
    let response = wire::ask(&replay.server, Step(&step), &replay.bindings, false).await;
    let answer = wire::read(response, false).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn every_recording() {
    let folder = golden::recordings("api");
    let definitions = golden::definitions(&folder);
    let (mut total, mut asked) = (Replayed::default(), 0);
    for (recording, steps) in golden::conversations(&folder) {
        asked += steps.len();
        let mut replay = Replay::new(recording.content["scenario"].as_str().unwrap_or(""));
        for definition in &definitions {
            if steps.iter().any(|step| definition["spec"]["group"] == Step(step).info().group) && !replay.has(definition) {
                install(&mut replay, definition).await;
            }
        }
        replay.run(steps).await;
        let Replayed { problems, waiting, pending, unowned, allowed } = replay.outcome;
        let wanted: usize = allowed.values().sum();
        said(&format!(
            "{}: {} steps, {waiting} pending {pending:?}, {unowned} without owners, {wanted} allowed differences",
            recording.name,
            steps.len()
        ));
        total.problems.extend(problems.into_iter().map(|problem| format!("{}: {problem}", recording.name)));
        total.unowned += unowned;
        total.waiting += waiting;
        pending.into_iter().for_each(|(need, steps)| *total.pending.entry(need).or_default() += steps);
        allowed.into_iter().for_each(|(row, times)| *total.allowed.entry(row).or_default() += times);
    }
    *total.pending.entry(Need::Owners).or_default() += total.unowned;
    said(&format!("{asked} steps, of which {} wait for something that is pending", total.waiting));
    for (need, why) in PENDING {
        let steps = total.pending.get(need).copied().unwrap_or(0);
        said(&format!("pending: {need:?}: {steps} steps: {why}"));
        if steps == 0 && folder.own {
            total.problems.push(format!("{need:?} is pending, but no step needs it"));
        }
    }
    for (row, Allowed(_, why)) in ALLOWED.iter().enumerate() {
        let times = total.allowed.get(&row).copied().unwrap_or(0);
        said(&format!("allowed: {times} differences: {why}"));
        if times == 0 && folder.own {
            total.problems.push(format!("an allowed difference is no longer needed: {why}"));
        }
    }
    let Replayed { problems, .. } = total;
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}
