//! `single_turn` and `multi_turn`: what people write by hand.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::lines::{lines, parse, text};
use super::media::{self, Kind};
use crate::conversation::{ContextMode, Conversation, Media, Text, Turn};
use crate::error::Error;
use crate::json::{self, List, Members};

/// A name that some write as a number.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    Text(String),
    Number(i64),
}

impl Name {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// One of several contents, or several under a name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum One {
    Plain(String),
    Named {
        #[serde(default)]
        name: String,
        contents: Vec<String>,
    },
}

/// A row: one turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    text: Option<String>,
    texts: Option<Vec<One>>,
    image: Option<String>,
    images: Option<Vec<One>>,
    image_uuids: Option<Vec<Option<String>>>,
    audio: Option<String>,
    audios: Option<Vec<One>>,
    video: Option<String>,
    videos: Option<Vec<One>>,
    pub(super) timestamp: Option<f64>,
    pub(super) delay: Option<f64>,
    role: Option<String>,
    session_id: Option<Name>,
    output_length: Option<u64>,
    extra: Option<Members>,
    tools: Option<List>,
}

/// A row of several turns.
#[derive(Clone, Debug, Deserialize)]
struct Session {
    session_id: Option<Name>,
    turns: Vec<Row>,
}

/// What stands under one or both of two names that exclude each other.
fn either(one: Option<String>, several: Option<Vec<One>>, names: [&str; 2]) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut found: Vec<(String, Vec<String>)> = match (one, several) {
        (Some(_), Some(_)) => return Err(format!("{} and {} exclude each other", names[0], names[1])),
        (Some(text), None) => vec![(String::new(), vec![text])],
        (None, Some(several)) => several
            .into_iter()
            .map(|one| match one {
                One::Plain(text) => (String::new(), vec![text]),
                One::Named { name, contents } => (name, contents),
            })
            .collect(),
        (None, None) => Vec::new(),
    };
    // Plain ones are contents of one.
    if found.len() > 1 && found.iter().all(|(name, _)| name.is_empty()) {
        found = vec![(String::new(), found.into_iter().flat_map(|(_, contents)| contents).collect())];
    }
    Ok(found)
}

impl Row {
    /// The turn of a row in a file of this folder; texts without a name get `name`.
    pub(super) fn into_turn(self, name: &str, folder: &Path) -> Result<Turn, String> {
        if self.timestamp.is_some() && self.delay.is_some() {
            return Err("timestamp and delay exclude each other".to_owned());
        }
        let texts = either(self.text, self.texts, ["text", "texts"])?;
        let texts = texts
            .into_iter()
            .map(|(own, contents)| Text { name: if own.is_empty() { name.to_owned() } else { own }, contents })
            .collect::<Vec<_>>();
        let media = |kind: Kind, found: Vec<(String, Vec<String>)>| {
            let values = found.into_iter().flat_map(|(_, contents)| contents).filter(|c| !c.is_empty());
            let each = values.map(|value| Ok(Media { content: media::content(kind, &value, folder)?, uuid: None }));
            each.collect::<Result<Vec<Media>, String>>()
        };
        let mut images = media(Kind::Image, either(self.image, self.images, ["image", "images"])?)?;
        let audios = media(Kind::Audio, either(self.audio, self.audios, ["audio", "audios"])?)?;
        let videos = media(Kind::Video, either(self.video, self.videos, ["video", "videos"])?)?;
        if let Some(uuids) = self.image_uuids {
            if uuids.len() != images.len() {
                return Err(format!("{} image_uuids for {} images", uuids.len(), images.len()));
            }
            images.iter_mut().zip(uuids).for_each(|(image, uuid)| image.uuid = uuid);
        }
        let silent = texts.iter().all(|t| t.contents.iter().all(String::is_empty));
        if silent && images.is_empty() && audios.is_empty() && videos.is_empty() {
            return Err("no text, image, audio or video".to_owned());
        }
        Ok(Turn {
            role: self.role,
            texts,
            images,
            audios,
            videos,
            max_tokens: self.output_length,
            timestamp_ms: self.timestamp,
            delay_ms: self.delay,
            extra: self.extra.map(Into::into).unwrap_or_default(),
            tools: self.tools.map(|t| t.0),
            ..Turn::default()
        })
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// A turn for each line; lines of one session are a conversation, in the order of the file.
pub(super) fn single_turn(path: &Path) -> Result<Vec<Conversation>, Error> {
    let text = text(path)?;
    let mut conversations: Vec<Conversation> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (line, said) in lines(&text) {
        let mut row: Row = parse(path, line, said)?;
        let session = row.session_id.take().map(Name::into_text);
        let turn = row.into_turn("text", folder(path)).map_err(|why| Error::line(path, line, why))?;
        match session {
            Some(id) => {
                let at = *known.entry(id.clone()).or_insert_with(|| {
                    conversations.push(Conversation { id, ..Conversation::default() });
                    conversations.len() - 1
                });
                conversations.get_mut(at).into_iter().for_each(|c| c.turns.push(turn.clone()));
            }
            None => conversations.push(Conversation { turns: vec![turn], ..Conversation::default() }),
        }
    }
    Ok(conversations)
}

/// A conversation for each line.
pub(super) fn multi_turn(path: &Path) -> Result<Vec<Conversation>, Error> {
    let text = text(path)?;
    let mut conversations = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (line, said) in lines(&text) {
        let session: Session = parse(path, line, said)?;
        let fail = |why: String| Error::line(path, line, why);
        let mut turns = Vec::with_capacity(session.turns.len());
        for (at, row) in session.turns.into_iter().enumerate() {
            turns.push(row.into_turn("text", folder(path)).map_err(|why| fail(format!("turn {at}: {why}")))?);
        }
        let mut conversation = both_sides(turns).map_err(fail)?;
        if let Some(id) = session.session_id.map(Name::into_text) {
            if let Some(before) = known.insert(id.clone(), line) {
                return Err(fail(format!("session {id:?} stands in line {before} too")));
            }
            conversation.id = id;
        }
        conversations.push(conversation);
    }
    Ok(conversations)
}

/// A conversation of what was written: a system message that leads is told apart, and where the answers are written too, they are
/// part of the turn behind them.
fn both_sides(turns: Vec<Turn>) -> Result<Conversation, String> {
    let mut made = Conversation::default();
    let is = |turn: &Turn, role: &str| turn.role.as_deref() == Some(role);
    let mut turns = turns;
    if turns.first().is_some_and(|t| is(t, "system")) {
        let system = turns.remove(0);
        let texts: Vec<String> = system.texts.into_iter().flat_map(|t| t.contents).filter(|c| !c.is_empty()).collect();
        made.system = Some(texts.join("\n\n"));
    }
    if turns.is_empty() {
        return Err("no turns".to_owned());
    }
    if !turns.iter().any(|t| is(t, "assistant")) {
        made.turns = turns;
        return Ok(made);
    }
    made.mode = ContextMode::DeltasWithResponses;
    let mut said: Vec<String> = Vec::new();
    for mut turn in turns {
        if !is(&turn, "assistant") && said.is_empty() {
            made.turns.push(turn);
            continue;
        }
        if !(turn.images.is_empty() && turn.audios.is_empty() && turn.videos.is_empty()) {
            return Err("media beside answers that are written are not supported yet".to_owned());
        }
        let texts: Vec<&str> = turn.texts.iter().flat_map(|t| &t.contents).map(String::as_str).collect();
        let role = turn.role.as_deref().unwrap_or("user");
        said.push(format!(r#"{{"role":{},"content":{}}}"#, json::string(role), json::string(&texts.join(" "))));
        if !is(&turn, "assistant") {
            turn.texts.clear();
            turn.messages = Some(format!("[{}]", said.join(",")));
            said.clear();
            made.turns.push(turn);
        }
    }
    if made.turns.is_empty() {
        return Err("nobody but the assistant speaks".to_owned());
    }
    Ok(made)
}
