//! Images of turns (perf contract 3.7): noise, which nothing compresses and of which no two are the same, or pictures of a folder.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, RgbImage};
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngExt as _};
use rand_chacha::ChaCha12Rng;

use crate::conversation::Media;
use crate::dataset::Dataset;
use crate::distribution::Length;
use crate::lengths::{size, wide};
use crate::spec::{ImageFormat, ImageSource, Images, Sampling};

/// More is a mistake of an option.
pub(crate) const LARGEST: u32 = 16_384;

/// Of JPEG, as the peer has it; neither of them leaves colours out.
const QUALITY: u8 = 85;

/// The images of one conversation, one after the other.
pub(crate) struct Drawn<'a> {
    of: &'a Dataset,
    images: &'a Images,
    sizes: ChaCha12Rng,
    formats: ChaCha12Rng,
    /// Noise, or which pictures.
    content: ChaCha12Rng,
    /// How many images the conversations before this one have, and this one so far.
    before: usize,
    /// Pictures in the order of the round that `before` is in.
    round: Option<(usize, Vec<usize>)>,
}

impl<'a> Drawn<'a> {
    /// Those of conversation `number`.
    pub(crate) fn new(of: &'a Dataset, images: &'a Images, number: u64) -> Self {
        let (content, before) = match &images.source {
            ImageSource::Noise => ("dataset.image.noise", 0),
            ImageSource::Folder { sampling: Sampling::Random, .. } => ("dataset.image.source", 0),
            ImageSource::Folder { .. } => ("dataset.image.source", of.turns_before(number).wrapping_mul(images.batch)),
        };
        Self {
            of,
            images,
            sizes: of.stream("dataset.image.dimensions", number),
            formats: of.stream("dataset.image.format", number),
            content: of.stream(content, number),
            before,
            round: None,
        }
    }

    /// Those of the next turn.
    pub(crate) fn turn(&mut self) -> Vec<Media> {
        (0..self.images.batch).filter_map(|_| self.next().ok()).collect()
    }

    /// One, as `data:` URI.
    fn next(&mut self) -> Result<Media, String> {
        let format = match self.images.format {
            ImageFormat::Random if self.formats.random() => ImageFormat::Jpeg,
            ImageFormat::Random => ImageFormat::Png,
            one => one,
        };
        let (width, height) = (side(&self.images.width, &mut self.sizes), side(&self.images.height, &mut self.sizes));
        let coded = match &self.images.source {
            ImageSource::Noise => {
                let mut pixels = vec![0; 3 * size(u64::from(width)) * size(u64::from(height))];
                self.content.fill_bytes(&mut pixels);
                // To look for what repeats is in vain.
                coded(&pixels, (width, height), format, png::Compression::Fastest)?
            }
            ImageSource::Folder { sampling, .. } => {
                let which = self.which(*sampling);
                let picture = self.of.pictures.get(which).ok_or("there is no picture")?;
                coded(&scaled(picture, (width, height)), (width, height), format, png::Compression::Balanced)?
            }
        };
        let name = if format == ImageFormat::Jpeg { "jpeg" } else { "png" };
        Ok(Media { content: format!("data:image/{name};base64,{}", STANDARD.encode(coded)), uuid: None })
    }

    /// Which picture the next image is made of.
    fn which(&mut self, sampling: Sampling) -> usize {
        let all = self.of.pictures.len().max(1);
        let (round, place) = (self.before / all, self.before % all);
        self.before = self.before.wrapping_add(1);
        match sampling {
            Sampling::Random => self.content.random_range(0..all),
            Sampling::Sequential => place,
            Sampling::Shuffle => {
                if self.round.as_ref().is_none_or(|(n, _)| *n != round) {
                    // Of a stream of its own: conversations that share a round agree on it.
                    let mut order: Vec<usize> = (0..all).collect();
                    order.shuffle(&mut self.of.stream("dataset.image.source.round", wide(round)));
                    self.round = Some((round, order));
                }
                self.round.as_ref().and_then(|(_, order)| order.get(place)).copied().unwrap_or(place)
            }
        }
    }
}

/// A side of the next image.
fn side(length: &Length, sizes: &mut ChaCha12Rng) -> u32 {
    u32::try_from(length.integer(sizes)).map_or(LARGEST, |pixels| pixels.min(LARGEST))
}

/// The size of every image, where there is but one.
pub(crate) fn only_size(images: &Images, of: &Dataset) -> Option<(u32, u32)> {
    let fixed = images.width.is_fixed() && images.height.is_fixed();
    let mut sizes = of.stream("dataset.image.dimensions", 0);
    fixed.then(|| (side(&images.width, &mut sizes), side(&images.height, &mut sizes)))
}

/// A picture in this size; its own proportions are not kept.
pub(crate) fn scaled(picture: &RgbImage, (width, height): (u32, u32)) -> Cow<'_, RgbImage> {
    if picture.dimensions() == (width, height) {
        return Cow::Borrowed(picture);
    }
    Cow::Owned(imageops::resize(picture, width, height, FilterType::CatmullRom))
}

fn coded(pixels: &[u8], (width, height): (u32, u32), format: ImageFormat, compression: png::Compression) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(pixels.len() / 2 + 1024);
    if format == ImageFormat::Jpeg {
        let mut encoder = JpegEncoder::new_with_quality(&mut out, QUALITY);
        encoder.encode(pixels, width, height, ExtendedColorType::Rgb8).map_err(|e| e.to_string())?;
        return Ok(out);
    }
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(compression);
    let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
    writer.write_image_data(pixels).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())?;
    Ok(out)
}
