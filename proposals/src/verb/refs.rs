//! `refs`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dormouse_console::output::Out;
use serde::Serialize;

use super::Common;
use super::session::{Session, Wants, failed};
use crate::finding::Severity;
use crate::lint::SCHEMA;
use crate::mentions::remarks;
use crate::rules::Context;
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct RefsArgs {
    /// Files and folders; what git ignores is passed over
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// The form of the report
    #[arg(long, visible_alias = "format", value_enum, default_value_t = Form::Short)]
    output: Form,
    /// Fail on warnings, too
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    Warnings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line each
    Short,
    /// For programs
    Json,
}

#[derive(Serialize)]
struct Record {
    path: String,
    line: usize,
    column: usize,
    number: u32,
    severity: Severity,
    message: String,
}

impl RefsArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        let state = session.load(Source::WorkTree, Wants::default())?;
        let context = Context::new(&state.corpus, &state.settings.config);
        let tree = session.repository.tree(Source::WorkTree).map_err(failed)?;
        let mut found = Vec::new();
        for given in &self.paths {
            let wanted = state.path(&session.repository, given)?;
            let inside = |path: &String| wanted.is_empty() || *path == wanted || path.starts_with(&format!("{wanted}/"));
            for path in state.corpus.paths.iter().filter(|path| inside(path)) {
                // What is no text has no mentions.
                let Some(Ok(text)) = tree.text(path).map_err(failed)? else { continue };
                found.extend(remarks(&context, &text).into_iter().map(|remark| Record {
                    path: path.clone(),
                    line: remark.place.line,
                    column: remark.place.column,
                    number: remark.number,
                    severity: remark.severity,
                    message: remark.message,
                }));
            }
        }
        Out.text(&match self.output {
            Form::Json => serde_json::to_string_pretty(&serde_json::json!({"schema": SCHEMA, "mentions": found}))? + "\n",
            Form::Short => {
                let line = |r: &Record| format!("{}:{}:{}: {}: {}\n", r.path, r.line, r.column, crate::report::word(r.severity), r.message);
                found.iter().map(line).collect()
            }
        })?;
        let from = if self.deny.is_some() { Severity::Warning } else { Severity::Error };
        session.ended(&state.troubles, u8::from(found.iter().any(|record| record.severity >= from)))
    }
}
