//! `perf config validate`: everything that is wrong with configuration files and data sets, each with its file, line and member.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dormouse_perf_data::{Error, FileFormat, Source, Spec};
use dormouse_perf_report::json::Json;
use dormouse_runtime::exit::Failure;
use dormouse_runtime::output::Out;

use super::checks::{self, Opened};
use super::places::{Places, culprit, path, remove};
use crate::config::model::Config;
use crate::config::{file, sweep, wrong};

/// So many faults of one file are told.
const MOST: usize = 20;

/// Options of `perf config validate`.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// Configuration files
    #[arg(value_name = "FILE", required_unless_present = "datasets")]
    pub files: Vec<PathBuf>,
    /// Data sets, files or folders, each line of which is looked at
    #[arg(long = "dataset", visible_alias = "input-file", value_name = "PATH")]
    pub datasets: Vec<PathBuf>,
    /// Their format, as of perf profile; else it is found out
    #[arg(long, value_name = "FORMAT", requires = "datasets")]
    pub custom_dataset_type: Option<String>,
    /// Tokens of each block of a trace [default: 512]
    #[arg(long, value_name = "TOKENS", requires = "datasets")]
    pub isl_block_size: Option<u64>,
}

/// What was found of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is good, and this is what it has.
    Good(String),
    /// All that is wrong with it: lines that name it.
    Wrong(Vec<String>),
}

/// Looks at all of them and says what it found.
///
/// # Errors
/// When something is wrong, as exit code 2.
pub fn run(args: &ValidateArgs) -> anyhow::Result<()> {
    let format = args.custom_dataset_type.as_deref().map(FileFormat::parse).transpose();
    let format = format.map_err(|why| wrong(format!("--custom-dataset-type: {why}")))?;
    let configurations = args.files.iter().map(|file| (file, configuration(file)));
    let sets = args.datasets.iter().map(|file| (file, dataset(file, format, args.isl_block_size)));
    let (mut bad, mut all) = (0, 0);
    for (file, found) in configurations.chain(sets) {
        all += 1;
        match found {
            Found::Good(what) => Out.line(&format!("{}: ok: {what}", file.display()))?,
            Found::Wrong(lines) => {
                bad += 1;
                lines.iter().try_for_each(|line| Out.line(line))?;
            }
        }
    }
    if bad > 0 {
        return Err(Failure::usage(format!("{bad} of {all} cannot be used")).into());
    }
    Ok(())
}

/// What is wrong with a configuration file.
#[must_use]
pub fn configuration(from: &Path) -> Found {
    let document = match file::read(from) {
        Ok(document) => document,
        Err(error) => return Found::Wrong(vec![first_line(&error.to_string())]),
    };
    let mut found = Vec::new();
    let opened = Config::read(&document).map_or(Opened::Made, |config| checks::open(&config));
    let data = match &opened {
        Opened::Good(conversations) => Some(conversations.data()),
        _ => None,
    };
    let places = std::fs::read_to_string(from).ok().and_then(|text| Places::of(&text));
    let problems = |document: &Json| checks::of_document(document, data);
    // What cannot be read hides what stands behind it: it is taken out once it is told.
    let mut left = document.clone();
    while found.len() < MOST {
        let unread = Config::read(&left).is_err();
        let all = problems(&left);
        let mut guilty = Vec::new();
        for problem in &all {
            let steps = culprit(&left, problem, &problems);
            let line = places.as_ref().and_then(|places| places.line(&steps)).map(|line| format!(":{line}")).unwrap_or_default();
            let member = if steps.is_empty() { String::new() } else { format!("{}: ", path(&steps)) };
            found.push(format!("{}{line}: {member}{problem}", from.display()));
            guilty = steps;
        }
        if !unread || guilty.is_empty() {
            break;
        }
        remove(&mut left, &guilty);
    }
    if let Opened::Bad(why) = &opened {
        found.push(format!("{}: data set {why}", from.display()));
    }
    if found.is_empty() { Found::Good(summary(&document, &opened)) } else { Found::Wrong(found) }
}

/// An error without the picture of its surroundings that parsers draw.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What a good file has.
fn summary(document: &Json, opened: &Opened) -> String {
    let Ok(config) = Config::read(document) else { return String::new() };
    let mut parts = vec![config.benchmark.endpoint.r#type.clone()];
    let phases: Vec<&str> = config.benchmark.phases.iter().map(|phase| phase.name.as_str()).collect();
    if !phases.is_empty() {
        parts.push(format!("phases {}", phases.join(", ")));
    }
    match opened {
        Opened::Made => parts.push("text that is made up".to_owned()),
        Opened::Good(conversations) => parts.push(has(conversations.data())),
        Opened::Lines => parts.push("a data set whose lines are good".to_owned()),
        Opened::Bad(_) => {}
    }
    if let Ok(variations) = sweep::variations(document, &config)
        && variations.len() > 1
    {
        parts.push(format!("{} combinations", variations.len()));
    }
    parts.join("; ")
}

fn has(data: &dormouse_perf_data::Dataset) -> String {
    format!("{}: {} conversations, {} turns", data.format().name(), data.len(), data.turns())
}

/// What is wrong with a data set.
#[must_use]
pub fn dataset(from: &Path, format: Option<FileFormat>, block_size: Option<u64>) -> Found {
    let open = |path: &Path, format: Option<FileFormat>| {
        let spec = Spec { source: Source::File { path: path.to_owned(), format }, block_size, ..Spec::default() };
        dormouse_perf_data::open(&spec, None)
    };
    let first = match open(from, format) {
        Ok(data) => return Found::Good(has(&data)),
        Err(Error::Option { flag: "--tokenizer", .. }) => return Found::Good(format!("{} lines", lines(from))),
        Err(error) => error,
    };
    let Error::Line { line, why, .. } = &first else { return Found::Wrong(vec![first.to_string()]) };
    let mut found = vec![(*line, why.clone())];
    // What is wrong behind the first is found in a copy without it. Rows that name other files can be read at their own place only.
    let alone = matches!(format, Some(FileFormat::MooncakeTrace | FileFormat::RawPayload)) && from.is_file();
    if alone && let Ok(text) = std::fs::read_to_string(from) {
        let mut rest: Vec<&str> = text.split('\n').collect();
        while found.len() < MOST
            && let Some(bad) = found.last().and_then(|(line, _)| rest.get_mut(line.saturating_sub(1)))
        {
            *bad = "";
            let Some(Error::Line { line, why, .. }) = copied(&rest).and_then(|copy| open(copy.path(), format).err()) else { break };
            found.push((line, why));
        }
    }
    let more = match found.len() {
        _ if !alone => " (what is behind it was not looked at)",
        MOST => " (and what is behind it)",
        _ => "",
    };
    let last = found.len() - 1;
    let told =
        |(at, (line, why)): (usize, (usize, String))| format!("{}:{line}: {why}{}", from.display(), if at == last { more } else { "" });
    Found::Wrong(found.into_iter().enumerate().map(told).collect())
}

fn copied(lines: &[&str]) -> Option<tempfile::NamedTempFile> {
    let mut copy = tempfile::NamedTempFile::new().ok()?;
    copy.write_all(lines.join("\n").as_bytes()).ok()?;
    copy.flush().ok()?;
    Some(copy)
}

/// Lines that are not empty.
fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().filter(|line| !line.trim().is_empty()).count())
}
