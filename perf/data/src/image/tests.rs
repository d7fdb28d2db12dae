use std::collections::BTreeSet;
use std::path::Path;

use image::{DynamicImage, ImageFormat as Coding, Rgb, Rgba, RgbaImage};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::dataset::open;
use crate::spec::Spec;

fn noise(format: ImageFormat) -> Images {
    Images { width: Length::of(16.0), height: Length::of(9.0), batch: 2, format, source: ImageSource::Noise }
}

fn of_folder(path: &Path, sampling: Sampling) -> Images {
    Images { source: ImageSource::Folder { path: path.to_owned(), sampling }, ..noise(ImageFormat::Png) }
}

fn spec(images: Images) -> Spec {
    Spec { images: Some(images), batch: 0, seed: Some(42), entries: Some(10), ..Spec::default() }
}

fn made(spec: &Spec) -> Dataset {
    open(spec, None).unwrap()
}

/// All images of a conversation.
fn contents(data: &Dataset, k: usize) -> Vec<String> {
    data.conversation(k).turns.into_iter().flat_map(|turn| turn.images).map(|image| image.content).collect()
}

/// What an image says it is, and what it is.
fn read(content: &str) -> (&str, RgbImage) {
    let (media, data) = content.strip_prefix("data:image/").unwrap().split_once(";base64,").unwrap();
    let bytes = STANDARD.decode(data).unwrap();
    let picture = image::load_from_memory_with_format(&bytes, if media == "png" { Coding::Png } else { Coding::Jpeg }).unwrap();
    assert_eq!(picture.color(), image::ColorType::Rgb8);
    (media, picture.into_rgb8())
}

/// Pictures whose red tells which one it is: ten times its place by name.
fn folder(pictures: u8) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for n in (0..pictures).rev() {
        // One with an opacity, one of the other kind, one whose ending is written large.
        let picture = RgbaImage::from_pixel(40, 30, Rgba([10 * n, 0, 0, 128]));
        let (name, picture) = match n {
            0 => ("a.png".to_owned(), DynamicImage::ImageRgba8(picture)),
            1 => ("b.JPEG".to_owned(), DynamicImage::ImageRgb8(DynamicImage::ImageRgba8(picture).into_rgb8())),
            n => (format!("c{n}.PNG"), DynamicImage::ImageRgba8(picture)),
        };
        picture.save_with_format(folder.path().join(name), if n == 1 { Coding::Jpeg } else { Coding::Png }).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    folder
}

/// Which pictures of [`folder`] the images of these conversations show.
fn shown(data: &Dataset, conversations: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let one = |content: String| (read(&content).1.get_pixel(8, 4).0[0] + 5) / 10;
    conversations.into_iter().flat_map(|k| contents(data, k)).map(one).collect()
}

#[test]
fn noise_is_noise_in_both_formats() {
    for (format, name) in [(ImageFormat::Png, "png"), (ImageFormat::Jpeg, "jpeg")] {
        let data = made(&spec(noise(format)));
        let images = contents(&data, 0);
        assert!(images.len() == 2 && images[0] != images[1] && data.conversation(0).turns[0].texts.is_empty());
        assert_eq!(contents(&data, 0), images);
        let (said, picture) = read(&images[0]);
        assert_eq!((said, picture.dimensions()), (name, (16, 9)));
        assert!(picture.as_raw().iter().collect::<BTreeSet<_>>().len() > 100);
    }
}

/// Runs are compared by their seeds: what this one made before there were other formats and sources, it makes now.
#[test]
fn noise_of_a_seed_stays_the_same() {
    let sides = |mean, stddev| Length::normal(mean, stddev).unwrap();
    let images = Images { width: sides(16.0, 4.0), height: sides(9.0, 3.0), ..noise(ImageFormat::Png) };
    let data = made(&Spec { turns: Length::of(2.0), ..spec(images) });
    let all: String = (0..3).flat_map(|k| contents(&data, k)).collect();
    let hash = Sha256::digest(all.as_bytes());
    assert_eq!(hash[..8], [0x51, 0x56, 0xb9, 0x53, 0x53, 0x77, 0x72, 0xe1]);
}

#[test]
fn random_draws_a_format_for_each_image() {
    let data = made(&spec(noise(ImageFormat::Random)));
    let formats = |data: &Dataset| (0..40).flat_map(|k| contents(data, k)).map(|c| read(&c).0.to_owned()).collect::<Vec<_>>();
    let drawn = formats(&data);
    let jpeg = drawn.iter().filter(|format| *format == "jpeg").count();
    assert!((25..55).contains(&jpeg), "{jpeg} of {}", drawn.len());
    assert_eq!(formats(&made(&spec(noise(ImageFormat::Random)))), drawn);
    // The format takes nothing from the noise.
    let (png, at) = (made(&spec(noise(ImageFormat::Png))), drawn.iter().position(|format| format == "png").unwrap());
    assert_eq!(contents(&data, at / 2)[at % 2], contents(&png, at / 2)[at % 2]);
}

#[test]
fn pictures_are_scaled_and_coded() {
    let folder = folder(3);
    for (format, name) in [(ImageFormat::Png, "png"), (ImageFormat::Jpeg, "jpeg")] {
        // Of one size, and of many: the latter are scaled for each image.
        for stddev in [0.0, 3.0] {
            let images = Images { width: Length::normal(16.0, stddev).unwrap(), format, ..of_folder(folder.path(), Sampling::Sequential) };
            let data = made(&spec(images));
            let images = contents(&data, 0);
            let (said, picture) = read(&images[1]);
            assert_eq!((said, picture.height()), (name, 9));
            assert!(stddev > 0.0 || picture.width() == 16);
            let Rgb([red, green, blue]) = *picture.get_pixel(picture.width() / 2, 4);
            assert!(red.abs_diff(10) < 4 && green < 4 && blue < 4, "{red} {green} {blue}");
        }
    }
}

#[test]
fn in_turn_over_all_conversations() {
    let folder = folder(3);
    let data = made(&spec(of_folder(folder.path(), Sampling::Sequential)));
    assert_eq!(shown(&data, 0..4), [0, 1, 2, 0, 1, 2, 0, 1]);
    // Whichever is asked for first, and however many turns there are before it.
    assert_eq!(shown(&data, [3, 1]), [0, 1, 2, 0]);
    let several = made(&Spec { turns: Length::normal(3.0, 2.0).unwrap(), ..spec(of_folder(folder.path(), Sampling::Sequential)) });
    let all = shown(&several, 0..10);
    assert!(all.len() > 20 && all.iter().zip((0..3).cycle()).all(|(shown, n)| *shown == n), "{all:?}");
}

#[test]
fn shuffled_rounds_have_every_picture_once() {
    let folder = folder(5);
    let data = made(&spec(of_folder(folder.path(), Sampling::Shuffle)));
    let all = shown(&data, 0..10);
    let rounds: BTreeSet<_> = all.chunks(5).collect();
    assert!(rounds.len() > 1 && rounds.iter().all(|round| round.iter().collect::<BTreeSet<_>>().len() == 5), "{all:?}");
    assert_eq!(shown(&data, [7]), all[14..16]);
}

#[test]
fn drawn_pictures_may_come_again() {
    let folder = folder(5);
    let images = of_folder(folder.path(), Sampling::Random);
    let all = shown(&made(&spec(images.clone())), 0..30);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 5);
    assert!(all.windows(2).any(|two| two[0] == two[1]), "{all:?}");
    assert_eq!(shown(&made(&spec(images.clone())), 0..30), all);
    assert_ne!(shown(&made(&Spec { seed: Some(43), ..spec(images) }), 0..30), all);
}
