//! Images, sounds and videos of rows: an address, the data themselves, or a file of this machine, which is read at once.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Image,
    Audio,
    Video,
}

/// A larger file is a mistake.
const LARGEST: u64 = 256 << 20;

/// The content of a value of a row in a file of this folder.
pub(super) fn content(kind: Kind, value: &str, folder: &Path) -> Result<String, String> {
    let address = ["http://", "https://", "data:"].iter().any(|scheme| value.starts_with(scheme));
    if address || (kind == Kind::Audio && coded(value)) {
        return Ok(value.to_owned());
    }
    let value = value.strip_prefix("file://").unwrap_or(value);
    let path = [Path::new(value).to_owned(), folder.join(value)].into_iter().find(|p| p.is_file());
    let path = path.ok_or_else(|| format!("{value:?} is no address, no data: URI and no file"))?;
    let large = fs::metadata(&path).map_err(|e| format!("{value}: {e}"))?.len() > LARGEST;
    if large {
        return Err(format!("{value}: larger than {LARGEST} bytes"));
    }
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let data = STANDARD.encode(fs::read(&path).map_err(|e| format!("{value}: {e}"))?);
    let media_type = match (kind, &*ending) {
        (Kind::Audio, "wav" | "mp3") => return Ok(format!("{ending},{data}")),
        (Kind::Image, "png" | "gif" | "webp" | "bmp") => format!("image/{ending}"),
        (Kind::Image, "jpg" | "jpeg") => "image/jpeg".to_owned(),
        (Kind::Video, "mp4" | "webm") => format!("video/{ending}"),
        _ => return Err(format!("{value}: of no known kind")),
    };
    Ok(format!("data:{media_type};base64,{data}"))
}

/// `wav,<base64>`.
fn coded(value: &str) -> bool {
    let known = |format: &str| matches!(&*format.to_ascii_lowercase(), "wav" | "mp3" | "flac" | "ogg" | "opus" | "m4a" | "pcm16");
    value.split_once(',').is_some_and(|(format, _)| known(format))
}
