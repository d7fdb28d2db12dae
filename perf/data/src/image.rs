//! Images of noise (perf contract 3.7): nothing compresses them, and no two are the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng;

use crate::conversation::Media;
use crate::spec::Images;

/// More is a mistake of an option.
const LARGEST: u64 = 16_384;

/// An image of a turn, as `data:` URI.
pub(crate) fn noise(images: &Images, sizes: &mut impl Rng, pixels: &mut impl Rng) -> Result<Media, String> {
    let side = |drawn: u64| u32::try_from(drawn.min(LARGEST)).map_err(|e| e.to_string());
    let (width, height) = (side(images.width.integer(sizes))?, side(images.height.integer(sizes))?);
    Ok(Media { content: format!("data:image/png;base64,{}", STANDARD.encode(png(width, height, pixels)?)), uuid: None })
}

fn png(width: u32, height: u32, pixels: &mut impl Rng) -> Result<Vec<u8>, String> {
    let mut data = vec![0; 3 * usize::try_from(width).unwrap_or(0) * usize::try_from(height).unwrap_or(0)];
    pixels.fill_bytes(&mut data);
    let mut out = Vec::with_capacity(data.len() + 1024);
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().map_err(|e| e.to_string())?;
    writer.write_image_data(&data).map_err(|e| e.to_string())?;
    writer.finish().map_err(|e| e.to_string())?;
    Ok(out)
}
