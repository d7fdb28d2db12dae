//! An image is a name that resolves to a command (control-plane 4). Pure.
//!
//! Order: 1. the rules of `--images`; 2. names of our own programs, from the table that the kubelet was given, and `pause`,
//! which the kubelet brings itself; 3. the container's `command` on the host's PATH. After rule 1 a container's `command` wins,
//! and the image's name decides only when there is none. The host's own engine, where that is chosen, is found by rule 3; all
//! Pods share the host's network, so it is told to listen at its Pod's address.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use dormouse_names::program::{base, glob, image_name, is_interpreter, lacking};
use dormouse_names::{Program, Programs};
use dormouse_runtime::net::host_to_tell;
use k8s_openapi::api::core::v1::Container;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The image of a container that only keeps its Pod, and the name of its program.
pub const PAUSE: &str = "pause";

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
    /// What goes before the container's own command line, instead of `command` and `args`.
    #[serde(default)]
    pub prefix: Vec<String>,
    /// Environment above what the kubelet gives by itself (`PATH` and `DORMOUSE_*` too) and beneath the container's own.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where to run it, unless the container says.
    pub working_dir: Option<String>,
    /// Where its servers listen; known, and not served yet.
    bind: Option<String>,
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
        let rules: Self = serde_json::from_value(value).map_err(|e| e.to_string())?;
        rules.0.iter().try_for_each(Rule::check)?;
        Ok(rules)
    }

    /// The rule of an image.
    #[must_use]
    pub fn find(&self, image: &str) -> Option<&Rule> {
        self.0.iter().find(|r| glob(&r.pattern, image))
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let of = |why: &str| Err(format!("rule {:?}: {why}", self.pattern));
        if !self.prefix.is_empty() && (!self.command.is_empty() || self.args.is_some()) {
            return of("prefix goes before the container's own command line, and command or args would replace it: give one of them");
        }
        if let Some(bind) = &self.bind {
            return of(&format!("bind: {bind} is planned and not there yet; leave it out"));
        }
        Ok(())
    }
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This binary, with the name as `argv[0]`.
    Ours,
    /// A file of the host, or of the container's volumes.
    Path(String),
}

/// An image and a command that were resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The file to execute.
    pub program: Target,
    /// Its arguments, `argv[0]` included.
    pub argv: Vec<String>,
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
            Target::Ours => "",
            Target::Path(path) => path,
        };
        for part in std::iter::once(program).chain(self.argv.iter().map(String::as_str)) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The arguments in a Pod of that address: the host's own engine is told to listen there, unless it names another.
    #[must_use]
    pub fn argv_at(&self, ip: Option<IpAddr>, programs: &Programs) -> Vec<String> {
        let mut argv = self.argv.clone();
        if self.program != Target::Ours
            && let Some(option) = programs.host_option(&argv)
            && let Some(host) = host_to_tell(&argv, option, ip)
        {
            argv.extend([option.to_owned(), host]);
        }
        argv
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
pub fn resolve(
    wish: Wish<'_>,
    rules: &Rules,
    programs: &Programs,
    find: &dyn Fn(&str) -> Option<String>,
) -> Result<Resolution, Unresolved> {
    let unresolved = |why: String, example: &str| Unresolved { image: wish.image.to_owned(), why, example: example.to_owned() };
    let rule = rules.find(wish.image);
    let working_dir = rule.and_then(|r| r.working_dir.clone());
    let args = rule.and_then(|r| r.args.as_deref()).unwrap_or(wish.args);
    let chosen = rule.map(|r| r.command.as_slice()).filter(|c| !c.is_empty());
    let command = chosen.unwrap_or(wish.command);

    let (words, origin) = if !command.is_empty() {
        let origin = if chosen.is_some() { "by a rule of --images" } else { "by the container's command" };
        ([command, args].concat(), origin)
    } else if let Some((program, name)) = programs.image(wish.image) {
        (called_as(name, program, args), "by the image's name")
    } else if image_name(wish.image) == PAUSE {
        (with_name(PAUSE, args), "by the image's name")
    } else {
        let name = image_name(wish.image);
        return Err(unresolved(format!("The container gives no command and {name:?} is not a program of ours"), "sleep"));
    };
    let prefix = rule.map(|r| r.prefix.as_slice()).unwrap_or_default();
    let (words, origin) = if prefix.is_empty() {
        (words, origin.to_owned())
    } else {
        ([prefix, &words].concat(), format!("{origin}, behind the prefix of a rule"))
    };
    // A rule that names a file means that file, whatever ours are called.
    let named = rule.is_some_and(|r| r.command.first().or(r.prefix.first()).is_some_and(|first| first.contains('/')));
    let (program, argv) = if named && let Some(path) = find(&words[0]) {
        (Target::Path(path), words)
    } else if image_name(wish.image) == PAUSE && base(&words[0]) == PAUSE {
        (Target::Ours, with_name(PAUSE, &words[1..]))
    } else if let Some((program, argv)) = interpret(&words, programs) {
        if let Some(feature) = program.lacking {
            return Err(unresolved(lacking(program.name, &[feature]), "sleep"));
        }
        (Target::Ours, argv)
    } else if let Some(path) = find(&words[0]) {
        (Target::Path(path), words)
    } else {
        let missing = if words[0].contains('/') { "does not exist" } else { "is not on the PATH" };
        return Err(unresolved(format!("The command {:?} {missing} on this host", words[0]), base(&words[0])));
    };
    let what = match &program {
        Target::Ours => format!("dormouse as {}", argv[0]),
        Target::Path(path) => path.clone(),
    };
    Ok(Resolution { program, argv, working_dir, how: format!("{what}, {origin}") })
}

/// The program of ours that a command line means, and the command line that runs it.
fn interpret<'a>(words: &[String], programs: &'a Programs) -> Option<(&'a Program, Vec<String>)> {
    let first = base(&words[0]);
    if let Some(program) = programs.called(first) {
        return Some((program, with_name(first, &words[1..])));
    }
    if !is_interpreter(first) {
        return None;
    }
    let second = words.get(1)?;
    if let Some(program) = programs.script(second) {
        return Some((program, with_name(base(second), &words[2..])));
    }
    let (module, rest) = if second == "-m" { (words.get(2)?, &words[3..]) } else { (second, &words[2..]) };
    programs.module(module).map(|program| (program, called_as(program.name, program, rest)))
}

/// The scripts that stand in the working folder of an image: those of all programs, where the image is that of a program that
/// has scripts. A shell in such a container starts them by an interpreter, which looks for a file and not in the PATH.
#[must_use]
pub fn scripts(programs: &Programs, image: &str) -> Vec<&'static str> {
    match programs.image(image) {
        Some((program, _)) if !program.scripts.is_empty() => programs.links().filter(|name| programs.script(name).is_some()).collect(),
        _ => Vec::new(),
    }
}

/// Whether a container runs a program of which this holds: a word of its command names it or, without a command, its image.
#[must_use]
pub fn runs(programs: &Programs, container: &Container, holds: impl Fn(&Program) -> bool) -> bool {
    match container.command.as_deref() {
        Some(words @ [_, ..]) => words.iter().filter_map(|w| programs.called(w)).any(holds),
        _ => container.image.as_deref().and_then(|i| programs.image(i)).is_some_and(|(program, _)| holds(program)),
    }
}

fn called_as(name: &str, program: &Program, args: &[String]) -> Vec<String> {
    std::iter::once(name).chain(program.entry.iter().copied()).map(str::to_owned).chain(args.iter().cloned()).collect()
}

fn with_name(name: &str, args: &[String]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(args.iter().cloned()).collect()
}
