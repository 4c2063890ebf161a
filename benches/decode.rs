//! Prefill and decode beside candle-transformers on the same file, interleaved in one run:
//! `cargo bench --bench decode -- MODEL.gguf` or `-- FOLDER` (a Qwen2 or Llama checkpoint in Hugging Face's layout).
//!
//! Each repetition reads a prompt of 128 tokens and decodes 64 greedily, once with crane and once with
//! candle-transformers; the medians of five are printed in tokens per second, with the ratio.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{bail, Context, Result};
use candle_core::quantized::gguf_file;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{quantized_llama, quantized_qwen2, qwen2};
use crane::models::LanguageModel;
use crane::weights::{Checkpoint, DTypeChoice, LoadOptions, Loader};

const PROMPT: usize = 128;
const DECODE: usize = 64;
const REPETITIONS: usize = 5;

/// One engine under test: logits of the last of `tokens`, which stand at `position`.
trait Peer {
    fn reset(&mut self);
    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Tensor>;
}

struct Crane(Box<dyn LanguageModel>);

impl Peer for Crane {
    fn reset(&mut self) {
        self.0.truncate(0);
    }
    fn forward(&mut self, tokens: &[u32], _position: usize) -> Result<Tensor> {
        Ok(self.0.forward(tokens)?)
    }
}

enum Candle {
    QuantizedQwen2(quantized_qwen2::ModelWeights),
    QuantizedLlama(quantized_llama::ModelWeights),
    Qwen2(qwen2::ModelForCausalLM),
}

impl Peer for Candle {
    fn reset(&mut self) {
        // The quantised models start afresh at position 0.
        if let Self::Qwen2(model) = self {
            model.clear_kv_cache();
        }
    }
    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Tensor> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match self {
            Self::QuantizedQwen2(model) => model.forward(&input, position)?,
            Self::QuantizedLlama(model) => model.forward(&input, position)?,
            Self::Qwen2(model) => model.forward(&input, position)?,
        };
        Ok(logits.flatten_all()?)
    }
}

fn open_crane(path: &Path) -> Result<Crane> {
    let checkpoint = Checkpoint::open(path)?;
    let options = LoadOptions {
        device: Device::Cpu,
        // A folder is computed in f32 by both.
        dtype: match path.is_dir() {
            true => DTypeChoice::F32,
            false => DTypeChoice::Auto,
        },
        quant: None,
        ..LoadOptions::default()
    };
    let loader = Loader::new(&checkpoint, &options)?;
    Ok(Crane(crane::models::load(&loader, Some(1024))?))
}

fn open_candle(path: &Path) -> Result<Candle> {
    if path.is_dir() {
        let config = std::fs::read(path.join("config.json"))?;
        let config: qwen2::Config = serde_json::from_slice(&config)?;
        let files: Vec<PathBuf> = std::fs::read_dir(path)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "safetensors"))
            .collect();
        // Sound as long as nobody writes to the files while the benchmark runs.
        let vb = unsafe { VarBuilder::from_mmaped_safetensors(&files, DType::F32, &Device::Cpu)? };
        return Ok(Candle::Qwen2(qwen2::ModelForCausalLM::new(&config, vb)?));
    }
    let mut file = std::fs::File::open(path)?;
    let content = gguf_file::Content::read(&mut file)?;
    let architecture = content
        .metadata
        .get("general.architecture")
        .context("no general.architecture")?
        .to_string()?
        .clone();
    Ok(match architecture.as_str() {
        "qwen2" => Candle::QuantizedQwen2(quantized_qwen2::ModelWeights::from_gguf(
            content,
            &mut file,
            &Device::Cpu,
        )?),
        "llama" => Candle::QuantizedLlama(quantized_llama::ModelWeights::from_gguf(
            content,
            &mut file,
            &Device::Cpu,
        )?),
        other => bail!("no peer for '{other}'"),
    })
}

/// Tokens per second.
#[derive(Clone, Copy)]
struct Speed {
    prefill: f64,
    decode: f64,
}

fn measure(peer: &mut dyn Peer) -> Result<Speed> {
    peer.reset();
    let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| 100 + i * 7).collect();
    let started = Instant::now();
    let mut logits = peer.forward(&prompt, 0)?;
    let mut token = logits.argmax(0)?.to_scalar::<u32>()?;
    let prefill = PROMPT as f64 / started.elapsed().as_secs_f64();
    let started = Instant::now();
    for i in 0..DECODE {
        logits = peer.forward(&[token], PROMPT + i)?;
        token = logits.argmax(0)?.to_scalar::<u32>()?;
    }
    Ok(Speed {
        prefill,
        decode: DECODE as f64 / started.elapsed().as_secs_f64(),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let Some(path) = std::env::args().skip(1).find(|a| !a.starts_with("--")) else {
        eprintln!(
            "decode: no model given, nothing measured (cargo bench --bench decode -- MODEL.gguf)"
        );
        return Ok(());
    };
    let path = Path::new(&path);
    let (mut crane, mut candle) = (open_crane(path)?, open_candle(path)?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for repetition in 0..=REPETITIONS {
        let (a, b) = (measure(&mut crane)?, measure(&mut candle)?);
        // The first is a warm-up: weights are paged in and packed.
        if repetition > 0 {
            ours.push(a);
            theirs.push(b);
        }
    }
    println!(
        "| {} | crane | candle-transformers | ratio |",
        path.display()
    );
    println!("| --- | --- | --- | --- |");
    let row = |name: &str, column: fn(&Speed) -> f64| {
        let a = median(ours.iter().map(column).collect());
        let b = median(theirs.iter().map(column).collect());
        println!("| {name}, tokens/s | {a:.1} | {b:.1} | {:.2} |", a / b);
    };
    row(&format!("prefill {PROMPT}"), |speed| speed.prefill);
    row(&format!("decode {DECODE}"), |speed| speed.decode);
    Ok(())
}
