//! Recorded conversations with a real API server, held again with ours.
//!
//! A recording is a list of steps; the answer of each is compared with what the real server said. Placeholders
//! bind: `<uid:3>` is the same text wherever it stands, `<rv:n>` grows with n. Ownership (`managedFields`) comes with a later
//! issue and is left out of the comparison. Every other difference that is wanted stands in [`ALLOWED`] with
//! its reason; a row there that is no longer needed fails the test, and the output counts them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dormouse_apiserver::{ApiServer, Body, Options, User};
use dormouse_runtime::output::error_line;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// A difference that is wanted: recording, step, where in the answer, why.
struct Allowed(&'static str, usize, &'static str, &'static str);

const ALLOWED: &[Allowed] = &[
    Allowed("crud", 2, "/response/data/k", "the recorder changed its copy of this answer for the next step before writing it down"),
    Allowed("errors", 2, "/response/paths", "the paths of a whole server, with one health check each instead of one per part"),
    Allowed("errors", 5, "/response/message", "the end of the message is the JSON parser's, ours and not Go's"),
    Allowed("lists", 18, "/response/message", "the end of the message is the parser's, ours and not Go's"),
];

fn folder() -> PathBuf {
    match std::env::var_os("DORMOUSE_GOLDEN") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"),
    }
}

fn load(name: &str) -> Value {
    let path = folder().join("api").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("no recording {}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// What a recording's placeholders stand for.
#[derive(Default)]
struct Bindings {
    texts: BTreeMap<String, String>,
    /// Generated names: what the real server made of a prefix, and what ours did.
    names: Vec<(String, String)>,
    token: String,
}

impl Bindings {
    /// A text of a request, with placeholders filled in. A version that nothing has yet is version 1.
    fn fill(&self, text: &str) -> String {
        let mut out = text.replace("<continue>", &self.token).replace("<time>", "2026-01-01T00:00:00Z");
        for (recorded, ours) in &self.names {
            out = out.replace(recorded, ours);
        }
        while let Some(start) = out.find("<rv:").or_else(|| out.find("<uid:")) {
            let end = start + out[start..].find('>').unwrap() + 1;
            let value = self.texts.get(&out[start..end]).map_or("1", String::as_str).to_owned();
            out.replace_range(start..end, &value);
        }
        out
    }

    fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(s) => Value::String(self.fill(s)),
            Value::Array(items) => items.iter().map(|v| self.fill_value(v)).collect(),
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), self.fill_value(v))).collect::<serde_json::Map<_, _>>().into(),
            other => other.clone(),
        }
    }

    /// Whether `actual` is what `expected` describes; binds placeholders on the way.
    fn matches(&mut self, expected: &str, actual: &str) -> bool {
        if self.names.iter().any(|(recorded, ours)| recorded == expected && ours == actual) {
            return true;
        }
        let Some(start) = expected.find('<') else { return expected == actual };
        let Some(length) = expected[start..].find('>') else { return expected == actual };
        let (head, placeholder, tail) = (&expected[..start], &expected[start..=start + length], &expected[start + length + 1..]);
        let Some(rest) = actual.strip_prefix(head) else { return false };
        let known = placeholder.starts_with("<rv") || placeholder.starts_with("<uid");
        if !known && !matches!(placeholder, "<time>" | "<age>" | "<continue>") {
            return rest.strip_prefix('<').is_some_and(|rest| self.matches(&expected[start + 1..], rest));
        }
        // The value ends where the text after the placeholder begins.
        let stop = tail.chars().next();
        let end = stop.and_then(|c| rest.find(c)).unwrap_or(rest.len());
        let (value, rest) = rest.split_at(end);
        if placeholder.contains(':') {
            match self.texts.get(placeholder) {
                Some(bound) if bound != value => return false,
                Some(_) => {}
                None => drop(self.texts.insert(placeholder.to_owned(), value.to_owned())),
            }
        }
        if placeholder == "<continue>" {
            value.clone_into(&mut self.token);
        }
        self.matches(tail, rest)
    }

    /// Versions must be in the order of their numbers.
    fn order(&self) -> Result<(), String> {
        let number = |s: &str| s.trim_end_matches('>').rsplit(':').next().and_then(|n| n.parse::<u64>().ok()).unwrap();
        let mut versions: Vec<(u64, u64)> =
            self.texts.iter().filter(|(k, _)| k.starts_with("<rv:")).map(|(k, v)| (number(k), v.parse().unwrap())).collect();
        versions.sort_unstable();
        let sorted = versions.windows(2).all(|w| w[0].1 < w[1].1);
        if sorted { Ok(()) } else { Err(format!("versions out of order: {versions:?}")) }
    }
}

fn differences(expected: &Value, actual: &Value, path: &str, bindings: &mut Bindings, out: &mut Vec<(String, String)>) {
    let mut report = |why: String| out.push((path.to_owned(), why));
    match (expected, actual) {
        (Value::String(e), Value::String(a)) => {
            if !bindings.matches(e, a) {
                report(format!("\n    wanted {e:?}\n    got    {a:?}"));
            }
        }
        (Value::Array(e), Value::Array(a)) => {
            if e.len() != a.len() {
                report(format!("{} elements wanted, {} got: {actual}", e.len(), a.len()));
            }
            for (i, (e, a)) in e.iter().zip(a).enumerate() {
                differences(e, a, &format!("{path}/{i}"), bindings, out);
            }
        }
        (Value::Object(e), Value::Object(a)) => {
            for key in e.keys().chain(a.keys().filter(|k| !e.contains_key(*k))) {
                let path = format!("{path}/{key}");
                match (e.get(key), a.get(key)) {
                    (Some(e), Some(a)) => differences(e, a, &path, bindings, out),
                    (Some(e), None) => out.push((path, format!("missing: {e}"))),
                    (None, Some(a)) => out.push((path, format!("not wanted: {a}"))),
                    (None, None) => {}
                }
            }
        }
        _ if expected == actual => {}
        _ => report(format!("wanted {expected}, got {actual}")),
    }
}

fn without_owners(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("managedFields");
            map.values_mut().for_each(without_owners);
        }
        Value::Array(items) => items.iter_mut().for_each(without_owners),
        _ => {}
    }
}

struct Answer {
    status: u16,
    headers: Value,
    body: Value,
}

async fn ask(server: &ApiServer, request: &Value, bindings: &Bindings) -> http::Response<Body> {
    let path = bindings.fill(request["path"].as_str().unwrap());
    let mut builder = Request::builder().method(request["method"].as_str().unwrap()).uri(path);
    for (field, header) in [("content_type", "content-type"), ("accept", "accept")] {
        if let Some(value) = request[field].as_str() {
            builder = builder.header(header, value);
        }
    }
    let body = match &request["body"] {
        Value::Null => Body::empty(),
        Value::String(raw) => Body::from(raw.clone()),
        body => Body::from(bindings.fill_value(body).to_string()),
    };
    server.handle(builder.body(body).unwrap(), User::admin()).await
}

async fn read(response: http::Response<Body>, is_watch: bool) -> Answer {
    let (parts, body) = response.into_parts();
    let mut headers = json!({});
    if let Some(kind) = parts.headers.get("content-type") {
        headers["content-type"] = json!(kind.to_str().unwrap());
    }
    let warnings: Vec<&str> = parts.headers.get_all("warning").iter().map(|w| w.to_str().unwrap()).collect();
    match warnings.as_slice() {
        [] => {}
        [one] => headers["warning"] = json!(one),
        many => headers["warning"] = json!(many),
    }
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let body = if is_watch && parts.status == 200 {
        text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect()
    } else {
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    Answer { status: parts.status.as_u16(), headers, body }
}

/// The answer of one step against its recording.
fn compare(step: &Value, mut answer: Answer, bindings: &mut Bindings) -> Vec<(String, String)> {
    let mut out = Vec::new();
    without_owners(&mut answer.body);
    if step["status"] != answer.status {
        out.push(("/status".to_owned(), format!("wanted {}, got {}: {}", step["status"], answer.status, answer.body)));
    }
    if let Some(prefix) = step["request"]["body"]["metadata"]["generateName"].as_str() {
        let name = |answer: &Value| answer["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let (recorded, ours) = (name(&step["response"]), name(&answer.body));
        assert!(ours.strip_prefix(prefix).is_some_and(|suffix| suffix.len() == 5), "{ours}");
        bindings.names.push((recorded, ours));
    }
    let only_status = step["setup"] == true;
    let mut scratch = Vec::new();
    let sink = if only_status { &mut scratch } else { &mut out };
    for header in ["content-type", "warning"] {
        if let Some(wanted) = step["headers"].get(header) {
            differences(wanted, &answer.headers[header], &format!("/headers/{header}"), bindings, sink);
        } else if header == "warning" && !answer.headers[header].is_null() {
            sink.push(("/headers/warning".to_owned(), format!("not wanted: {}", answer.headers[header])));
        }
    }
    if let Some(names) = step.get("names") {
        let got: Vec<&Value> = answer.body["items"].as_array().unwrap().iter().map(|i| &i["metadata"]["name"]).collect();
        differences(names, &json!(got), "/names", bindings, sink);
    }
    for (field, prefix) in [("response", "/response"), ("events", "/events")] {
        if let Some(wanted) = step.get(field) {
            let mut wanted = wanted.clone();
            without_owners(&mut wanted);
            differences(&wanted, &answer.body, prefix, bindings, sink);
        }
    }
    out
}

/// Replays one recording; answers what differs as (step, path, text).
async fn replay(name: &str, recording: &Value) -> Vec<(usize, String, String)> {
    let server = ApiServer::new(Options::bare());
    let note = load("note-crd.json");
    let install = json!({"method": "POST", "path": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "body": note,
        "content_type": "application/json"});
    let mut bindings = Bindings::default();
    let made = read(ask(&server, &install, &bindings).await, false).await;
    assert_eq!(made.status, 201, "{name}: {}", made.body);
    let steps = recording["steps"].as_array().unwrap();
    let mut found = Vec::new();
    let mut open: Vec<(usize, usize, tokio::task::JoinHandle<Answer>)> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let request = &step["request"];
        let is_watch = request["path"].as_str().unwrap().contains("watch=true");
        let response = ask(&server, request, &bindings).await;
        let closes_at = i + usize::try_from(step["open_during"].as_u64().unwrap_or(0)).unwrap();
        let answer = tokio::spawn(read(response, is_watch));
        open.push((i, closes_at, answer));
        // Without others to wait for, the paused clock runs to the end of a watch at once.
        for at in (0..open.len()).rev() {
            if open[at].1 <= i {
                let (step, _, answer) = open.remove(at);
                let differences = compare(&steps[step], answer.await.unwrap(), &mut bindings);
                found.extend(differences.into_iter().map(|(path, why)| (step, path, why)));
            }
        }
        if let Err(why) = bindings.order() {
            found.push((i, String::new(), why));
        }
    }
    found.sort();
    found
}

async fn check(name: &'static str) {
    let recording = load(&format!("{name}.json"));
    let found = replay(name, &recording).await;
    let mut problems = Vec::new();
    let mut used = vec![false; ALLOWED.len()];
    for (step, path, why) in found {
        let row = ALLOWED.iter().position(|a| a.0 == name && a.1 == step && path.starts_with(a.2));
        match row {
            Some(row) => used[row] = true,
            None => {
                let request = &recording["steps"][step]["request"];
                problems.push(format!("step {step} {} {}\n  {path}: {why}", request["method"], request["path"]));
            }
        }
    }
    let mine = || ALLOWED.iter().enumerate().filter(|(_, a)| a.0 == name);
    for (row, allowed) in mine() {
        if used[row] {
            error_line(&format!("{name}: step {} {}: allowed: {}", allowed.1, allowed.2, allowed.3));
        } else {
            problems.push(format!("step {} {}: the allowed difference is no longer needed", allowed.1, allowed.2));
        }
    }
    let steps = recording["steps"].as_array().map_or(0, Vec::len);
    error_line(&format!("{name}: {steps} steps, {} allowed differences", mine().count()));
    assert!(problems.is_empty(), "{name}: {} differences\n{}", problems.len(), problems.join("\n"));
}

macro_rules! recordings {
    ($($test:ident: $name:literal,)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $test() {
            check($name).await;
        })*
    };
}

recordings! {
    crud: "crud",
    lists: "lists",
    watch: "watch",
    patch_json: "patch-json",
    patch_merge: "patch-merge",
    field_validation: "field-validation",
    errors: "errors",
    lifecycle: "lifecycle",
}
