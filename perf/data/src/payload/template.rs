//! `--endpoint-type template`: a payload written as a Jinja template.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use minijinja::Environment;
use serde::Serialize;

use crate::conversation::{Media, Text, Turn};
use crate::json::Members;

/// The template that has a name.
const NV_EMBEDQA: &str = r#"{"text": {{ texts|tojson }}}"#;
const NAME: &str = "payload";

/// A payload with holes.
#[derive(Clone, Debug)]
pub struct Template(Environment<'static>);

/// What holes are filled with.
#[derive(Serialize)]
struct Filling<'a> {
    #[serde(flatten)]
    said: Said<'a>,
    query: Option<&'a str>,
    queries: Vec<&'a str>,
    passage: Option<&'a str>,
    passages: Vec<&'a str>,
    model: &'a str,
    max_tokens: Option<u64>,
    stream: bool,
    turn: Said<'a>,
    turns: Vec<Said<'a>>,
}

/// What a turn says.
#[derive(Clone, Serialize)]
struct Said<'a> {
    role: &'a str,
    text: Option<&'a str>,
    texts: Vec<&'a str>,
    texts_by_name: BTreeMap<&'a str, Vec<&'a str>>,
    image: Option<&'a str>,
    images: Vec<&'a str>,
    images_by_name: BTreeMap<&'a str, Vec<&'a str>>,
    audio: Option<&'a str>,
    audios: Vec<&'a str>,
    audios_by_name: BTreeMap<&'a str, Vec<&'a str>>,
    video: Option<&'a str>,
    videos: Vec<&'a str>,
    videos_by_name: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Said<'a> {
    fn of(turn: &'a Turn) -> Self {
        let texts: Vec<&str> = contents(&turn.texts, |_| true);
        let mut texts_by_name = BTreeMap::<_, Vec<&str>>::new();
        for text in &turn.texts {
            texts_by_name.entry(text.name.as_str()).or_default().extend(text.contents.iter().map(String::as_str));
        }
        let media = |media: &'a [Media]| media.iter().map(|m| m.content.as_str()).collect::<Vec<_>>();
        let named = |name: &'static str, media: &[&'a str]| {
            if media.is_empty() { BTreeMap::new() } else { BTreeMap::from([(name, media.to_vec())]) }
        };
        let (images, audios, videos) = (media(&turn.images), media(&turn.audios), media(&turn.videos));
        Self {
            role: turn.role.as_deref().unwrap_or("user"),
            text: texts.first().copied(),
            texts,
            texts_by_name,
            image: images.first().copied(),
            images_by_name: named("image_url", &images),
            images,
            audio: audios.first().copied(),
            audios_by_name: named("input_audio", &audios),
            audios,
            video: videos.first().copied(),
            videos_by_name: named("video_url", &videos),
            videos,
        }
    }
}

fn contents(texts: &[Text], which: impl Fn(&str) -> bool) -> Vec<&str> {
    texts.iter().filter(|t| which(&t.name)).flat_map(|t| &t.contents).map(String::as_str).filter(|c| !c.is_empty()).collect()
}

impl Template {
    /// Of a template, of the name of a file that has one, or of the name of one that is known: `nv-embedqa`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let source = if text == "nv-embedqa" {
            NV_EMBEDQA.to_owned()
        } else if !text.contains('{') && Path::new(text).is_file() {
            fs::read_to_string(text).map_err(|e| format!("{text}: {e}"))?
        } else if text.contains('{') {
            text.to_owned()
        } else {
            return Err(format!("{text:?} is no template, no file, and not nv-embedqa"));
        };
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_template_owned(NAME, source).map_err(|e| e.to_string())?;
        Ok(Self(environment))
    }

    /// The payload of the last of these turns.
    pub(super) fn fill(&self, turns: &[Turn], model: &str, stream: bool) -> Result<Members, String> {
        let turn = turns.last().ok_or("no turn")?;
        let said = Said::of(turn);
        let queries = contents(&turn.texts, |n| matches!(n, "query" | "queries"));
        let passages = contents(&turn.texts, |n| matches!(n, "passage" | "passages"));
        let filling = Filling {
            query: queries.first().copied(),
            queries,
            passage: passages.first().copied(),
            passages,
            model,
            max_tokens: turn.max_tokens,
            stream,
            turn: said.clone(),
            said,
            turns: turns.iter().map(Said::of).collect(),
        };
        let template = self.0.get_template(NAME).map_err(|e| e.to_string())?;
        let filled = template.render(minijinja::value::Serde(&filling)).map_err(|e| format!("the template: {e}"))?;
        Members::parse(&filled).map_err(|why| format!("the template gives no JSON object: {why}"))
    }
}
