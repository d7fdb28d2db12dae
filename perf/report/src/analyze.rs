//! `perf analyze`: a whole summary from the records of a run, ours or the peer's.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use dormouse_perf_metrics::summary::Summary;
use dormouse_runtime::flags::Output;
use dormouse_runtime::output::{Out, error_line};

use crate::console::{self, Style};
use crate::folder::{Run, Source};
use crate::json::Json;
use crate::records::Problem;
use crate::{check, slices, summary};

/// Arguments of `analyze`.
#[derive(Debug, Args)]
pub struct AnalyzeArgs {
    /// Folders of runs, ours or the peer's: with profile_export.jsonl in them
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Write the summary as JSON and CSV into this folder, for several runs into one in it for each
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Write slices of so many seconds too
    #[arg(long, requires = "write", value_name = "SECONDS", value_parser = seconds)]
    slice_duration: Option<f64>,
    /// Show the times of HTTP too
    #[arg(long)]
    http: bool,
    /// Compare with the summary that lies there, figure by figure; exit with 1 where they differ
    #[arg(long)]
    check: bool,
    /// Form of the answer
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 1e-3).ok_or("it must be a number of seconds, at least 0.001")
}

/// Runs it to its end.
///
/// # Errors
/// When a folder cannot be read or written, or with `--check` a figure differs.
pub fn run(args: &AnalyzeArgs) -> anyhow::Result<()> {
    if args.write.is_some() {
        let mut names = HashSet::new();
        if let Some(twice) = args.folders.iter().find(|folder| !names.insert(folder.file_name())) {
            anyhow::bail!(
                "{}: another folder ends in the same name, and one would be written over the other; write them one by one",
                twice.display()
            );
        }
    }
    let mut differ = 0;
    for folder in &args.folders {
        differ += one(args, folder)?;
    }
    anyhow::ensure!(differ == 0, "{differ} figures differ from the summaries that lie there");
    Ok(())
}

/// Returns how many figures differ.
fn one(args: &AnalyzeArgs, folder: &Path) -> anyhow::Result<usize> {
    let run = Run::read(folder)?;
    let computed = run.profiling();
    let document = summary::document(&computed, run.warmup().as_ref(), &run.about);
    let differences = if args.check { check::differences(&document, &run.about) } else { Vec::new() };
    match args.output {
        Output::Json => Out.line(&serde_json::to_string_pretty(&document)?)?,
        Output::Table => Out.text(&table(folder, &run, &computed, args.http))?,
    }
    differences.iter().for_each(|d| error_line(&format!("{}: {d}", folder.display())));
    if let Some(to) = &args.write {
        let to = match (args.folders.len(), folder.file_name()) {
            (2.., Some(name)) => to.join(name),
            _ => to.clone(),
        };
        write(&to, &run, &computed, &document, args.slice_duration)?;
    }
    Ok(differences.len())
}

fn write(to: &Path, run: &Run, computed: &Summary, document: &Json, slice: Option<f64>) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let put = |name: &str, text: &str| {
        let (file, partial) = (to.join(name), to.join(format!("{name}.partial")));
        // Whole or not at all.
        std::fs::write(&partial, text)
            .and_then(|()| std::fs::rename(&partial, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    };
    put("profile_export_aiperf.json", &serde_json::to_string_pretty(document)?)?;
    put("profile_export_aiperf.csv", &summary::csv(computed, &run.about))?;
    if let Some(seconds) = slice {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive")]
        let slices = run.slices((seconds * 1e9) as u64);
        let config = document.get("input_config").unwrap_or(&Json::Null);
        put("profile_export_aiperf_timeslices.json", &serde_json::to_string_pretty(&slices::document(&slices, config))?)?;
        put("profile_export_aiperf_timeslices.csv", &slices::csv(&slices))?;
    }
    Ok(())
}

/// For people: when the phases were, and the tables of what was measured.
fn table(folder: &Path, run: &Run, computed: &Summary, http: bool) -> String {
    let mut text = format!("{}\n", folder.display());
    for phase in &run.phases {
        let (window, source) = phase.window;
        let known = match source {
            Source::Manifest => "as phase_manifest.json has it",
            Source::ServerMetrics => "as server_metrics_export.json has it",
            Source::Records => "from the first request to the last: nothing here says when the phase was, so that rates are a little high",
        };
        let (count, failed) = (phase.rows.len(), phase.problems.len());
        text.push_str(&format!("  {}: {count} requests, {failed} failed, in {:.3} s, {known}\n", phase.name, window.seconds()));
    }
    let problems: Vec<Problem> = run.phases.iter().filter(|p| !p.warmup).flat_map(|p| p.problems.iter().cloned()).collect();
    text.push_str(&console::tables(computed, &problems, endpoint(&run.about), Style::Dormouse, http));
    text
}

/// The title of what was asked (perf contract 4.1).
fn endpoint(about: &Json) -> &'static str {
    let kind = about.get("input_config").and_then(|c| c.get("endpoint")).and_then(|e| e.get("type")).and_then(Json::as_str);
    match kind {
        Some("embeddings" | "chat_embeddings") => "Embeddings Metrics",
        _ => "LLM Metrics",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: AnalyzeArgs,
    }

    #[test]
    fn slices_need_a_place_to_be_written_to() {
        let error = Line::try_parse_from(["analyze", "run", "--slice-duration", "1"]).unwrap_err();
        assert!(error.to_string().contains("--write <DIR>"), "{error}");
    }

    #[test]
    fn no_summary_is_written_over_another() {
        let line = Line::try_parse_from(["analyze", "a/run", "b/run", "--write", "out"]).unwrap();
        let error = run(&line.args).unwrap_err().to_string();
        assert!(error.starts_with("b/run: another folder ends in the same name"), "{error}");
    }
}
