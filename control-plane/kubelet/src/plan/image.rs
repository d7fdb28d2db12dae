//! An image is a name that resolves to a command (control-plane contract, section 4). Pure.
//!
//! Order: 1. the rules of `--images`; 2. names of our own programs; 3. `vllm`, which means the engine chosen by
//! `--engine`; 4. the container's `command` on the host's PATH. After rule 1 a container's `command` wins, and the
//! image's name decides only when there is none.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::core::v1::Container;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Our programs, and those of the peers that this binary answers to by `argv[0]`.
pub const PROGRAMS: &[&str] = &[
    "dual-pods-controller",
    "launcher-populator",
    "requester",
    "launcher",
    "launcher.py",
    "launcher_pod_notifier.py",
    "test-requester",
    "test-launcher",
    "test-server",
    "dormouse",
];

/// Tools of the peers that this binary stands in for; no image is named after them.
pub const LINKS: &[&str] = &["nvidia-smi"];

/// What `vllm` means in a Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The simulator.
    #[default]
    Sim,
    /// The embedded CPU engine.
    Embedded,
    /// A real vLLM on the host's PATH.
    Host,
}

impl Engine {
    /// The value of `--engine`, which is also that of `DORMOUSE_ENGINE` in a Pod.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Embedded => "embedded",
            Self::Host => "host",
        }
    }
}

impl std::str::FromStr for Engine {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "sim" => Ok(Self::Sim),
            "embedded" => Ok(Self::Embedded),
            "host" | "vllm" => Ok(Self::Host),
            other => Err(format!("engine {other:?} is none of sim, embedded, host")),
        }
    }
}

/// One entry of the file given by `--images`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Glob (`*`, `?`) over the whole image reference.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What to run instead of the container's `command`.
    #[serde(default)]
    pub command: Vec<String>,
    /// Arguments instead of the container's `args`.
    pub args: Option<Vec<String>>,
    /// Environment beneath the container's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where to run it, unless the container says.
    pub working_dir: Option<String>,
}

/// The file given by `--images`, in its order; the first match counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Rules(pub Vec<Rule>);

impl Rules {
    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// What is wrong with the text, with its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let value = dormouse_machinery::yaml::from_str(text).map_err(|e| e.to_string())?;
        serde_json::from_value(value).map_err(|e| e.to_string())
    }

    fn find(&self, image: &str) -> Option<&Rule> {
        self.0.iter().find(|r| glob(r.pattern.as_bytes(), image.as_bytes()))
    }
}

/// `*` any run of characters (slashes too), `?` one character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // Iterative with one point to return to: linear in practice, never exponential.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// This binary, with the name as `argv[0]`.
    Ours,
    /// A file of the host, or of the container's volumes.
    Path(String),
}

/// An image and a command that were resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The file to execute.
    pub program: Program,
    /// Its arguments, `argv[0]` included.
    pub argv: Vec<String>,
    /// Environment of the rule, beneath the container's.
    pub env: BTreeMap<String, String>,
    /// Working directory of the rule.
    pub working_dir: Option<String>,
    /// How it came to this, for the Pod's event.
    pub how: String,
}

impl Resolution {
    /// SHA-256 of the resolved command: what `imageID` says after `dormouse://`.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let program = match &self.program {
            Program::Ours => "",
            Program::Path(path) => path,
        };
        for part in std::iter::once(program).chain(self.argv.iter().map(String::as_str)) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// An image that resolves to nothing. The text names it, says why, and shows the line that would mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "image {image:?} cannot be run: Pods here are local processes and an image is only a name. {why}. \
     To choose a command, add to the file given with --images: - {{match: {image:?}, command: [{example:?}]}}"
)]
pub struct Unresolved {
    image: String,
    why: String,
    example: String,
}

/// What is asked for: a container's image, command and arguments, already expanded.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The image reference.
    pub image: &'a str,
    /// `command`.
    pub command: &'a [String],
    /// `args`.
    pub args: &'a [String],
}

/// Resolves an image; `find` answers where a program is (on the PATH, or a file of the container's volumes).
///
/// # Errors
/// [`Unresolved`]: `ErrImagePull`.
pub fn resolve(wish: Wish<'_>, rules: &Rules, engine: Engine, find: &dyn Fn(&str) -> Option<String>) -> Result<Resolution, Unresolved> {
    let rule = rules.find(wish.image);
    let env = rule.map(|r| r.env.clone()).unwrap_or_default();
    let working_dir = rule.and_then(|r| r.working_dir.clone());
    let args = rule.and_then(|r| r.args.as_deref()).unwrap_or(wish.args);
    let chosen = rule.map(|r| r.command.as_slice()).filter(|c| !c.is_empty());
    let by_rule = chosen.is_some();
    let command = chosen.unwrap_or(wish.command);

    let (words, named) = if command.is_empty() {
        match image_name(wish.image) {
            name if is_program(name) => (joined(&[name.to_owned()], args), true),
            name if name == "vllm" || name.starts_with("vllm-openai") => (joined(&["vllm".to_owned(), "serve".to_owned()], args), true),
            name => {
                return Err(Unresolved {
                    image: wish.image.to_owned(),
                    why: format!("The container gives no command and {name:?} is not a program of ours"),
                    example: "sleep".to_owned(),
                });
            }
        }
    } else {
        (joined(command, args), false)
    };
    let origin = match (by_rule, named) {
        (true, _) => "by a rule of --images",
        (_, true) => "by the image's name",
        _ => "by the container's command",
    };
    let (program, argv) = match interpret(&words, engine) {
        Meaning::Ours(argv) => (Program::Ours, argv),
        Meaning::Host => match find(&words[0]) {
            Some(path) => (Program::Path(path), words),
            None => {
                let missing = if words[0].contains('/') { "does not exist" } else { "is not on the PATH" };
                return Err(Unresolved {
                    image: wish.image.to_owned(),
                    why: format!("The command {:?} {missing} on this host", words[0]),
                    example: base(&words[0]).to_owned(),
                });
            }
        },
    };
    let what = match &program {
        Program::Ours => format!("dormouse as {}", argv[0]),
        Program::Path(path) => path.clone(),
    };
    Ok(Resolution { program, argv, env, working_dir, how: format!("{what}, {origin}") })
}

enum Meaning {
    Ours(Vec<String>),
    Host,
}

/// Rules 2 and 3 over a command line.
fn interpret(words: &[String], engine: Engine) -> Meaning {
    let first = base(&words[0]);
    if is_program(first) || LINKS.contains(&first) {
        return Meaning::Ours(joined(&[first.to_owned()], &words[1..]));
    }
    let ours_engine = engine != Engine::Host;
    if first == "vllm" && ours_engine {
        return Meaning::Ours(joined(&["vllm".to_owned()], &words[1..]));
    }
    if is_python(first) || first == "uvicorn" {
        let second = words.get(1).map_or("", String::as_str);
        if is_program(base(second)) {
            return Meaning::Ours(joined(&[base(second).to_owned()], &words[2..]));
        }
        // `uvicorn launcher:app …`, the other way the peer's launcher is started.
        if first == "uvicorn" && second.split_once(':').is_some_and(|(module, _)| module == "launcher") {
            return Meaning::Ours(joined(&["launcher.py".to_owned()], &words[2..]));
        }
        let module = words.get(2).map_or("", String::as_str);
        if ours_engine && second == "-m" && module == "vllm.entrypoints.openai.api_server" {
            return Meaning::Ours(joined(&["vllm".to_owned(), "serve".to_owned()], &words[3..]));
        }
    }
    Meaning::Host
}

/// Whether a container runs the peer's test requester: it is counted among those that hold GPUs, but its
/// `NVIDIA_VISIBLE_DEVICES` is left as in the manifest, because the peer's test clusters have no device plugin.
#[must_use]
pub fn is_test_requester(container: &Container) -> bool {
    is_one_of(container, &["test-requester"])
}

/// Whether a container runs a requester of either kind: told to end, it waits for a controller's word, for which there is
/// nobody when the whole node ends.
#[must_use]
pub fn is_requester(container: &Container) -> bool {
    is_one_of(container, &["requester", "test-requester"])
}

fn is_one_of(container: &Container, names: &[&str]) -> bool {
    match container.command.as_deref() {
        Some(words @ [_, ..]) => words.iter().any(|w| names.contains(&base(w))),
        _ => container.image.as_deref().is_some_and(|i| names.contains(&image_name(i))),
    }
}

fn joined(a: &[String], b: &[String]) -> Vec<String> {
    a.iter().chain(b).cloned().collect()
}

fn is_program(name: &str) -> bool {
    PROGRAMS.contains(&name)
}

fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

fn base(path: &str) -> &str {
    Path::new(path).file_name().and_then(|n| n.to_str()).unwrap_or(path)
}

/// The last path segment of an image reference without tag and digest.
fn image_name(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn run_with(rules: &Rules, engine: Engine, image: &str, command: &str, args: &str) -> Result<Resolution, Unresolved> {
        let (command, args) = (words(command), words(args));
        let find = |name: &str| matches!(name, "sh" | "vllm" | "python3").then(|| format!("/usr/bin/{name}"));
        resolve(Wish { image, command: &command, args: &args }, rules, engine, &find)
    }

    fn argv(image: &str, command: &str, args: &str) -> (Program, String) {
        let r = run_with(&Rules::default(), Engine::Sim, image, command, args).unwrap();
        (r.program, r.argv.join(" "))
    }

    #[test]
    fn rule_1_wins_over_the_containers_command() {
        let rules = Rules::parse(
            "- {match: 'docker.io/*/vllm-openai:*', command: [sh, -c], args: ['echo x'], env: {A: '1'}, workingDir: /w}\n\
             - match: 'reg/only-env:?'\n  env: {B: '2'}\n",
        )
        .unwrap();
        let r = run_with(&rules, Engine::Sim, "docker.io/vllm/vllm-openai:v1", "vllm serve", "--port=1").unwrap();
        assert_eq!(r.program, Program::Path("/usr/bin/sh".into()));
        assert_eq!(r.argv, ["sh", "-c", "echo x"]);
        assert_eq!((r.env["A"].as_str(), r.working_dir.as_deref()), ("1", Some("/w")));
        assert!(r.how.contains("--images"));
        let r = run_with(&rules, Engine::Sim, "reg/only-env:1", "sh", "-c").unwrap();
        assert_eq!((r.argv.join(" ").as_str(), r.env["B"].as_str()), ("sh -c", "2"));
        assert!(Rules::parse("- {match: x, cmd: [y]}").is_err());
        assert_eq!(Rules::parse("[{\"match\": \"a\"}]").unwrap().0.len(), 1);
    }

    #[test]
    fn rule_2_names_of_ours_by_image_and_by_command() {
        assert_eq!(argv("localhost:5000/fma/requester:latest", "", "--x"), (Program::Ours, "requester --x".into()));
        assert_eq!(argv("q.io/a/dual-pods-controller@sha256:ab", "", ""), (Program::Ours, "dual-pods-controller".into()));
        assert_eq!(argv("any", "/ko-app/test-requester --node n", ""), (Program::Ours, "test-requester --node n".into()));
        assert_eq!(argv("any", "python3 /app/launcher.py", "--port 1"), (Program::Ours, "launcher.py --port 1".into()));
        assert_eq!(argv("any", "python3 /app/launcher_pod_notifier.py", "").1, "launcher_pod_notifier.py");
        assert_eq!(argv("any", "uvicorn launcher:app --port 8001", "").1, "launcher.py --port 8001");
        assert_eq!(argv("any", "nvidia-smi -L", ""), (Program::Ours, "nvidia-smi -L".into()));
        // A command that is none of ours wins over an image name of ours.
        assert_eq!(argv("reg/requester:1", "sh -c true", "").0, Program::Path("/usr/bin/sh".into()));
    }

    #[test]
    fn rule_3_vllm_is_the_chosen_engine() {
        let image = "docker.io/vllm/vllm-openai:v0.10.2";
        assert_eq!(argv(image, "", "--model m"), (Program::Ours, "vllm serve --model m".into()));
        assert_eq!(argv(image, "vllm serve --port=8000", ""), (Program::Ours, "vllm serve --port=8000".into()));
        let module = "python3 -m vllm.entrypoints.openai.api_server --model m";
        assert_eq!(argv(image, module, ""), (Program::Ours, "vllm serve --model m".into()));
        let host = run_with(&Rules::default(), Engine::Host, image, "vllm serve", "").unwrap();
        assert_eq!(host.program, Program::Path("/usr/bin/vllm".into()));
        let host = run_with(&Rules::default(), Engine::Host, image, module, "").unwrap();
        assert_eq!(host.argv[0], "python3");
    }

    #[test]
    fn rule_4_host_path_or_a_message_that_helps() {
        assert_eq!(argv("busybox", "sh -c", "true"), (Program::Path("/usr/bin/sh".into()), "sh -c true".into()));
        let e = run_with(&Rules::default(), Engine::Sim, "docker.io/library/nginx:1.27", "", "").unwrap_err().to_string();
        assert!(e.contains("\"docker.io/library/nginx:1.27\"") && e.contains("--images") && e.contains("no command"), "{e}");
        let e = run_with(&Rules::default(), Engine::Sim, "x", "nosuch --flag", "").unwrap_err().to_string();
        assert!(e.contains("\"nosuch\" is not on the PATH") && e.contains("command: [\"nosuch\"]"), "{e}");
    }

    #[test]
    fn digest_is_of_the_resolved_command() {
        let a = run_with(&Rules::default(), Engine::Sim, "a", "sh -c true", "").unwrap();
        let b = run_with(&Rules::default(), Engine::Sim, "b", "sh -c", "true").unwrap();
        let c = run_with(&Rules::default(), Engine::Sim, "a", "sh -c false", "").unwrap();
        assert_eq!(a.digest(), b.digest());
        assert_ne!(a.digest(), c.digest());
        assert_eq!(a.digest().len(), 64);
    }

    #[test]
    fn globs() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*/x:?", "r/y/x:1", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxb", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), want, "{pattern} {text}");
        }
    }
}
