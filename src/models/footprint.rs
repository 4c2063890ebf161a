//! What a decoder takes of a GPU's memory, known from its headers before anything is brought there.

mod matrices;

use self::matrices::Matrices;
use super::part::{self, product, taken, Part};
use super::{Config, ModelError};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::AttentionShape;
use crate::kernels::planes::Kind;
use crate::kernels::CacheType;
use crate::weights::Loader;

/// Tokens of a prompt that are computed together.
const PASS: usize = 2048;
/// Positions whose logits are held together, where those of all are wanted, and sequences of a step.
const LOGITS: usize = 64;
/// Scratch memory of cuBLASLt.
const SCRATCH: u64 = 32 << 20;
/// Parts that a step's attention is split into at most, and tokens of a part where there are fewer.
const SPLITS: usize = 64;
const SPLIT: usize = 128;
/// What cannot be counted: cuBLASLt's and the driver's code for the kernels that come to be used, recorded steps, and
/// what is lost at the ends of pages.
const BESIDE: u64 = 256 << 20;

/// Bytes of a GPU's memory, none of them too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Matrices as they are held there, norms and biases.
    pub weights: u64,
    /// What is there twice for a moment while the weights come.
    pub loading: u64,
    /// Keys and values of a full context, those of one layer twice: a cache grows by being copied.
    pub cache: u64,
    /// Activations of a part of a prompt, and scratch memory.
    pub work: u64,
}

impl Footprint {
    /// Of the model in `loader`'s checkpoint with room for `context` tokens, as in [`super::load`].
    ///
    /// # Errors
    /// As [`super::load`]; matrices and heads that the GPU's kernels do not take.
    pub fn of(loader: &Loader, context: Option<usize>) -> Result<Self, ModelError> {
        let checkpoint = loader.checkpoint();
        let config = Config::read(checkpoint, super::detect(checkpoint)?.model_type)?;
        let context = super::context(&config, context)?;
        check_heads(&config)?;
        let mut matrices = Matrices::new(loader);
        let layers = matrices.layers(&config)?;
        let head = matrices.vocabulary(&config)?;
        let keys = config.n_kv_heads * config.head_dim;
        let number = match loader.cache_type() {
            CacheType::F32 => 4,
            _ => 2,
        };
        let half = taken(product(&[number, context, keys]));
        let cached = (2 * config.n_layers as u64 + 2).saturating_mul(half);
        let dequantised = matrices.dequantised(layers.operand, head);
        Ok(Self {
            weights: matrices.held.saturating_add(floats(&config)),
            loading: layers.joined,
            cache: cached,
            work: work(&config, context, layers.operand).saturating_add(dequantised),
        })
    }

    /// The same where `part` of the model lies beside it.
    pub fn beside_another(self, part: Part) -> Self {
        Self {
            weights: self.weights.saturating_add(part.weights),
            work: self.work.saturating_add(part.work),
            ..self
        }
    }

    /// Of a part that is there alone.
    pub fn alone(part: Part) -> Self {
        Self {
            weights: part.weights,
            loading: 0,
            cache: 0,
            work: part.work,
        }
    }

    /// This, or `part` alone where that takes more: it is there before, and gone then.
    pub fn after(self, part: Part) -> Self {
        let alone = Self::alone(part);
        match alone.total() > self.total() {
            true => alone,
            false => self,
        }
    }

    /// All that has to be free for the model to be loaded and to fill its context.
    pub fn total(&self) -> u64 {
        let later = self.cache.saturating_add(self.work);
        self.weights
            .saturating_add(self.loading.max(later))
            .saturating_add(BESIDE)
    }

    /// All of [`Footprint::total`] that is neither weights nor cache.
    pub fn beside(&self) -> u64 {
        self.total()
            .saturating_sub(self.weights)
            .saturating_sub(self.cache)
    }
}

/// The heads that attention on a GPU takes.
#[cfg(feature = "cuda")]
fn check_heads(config: &Config) -> Result<(), ModelError> {
    let shape = AttentionShape {
        heads: config.n_heads,
        kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        window: None,
        neighbours: false,
        norms: None,
    };
    Ok(shape.check()?)
}

#[cfg(not(feature = "cuda"))]
fn check_heads(_: &Config) -> Result<(), ModelError> {
    Ok(())
}

/// Norms and biases, as if there were all of them.
fn floats(config: &Config) -> u64 {
    let heads = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim;
    let a_layer = heads + 4 * config.hidden_size + 2 * config.intermediate_size;
    product(&[4, config.n_layers, a_layer]).saturating_add(product(&[4, config.hidden_size]))
}

/// The workspace of a pass, place by place.
fn work(config: &Config, context: usize, operand: Kind) -> u64 {
    // A step's numbers are all f32.
    let tokens = PASS.min(context.max(2 * LOGITS));
    let splits = context.div_ceil(SPLIT).next_power_of_two().min(SPLITS);
    let size = operand.float_bytes().unwrap_or(4);
    let queries = config.n_heads * config.head_dim;
    let keys = config.n_kv_heads * config.head_dim;
    let places = [
        // The residual stream, and itself after a norm.
        product(&[4, tokens, config.hidden_size]),
        product(&[size, tokens, config.hidden_size]),
        // Heads as they are projected, rotated and attended to.
        product(&[4, tokens, queries + 2 * keys]),
        product(&[4, tokens, queries]),
        product(&[size.max(4), tokens, queries]),
        // Gates and what they let through.
        product(&[size, tokens, 2 * config.intermediate_size]),
        product(&[size, tokens, config.intermediate_size]),
        // Angles; positions and ids.
        product(&[4, tokens, config.head_dim]),
        product(&[16, tokens]),
        product(&[4, LOGITS, config.vocab_size]),
        product(&[
            4,
            config.n_heads,
            SPLITS.max(LOGITS * splits),
            config.head_dim + 2,
        ]),
        SCRATCH,
    ];
    part::all(places)
}

#[cfg(test)]
mod tests {
    use super::part::PAGE;
    use super::*;
    use crate::bench::synthetic;
    use crate::kernels::planes::piece_rows;
    use crate::weights::{DTypeChoice, Format, LoadOptions, Quant};

    fn footprint(
        alias: &str,
        options: LoadOptions,
        context: usize,
    ) -> Result<Footprint, ModelError> {
        let checkpoint = synthetic::checkpoint(alias, Format::BF16).unwrap();
        let loader = Loader::new(&checkpoint, &options).unwrap();
        Footprint::of(&loader, Some(context))
    }

    /// Qwen2.5-0.5B: a layer has 896·896·2 + 896·128·2 numbers in attention and 3·896·4864 in the MLP.
    const BODY: u64 = 24 * (896 * 896 * 2 + 896 * 128 * 2 + 3 * 896 * 4864);
    const HEAD: u64 = 151_936 * 896;
    const MIB: u64 = 1 << 20;

    /// `found` is no less than `counted` and at most `slack` more.
    fn close(found: u64, counted: u64, slack: u64) {
        assert!(
            (counted..=counted + slack).contains(&found),
            "{found} for {counted}"
        );
    }

    #[test]
    fn qwen_0_5b_in_bf16_by_hand() {
        let found = footprint("qwen2.5-0.5b", LoadOptions::default(), 4096).unwrap();
        // At most a page is lost with each of the seven matrices of a layer; biases and norms are small.
        close(found.weights, 2 * (BODY + HEAD), 24 * 7 * PAGE);
        // Gate and up of one layer.
        close(found.loading, 2 * 2 * 896 * 4864, 2 * PAGE);
        // 24 layers and one more of keys and values, two heads of 64 in f16: 1 MiB, a page each.
        assert_eq!(found.cache, 25 * 2 * PAGE);
        // 2048 tokens: x, its norm, heads three times, gates, inner, angles; logits of 64 positions, partial sums.
        let a_token = 4 * 896 + 2 * 896 + 4 * (1152 + 2 * 896) + 2 * 3 * 4864 + 4 * 64 + 16;
        // 64 sequences have 32 partial sums each.
        let logits = 4 * 64 * 151_936 + 4 * 14 * 64 * 32 * 66;
        close(found.work, 2048 * a_token + logits + SCRATCH, 12 * PAGE);
        let all = found.weights + found.cache + found.work + BESIDE;
        assert_eq!(found.total(), all);
        assert_eq!(found.beside(), found.work + BESIDE);
    }

    #[test]
    fn quantised_weights_lie_in_planes_and_are_multiplied_as_floats() {
        let quantised = |quant| LoadOptions {
            quant: Some(quant),
            ..LoadOptions::default()
        };
        // 20 bytes for 32 numbers, 34 in the vocabulary.
        let found = footprint("qwen2.5-0.5b", quantised(Quant::Q4_0), 4096).unwrap();
        close(
            found.weights,
            BODY / 32 * 20 + HEAD / 32 * 34,
            24 * 7 * PAGE,
        );
        assert_eq!(found.loading, 0);
        let float = footprint("qwen2.5-0.5b", LoadOptions::default(), 4096).unwrap();
        // Of the head as many rows as have 64 Mi numbers.
        close(
            found.work - float.work,
            2 * piece_rows(151_936, 896) as u64 * 896,
            PAGE,
        );
    }

    #[test]
    fn the_cache_grows_with_the_context_and_its_numbers() {
        let cache = |options: LoadOptions, context| {
            footprint("qwen2.5-7b", options, context).unwrap().cache
        };
        let half = LoadOptions::default;
        // 28 layers, four heads of 128.
        assert_eq!(cache(half(), 32_768), 29 * 2 * 2 * 512 * 32_768);
        let wide = LoadOptions {
            cache: Some(CacheType::F32),
            ..half()
        };
        assert_eq!(cache(wide, 32_768), 29 * 2 * 4 * 512 * 32_768);
        let eight = LoadOptions {
            cache: Some(CacheType::Q8_0),
            ..half()
        };
        assert_eq!(cache(eight, 32_768), cache(half(), 32_768));
    }

    #[test]
    fn an_untied_head_is_held_beside_the_embedding() {
        let found = footprint("qwen2.5-7b", LoadOptions::default(), 1).unwrap();
        close(found.weights, 2 * 7_615_616_512, 28 * 7 * PAGE);
        let exact = LoadOptions {
            dtype: DTypeChoice::F32,
            ..LoadOptions::default()
        };
        let wide = footprint("qwen2.5-7b", exact, 1).unwrap();
        close(wide.weights, 4 * 7_615_616_512, 28 * 7 * PAGE);
    }

    #[test]
    fn while_loading_less_is_needed_than_later_and_never_forgotten() {
        let found = Footprint {
            weights: 10 * MIB,
            loading: 7 * MIB,
            cache: 2 * MIB,
            work: MIB,
        };
        assert_eq!(found.total(), 17 * MIB + BESIDE);
        assert_eq!(found.beside(), 5 * MIB + BESIDE);
    }

    #[test]
    fn another_part_is_there_while_weights_come_and_later() {
        let found = Footprint {
            weights: 10 * MIB,
            loading: 7 * MIB,
            cache: 2 * MIB,
            work: MIB,
        };
        let part = Part {
            weights: 4 * MIB,
            work: 3 * MIB,
        };
        let both = found.beside_another(part);
        assert_eq!(both.total(), 21 * MIB + BESIDE);
        // Its work space counts where that of the language model does.
        let large = Part {
            work: 30 * MIB,
            ..part
        };
        assert_eq!(found.beside_another(large).total(), 47 * MIB + BESIDE);
        assert_eq!(found.beside_another(Part::default()), found);
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn the_encoder_of_qwen2_5_vl_3b_by_hand() {
        use crate::models::vision::Shape;
        let model = crate::bench::vision::Model::synthetic("qwen2.5-vl-3b").unwrap();
        let loader = Loader::new(model.decoder(), &LoadOptions::default()).unwrap();
        let shape = Shape::read(model.decoder()).unwrap().unwrap();
        let patches = 10_000;
        let part = shape.part(&loader, patches).unwrap();
        // 32 blocks of 1280 numbers with 3420 between, and what makes one of four: bf16, of each matrix a page is lost.
        let block = 4 * 1280 * 1280 + 3 * 1280 * 3420;
        let merger = 5120 * 5120 + 5120 * 2048;
        close(part.weights, 2 * (32 * block + merger), (32 * 5 + 4) * PAGE);
        // Pixels and the residual stream in f32, heads and what attention finds in bf16, of all patches; a part of them at
        // a time as 3 · 1280 and 2 · 3420 numbers and more.
        let all = patches as u64 * (4 * 588 + 4 * 1280 + 2 * 3 * 1280 + 2 * 1280);
        let some = 8192 * (2 * 1280 + 4 * 3 * 1280 + 2 * 3 * 3420);
        close(part.work, all + some + SCRATCH, 64 * MIB);
        // The language model's own room does not depend on it.
        let asked = Footprint::of(&loader, Some(512)).unwrap();
        close(asked.weights, 2 * 3_085_938_688, 36 * 7 * PAGE);
    }
}
