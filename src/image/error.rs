//! What can be wrong with a picture, said in one line.

/// Why a picture could not be read. Every message names it and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{label}: there is no such file")]
    Missing { label: String },
    /// The operating system refused.
    #[error("{label}: {source}")]
    Io {
        label: String,
        source: std::io::Error,
    },
    /// Not something that names a picture.
    #[error("{label}: {reason}")]
    Name { label: String, reason: String },
    /// A picture, or something close to one, that crane does not read.
    #[error("{label} is {what}; crane reads PNG, JPEG, WebP, GIF, BMP and TIFF: {remedy}")]
    Unsupported {
        label: String,
        what: String,
        remedy: String,
    },
    /// No picture, or one that contradicts itself or its length.
    #[error("{label}: {reason}")]
    Corrupt { label: String, reason: String },
    #[error("{label} has {width} x {height} pixels, and crane reads up to {most} million: shrink it, for example with 'magick {label} -resize 8000x8000 smaller.jpg'")]
    TooLarge {
        label: String,
        width: u32,
        height: u32,
        most: u64,
    },
    #[error("{label} has more than {most} MiB, which no picture needs")]
    TooLong { label: String, most: u64 },
}

impl ImageError {
    pub(super) fn corrupt(label: &str, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            label: label.into(),
            reason: reason.into(),
        }
    }

    pub(super) fn io(label: &str, source: std::io::Error) -> Self {
        let label = label.to_string();
        match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { label },
            _ => Self::Io { label, source },
        }
    }
}
