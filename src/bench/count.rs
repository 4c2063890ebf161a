//! How many bytes must be read and how many operations done, counted from a model's headers.

use crate::kernels::limits::Arithmetic;
use crate::models::Config;
use crate::weights::{is_encoder, Checkpoint, Format, Loader, Quant, TensorInfo};

use super::limits::Limits;
use super::{BenchError, Test};

/// A model in numbers. Parameters are those of matrices that multiply; bytes are as the loader holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Of all layers, without the embedding and the head.
    pub body_parameters: u64,
    pub body_bytes: u64,
    pub head_parameters: u64,
    pub head_bytes: u64,
    /// One row of the embedding table.
    pub row_bytes: u64,
    /// Everything that is held, an embedding tied to the head once.
    pub held_bytes: u64,
    /// The format that holds most bytes.
    pub format: Format,
    /// Key and value of one token in all layers.
    pub cache_bytes_per_token: u64,
    /// Numbers of all query heads of a layer.
    query_width: u64,
    /// For each layer, how many tokens it sees.
    windows: Vec<Option<usize>>,
}

/// What one test needs at least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Bytes read from memory, weights and cache.
    pub bytes: f64,
    pub operations: f64,
}

impl Work {
    /// Seconds that it takes at the limits: memory and arithmetic work side by side, and the slower one decides.
    pub fn seconds(&self, limits: &Limits, arithmetic: Arithmetic) -> f64 {
        (self.bytes / limits.bandwidth).max(self.operations / limits.peak(arithmetic))
    }
}

impl Counts {
    /// The same where `rows` of the head's `all` are computed.
    pub fn with_head_rows(mut self, rows: usize, all: usize) -> Self {
        let part = |n: u64| (n as f64 * rows.min(all) as f64 / all.max(1) as f64) as u64;
        self.head_parameters = part(self.head_parameters);
        self.head_bytes = part(self.head_bytes);
        self
    }

    /// Of the model in `loader`'s checkpoint.
    pub fn of(loader: &Loader, config: &Config) -> Self {
        let cache_number_bytes = loader.cache_type().bytes();
        let checkpoint = loader.checkpoint();
        let embedding = checkpoint.info("model.embed_tokens.weight");
        let head = match config.tie_word_embeddings {
            true => embedding,
            false => checkpoint.info("lm_head.weight"),
        };
        let size = |info: Option<&TensorInfo>| {
            info.map_or((0, 0), |info| (numbers(info), held_bytes(loader, info)))
        };
        let (_, embedding_bytes) = size(embedding);
        let (head_parameters, head_bytes) = size(head);
        let mut body = (0u64, 0u64);
        let mut rest_bytes = 0u64;
        for info in decoder(loader) {
            let name = info.name.as_str();
            if is_vocabulary(checkpoint, name) {
                continue;
            }
            let bytes = held_bytes(loader, info);
            match is_matrix(info) {
                true => {
                    body.0 = body.0.saturating_add(numbers(info));
                    body.1 = body.1.saturating_add(bytes);
                }
                false => rest_bytes = rest_bytes.saturating_add(bytes),
            }
        }
        let own_head = match config.tie_word_embeddings {
            true => 0,
            false => head_bytes,
        };
        let cached = 2 * config.n_layers * config.n_kv_heads * config.head_dim;
        Self {
            body_parameters: body.0,
            body_bytes: body.1,
            head_parameters,
            head_bytes,
            row_bytes: embedding_bytes / config.vocab_size.max(1) as u64,
            held_bytes: body.1 + rest_bytes + embedding_bytes + own_head,
            format: most_bytes(loader),
            cache_bytes_per_token: (cached as f64 * cache_number_bytes) as u64,
            query_width: (config.n_heads * config.head_dim) as u64,
            windows: config.windows.clone(),
        }
    }

    /// The arithmetic whose peak bounds the products with these weights.
    pub fn arithmetic(&self) -> Arithmetic {
        arithmetic(self.format)
    }

    /// What `test` needs: each sequence's prompt in one pass with logits of its last position, then a pass for a token of
    /// every sequence, in which weights are read once.
    pub fn work(&self, test: &Test) -> Work {
        let prompts = match test.n_prompt {
            0 => Work {
                bytes: 0.0,
                operations: 0.0,
            },
            n => {
                let one = self.pass(test.n_depth, n, 1);
                Work {
                    bytes: one.bytes * test.n_parallel as f64,
                    operations: one.operations * test.n_parallel as f64,
                }
            }
        };
        let from = test.n_depth + test.n_prompt;
        (from..from + test.n_gen).fold(prompts, |sum, cached| {
            let step = self.pass(cached, 1, test.n_parallel);
            Work {
                bytes: sum.bytes + step.bytes,
                operations: sum.operations + step.operations,
            }
        })
    }

    /// `tokens` tokens of each of several sequences, behind `cached` ones, computed together.
    fn pass(&self, cached: usize, tokens: usize, sequences: usize) -> Work {
        let attended: f64 = self
            .windows
            .iter()
            .map(|window| seen(cached, tokens, *window))
            .sum();
        // A query meets a key and its value: a multiplication and an addition for each number of both.
        let attention = 4.0 * self.query_width as f64 * attended;
        let products =
            2.0 * (self.body_parameters as f64 * tokens as f64 + self.head_parameters as f64);
        let rows = (self.row_bytes * tokens as u64) as f64;
        let sequences = sequences as f64;
        Work {
            bytes: (self.body_bytes + self.head_bytes) as f64
                + sequences * (rows + self.cache_bytes_read(cached + tokens)),
            operations: sequences * (products + attention),
        }
    }

    /// Of the keys and values of a sequence that a pass over `length` tokens reads.
    fn cache_bytes_read(&self, length: usize) -> f64 {
        let layers = self.windows.len().max(1) as f64;
        let a_layer = self.cache_bytes_per_token as f64 / layers;
        self.windows
            .iter()
            .map(|window| window.map_or(length, |w| length.min(w)) as f64 * a_layer)
            .sum()
    }
}

/// The arithmetic whose peak bounds products with weights of `format`.
pub fn arithmetic(format: Format) -> Arithmetic {
    match format {
        Format::Quantized(_) => Arithmetic::Int8,
        Format::BF16 => Arithmetic::Bf16,
        _ => Arithmetic::F32,
    }
}

/// How many positions `tokens` tokens behind `cached` ones see together, each itself and those before it, at most a
/// window.
fn seen(cached: usize, tokens: usize, window: Option<usize>) -> f64 {
    let window = window.unwrap_or(usize::MAX);
    // The first tokens see one more each, until the window is full.
    let growing = window.saturating_sub(cached).min(tokens);
    let rising = (2 * cached + growing + 1) as f64 * growing as f64 / 2.0;
    match tokens - growing {
        0 => rising,
        full => rising + full as f64 * window as f64,
    }
}

/// Refuses a quantisation that some matrix of the model cannot have: the row would be a mixture.
pub fn check_widths(loader: &Loader, quant: Option<Quant>) -> Result<(), BenchError> {
    let Some(quant) = quant else { return Ok(()) };
    let matrices = decoder(loader).filter(|info| is_matrix(info));
    for info in matrices {
        let width = info.shape.last().copied().unwrap_or(0);
        if !loader.held(info).is_quantized() {
            return Err(BenchError::Width { quant, width });
        }
    }
    Ok(())
}

/// The tensors that read and write text: an image encoder beside them is no part of it.
fn decoder<'a>(loader: &Loader<'a>) -> impl Iterator<Item = &'a TensorInfo> {
    let all = loader.checkpoint().tensors();
    all.filter(|info| !is_encoder(&info.name))
}

fn is_matrix(info: &TensorInfo) -> bool {
    info.shape.len() == 2 && info.name.ends_with(".weight")
}

fn is_vocabulary(checkpoint: &Checkpoint, name: &str) -> bool {
    ["model.embed_tokens.weight", "lm_head.weight"]
        .iter()
        .filter_map(|known| checkpoint.info(known))
        .any(|info| info.name == name)
}

fn numbers(info: &TensorInfo) -> u64 {
    info.shape
        .iter()
        .fold(1, |n: u64, &d| n.saturating_mul(d as u64))
}

/// Bytes of a tensor as the loader holds it; what is no matrix is held in the type of activations.
fn held_bytes(loader: &Loader, info: &TensorInfo) -> u64 {
    match is_matrix(info) {
        true => loader.held(info).bytes(numbers(info)),
        false => numbers(info).saturating_mul(loader.dtype().size_in_bytes() as u64),
    }
}

/// The format that holds most bytes of the matrices.
fn most_bytes(loader: &Loader) -> Format {
    let mut sums: Vec<(Format, u64)> = Vec::new();
    for info in decoder(loader).filter(|info| is_matrix(info)) {
        let format = loader.held(info);
        let bytes = format.bytes(numbers(info));
        match sums.iter_mut().find(|(known, _)| *known == format) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => sums.push((format, bytes)),
        }
    }
    let most = sums.into_iter().max_by_key(|(_, bytes)| *bytes);
    most.map_or(Format::F32, |(format, _)| format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::synthetic;
    use crate::weights::{DTypeChoice, LoadOptions};
    use candle_core::Device;

    fn counts(alias: &str, dtype: DTypeChoice, quant: Option<Quant>) -> Counts {
        let checkpoint = synthetic::checkpoint(alias, Format::BF16).unwrap();
        let options = LoadOptions {
            device: Device::Cpu,
            dtype,
            quant,
            ..LoadOptions::default()
        };
        let loader = Loader::new(&checkpoint, &options).unwrap();
        let config = Config::read(&checkpoint, "qwen2").unwrap();
        Counts::of(&loader, &config)
    }

    /// Qwen2.5-0.5B: a layer has 896·896·2 + 896·128·2 numbers in attention and 3·896·4864 in the MLP.
    const BODY: u64 = 24 * (896 * 896 * 2 + 896 * 128 * 2 + 3 * 896 * 4864);
    const HEAD: u64 = 151_936 * 896;

    #[test]
    fn qwen_0_5b_in_f32_by_hand() {
        let counts = counts("qwen2.5-0.5b", DTypeChoice::F32, None);
        assert_eq!(counts.body_parameters, BODY);
        assert_eq!(BODY, 357_826_560);
        assert_eq!(counts.head_parameters, HEAD);
        assert_eq!((counts.body_bytes, counts.head_bytes), (4 * BODY, 4 * HEAD));
        // Norms (49 of 896) and biases (1152 a layer) beside the matrices; the head is the embedding.
        assert_eq!(counts.held_bytes, 4 * (BODY + HEAD + 49 * 896 + 24 * 1152));
        assert_eq!(counts.held_bytes, 4 * 494_032_768);
        assert_eq!(counts.row_bytes, 4 * 896);
        // Beside f32 weights the cache is f32.
        assert_eq!(counts.cache_bytes_per_token, 24 * 2 * 2 * 64 * 4);
        assert_eq!(counts.arithmetic(), Arithmetic::F32);

        let test = |n_prompt, n_gen, n_depth| Test {
            n_prompt,
            n_gen,
            n_depth,
            n_parallel: 1,
        };
        let decode = counts.work(&test(0, 1, 0));
        let cache = counts.cache_bytes_per_token as f64;
        assert_eq!(decode.bytes, (4 * (BODY + HEAD) + 4 * 896) as f64 + cache);
        let deep = counts.work(&test(0, 2, 4096));
        assert_eq!(
            deep.bytes,
            (8 * (BODY + HEAD) + 8 * 896) as f64 + (4097 + 4098) as f64 * cache
        );

        // 512 tokens: the head once; token i sees i + 1 positions in 24 layers of 14 heads of 64.
        let prefill = counts.work(&test(512, 0, 0));
        let attention = 4.0 * 896.0 * 24.0 * (512.0 * 513.0 / 2.0);
        assert_eq!(
            prefill.operations,
            2.0 * (BODY as f64 * 512.0 + HEAD as f64) + attention
        );
        let deep = counts.work(&test(512, 0, 4096));
        let more = 4.0 * 896.0 * 24.0 * 4096.0 * 512.0;
        assert_eq!(deep.operations, prefill.operations + more);
    }

    #[test]
    fn sequences_share_the_reading_of_weights_and_nothing_else() {
        let counts = counts("qwen2.5-0.5b", DTypeChoice::F32, None);
        let work = |n_prompt, n_parallel| {
            counts.work(&Test {
                n_prompt,
                n_gen: 2,
                n_depth: 100,
                n_parallel,
            })
        };
        let (one, eight) = (work(0, 1), work(0, 8));
        assert_eq!(eight.operations, 8.0 * one.operations);
        // Two steps: in each the matrices once, a row of the embedding and a cache of its own for each sequence.
        let cache = counts.cache_bytes_per_token as f64;
        let own = 2.0 * 4.0 * 896.0 + (101.0 + 102.0) * cache;
        let weights = 2.0 * 4.0 * (BODY + HEAD) as f64;
        assert_eq!(one.bytes, weights + own);
        assert_eq!(eight.bytes, weights + 8.0 * own);
        // Prompts are read one after the other.
        let prompt = |n_parallel| {
            let test = Test {
                n_prompt: 50,
                n_gen: 0,
                n_depth: 0,
                n_parallel,
            };
            counts.work(&test)
        };
        assert_eq!(prompt(8).bytes, 8.0 * prompt(1).bytes);
        assert_eq!(prompt(8).operations, 8.0 * prompt(1).operations);
    }

    #[test]
    fn quantised_weights_count_as_they_are_held() {
        let counts = counts("qwen2.5-0.5b", DTypeChoice::Auto, Some(Quant::Q4_0));
        // 18 bytes for 32 numbers; the vocabulary keeps eight bits.
        assert_eq!(counts.body_bytes, BODY / 32 * 18);
        assert_eq!(counts.head_bytes, HEAD / 32 * 34);
        assert_eq!(counts.arithmetic(), Arithmetic::Int8);
    }

    #[test]
    fn an_untied_embedding_is_held_and_read_by_row() {
        let counts = counts("qwen2.5-7b", DTypeChoice::BF16, None);
        // Norms and biases are held in f32.
        let small = 28 * (2 * 3584 + 4608) + 3584;
        assert_eq!(counts.held_bytes, 2 * 7_615_616_512 + 2 * small);
        assert_eq!(counts.arithmetic(), Arithmetic::Bf16);
    }

    #[test]
    fn a_window_bounds_what_a_token_sees() {
        assert_eq!(seen(0, 4, None), 10.0);
        assert_eq!(seen(10, 2, None), 23.0);
        assert_eq!(seen(0, 4, Some(2)), 1.0 + 2.0 + 2.0 + 2.0);
        assert_eq!(seen(5, 3, Some(2)), 6.0);
        assert_eq!(seen(1, 3, Some(3)), 2.0 + 3.0 + 3.0);
    }

    #[test]
    fn the_slower_of_memory_and_arithmetic_decides() {
        let limits = Limits {
            bandwidth: 10.0,
            f32: 100.0,
            bf16: 1.0,
            int8: 1.0,
        };
        let work = |bytes, operations| Work { bytes, operations };
        assert_eq!(work(20.0, 100.0).seconds(&limits, Arithmetic::F32), 2.0);
        assert_eq!(work(20.0, 300.0).seconds(&limits, Arithmetic::F32), 3.0);
    }
}
