//! Ways to load a tiny model.

use std::path::Path;

use crane::kernels::CacheType;
use crane::models::LanguageModel;
use crane::text::Tokenizer;
use crane::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader, Quant};

/// A way to load a model.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    pub dtype: DTypeChoice,
    pub quant: Option<Quant>,
    pub cache: CacheType,
    pub tensors: bool,
}

pub const fn way(dtype: DTypeChoice, quant: Option<Quant>, cache: CacheType) -> Way {
    Way {
        dtype,
        quant,
        cache,
        tensors: false,
    }
}

/// With room for 256 tokens at most.
pub fn load(path: &Path, way: Way) -> (Box<dyn LanguageModel>, Tokenizer) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let options = LoadOptions {
        dtype: way.dtype,
        quant: way.quant,
        cache: Some(way.cache),
        tensors: way.tensors,
        ..LoadOptions::default()
    };
    let loader = Loader::new(&checkpoint, &options).unwrap();
    let context = crane::models::summary(&checkpoint).unwrap().context_length;
    let model = crane::models::load(&loader, Some(context.min(256))).unwrap();
    (model, Tokenizer::open(&checkpoint).unwrap())
}
