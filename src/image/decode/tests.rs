use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba};

use super::*;

/// A picture of 20 x 12 pixels, red growing to the right and green downwards.
fn gradient() -> DynamicImage {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 12) as u8, (y * 20) as u8, 77]);
    image::RgbImage::from_fn(20, 12, pixel).into()
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

const EXACT: [ImageFormat; 5] = [
    ImageFormat::Png,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::WebP,
    ImageFormat::Gif,
];

#[test]
fn every_format_is_read() {
    for format in EXACT {
        let picture = decode(&written(&gradient(), format), "x").unwrap();
        assert_eq!((picture.width, picture.height), (20, 12), "{format:?}");
        if format != ImageFormat::Gif {
            assert_eq!(picture.rgb, gradient().into_rgb8().into_raw(), "{format:?}");
        }
    }
    let picture = decode(&written(&gradient(), ImageFormat::Jpeg), "x").unwrap();
    let expected = gradient().into_rgb8().into_raw();
    let worst = picture
        .rgb
        .iter()
        .zip(expected)
        .map(|(a, b)| a.abs_diff(b))
        .max();
    assert!(worst.unwrap() < 40, "{worst:?}");
}

/// By Pillow, with inverted inks as Adobe's programs write them: red on the left, green on the right.
#[test]
fn inks_become_colours() {
    let bytes = include_bytes!("../../../tests/fixtures/vision/pictures/cmyk.jpg");
    let picture = decode(bytes, "x").unwrap();
    for (x, expected) in [(4, [200u8, 30, 60]), (20, [20, 160, 90])] {
        let found = &picture.rgb[(8 * picture.width + x) * 3..][..3];
        let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4);
        assert!(near, "{found:?} {expected:?}");
    }
}

#[test]
fn transparency_lies_on_white() {
    let colours = [[255, 0, 0, 255], [0, 0, 0, 0], [0, 100, 200, 51]];
    let rgba = image::RgbaImage::from_fn(3, 1, |x, _| Rgba(colours[x as usize]));
    let expected = [255, 0, 0, 255, 255, 255, 204, 224, 244];
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP] {
        let picture = decode(&written(&rgba.clone().into(), format), "x").unwrap();
        assert_eq!(picture.rgb, expected, "{format:?}");
    }
    let grey = image::GrayAlphaImage::from_fn(2, 1, |x, _| image::LumaA([10, 255 * x as u8]));
    let picture = decode(&written(&grey.into(), ImageFormat::Png), "x").unwrap();
    assert_eq!(picture.rgb, [255, 255, 255, 10, 10, 10]);
}

#[test]
fn sixteen_bits_become_eight() {
    let wide =
        image::ImageBuffer::from_fn(2, 1, |x, _| image::Rgb([x as u16 * 65_535, 32_896, 257]));
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let picture = decode(
            &written(&DynamicImage::ImageRgb16(wide.clone()), format),
            "x",
        )
        .unwrap();
        assert_eq!(picture.rgb, [0, 128, 1, 255, 128, 1], "{format:?}");
    }
}

/// A JPEG with an EXIF segment that names this orientation.
fn turned(orientation: u8) -> Vec<u8> {
    let plain = written(&gradient(), ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = plain[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&plain[2..]);
    bytes
}

#[test]
fn pictures_are_turned_as_they_say() {
    let upright = decode(&turned(1), "x").unwrap();
    assert_eq!((upright.width, upright.height), (20, 12));
    // Taken with the camera on its side: the right column becomes the lowest row.
    let right = decode(&turned(6), "x").unwrap();
    assert_eq!((right.width, right.height), (12, 20));
    let pixel = |p: &Picture, x: usize, y: usize| p.rgb[(y * p.width + x) * 3..][..3].to_vec();
    assert_eq!(pixel(&right, 0, 19), pixel(&upright, 19, 11));
    assert_eq!(pixel(&right, 11, 0), pixel(&upright, 0, 0));
    let upside = decode(&turned(3), "x").unwrap();
    assert_eq!(pixel(&upside, 0, 0), pixel(&upright, 19, 11));
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    for format in [&EXACT[..], &[ImageFormat::Jpeg]].concat() {
        let whole = written(&gradient(), format);
        for keep in [whole.len() / 2, whole.len() * 9 / 10, 30] {
            let error = decode(&whole[..keep], "cut.img").err();
            let error = error.unwrap_or_else(|| panic!("{format:?}, {keep} of {}", whole.len()));
            assert!(error.to_string().starts_with("cut.img"), "{error}");
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let mut png = written(&gradient(), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let crc = png_crc(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let error = decode(&png, "bomb.png").unwrap_err();
    assert!(
        matches!(error, ImageError::TooLarge { width: 65_535, .. }),
        "{error}"
    );
    assert!(probe(&png, "bomb.png").is_err());
}

/// CRC-32 as PNG has it (ISO 3309).
fn png_crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[test]
fn what_is_no_picture_is_named() {
    let error = decode(b"just text\n", "a.png").unwrap_err().to_string();
    assert_eq!(error, "a.png: this is no picture but text");
    let error = decode(b"%PDF-1.4", "a.pdf").unwrap_err().to_string();
    assert!(
        error.contains("pdftoppm") && error.contains("a.pdf"),
        "{error}"
    );
}
