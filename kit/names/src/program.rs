//! The programs of the one binary, as they are asked for: by an image's name, by a container's command, by a link in the PATH
//! of Pods, by `argv[0]`.
//!
//! Who hands the table down knows the systems; who reads it (the kubelet, the command line) knows only what a row says. A row
//! of a system that is not in this build stays in the table and says so, so that its name is told and never taken for another
//! program of the host.

use std::sync::Arc;

/// One program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// What it is called, and its `argv[0]` where it was not asked for under another name.
    pub name: &'static str,
    /// The verb of the command that it is; empty for the command itself.
    pub verb: &'static str,
    /// What it is called besides.
    pub aliases: &'static [&'static str],
    /// Scripts that it stands in for, called by themselves or behind an interpreter.
    pub scripts: &'static [&'static str],
    /// Globs over the modules (`python3 -m …`, `uvicorn …`) that it stands in for.
    pub modules: &'static [&'static str],
    /// Globs over the last part of an image's name that mean it; its own names do anyway.
    pub images: &'static [&'static str],
    /// What precedes the arguments where an image or a module means it.
    pub entry: &'static [&'static str],
    /// A tool of the host that it stands in for inside Pods; no image is named after it.
    pub tool: bool,
    /// It is the engine of this machine's choice, and that may be the host's own program.
    pub engine: bool,
    /// The option by which the host's own is told the host where it listens.
    pub host_option: Option<&'static str>,
    /// Told to end, it stays until a controller lets it go; when the whole node ends there is nobody who would.
    pub waits_for_release: bool,
    /// GPUs that it was given are counted, but which ones it sees is left to its manifest.
    pub gpus_by_manifest: bool,
    /// The Cargo feature that would bring it, where this build is without.
    pub lacking: Option<&'static str>,
}

impl Program {
    /// A program whose verb is its name, and of which nothing else is to be said.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            verb: name,
            aliases: &[],
            scripts: &[],
            modules: &[],
            images: &[],
            entry: &[],
            tool: false,
            engine: false,
            host_option: None,
            waits_for_release: false,
            gpus_by_manifest: false,
            lacking: None,
        }
    }

    /// Everything it is called: a link of each name means it.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied()).chain(self.scripts.iter().copied())
    }
}

/// All programs, and whether the host's own engine is meant where one is asked for.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    rows: Arc<[Program]>,
    host_engine: bool,
}

impl Programs {
    /// The table; with `host_engine` the programs that are engines are the host's and not of this binary.
    #[must_use]
    pub fn new(rows: impl IntoIterator<Item = Program>, host_engine: bool) -> Self {
        Self { rows: rows.into_iter().collect(), host_engine }
    }

    fn ours(&self) -> impl Iterator<Item = &Program> {
        self.rows.iter().filter(|p| !(p.engine && self.host_engine))
    }

    /// Those of the host's own that are to be told where they listen.
    fn hosts(&self) -> impl Iterator<Item = &Program> {
        self.rows.iter().filter(|p| p.engine && self.host_engine && p.host_option.is_some())
    }

    /// The program of this binary that a word of a command line names, by its last part.
    #[must_use]
    pub fn called(&self, word: &str) -> Option<&Program> {
        let word = base(word);
        self.ours().find(|p| p.names().any(|n| n == word))
    }

    /// The program of this binary that an interpreter would run a script of.
    #[must_use]
    pub fn script(&self, word: &str) -> Option<&Program> {
        let word = base(word);
        self.ours().find(|p| p.scripts.contains(&word))
    }

    /// The program of this binary that an interpreter would run a module of.
    #[must_use]
    pub fn module(&self, module: &str) -> Option<&Program> {
        self.ours().find(|p| p.modules.iter().any(|m| glob(m, module)))
    }

    /// The option that tells a program of the host where it listens, if its command line, maybe behind an interpreter, says
    /// that it is to serve.
    #[must_use]
    pub fn host_option(&self, words: &[String]) -> Option<&'static str> {
        let interpreted = words.first().is_some_and(|first| is_interpreter(base(first)));
        let words = if interpreted { behind_flags(&words[1..]) } else { words };
        let (first, rest) = words.split_first()?;
        let module = rest.first().filter(|_| interpreted && first == "-m");
        let serves = |p: &Program| match module {
            Some(module) => p.modules.iter().any(|m| glob(m, module)),
            None => p.names().any(|n| n == base(first)) && p.entry.iter().copied().eq(rest.iter().take(p.entry.len()).map(String::as_str)),
        };
        self.rows.iter().find(|p| p.host_option.is_some() && serves(p))?.host_option
    }

    /// The program that an image means, and the name it goes by: the image's last part without tag and digest, where that is a
    /// name of its own.
    #[must_use]
    pub fn image(&self, reference: &str) -> Option<(&Program, &'static str)> {
        let image = image_name(reference);
        self.rows.iter().filter(|p| !p.tool).find_map(|p| match p.names().find(|n| *n == image) {
            Some(name) => Some((p, name)),
            None => p.images.iter().any(|i| glob(i, image)).then_some((p, p.name)),
        })
    }

    /// Whether a link of ours of that name stands in for a program of the host, since a shell finds that without asking the
    /// kubelet: one of the host's own engine, or an interpreter that may run it.
    #[must_use]
    pub fn is_of_the_host(&self, word: &str) -> bool {
        self.of_the_host().any(|name| name == base(word))
    }

    fn of_the_host(&self) -> impl Iterator<Item = &'static str> {
        let interpreters: &[_] = if self.hosts().any(|p| !p.modules.is_empty()) { &INTERPRETERS } else { &[] };
        self.hosts().flat_map(Program::names).chain(interpreters.iter().copied())
    }

    /// The names that stand as links in the PATH of Pods.
    pub fn links(&self) -> impl Iterator<Item = &'static str> {
        self.ours().flat_map(Program::names).chain(self.of_the_host())
    }
}

/// What runs modules of Python, as shell lines call it.
const INTERPRETERS: [&str; 2] = ["python3", "python"];

/// Whether a program of that name runs scripts and modules of Python.
#[must_use]
pub fn is_interpreter(name: &str) -> bool {
    name == "uvicorn" || name.strip_prefix("python").is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

/// An interpreter's arguments from its script, `-m` or `-c` on.
fn behind_flags(words: &[String]) -> &[String] {
    let mut at = 0;
    while let Some(flag) = words.get(at).filter(|w| w.starts_with('-') && !matches!(w.as_str(), "-m" | "-c" | "-")) {
        at += if matches!(flag.as_str(), "-W" | "-X") { 2 } else { 1 };
    }
    words.get(at..).unwrap_or_default()
}

/// The sentence about a name that this build is without.
#[must_use]
pub fn lacking(name: &str, features: &[&str]) -> String {
    let (noun, verb) = if features.len() == 1 { ("feature", "brings") } else { ("features", "bring") };
    format!(
        "{name:?} is not in this build of dormouse; the Cargo {noun} {} {verb} it: cargo build --release --features {}",
        features.join(" and "),
        features.join(",")
    )
}

/// The last part of a path.
#[must_use]
pub fn base(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// The last part of an image's reference, without tag and digest.
#[must_use]
pub fn image_name(reference: &str) -> &str {
    let reference = reference.split('@').next().unwrap_or(reference);
    let last = reference.rsplit('/').next().unwrap_or(reference);
    last.split(':').next().unwrap_or(last)
}

/// Whether a glob covers a text: `*` is any run of characters (slashes too), `?` one.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Program; 3] = [
        Program { aliases: &["test-daemon"], scripts: &["daemon.py"], modules: &["daemon:*"], ..Program::new("daemon") },
        Program { images: &["brain-*"], entry: &["serve"], engine: true, ..Program::new("brain") },
        Program { tool: true, ..Program::new("smi") },
    ];

    fn name(found: Option<&Program>) -> Option<&'static str> {
        found.map(|p| p.name)
    }

    #[test]
    fn a_row_is_found_by_each_of_its_names() {
        let table = Programs::new(ROWS, false);
        for word in ["daemon", "/a/b/test-daemon", "./daemon.py"] {
            assert_eq!(name(table.called(word)), Some("daemon"), "{word}");
        }
        assert_eq!((name(table.called("demon")), name(table.called("brain-cpu"))), (None, None));
        assert_eq!((name(table.script("/x/daemon.py")), name(table.script("daemon"))), (Some("daemon"), None));
        assert_eq!((name(table.module("daemon:app")), name(table.module("daemon"))), (Some("daemon"), None));
        let image = |reference: &str| table.image(reference).map(|(p, called)| (p.name, called));
        assert_eq!(image("reg:5000/x/test-daemon:v1"), Some(("daemon", "test-daemon")));
        assert_eq!(image("x/brain-cpu@sha256:ab"), Some(("brain", "brain")));
        assert_eq!((image("x/smi"), image("daemon/other")), (None, None));
        assert_eq!(table.links().collect::<Vec<_>>(), ["daemon", "test-daemon", "daemon.py", "brain", "smi"]);
    }

    #[test]
    fn the_hosts_engine_is_no_program_of_ours_but_its_images_mean_it() {
        let table = Programs::new(ROWS, true);
        assert_eq!((name(table.called("brain")), name(table.called("smi"))), (None, Some("smi")));
        assert!(table.image("brain-cpu").is_some() && !table.links().any(|l| l == "brain"));
    }

    #[test]
    fn the_hosts_engine_is_told_where_it_listens_if_it_is_to_serve() {
        let row = Program { host_option: Some("--at"), modules: &["brain.api"], ..ROWS[1] };
        let table = Programs::new([row], true);
        let option = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            table.host_option(&words)
        };
        for line in [
            "brain serve m",
            "/opt/x/bin/brain serve",
            "python3 /opt/x/bin/brain serve m",
            "/x/python3.11 -m brain.api --model m",
            "python -u -W ignore -m brain.api",
        ] {
            assert_eq!(option(line), Some("--at"), "{line}");
        }
        for line in [
            "brain",
            "brain --version",
            "brain bench serve",
            "other serve",
            "python3",
            "python3 -m",
            "python3 -W",
            "python3 -m other",
            "python3 -m brain serve",
            "python3 -c brain.api",
            "py -m brain.api",
        ] {
            assert_eq!(option(line), None, "{line}");
        }
        assert_eq!(table.links().collect::<Vec<_>>(), ["brain", "python3", "python"]);
        let ours = Programs::new([row], false);
        for word in ["/x/brain", "python3", "/x/python"] {
            assert_eq!((table.is_of_the_host(word), ours.is_of_the_host(word)), (true, false), "{word}");
        }
        assert!(!table.is_of_the_host("uvicorn") && !ours.links().any(|l| l == "python3"));
    }

    #[test]
    fn last_parts() {
        assert_eq!([base("/a/b"), base("b"), base("a/b/"), base("/"), base("")], ["b", "b", "b", "/", ""]);
        let names = ["a", "r/a:1", "r:5/a@sha256:1", "r:5/x/a:t@sha256:1"].map(image_name);
        assert_eq!(names, ["a"; 4]);
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
            assert_eq!(glob(pattern, text), want, "{pattern} {text}");
        }
    }
}
