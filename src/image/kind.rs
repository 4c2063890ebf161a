//! What a file is, by its first bytes.

use image::ImageFormat;

/// What a file was found to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture that is decoded.
    Picture(ImageFormat),
    /// Something known that is not; `{}` in the remedy stands for the file.
    Other {
        what: &'static str,
        remedy: &'static str,
    },
    /// Something else, in words.
    Unknown(&'static str),
}

const MAGICK: &str = "convert it with 'magick {} out.png'";
const HEIF: &str = "convert it with 'heif-convert {} out.jpg' (or 'sips -s format jpeg {} --out out.jpg' on a Mac)";
const VIDEO: &str = "take a frame with 'ffmpeg -i {} -frames:v 1 out.png'";
const PDF: &str = "render a page with 'pdftoppm -png -r 150 -f 1 -l 1 {} page'";
const SVG: &str = "render it with 'rsvg-convert -w 1000 {} -o out.png'";

/// Where, what stands there, and what that means.
type Row = (usize, &'static [u8], &'static str, &'static str);
const OTHERS: &[Row] = &[
    (0, b"%PDF", "a PDF", PDF),
    (
        0,
        b"\x00\x00\x00\x0cJXL ",
        "a JPEG XL",
        "convert it with 'djxl {} out.png'",
    ),
    (
        0,
        b"\xff\x0a",
        "a JPEG XL",
        "convert it with 'djxl {} out.png'",
    ),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000", MAGICK),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000", MAGICK),
    (
        0,
        b"8BPS",
        "a Photoshop file",
        "convert it with 'magick {}[0] out.png'",
    ),
    (0, b"\x00\x00\x01\x00", "a Windows icon", MAGICK),
    (4, b"ftypavif", "an AVIF", MAGICK),
    (4, b"ftypavis", "an AVIF", MAGICK),
    (4, b"ftyphei", "a HEIC", HEIF),
    (4, b"ftyphev", "a HEIC", HEIF),
    (4, b"ftypmif1", "a HEIF", HEIF),
    (4, b"ftypmsf1", "a HEIF", HEIF),
    (4, b"ftyp", "a video", VIDEO),
    (0, b"\x1a\x45\xdf\xa3", "a video", VIDEO),
    (0, b"gimp xcf", "a GIMP file", MAGICK),
    (0, b"qoif", "a QOI", MAGICK),
    (0, b"v/1\x01", "an OpenEXR", MAGICK),
    (0, b"P1\n", "a PBM", MAGICK),
    (0, b"P2\n", "a PGM", MAGICK),
    (0, b"P3\n", "a PPM", MAGICK),
    (0, b"P4\n", "a PBM", MAGICK),
    (0, b"P5\n", "a PGM", MAGICK),
    (0, b"P6\n", "a PPM", MAGICK),
];

/// What the file is.
pub fn of(bytes: &[u8]) -> Kind {
    let at = |start: usize, mark: &[u8]| bytes.get(start..).is_some_and(|b| b.starts_with(mark));
    let picture = match bytes {
        _ if at(0, b"\x89PNG\r\n\x1a\n") => Some(ImageFormat::Png),
        _ if at(0, b"\xff\xd8\xff") => Some(ImageFormat::Jpeg),
        _ if at(0, b"GIF87a") || at(0, b"GIF89a") => Some(ImageFormat::Gif),
        _ if at(0, b"RIFF") && at(8, b"WEBP") => Some(ImageFormat::WebP),
        _ if at(0, b"BM") => Some(ImageFormat::Bmp),
        _ if at(0, b"II*\0") || at(0, b"MM\0*") => Some(ImageFormat::Tiff),
        _ => None,
    };
    if let Some(format) = picture {
        return Kind::Picture(format);
    }
    let known = OTHERS.iter().find(|(start, mark, ..)| at(*start, mark));
    if let Some((_, _, what, remedy)) = known {
        return Kind::Other { what, remedy };
    }
    let start = &bytes[..bytes.len().min(1024)];
    let Ok(text) = std::str::from_utf8(start).or_else(|e| {
        // A character may be cut in two at the end.
        std::str::from_utf8(&start[..e.valid_up_to()]).map(|text| match e.error_len() {
            None => text,
            Some(_) => "",
        })
    }) else {
        return Kind::Unknown("something else");
    };
    match text.trim_start() {
        _ if text.contains("<svg") => Kind::Other {
            what: "an SVG drawing",
            remedy: SVG,
        },
        "" => Kind::Unknown("something else"),
        text if text.starts_with("<!DOCTYPE html") || text.starts_with("<html") => {
            Kind::Unknown("a web page")
        }
        _ if text.contains('\0') => Kind::Unknown("something else"),
        _ => Kind::Unknown("text"),
    }
}

/// Whether a JPEG file has all its segments and scans, up to the end-of-image marker (ITU-T T.81, annex B).
pub fn is_whole_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END: u8 = 0xd9;
    let mut at = 2;
    loop {
        // In front of a marker any number of fill bytes.
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let (Some(0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else {
            return false;
        };
        at += 2;
        match marker {
            END => return true,
            // Markers without a length: restarts, start of image, a private one.
            0xd0..=0xd8 | 0x01 => continue,
            _ => {}
        }
        let Some(&[high, low]) = bytes.get(at..at + 2).and_then(|b| b.first_chunk()) else {
            return false;
        };
        at += usize::from(u16::from_be_bytes([high, low])).max(2);
        if marker != START_OF_SCAN {
            continue;
        }
        // The scan ends at the next marker that is no restart; 0xff00 is a byte of it.
        loop {
            let Some(next) = bytes
                .get(at..)
                .and_then(|rest| rest.iter().position(|&b| b == 0xff))
            else {
                return false;
            };
            at += next;
            match bytes.get(at + 1) {
                None => return false,
                Some(0x00 | 0xd0..=0xd7) => at += 2,
                Some(0xff) => at += 1,
                Some(_) => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_named() {
        for (bytes, name) in [
            (&b"%PDF-1.7"[..], "PDF"),
            (b"\x00\x00\x00\x18ftypheic\x00", "HEIC"),
            (b"\x00\x00\x00\x18ftypavif\x00", "AVIF"),
            (b"\x00\x00\x00\x18ftypisom\x00", "video"),
            (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"x\">", "SVG"),
            (b"\x00\x00\x01\x00\x01\x00", "icon"),
        ] {
            match of(bytes) {
                Kind::Other { what, remedy } => {
                    assert!(
                        what.contains(name) && remedy.contains("{}"),
                        "{what}: {remedy}"
                    )
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(of(b"hello, world\n"), Kind::Unknown("text"));
        assert_eq!(of("é".repeat(600).as_bytes()), Kind::Unknown("text"));
        assert_eq!(of(b"<html><body>"), Kind::Unknown("a web page"));
        assert_eq!(of(&[0x80, 0x81, 0x82]), Kind::Unknown("something else"));
        assert_eq!(of(b"\xff\xd8\xff\xe0"), Kind::Picture(ImageFormat::Jpeg));
    }

    #[test]
    fn a_jpeg_ends_with_its_marker() {
        // Start, a segment, a scan with a stuffed byte and a restart, end, and what came behind it.
        let whole = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xda\x00\x03c\x01\xff\x00\x02\xff\xd1\x03\xff\xff\xd9rest";
        assert!(is_whole_jpeg(whole));
        for len in 0..whole.len() - 5 {
            assert!(!is_whole_jpeg(&whole[..len]), "{len}");
        }
    }
}
