//! `index`.

use clap::Args;
use dormouse_console::exit::Failure;
use dormouse_console::output::Out;

use super::Common;
use super::session::{Session, State, Wants, failed};
use crate::index;
use crate::tree::Source;

#[derive(Clone, Debug, Args)]
pub(super) struct IndexArgs {
    /// Write nothing; fail where the index is not as it would be written
    #[arg(long)]
    check: bool,
    /// Make the region at the end of the README where it has none
    #[arg(long, conflicts_with = "check")]
    create: bool,
}

impl IndexArgs {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<()> {
        let session = Session::open(common)?;
        let mut state = session.load(Source::WorkTree, Wants { bodies: true, ..Wants::default() })?;
        self.usual(&session, &mut state)?;
        let config = &state.settings.config;
        if self.check {
            let stale = index::stale(&state.corpus, config);
            for (_, why) in &stale {
                Out.line(&format!("error[G001]: {why}; run `dormouse dep index`"))?;
            }
            return session.ended(&state.troubles, u8::from(!stale.is_empty()));
        }
        let mut written = 0;
        if let Some(path) = &config.index.readme {
            let was = state.corpus.others.get(path).map(|text| &**text);
            let table = index::table(&state.corpus, config, path);
            let base = was.unwrap_or_default();
            let fresh =
                index::with_table(base, &table).or_else(|| index::with_table(&index::with_region(base), &table).filter(|_| self.create));
            let fresh = fresh.ok_or_else(|| {
                Failure::with_code(
                    4,
                    format!(
                        "{path} has no region for the table; --create makes one at its end, or write {} and {} into it",
                        index::BEGIN,
                        index::END
                    ),
                )
            })?;
            written += usize::from(session.write(path, was, &fresh)?);
        }
        if let Some(path) = &config.index.json {
            let was = state.corpus.others.get(path).map(|text| &**text);
            written += usize::from(session.write(path, was, &index::json(&state.corpus, config))?);
        }
        let files = if written == 1 { "file" } else { "files" };
        session.note(&format!("{} proposals, {written} {files} written", state.corpus.proposals().count()));
        session.ended(&state.troubles, 0)
    }

    /// Where nothing is configured: the README that has a region, else the one beside the proposals; and `index.json` there.
    fn usual(&self, session: &Session<'_>, state: &mut State) -> Result<(), Failure> {
        let config = &mut state.settings.config;
        if config.index.readme.is_some() || config.index.json.is_some() {
            return Ok(());
        }
        let folder = state.settings.folders.first().map_or("", String::as_str);
        let beside = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        let tree = session.repository.tree(Source::WorkTree).map_err(failed)?;
        let mut read = |path: String| -> Result<(String, bool), Failure> {
            let Some(Ok(text)) = tree.text(&path).map_err(failed)? else { return Ok((path, false)) };
            let has_region = text.contains(index::BEGIN);
            state.corpus.others.insert(path.clone(), text.into());
            Ok((path, has_region))
        };
        let (own, has_region) = read(beside("README.md"))?;
        let (root, root_has_region) = read("README.md".to_owned())?;
        config.index.readme = Some(if root_has_region && !has_region { root } else { own });
        config.index.json = Some(read(beside("index.json"))?.0);
        Ok(())
    }
}
