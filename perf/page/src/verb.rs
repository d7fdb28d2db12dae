//! The verb: folders are read, the page is made and written whole or not at all.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use dormouse_perf_metrics::Stamps;
use dormouse_perf_report::folder::{Error, Run};
use dormouse_perf_report::json::Json;
use dormouse_runtime::output::Out;

use crate::model::Page;
use crate::subject::Input;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folders of runs, ours or the peer's: with profile_export.jsonl in them. The first is what the others are compared with
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// File to write [default: report.html in the first folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What stands above the page [default: the model and the folder]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
}

/// What a folder of a search holds.
const SEARCH: &str = "search_history.json";
/// What a folder of a run holds.
const RECORDS: &str = "profile_export.jsonl";
/// Runs that are named where a folder only holds others.
const NAMED: usize = 4;

/// Runs it to its end.
///
/// # Errors
/// When a folder cannot be read, or the page not be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let (given, most) = (args.folders.len(), Page::MOST);
    anyhow::ensure!(
        given <= most,
        "{given} folders are too many for one page: its lines can be told apart up to {most}; make several pages"
    );
    let output = match (&args.output, args.folders.first()) {
        (Some(file), _) => file.clone(),
        (None, first) => first.cloned().unwrap_or_default().join("report.html"),
    };
    anyhow::ensure!(
        !output.is_dir(),
        "{} is a folder: name a file in it, such as {}",
        output.display(),
        output.join("report.html").display()
    );
    let inputs = args.folders.iter().map(|folder| read(folder)).collect::<anyhow::Result<Vec<Input>>>()?;
    let html = Page::of(args.title.as_deref(), &inputs).html()?;
    write(&output, &html)?;
    Out.line(&output.display().to_string())?;
    Ok(())
}

/// Reads a folder: a run with its records, or one in which a search was kept.
///
/// # Errors
/// When there is neither, or a file is broken.
pub fn read(folder: &Path) -> anyhow::Result<Input> {
    let shown = folder.display();
    anyhow::ensure!(folder.exists(), "{shown} is not there: name a folder that `perf profile` or AIPerf wrote");
    anyhow::ensure!(folder.is_dir(), "{shown} is no folder: name the folder that it lies in");
    let search = search(&folder.join(SEARCH))?;
    let run = match Run::read(folder) {
        Ok(run) => run,
        Err(Error::NoRecords(_)) if search.is_some() => {
            let about = match Run::written(folder) {
                Ok(about) => about,
                Err(Error::NoRecords(_)) => Json::Null,
                Err(other) => return Err(other.into()),
            };
            Run { phases: Vec::new(), objectives: Vec::new(), stamps: Stamps::default(), about }
        }
        Err(Error::NoRecords(_)) => anyhow::bail!(no_records(folder)),
        Err(other) => {
            return Err(other).context(format!(
                "{shown} cannot be read: if its run was cut off while it wrote, take the broken line out; else run it again"
            ));
        }
    };
    let measured = run.phases.iter().filter(|p| !p.warmup).map(|p| p.rows.len()).sum::<usize>();
    anyhow::ensure!(
        measured > 0 || search.is_some(),
        "{shown} has no record of a request that was measured, {}: run it longer, or look in its log for why none ended",
        if run.phases.is_empty() { "its profile_export.jsonl is empty" } else { "only of its warm-up" }
    );
    Ok(Input { folder: shown.to_string(), run, search })
}

fn search(path: &Path) -> anyhow::Result<Option<Json>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).with_context(|| format!("{} is no search history: move it away to report the run without it", path.display()))
}

/// What a folder without records may be, and what to do.
fn no_records(folder: &Path) -> String {
    let mut below = Vec::new();
    runs_below(folder, 4, &mut below);
    below.sort();
    let shown = folder.display();
    if below.is_empty() {
        return format!(
            "{shown} has no {RECORDS}, which a page is made of: run it again with --export-level records or raw, or name the folder of another run"
        );
    }
    let named: Vec<String> = below.iter().take(NAMED).map(|f| f.display().to_string()).collect();
    let more = if below.len() > NAMED { format!(" (and {} more)", below.len() - NAMED) } else { String::new() };
    format!("{shown} has no {RECORDS} of its own, but runs below it have: report those, as in `perf report {}`{more}", named.join(" "))
}

/// Folders with records, not deeper than that.
fn runs_below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|e| e.path()).filter(|p| p.is_dir() && !p.is_symlink()) {
        if path.join(RECORDS).is_file() {
            found.push(path);
        } else if depth > 1 && found.len() < 1000 {
            runs_below(&path, depth - 1, found);
        }
    }
}

/// Beside its place, and then there: a reader sees the old page or the new one.
fn write(output: &Path, html: &str) -> anyhow::Result<()> {
    let mut partial = output.as_os_str().to_owned();
    partial.push(".partial");
    let written = std::fs::write(&partial, html).and_then(|()| std::fs::rename(&partial, output));
    if written.is_err() {
        // What could not be written may not be there either.
        std::fs::remove_file(&partial).ok();
    }
    written.with_context(|| format!("cannot write {}: choose another place with --output FILE", output.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ReportArgs,
    }

    fn error_of(args: &[&str]) -> String {
        format!("{:#}", run(&Line::try_parse_from(args).unwrap().args).unwrap_err())
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert!(Line::try_parse_from(["report"]).is_err());
        assert!(error_of(&["report", "/nowhere/at-all"]).starts_with("/nowhere/at-all is not there"));
        let here = tempfile::tempdir().unwrap();
        let at = here.path().display().to_string();
        let error = error_of(&["report", &at]);
        assert!(error.contains("has no profile_export.jsonl") && error.contains("--export-level records"), "{error}");
        let error = error_of(&["report", &at, "--output", &at]);
        assert!(error.contains("is a folder"), "{error}");

        std::fs::create_dir_all(here.path().join("profile_runs/run_0001")).unwrap();
        std::fs::write(here.path().join("profile_runs/run_0001/profile_export.jsonl"), "").unwrap();
        let error = error_of(&["report", &at]);
        assert!(error.contains("perf report") && error.contains("run_0001"), "{error}");

        std::fs::write(here.path().join(RECORDS), "\n").unwrap();
        let error = error_of(&["report", &at]);
        assert!(error.contains("is empty"), "{error}");
        std::fs::write(here.path().join(RECORDS), "{\"metadata\":").unwrap();
        let error = error_of(&["report", &at]);
        assert!(error.contains("line 1") && error.contains("cannot be read"), "{error}");
        assert!(!here.path().join("report.html").exists());
    }

    #[test]
    fn a_page_lies_in_the_first_folder_or_where_it_is_wanted() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/perf/cancel");
        let here = tempfile::tempdir().unwrap();
        for name in [RECORDS, "profile_export_aiperf.json"] {
            std::fs::copy(golden.join(name), here.path().join(name)).unwrap();
        }
        let at = here.path().display().to_string();
        run(&Line::try_parse_from(["report", &at]).unwrap().args).unwrap();
        let page = std::fs::read_to_string(here.path().join("report.html")).unwrap();
        let elsewhere = format!("{at}/other.html");
        run(&Line::try_parse_from(["report", &at, "-o", &elsewhere, "--title", "Before & after"]).unwrap().args).unwrap();
        assert!(page.contains("<h1>") && std::fs::read_to_string(&elsewhere).unwrap().contains("<h1>Before &amp; after</h1>"));
        let error = error_of(&["report", &at, "-o", &format!("{at}/no/such/place.html")]);
        assert!(error.contains("place.html: choose another place"), "{error}");
        let left: Vec<_> = std::fs::read_dir(here.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 4, "{left:?}");
    }

    #[test]
    fn too_many_are_too_many() {
        let folders = vec!["x"; Page::MOST + 1];
        let error = error_of(&[vec!["report"], folders].concat());
        assert!(error.starts_with("25 folders are too many"), "{error}");
    }
}
