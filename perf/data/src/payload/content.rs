//! What a turn says, as the messages of an endpoint (perf contract 4.2).

use crate::conversation::{Text, Turn};
use crate::json::{self, Members};

use super::weave::Weave;

/// All contents of texts that are not empty.
pub(super) fn texts(turn: &Turn) -> impl Iterator<Item = &str> {
    turn.texts.iter().flat_map(|t| &t.contents).map(String::as_str).filter(|c| !c.is_empty())
}

/// The contents of texts of one of these names.
pub(super) fn named<'a>(texts: &'a [Text], names: &[&str]) -> Vec<&'a str> {
    let of = texts.iter().filter(|t| names.contains(&t.name.as_str()));
    of.flat_map(|t| &t.contents).map(String::as_str).filter(|c| !c.is_empty()).collect()
}

/// A list of JSON values.
pub(super) fn list(values: &[String]) -> String {
    format!("[{}]", values.join(","))
}

/// An object of members whose values are JSON.
pub(super) fn object(members: &[(&str, &str)]) -> String {
    let mut all = Members::new();
    members.iter().for_each(|(name, value)| all.set(*name, *value));
    all.to_json()
}

/// A message of text.
pub(super) fn message(weave: Weave, role: &str, content: &str) -> String {
    let (role, kind) = (json::string(role), json::string("message"));
    match weave {
        Weave::Chat | Weave::Messages => object(&[("role", &role), ("content", content)]),
        Weave::Responses => object(&[("role", &role), ("content", content), ("type", &kind)]),
    }
}

/// The content of a turn: its text, or a list of parts.
pub(super) fn content(weave: Weave, turn: &Turn, force_parts: bool) -> Result<String, String> {
    let media = !(turn.images.is_empty() && turn.audios.is_empty() && turn.videos.is_empty());
    if let ([text], false, false) = (&turn.texts[..], media, force_parts)
        && let [only] = &text.contents[..]
    {
        return Ok(json::string(only));
    }
    let kind = |name: &str| json::string(if weave == Weave::Responses { name } else { name.trim_start_matches("input_") });
    let mut parts: Vec<String> = texts(turn).map(|t| object(&[("type", &kind("input_text")), ("text", &json::string(t))])).collect();
    for image in turn.images.iter().filter(|i| !i.content.is_empty()) {
        let url = json::string(&image.content);
        let mut part = Members::new();
        match weave {
            Weave::Chat => {
                part.set("type", json::string("image_url"));
                part.set("image_url", object(&[("url", &url)]));
                image.uuid.iter().for_each(|uuid| part.set("uuid", json::string(uuid)));
            }
            Weave::Responses => {
                part.set("type", json::string("input_image"));
                part.set("image_url", url);
            }
            Weave::Messages => {
                part.set("type", json::string("image"));
                part.set("source", source(&image.content));
            }
        }
        parts.push(part.to_json());
    }
    for audio in turn.audios.iter().filter(|a| !a.content.is_empty()) {
        if weave == Weave::Messages {
            return Err("this endpoint takes no audio".to_owned());
        }
        let (format, data) = sound(&audio.content).ok_or("audio must be FORMAT,BASE64")?;
        let input = object(&[("data", &json::string(data)), ("format", &json::string(format))]);
        parts.push(object(&[("type", &json::string("input_audio")), ("input_audio", &input)]));
    }
    for video in turn.videos.iter().filter(|v| !v.content.is_empty()) {
        if weave != Weave::Chat {
            return Err("this endpoint takes no video".to_owned());
        }
        let url = object(&[("url", &json::string(&video.content))]);
        parts.push(object(&[("type", &json::string("video_url")), ("video_url", &url)]));
    }
    Ok(list(&parts))
}

/// Format and data of a sound.
fn sound(content: &str) -> Option<(&str, &str)> {
    if let Some(uri) = content.strip_prefix("data:audio/") {
        return uri.split_once(";base64,");
    }
    content.split_once(',').filter(|(format, _)| !format.is_empty() && format.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Where an image of `messages` comes from.
fn source(content: &str) -> String {
    match content.strip_prefix("data:").and_then(|uri| uri.split_once(";base64,")) {
        Some((media_type, data)) => {
            object(&[("type", &json::string("base64")), ("media_type", &json::string(media_type)), ("data", &json::string(data))])
        }
        None => object(&[("type", &json::string("url")), ("url", &json::string(content))]),
    }
}

/// Messages of a list with a system message put before them; whether it went into their first.
pub(super) fn with_system(messages: &str, system: &str) -> Result<(String, bool), String> {
    let mut all: Vec<json::Compact> = serde_json::from_str(messages).map_err(|e| e.to_string())?;
    let Some(first) = all.first_mut() else { return Ok((messages.to_owned(), false)) };
    let Ok(mut members) = Members::parse(&first.0) else { return Ok((messages.to_owned(), false)) };
    if members.get("role") != Some("\"system\"") {
        return Ok((messages.to_owned(), false));
    }
    let own = members.get("content").unwrap_or("\"\"");
    let joined = match serde_json::from_str::<String>(own) {
        Ok(text) if text.is_empty() => json::string(system),
        Ok(text) => json::string(&format!("{system}\n\n{text}")),
        Err(_) => {
            let part = object(&[("type", &json::string("text")), ("text", &json::string(system))]);
            match own.strip_prefix('[') {
                Some("]") => format!("[{part}]"),
                Some(rest) => format!("[{part},{rest}"),
                None => json::string(system),
            }
        }
    };
    members.set("content", joined);
    first.0 = members.to_json();
    Ok((list(&all.into_iter().map(|m| m.0).collect::<Vec<_>>()), true))
}
