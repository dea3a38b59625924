//! From the bytes of a file to pixels.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageReader, metadata::Orientation};

use super::Image;

/// How files become pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoding {
    /// Colours wanted: 1 or 3.
    pub channels: usize,
    /// Lays what is transparent over white, as transformers does under `do_convert_rgb`. Otherwise the opacity is
    /// dropped and the colours stay, as `PIL.Image.convert("RGB")` does.
    pub over_white: bool,
    /// Turns the image as its EXIF orientation says.
    pub upright: bool,
}

/// A decoded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels.
    pub image: Image,
    /// Whether they were turned or mirrored to be upright.
    pub turned: bool,
}

/// Decodes a JPEG, PNG or WebP file; the bytes tell which it is.
///
/// Grey, palette and CMYK images become what is asked for; of sixteen bits a colour the upper eight are kept.
///
/// # Errors
/// What is wrong with the file, in a few words.
pub fn decode(bytes: &[u8], decoding: Decoding) -> Result<Decoded, String> {
    let reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(format!(
            "expected a JPEG, PNG or WebP image, found bytes that begin with {}",
            start.join(" ")
        ));
    }
    let wrong = |error: image::ImageError| error.to_string();
    let mut decoder = reader.into_decoder().map_err(wrong)?;
    let orientation =
        if decoding.upright { decoder.orientation().map_err(wrong)? } else { Orientation::NoTransforms };
    let mut picture = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    if picture.width() == 0 || picture.height() == 0 {
        return Err("the image has no pixels".into());
    }
    let turned = orientation != Orientation::NoTransforms;
    picture.apply_orientation(orientation);
    let image = planar(&picture, decoding.over_white)?;
    let image = image.in_colours(decoding.channels).ok_or("an image has one or three colours")?;
    Ok(Decoded { image, turned })
}

/// The planes of a picture of one or three colours, its opacity used up.
fn planar(picture: &DynamicImage, over_white: bool) -> Result<Image, String> {
    let upper = |values: &[u16]| values.iter().map(|value| (value >> 8) as u8).collect::<Vec<u8>>();
    let (samples, colours, opacity): (Vec<u8>, usize, bool) = match picture {
        DynamicImage::ImageLuma8(p) => (p.as_raw().clone(), 1, false),
        DynamicImage::ImageLumaA8(p) => (p.as_raw().clone(), 1, true),
        DynamicImage::ImageRgb8(p) => (p.as_raw().clone(), 3, false),
        DynamicImage::ImageRgba8(p) => (p.as_raw().clone(), 3, true),
        DynamicImage::ImageLuma16(p) => (upper(p.as_raw()), 1, false),
        DynamicImage::ImageLumaA16(p) => (upper(p.as_raw()), 1, true),
        DynamicImage::ImageRgb16(p) => (upper(p.as_raw()), 3, false),
        DynamicImage::ImageRgba16(p) => (upper(p.as_raw()), 3, true),
        other => return Err(format!("pixels of the kind {:?} are not read", other.color())),
    };
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let step = colours + usize::from(opacity);
    let mut pixels = Vec::with_capacity(colours * height * width);
    for colour in 0..colours {
        pixels.extend(samples.chunks_exact(step).map(|pixel| match (opacity, over_white) {
            (true, true) => on_white(pixel[colour], pixel[colours]),
            _ => pixel[colour],
        }));
    }
    Ok(Image { channels: colours, height, width, pixels: pixels.into() })
}

/// A colour of so much opacity over white, in the fixed-point arithmetic of `PIL.Image.alpha_composite`.
fn on_white(colour: u8, opacity: u8) -> u8 {
    const BITS: u32 = 7;
    let (above, below) = (u32::from(opacity) << BITS, (255 - u32::from(opacity)) << BITS);
    let sum = u32::from(colour) * above + 255 * below + (0x80 << BITS);
    ((((sum >> 8) + sum) >> 8) >> BITS) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

    const PLAIN: Decoding = Decoding { channels: 3, over_white: false, upright: true };

    fn png(values: &[u8], (width, height): (u32, u32), colour: ExtendedColorType) -> Vec<u8> {
        let mut bytes = vec![];
        PngEncoder::new(&mut bytes).write_image(values, width, height, colour).unwrap();
        bytes
    }

    fn pixels(bytes: &[u8], decoding: Decoding) -> Vec<u8> {
        decode(bytes, decoding).unwrap().image.pixels.to_vec()
    }

    #[test]
    fn colours_grey_and_sixteen_bits_become_eight_bits_in_planes() {
        let rgb = png(&[1, 2, 3, 4, 5, 6], (2, 1), ExtendedColorType::Rgb8);
        assert_eq!(pixels(&rgb, PLAIN), [1, 4, 2, 5, 3, 6]);
        let grey = png(&[7, 9], (1, 2), ExtendedColorType::L8);
        assert_eq!(pixels(&grey, PLAIN), [7, 9, 7, 9, 7, 9]);
        assert_eq!(pixels(&grey, Decoding { channels: 1, ..PLAIN }), [7, 9]);
        let wide: Vec<u8> = [0x0102_u16, 0xfffe].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let wide = png(&wide, (2, 1), ExtendedColorType::L16);
        assert_eq!(pixels(&wide, Decoding { channels: 1, ..PLAIN }), [0x01, 0xff]);
    }

    #[test]
    fn what_is_transparent_is_dropped_or_laid_over_white_as_pillow_does() {
        let values = [10, 200, 31, 0, 255, 255, 254, 128, 1, 2, 3, 77, 99, 98, 97, 254];
        let bytes = png(&values, (4, 1), ExtendedColorType::Rgba8);
        assert_eq!(pixels(&bytes, PLAIN), [10, 255, 1, 99, 200, 255, 2, 98, 31, 254, 3, 97]);
        // By Pillow 13.0: alpha_composite over opaque white, then convert("RGB").
        let white = Decoding { over_white: true, ..PLAIN };
        assert_eq!(pixels(&bytes, white), [255, 255, 178, 100, 255, 255, 179, 99, 255, 254, 179, 98]);
    }

    #[test]
    fn the_exif_orientation_is_followed_unless_switched_off() {
        let mut bytes = vec![];
        let mut encoder = PngEncoder::new(&mut bytes);
        // A TIFF header, one entry: tag 0x112, a short, the value 6: turn it clockwise to be upright.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
        encoder.write_image(&[1, 2, 3, 4, 5, 6], 3, 2, ExtendedColorType::L8).unwrap();
        let grey = Decoding { channels: 1, ..PLAIN };
        let found = decode(&bytes, grey).unwrap();
        assert_eq!((found.turned, found.image.height, found.image.width), (true, 3, 2));
        assert_eq!(&*found.image.pixels, [4, 1, 5, 2, 6, 3]);
        let found = decode(&bytes, Decoding { upright: false, ..grey }).unwrap();
        assert_eq!((found.turned, &*found.image.pixels), (false, &[1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn what_is_no_image_or_is_cut_off_is_refused() {
        let error = decode(b"text,label\n", PLAIN).unwrap_err();
        assert!(error.contains("JPEG, PNG or WebP") && error.contains("74 65 78 74"), "{error}");
        let whole = png(&[7; 400], (20, 20), ExtendedColorType::L8);
        for length in 0..whole.len() - 12 {
            assert!(decode(&whole[..length], PLAIN).is_err(), "{length} of {} bytes", whole.len());
        }
    }
}
