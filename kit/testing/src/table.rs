//! Tables of test vectors of the contracts, as data beside the tests that run them.
//!
//! A row has the contract's number and words, and steps: requests with what is expected of their replies, and whatever else
//! the crate that owns the table understands ([`Target::special`]). Rows run against programs that the test starts, or against
//! ones that run already; then those that need start flags or a fresh state say SKIPPED.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::SOON;

/// A row of a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The contract's number.
    pub row: String,
    /// The contract's words.
    pub input: String,
    expected: String,
    /// Why our expectation differs from the original one.
    #[serde(default)]
    changed: Option<String>,
    /// Another test that covers the row.
    #[serde(default)]
    test: Option<String>,
    /// Needs a program started by the test: its state or flags matter.
    #[serde(default)]
    start: bool,
    /// Flags of the program.
    #[serde(default)]
    pub flags: Vec<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

/// A step of a row. In what is expected of JSON, objects may have further members, and `$int`, `$uuid4` and `$r3` (the
/// revision at the row's begin and three) are patterns.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    /// `METHOD /path`, in which `$r3` is replaced; the expectations below are about its reply.
    http: Option<String>,
    /// Which of the program's servers.
    at: String,
    /// A body of JSON.
    body: Option<Value>,
    /// A body as it is.
    raw: Option<String>,
    content_type: Option<String>,
    headers: HashMap<String, String>,

    status: Option<u16>,
    /// Must be contained in the reply.
    json: Option<Value>,
    /// Must be the reply.
    exact: Option<Value>,
    text: Option<String>,
    text_starts: Option<String>,
    text_ends: Option<String>,
    length: Option<usize>,
    /// JSON pointers to what must not be there.
    absent: Vec<String>,
    /// Header and value; `~` before a part of it.
    reply_headers: HashMap<String, String>,
    at_least_seconds: Option<f64>,
    less_than_seconds: Option<f64>,
    /// Repeats the request until the expectations hold.
    eventually: bool,

    /// Does this step so often.
    repeat: Option<u32>,
    /// Steps before it.
    steps: Vec<Step>,
    /// What only the owner of the table understands.
    #[serde(flatten)]
    special: Map<String, Value>,
}

/// A table.
#[derive(Debug)]
pub struct Table {
    name: &'static str,
    rows: Vec<Row>,
}

/// A program that rows run against.
pub trait Target: Send {
    /// The base URL of one of its servers.
    fn url(&self, server: &str) -> String;

    /// What `$r0` means.
    fn revision(&self) -> u64 {
        0
    }

    /// Does what a step asks for beside its request, and refuses what it does not know; `name` is for panics.
    fn special(&mut self, name: &str, wish: Map<String, Value>) -> impl Future<Output = ()> + Send;
}

impl Table {
    /// A table of that name.
    ///
    /// # Panics
    /// When it cannot be understood, or a row checks nothing.
    #[must_use]
    pub fn read(name: &'static str, json: &str) -> Self {
        let rows: Vec<Row> = serde_json::from_str(json).unwrap();
        for row in &rows {
            assert!(row.test.is_some() || !row.steps.is_empty(), "{name} row {} checks nothing", row.row);
            assert!(!row.input.is_empty() && !row.expected.is_empty(), "{name} row {} has no words", row.row);
        }
        Self { name, rows }
    }

    /// The rows' numbers.
    #[must_use]
    pub fn numbers(&self) -> Vec<String> {
        self.rows.iter().map(|r| r.row.clone()).collect()
    }

    /// The rows to run against programs that the test starts.
    pub fn ours(self) -> impl Iterator<Item = Row> {
        let changed = self.rows.iter().filter(|r| r.changed.is_some()).count();
        println!("{}: {changed} expectations differ from the original ones", self.name);
        self.rows.into_iter().filter(move |row| {
            if let Some(reason) = &row.changed {
                println!("{} row {}: expectation changed: {reason}", self.name, row.row);
            }
            if let Some(test) = &row.test {
                println!("{} row {}: covered by {test}", self.name, row.row);
            }
            row.test.is_none()
        })
    }

    /// The rows to run against a program that runs already.
    pub fn theirs(self) -> impl Iterator<Item = Row> {
        self.rows.into_iter().filter(move |row| {
            let runs = !row.start && row.test.is_none();
            if !runs {
                crate::skipped(&format!("{} row {} needs a program started by this test", self.name, row.row));
            }
            runs
        })
    }
}

impl Row {
    /// Runs the row.
    ///
    /// # Panics
    /// When an expectation does not hold.
    pub async fn run(&self, target: &mut impl Target) {
        dormouse_runtime::tls::install_provider();
        // Without reuse of connections: a server that is gone is seen at once.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.pool_max_idle_per_host(0).timeout(2 * SOON).build().unwrap();
        self.steps(&client, &self.steps, target).await;
    }

    async fn steps(&self, client: &reqwest::Client, steps: &[Step], target: &mut impl Target) {
        for (i, step) in steps.iter().enumerate() {
            let name = format!("row {} ({}), step {i}", self.row, self.input);
            for _ in 0..step.repeat.unwrap_or(1) {
                Box::pin(self.steps(client, &step.steps, target)).await;
                if let Some(line) = &step.http {
                    let (method, path) = line.split_once(' ').unwrap();
                    let revision = target.revision();
                    let url = format!("{}{}", target.url(&step.at).trim_end_matches('/'), substitute(revision, path));
                    step.ask(&name, client, method, &url, revision).await;
                }
                if !step.special.is_empty() {
                    target.special(&name, step.special.clone()).await;
                }
            }
        }
    }
}

impl Step {
    async fn ask(&self, name: &str, client: &reqwest::Client, method: &str, url: &str, revision: u64) {
        let deadline = Instant::now() + SOON;
        loop {
            let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url);
            if let Some(body) = &self.body {
                request = request.json(body);
            }
            if let Some(raw) = &self.raw {
                request = request.body(raw.clone()).header("content-type", self.content_type.as_deref().unwrap_or("application/json"));
            }
            for (k, v) in &self.headers {
                request = request.header(k, v);
            }
            let begun = Instant::now();
            let response = request.send().await.unwrap_or_else(|e| panic!("{name}: {e:?}"));
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes().await.unwrap();
            let took = begun.elapsed().as_secs_f64();
            match self.check(revision, status, &headers, &body) {
                Err(_) if self.eventually && Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(problem) => panic!("{name}: {problem} in {status} {headers:?} {body:?}"),
                Ok(()) => {
                    assert!(self.at_least_seconds.is_none_or(|s| took >= s), "{name}: took only {took} s");
                    assert!(self.less_than_seconds.is_none_or(|s| took < s), "{name}: took {took} s");
                    return;
                }
            }
        }
    }

    fn check(&self, revision: u64, status: u16, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = &*String::from_utf8_lossy(body);
        expect("status", self.status.as_ref(), &status, |e| *e == status)?;
        if let Some(expected) = &self.json {
            matches(revision, &json, expected)?;
        }
        expect("body", self.exact.as_ref(), &json, |e| *e == json)?;
        expect("text", self.text.as_ref(), text, |e| e == text)?;
        expect("begin of the text", self.text_starts.as_ref(), text, |e| text.starts_with(e))?;
        expect("end of the text", self.text_ends.as_ref(), text, |e| text.ends_with(e))?;
        expect("length", self.length.as_ref(), &body.len(), |e| *e == body.len())?;
        absent(&json, &self.absent)?;
        for (header, expected) in &self.reply_headers {
            let got = headers.get(header).map(|v| v.to_str().unwrap()).unwrap_or_default();
            let fits = |e: &String| e.strip_prefix('~').map_or(got == e, |part| got.contains(part));
            expect(&format!("header {header}"), Some(expected), got, fits)?;
        }
        Ok(())
    }
}

fn expect<E: Debug>(what: &str, expected: Option<&E>, got: &(impl Debug + ?Sized), holds: impl Fn(&E) -> bool) -> Result<(), String> {
    match expected {
        Some(e) if !holds(e) => Err(format!("{what} is {got:?}, not {e:?}")),
        _ => Ok(()),
    }
}

/// A path or query with `$r3` replaced.
///
/// # Panics
/// When no number follows.
#[must_use]
pub fn substitute(revision: u64, text: &str) -> String {
    let Some((before, after)) = text.split_once("$r") else { return text.to_owned() };
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let n: u64 = after[..digits].parse().unwrap();
    format!("{before}{}{}", revision + n, substitute(revision, &after[digits..]))
}

/// Whether none of these JSON pointers leads to something.
///
/// # Errors
/// The first that does.
pub fn absent(got: &Value, pointers: &[String]) -> Result<(), String> {
    pointers.iter().find(|p| got.pointer(p).is_some()).map_or(Ok(()), |p| Err(format!("{p} is in {got}")))
}

/// Whether `expected` is contained in `got`: further members of objects do not matter; strings with `$` are patterns.
///
/// # Errors
/// What differs.
///
/// # Panics
/// When a pattern makes no sense.
pub fn matches(revision: u64, got: &Value, expected: &Value) -> Result<(), String> {
    let fits = match expected {
        Value::String(s) if s == "$int" => got.is_u64(),
        Value::String(s) if s == "$uuid4" => {
            let text = got.as_str().unwrap_or_default();
            text.len() == 36 && text.as_bytes()[14] == b'4' && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        }
        Value::String(s) if s.starts_with("$r") => got.as_u64() == Some(revision + s[2..].parse::<u64>().unwrap()),
        Value::Object(members) => {
            return members.iter().try_for_each(|(k, v)| match got.get(k) {
                Some(got) => matches(revision, got, v),
                None => Err(format!("no {k:?} in {got}")),
            });
        }
        Value::Array(items) => match got.as_array() {
            Some(got) if got.len() == items.len() => return got.iter().zip(items).try_for_each(|(g, e)| matches(revision, g, e)),
            _ => false,
        },
        other => got == other,
    };
    if fits { Ok(()) } else { Err(format!("{got} is not {expected} (revision at the begin: {revision})")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expectations_can_fail() {
        let got = json!({"a": 7, "b": [1, {"c": "x", "d": 2}], "id": "6f2b1b1e-8f0a-4c3e-9d1c-0123456789ab"});
        for fits in [json!({}), json!({"a": "$r2"}), json!({"a": "$int", "b": [1, {"c": "x"}]}), json!({"id": "$uuid4"})] {
            matches(5, &got, &fits).unwrap();
        }
        for not in
            [json!({"a": "$r3"}), json!({"z": 1}), json!({"b": [1]}), json!({"b": [1, {"c": "y"}]}), json!({"a": "$uuid4"}), json!([])]
        {
            matches(5, &got, &not).unwrap_err();
        }
        absent(&got, &["/z".into()]).unwrap();
        absent(&got, &["/z".into(), "/b/1/c".into()]).unwrap_err();
        assert_eq!(substitute(5, "/x?since=$r10&y=$r0"), "/x?since=15&y=5");
        let step: Step = serde_json::from_value(json!({"status": 200, "text_starts": "a", "reply_headers": {"x": "~b"}})).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x", "abc".parse().unwrap());
        step.check(0, 200, &headers, b"ab").unwrap();
        for (status, text) in [(201, "ab"), (200, "b")] {
            step.check(0, status, &headers, text.as_bytes()).unwrap_err();
        }
        assert!(step.check(0, 200, &HeaderMap::new(), b"ab").unwrap_err().contains("header x"));
    }
}
