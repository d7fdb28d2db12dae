//! Arguments. Those of libtest that tools pass along are accepted: a filter, `--exact`, `--list`, and the ones that
//! mean nothing here.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) const HELP: &str = "Runs the peer's suites, each on a plane of its own.

Usage: suites [OPTIONS] [FILTER]...

  FILTER                run only runs whose name holds it
  --exact               whose name equals it
  --list                show the names
  --kubeconfig FILE     use this cluster instead (also DORMOUSE_SUITE_KUBECONFIG)
  --pods-reachable      Pods of that cluster answer at their addresses; else they are asked through the API server
  --set NAME=VALUE      a variable of the suites: registry, tag, engineOptions, ...
  --keep-going          go on after a row has failed
  --keep                leave plane or namespace as they are after a failure, until Enter is pressed
  --help

Own planes run the binary DORMOUSE_BIN, or one that cargo builds.";

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) pods_reachable: bool,
    pub(crate) set: BTreeMap<String, String>,
    pub(crate) keep_going: bool,
    pub(crate) keep: bool,
    pub(crate) list: bool,
    exact: bool,
    filters: Vec<String>,
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Run(Args),
    Help,
}

impl Args {
    /// Reads arguments, then the environment.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
        let mut args = Self::default();
        while let Some(word) = words.next() {
            let (flag, inline) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
                _ => (word, None),
            };
            let mut value = || inline.clone().or_else(|| words.next()).ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--kubeconfig" => args.kubeconfig = Some(value()?.into()),
                "--set" => {
                    let pair = value()?;
                    let (name, text) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: NAME=VALUE is wanted"))?;
                    args.set.insert(name.to_owned(), text.to_owned());
                }
                "--pods-reachable" => args.pods_reachable = true,
                "--keep-going" => args.keep_going = true,
                "--keep" => args.keep = true,
                "--list" => args.list = true,
                "--exact" => args.exact = true,
                "--help" | "-h" => return Ok(Asked::Help),
                // libtest's, with and without values.
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q" | "--include-ignored" | "--ignored" => {}
                "--test-threads" | "--format" | "--color" | "--skip" => drop(value()?),
                flag if flag.starts_with('-') => return Err(format!("unknown argument {flag}")),
                _ => args.filters.push(flag),
            }
        }
        if args.kubeconfig.is_none() {
            args.kubeconfig = std::env::var_os("DORMOUSE_SUITE_KUBECONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
        }
        Ok(Asked::Run(args))
    }

    /// Whether a run of this name was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}
