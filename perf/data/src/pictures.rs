//! Pictures of a folder: each is decoded once, before anything is sent, so that a broken one is known then.

use std::fs;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageError, ImageReader, Limits, RgbImage};

use crate::error::Error;
use crate::image::{LARGEST, scaled};

/// A larger file is a mistake.
const LARGEST_FILE: u64 = 256 << 20;
/// What one picture may take while it is decoded.
const LARGEST_DECODED: u64 = 512 << 20;
/// What all of them may keep.
const ALL: u64 = 1 << 30;

/// The PNG and JPEG files of a folder, by name; other files are passed over. Where all images get one size, pictures have it
/// already: a folder of photographs then fits.
pub(crate) fn read(folder: &Path, size: Option<(u32, u32)>) -> Result<Vec<RgbImage>, Error> {
    read_within(folder, size, ALL)
}

fn read_within(folder: &Path, size: Option<(u32, u32)>, all: u64) -> Result<Vec<RgbImage>, Error> {
    let mut pictures = Vec::new();
    let mut kept = 0_u64;
    for path in files(folder)? {
        let picture = decoded(&path).map_err(|why| Error::file(&path, why))?;
        let picture = match size {
            Some(size) => scaled(&picture, size).into_owned(),
            None => picture,
        };
        kept = kept.saturating_add(crate::lengths::wide(picture.as_raw().len()));
        if kept > all {
            let why = format!("with it the pictures of the folder take more than {} MiB of memory: take fewer or smaller ones", all >> 20);
            return Err(Error::file(&path, why));
        }
        pictures.push(picture);
    }
    Ok(pictures)
}

/// Files that are pictures by their names, in the order of these.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let bad = |why: &dyn std::fmt::Display| Error::option("--image-source", format!("{}: {why}", folder.display()));
    if !folder.exists() {
        return Err(bad(&"there is no such folder, and it is not noise"));
    }
    if !folder.is_dir() {
        return Err(bad(&"it is no folder"));
    }
    let known = |path: &Path| path.extension().is_some_and(|e| ["png", "jpg", "jpeg"].iter().any(|known| e.eq_ignore_ascii_case(known)));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|why| bad(&why))? {
        let path = entry.map_err(|why| bad(&why))?.path();
        if known(&path) && path.is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(bad(&"there is no .png, .jpg or .jpeg file in it"));
    }
    found.sort();
    Ok(found)
}

/// What a file shows, whatever its name says; transparency is dropped, and a JPEG that was cut off is shown as far as it goes.
fn decoded(path: &Path) -> Result<RgbImage, String> {
    let bytes = fs::metadata(path).map_err(|why| why.to_string())?.len();
    if bytes > LARGEST_FILE {
        return Err(format!("larger than {LARGEST_FILE} bytes"));
    }
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|why| why.to_string())?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST), Some(LARGEST));
    limits.max_alloc = Some(LARGEST_DECODED);
    reader.limits(limits);
    reader.decode().map(DynamicImage::into_rgb8).map_err(|why| match why {
        ImageError::Limits(_) => {
            format!("too large: a picture has at most {LARGEST} pixels a side and takes {} MiB decoded", LARGEST_DECODED >> 20)
        }
        other => format!("no picture that can be read: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(folder: &Path) -> String {
        read(folder, Some((4, 4))).unwrap_err().to_string()
    }

    #[test]
    fn folders_without_pictures_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let inside = |name: &str| folder.path().join(name);
        fs::write(inside("a.txt"), "x").unwrap();
        fs::create_dir(inside("b.png")).unwrap();
        for (path, why) in
            [(inside("none"), "no such folder"), (inside("a.txt"), "no folder"), (folder.path().to_owned(), "no .png, .jpg or .jpeg file")]
        {
            let said = refused(&path);
            assert!(said.starts_with("--image-source: ") && said.contains(&*path.to_string_lossy()) && said.contains(why), "{said}");
        }
    }

    #[test]
    fn broken_and_large_pictures_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        RgbImage::new(600, 600).save(&path).unwrap();
        assert_eq!(read(folder.path(), None).unwrap()[0].dimensions(), (600, 600));
        let whole = fs::read(&path).unwrap();
        for bytes in [&b"no picture"[..], &whole[..whole.len() / 2], &[], b"GIF89a", b"\xff\xd8\xff\xe0\0\x10JFIF"] {
            fs::write(&path, bytes).unwrap();
            let said = refused(folder.path());
            assert!(said.starts_with(&*path.to_string_lossy()) && said.contains("no picture that can be read"), "{said}");
        }
        RgbImage::new(LARGEST + 1, 1).save(&path).unwrap();
        assert!(refused(folder.path()).contains("too large"), "{}", refused(folder.path()));
    }

    #[test]
    fn memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.jpg", "c.png"] {
            RgbImage::new(600, 600).save(folder.path().join(name)).unwrap();
        }
        let said = read_within(folder.path(), None, 2 << 20).unwrap_err().to_string();
        assert!(said.contains("b.jpg: ") && said.contains("2 MiB"), "{said}");
        assert_eq!(read_within(folder.path(), Some((100, 100)), 2 << 20).unwrap().len(), 3);
    }
}
