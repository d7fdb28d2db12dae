//! `random_pool`: rows of which any may be drawn, from one file or from several that each give a part of a request.

use std::path::Path;

use rand::{Rng, RngExt as _};

use super::lines::{folder, lines, parse, stem, text};
use super::rows::Row;
use crate::conversation::{Conversation, Text, Turn};
use crate::error::Error;

/// The rows of one file.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Vec<Turn>);

/// The pools of a file, or of each file of a folder.
pub(super) fn read(path: &Path) -> Result<Vec<Pool>, Error> {
    if path.is_dir() {
        return folder(path, "jsonl")?.iter().map(|file| pool(file)).collect();
    }
    Ok(vec![pool(path)?])
}

fn pool(path: &Path) -> Result<Pool, Error> {
    let text = text(path)?;
    let mut rows = Vec::new();
    for (line, said) in lines(&text) {
        let row: Row = parse(path, line, said)?;
        let fail = |why: String| Error::line(path, line, why);
        if row.timestamp.is_some() || row.delay.is_some() {
            return Err(fail("rows of a pool have no times".to_owned()));
        }
        rows.push(row.into_turn(&stem(path), path.parent().unwrap_or(Path::new(""))).map_err(fail)?);
    }
    if rows.is_empty() {
        return Err(Error::file(path, "no row is in it"));
    }
    Ok(Pool(rows))
}

/// A conversation of `batch` rows of each pool.
pub(crate) fn draw(pools: &[Pool], rng: &mut impl Rng, batch: usize) -> Conversation {
    let mut turn = Turn::default();
    for Pool(rows) in pools {
        for _ in 0..batch.max(1) {
            let Some(row) = rows.get(rng.random_range(0..rows.len().max(1))) else { continue };
            for text in &row.texts {
                match turn.texts.iter_mut().find(|t| t.name == text.name) {
                    Some(same) => same.contents.extend(text.contents.iter().cloned()),
                    None => turn.texts.push(Text::clone(text)),
                }
            }
            turn.images.extend(row.images.iter().cloned());
            turn.audios.extend(row.audios.iter().cloned());
            turn.videos.extend(row.videos.iter().cloned());
            turn.role = row.role.clone().or(turn.role);
            turn.max_tokens = row.max_tokens.or(turn.max_tokens);
            turn.tools = row.tools.clone().or(turn.tools);
            turn.extra.extend(row.extra.iter().cloned());
        }
    }
    Conversation { turns: vec![turn], ..Conversation::default() }
}
