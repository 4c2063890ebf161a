//! What is said about images in JSON.

use std::sync::Arc;

use serde_json::{json, Value};

use crate::cli::exit::CliError;
use crate::image::{ImageError, ProcessorError};
use crate::vision::{Look, VisionError};

/// `images` of the JSON object.
pub fn images(looks: &[Arc<Look>]) -> Vec<Value> {
    let image = |look: &Arc<Look>| {
        json!({
            "path": look.label,
            "size": look.original,
            "resized": look.resized,
            "grid": look.grid,
            "tokens": look.tokens(),
            "read_ms": look.read_ms,
            "encode_ms": look.encode_ms,
        })
    };
    looks.iter().map(image).collect()
}

/// Whether an error is about one image, and others may be answered about all the same.
pub fn concerns_one(error: &anyhow::Error) -> bool {
    let image = error.chain().any(|cause| {
        cause.is::<ImageError>()
            || matches!(
                cause.downcast_ref(),
                Some(
                    VisionError::Image(_) | VisionError::Processor(ProcessorError::Picture { .. })
                )
            )
    });
    let own = error.chain().find_map(|cause| cause.downcast_ref());
    image || matches!(own, Some(CliError::TooLarge(_) | CliError::Condition(_)))
}
