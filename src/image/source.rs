//! Where a picture comes from: what a user typed.

use std::fs::File;
use std::io::Read;

use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::DecodePaddingMode;
use base64::Engine;
use percent_encoding::percent_decode_str;

use super::{decode, ImageError};

/// A file longer than this is no picture that crane reads: 178 million pixels of three bytes are 512 MiB.
const MOST_BYTES: u64 = 512 << 20;
/// How much of a `data:` URL stands for it in messages.
const SHOWN: usize = 32;

/// A file, stdin, or a picture within a `data:` URL (RFC 2397).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSource {
    spelled: String,
    label: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File,
    Stdin,
    Url,
}

impl ImageSource {
    /// `-` is stdin, `data:…` is the picture itself, all else is a path (`file://` may stand before it).
    ///
    /// # Errors
    /// An empty name, or the address of another machine.
    pub fn parse(spelled: &str) -> Result<Self, ImageError> {
        let lower = spelled.get(..8).unwrap_or(spelled).to_ascii_lowercase();
        let is = |start: &str| lower.starts_with(start);
        let name = |reason: &str| ImageError::Name {
            label: spelled.chars().take(200).collect(),
            reason: reason.into(),
        };
        let (place, label) = match spelled {
            "" => return Err(name("an empty name is no picture")),
            "-" => (Place::Stdin, "stdin".to_string()),
            _ if is("data:") => {
                let start: String = spelled.chars().take(SHOWN).collect();
                (Place::Url, format!("{start}…"))
            }
            _ if is("http://") || is("https://") => return Err(name(
                "crane fetches no pictures; 'curl -L URL | crane vision MODEL -' hands one over",
            )),
            _ => (Place::File, spelled.to_string()),
        };
        Ok(Self {
            spelled: spelled.into(),
            label,
            place,
        })
    }

    /// As it is called in messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// As it was typed.
    pub fn spelled(&self) -> &str {
        &self.spelled
    }

    /// Whether it is read from stdin, which can be done once.
    pub fn is_stdin(&self) -> bool {
        self.place == Place::Stdin
    }

    /// All its bytes.
    ///
    /// # Errors
    /// A file that is missing, a folder or too long; an URL that is not of this form.
    pub fn read(&self) -> Result<Vec<u8>, ImageError> {
        let bytes = match self.place {
            Place::Url => self.within()?,
            Place::Stdin => self.bounded(std::io::stdin().lock(), MOST_BYTES)?,
            Place::File => self.bounded(self.open()?, MOST_BYTES)?,
        };
        match bytes.is_empty() {
            true => Err(ImageError::corrupt(
                &self.label,
                "there is nothing in it (0 bytes)",
            )),
            false => Ok(bytes),
        }
    }

    /// Looks at the header alone: whether it is a picture that [`decode()`] reads. What can be read once, stdin or a named
    /// pipe, is not looked at.
    ///
    /// # Errors
    /// As [`ImageSource::read`] and [`decode()`], as far as a header goes.
    pub fn probe(&self) -> Result<(), ImageError> {
        let once = match self.place {
            Place::Stdin => true,
            // Asked by name: a pipe that is opened and left breaks for who writes to it.
            Place::File => std::fs::metadata(self.path())
                .is_ok_and(|about| !about.is_file() && !about.is_dir()),
            Place::Url => false,
        };
        match once {
            true => Ok(()),
            false => decode::probe(&self.read()?, &self.label),
        }
    }

    fn path(&self) -> &str {
        let spelled = &self.spelled;
        spelled.strip_prefix("file://").unwrap_or(spelled)
    }

    fn open(&self) -> Result<File, ImageError> {
        let file = File::open(self.path()).map_err(|e| ImageError::io(&self.label, e))?;
        match file.metadata().is_ok_and(|about| about.is_dir()) {
            true => Err(ImageError::Name {
                label: self.label.clone(),
                reason: "is a folder; name the pictures in it, for example with a *".into(),
            }),
            false => Ok(file),
        }
    }

    fn bounded(&self, source: impl Read, most: u64) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        source
            .take(most + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| ImageError::io(&self.label, e))?;
        match bytes.len() as u64 > most {
            true => Err(ImageError::TooLong {
                label: self.label.clone(),
                most: most >> 20,
            }),
            false => Ok(bytes),
        }
    }

    /// The bytes within a `data:` URL.
    fn within(&self) -> Result<Vec<u8>, ImageError> {
        let wrong = |reason: &str| ImageError::Name {
            label: self.label.clone(),
            reason: format!("{reason}; expected data:image/png;base64,…"),
        };
        let (head, body) = self
            .spelled
            .get("data:".len()..)
            .and_then(|rest| rest.split_once(','))
            .ok_or_else(|| wrong("this data: URL has no comma"))?;
        let plain: Vec<u8> = percent_decode_str(body).collect();
        if !head.to_ascii_lowercase().ends_with(";base64") {
            return Ok(plain);
        }
        let plain: Vec<u8> = plain
            .into_iter()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let engine = GeneralPurpose::new(&STANDARD, config);
        engine
            .decode(plain)
            .map_err(|e| wrong(&format!("this is not base64 ({e})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(url: &str) -> Result<Vec<u8>, ImageError> {
        ImageSource::parse(url)?.read()
    }

    #[test]
    fn data_urls_hold_their_bytes() {
        assert_eq!(within("data:image/png;base64,aGk=").unwrap(), b"hi");
        assert_eq!(within("DATA:;base64,aGk").unwrap(), b"hi");
        assert_eq!(within("data:image/png;base64,aG\nk%3D").unwrap(), b"hi");
        assert_eq!(within("data:,a%20b").unwrap(), b"a b");
        for wrong in ["data:image/png;base64", "data:;base64,!!", "data:;base64,"] {
            assert!(within(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_told_apart() {
        assert!(ImageSource::parse("-").unwrap().is_stdin());
        let long = format!("data:image/png;base64,{}", "A".repeat(1000));
        let source = ImageSource::parse(&long).unwrap();
        assert!(source.label().chars().count() < 40 && source.spelled() == long);
        let error = ImageSource::parse("https://example.com/a.png").unwrap_err();
        assert!(error.to_string().contains("curl"), "{error}");
        assert!(ImageSource::parse("").is_err());
    }

    #[test]
    fn what_is_not_there_or_empty_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("empty.png"), "").unwrap();
        let fails = |name: String| ImageSource::parse(&name).unwrap().read().unwrap_err();
        assert!(matches!(fails(at("none.png")), ImageError::Missing { .. }));
        assert!(matches!(fails(at("empty.png")), ImageError::Corrupt { .. }));
        assert!(matches!(fails(at("")), ImageError::Name { .. }));
        std::fs::write(at("a.png"), "x").unwrap();
        let url = format!("file://{}", at("a.png"));
        assert_eq!(ImageSource::parse(&url).unwrap().read().unwrap(), b"x");
    }
}
