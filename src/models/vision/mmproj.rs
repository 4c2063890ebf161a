//! The image encoder of a GGUF model, which llama.cpp keeps in a file of its own (`mmproj-….gguf`).

use crate::weights::{Checkpoint, Header, Metadata};

/// The projector that crane reads: Qwen2.5-VL's.
const PROJECTOR: &str = "qwen2.5vl_merger";

/// Whether `checkpoint` is such a file.
pub fn is(checkpoint: &Checkpoint) -> bool {
    metadata(checkpoint).is_some()
}

/// Its metadata, where it is one.
pub fn metadata(checkpoint: &Checkpoint) -> Option<&Metadata> {
    match checkpoint.header() {
        Header::Gguf(metadata) => {
            (metadata.str("general.architecture") == Some("clip")).then_some(metadata)
        }
        Header::HuggingFace(_) => None,
    }
}

/// That the projector is one that crane reads.
pub fn check(metadata: &Metadata) -> Result<(), String> {
    let kind = metadata
        .str("clip.projector_type")
        .or_else(|| metadata.str("clip.vision.projector_type"));
    match kind {
        Some(PROJECTOR) => Ok(()),
        other => Err(format!(
            "the projector type '{}' is not supported ({PROJECTOR}, that of Qwen2.5-VL, is)",
            other.unwrap_or("(none named)")
        )),
    }
}
