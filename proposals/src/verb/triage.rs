//! `triage`.

use clap::{Args, ValueEnum};
use dormouse_console::output::Out;

use super::Common;
use super::session::{Session, Wants};
use crate::numbers::{Claims, FETCH_PULLS};
use crate::rules::Context;
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct TriageArgs {
    /// How many days back decisions are told
    #[arg(long, default_value_t = 7)]
    days: i64,
    /// The form of the page
    #[arg(long, visible_alias = "format", value_enum, default_value_t = Form::Md)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Markdown
    Md,
    /// For programs
    Json,
}

impl TriageArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        let state = session.load(Source::WorkTree, Wants { history: true, refs: true, bodies: false })?;
        let mut context = Context::new(&state.corpus, &state.settings.config);
        (context.trunk, context.clock) = (true, true);
        let claims = Claims::of(&state.corpus, |path| state.settings.has(path));
        if session.has_git() && !claims.pulls {
            session.note(&format!("note: no refs of pull requests are here; {FETCH_PULLS}"));
        }
        let page = crate::triage::triage(&context, &claims, session.today()?, self.days);
        Out.text(&match self.output {
            Form::Md => page.markdown(),
            Form::Json => page.json(),
        })?;
        session.ended(&state.troubles, 0)
    }
}
