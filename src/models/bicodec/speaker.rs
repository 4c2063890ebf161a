//! A clip of a voice → its global tokens: features, a Perceiver resampler (Alayrac et al., 2022, arXiv:2204.14198) to
//! so many latents, finite scalar quantisation (Mentzer et al., 2023, arXiv:2309.15505).

use super::config::SpeakerConfig;
use super::ecapa::{Ecapa, FEATURES};
use crate::kernels::conv::{Filter, Out, Signal};
use crate::kernels::Unit;
use crate::nn::conv::{packed, pointwise, ConvShape};
use crate::weights::{Loader, WeightsError};

/// Heads of the resampler and their width; the reference takes no others.
pub(super) const HEADS: usize = 8;
pub(super) const HEAD_DIM: usize = 64;
/// Its layers.
pub(super) const DEPTH: usize = 2;

/// Width of the gated feed-forward layer.
pub(super) fn inner(dim: usize) -> usize {
    dim * 4 * 2 / 3
}

/// Mel frames → global tokens.
pub struct SpeakerEncoder {
    ecapa: Ecapa,
    project_context: Filter,
    /// `[tokens, latent]`.
    latents: Vec<f32>,
    layers: Vec<Layer>,
    gamma: Vec<f32>,
    /// `[digits, latent]` and `[digits]`.
    project_in: (Vec<f32>, Vec<f32>),
    config: SpeakerConfig,
}

struct Layer {
    to_q: Filter,
    to_kv: Filter,
    to_out: Filter,
    expand: Filter,
    contract: Filter,
}

impl SpeakerEncoder {
    /// Reads all below `loader` (`speaker_encoder`).
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(loader: &Loader, config: &SpeakerConfig) -> Result<Self, WeightsError> {
        let at = loader.under("perceiver_sampler");
        let dim = config.latent_dim;
        Ok(Self {
            ecapa: Ecapa::load(&loader.under("speaker_encoder"), config.input_dim)?,
            project_context: pointwise(&at, Unit::F32, "proj_context", [dim, FEATURES], None)?,
            latents: at.numbers("latents", &[config.token_num, dim])?,
            layers: (0..DEPTH)
                .map(|i| Layer::load(&at.under(&format!("layers.{i}")), dim))
                .collect::<Result<_, _>>()?,
            gamma: at.numbers("norm.gamma", &[dim])?,
            project_in: (
                loader.numbers(
                    "quantizer.project_in.weight",
                    &[config.fsq_levels.len(), dim],
                )?,
                loader.numbers("quantizer.project_in.bias", &[config.fsq_levels.len()])?,
            ),
            config: config.clone(),
        })
    }

    /// `mel` `[bands, frames]` → tokens of the voice.
    pub fn tokens(&self, mel: &Signal) -> Vec<u32> {
        let latents = self.latents(mel);
        let (weight, bias) = &self.project_in;
        let dim = self.config.latent_dim;
        latents
            .chunks_exact(dim)
            .map(|latent| {
                let rows = weight.chunks_exact(dim).zip(bias);
                let z: Vec<f32> = rows
                    .map(|(row, b)| b + row.iter().zip(latent).map(|(w, x)| w * x).sum::<f32>())
                    .collect();
                quantise(&z, &self.config.fsq_levels)
            })
            .collect()
    }

    /// What is quantised, `[tokens, latent]`.
    fn latents(&self, mel: &Signal) -> Vec<f32> {
        let features = self.ecapa.forward(mel);
        let context = product(&self.project_context, &features);
        let mut x = Signal::from_rows(&self.latents, self.config.latent_dim);
        for layer in &self.layers {
            layer.forward(&mut x, &context);
        }
        let mut rows = x.to_rows();
        let root = (self.config.latent_dim as f32).sqrt();
        for row in rows.chunks_exact_mut(self.config.latent_dim) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            for (x, gamma) in row.iter_mut().zip(&self.gamma) {
                *x = *x / norm * root * gamma;
            }
        }
        rows
    }
}

impl Layer {
    fn load(loader: &Loader, dim: usize) -> Result<Self, WeightsError> {
        let width = HEADS * HEAD_DIM;
        let bare = |name: &str, rows: usize, inputs: usize| {
            let weights = loader.numbers(&format!("{name}.weight"), &[rows, inputs])?;
            let shape = ConvShape::same(rows, inputs, 1);
            packed(loader, Unit::F32, &weights, None, vec![0.0; rows], shape)
        };
        Ok(Self {
            to_q: bare("0.to_q", width, dim)?,
            to_kv: bare("0.to_kv", 2 * width, dim)?,
            to_out: bare("0.to_out", dim, width)?,
            expand: pointwise(loader, Unit::F32, "1.0", [2 * inner(dim), dim], None)?,
            contract: pointwise(loader, Unit::F32, "1.2", [dim, inner(dim)], None)?,
        })
    }

    /// `x` `[latent, tokens]` looks at itself and at `context` `[latent, frames]`.
    fn forward(&self, x: &mut Signal, context: &Signal) {
        let seen = beside(x, context);
        let (q, kv) = (product(&self.to_q, x), product(&self.to_kv, &seen));
        add_product(&self.to_out, &attend(&q, &kv), x);
        let wide = product(&self.expand, x);
        let inner = wide.channels() / 2;
        let mut gated = Signal::default();
        gated.reshape(Unit::F32, inner, wide.len());
        for channel in 0..inner {
            let mut gate = wide.channel(inner + channel).to_vec();
            crate::kernels::conv::gelu_in_place(crate::kernels::Simd::detect(), &mut gate);
            let values = wide.channel(channel).iter().zip(&gate);
            for (out, (x, gate)) in gated.channel_mut(channel).iter_mut().zip(values) {
                *out = x * gate;
            }
        }
        add_product(&self.contract, &gated, x);
    }
}

/// The channels of `a` with the samples of `b` after its own.
fn beside(a: &Signal, b: &Signal) -> Signal {
    let mut out = Signal::default();
    out.reshape(Unit::F32, a.channels(), a.len() + b.len());
    for channel in 0..a.channels() {
        let (first, second) = out.channel_mut(channel).split_at_mut(a.len());
        first.copy_from_slice(a.channel(channel));
        second.copy_from_slice(b.channel(channel));
    }
    out
}

/// Softmax attention of all of `q` `[heads · dim, n]` to all of `kv`, keys and then values, `[2 · heads · dim, m]`.
fn attend(q: &Signal, kv: &Signal) -> Signal {
    let width = HEADS * HEAD_DIM;
    let mut out = Signal::default();
    out.reshape(Unit::F32, width, q.len());
    let scale = (HEAD_DIM as f32).powf(-0.5);
    let mut scores = vec![0f32; kv.len()];
    for head in 0..HEADS {
        let channels = head * HEAD_DIM..(head + 1) * HEAD_DIM;
        for token in 0..q.len() {
            scores.fill(0.0);
            for channel in channels.clone() {
                let x = q.channel(channel)[token] * scale;
                for (score, key) in scores.iter_mut().zip(kv.channel(channel)) {
                    *score += x * key;
                }
            }
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            scores.iter_mut().for_each(|s| *s = (*s - most).exp());
            let sum: f32 = scores.iter().sum();
            for channel in channels.clone() {
                let values = kv.channel(width + channel).iter().zip(&scores);
                let total: f32 = values.map(|(value, score)| value * score).sum();
                out.channel_mut(channel)[token] = total / sum;
            }
        }
    }
    out
}

pub(super) fn product(filter: &Filter, x: &Signal) -> Signal {
    let mut out = Signal::default();
    filter.apply(x, Out::plain(&mut out));
    out
}

fn add_product(filter: &Filter, x: &Signal, out: &mut Signal) {
    filter.apply(x, Out::added(out));
}

/// The code of `z`, a number for each of `levels`; the first digit counts least.
fn quantise(z: &[f32], levels: &[usize]) -> u32 {
    let mut code = 0u32;
    let mut weight = 1u32;
    for (&z, &level) in z.iter().zip(levels) {
        let half = (level - 1) as f32 * 1.001 / 2.0;
        let offset = if level % 2 == 0 { 0.5 } else { 0.0 };
        let shift = (offset / half).atanh();
        let bounded = (z + shift).tanh() * half - offset;
        let digit = bounded.round_ties_even() as i64 + (level / 2) as i64;
        code += digit.clamp(0, level as i64 - 1) as u32 * weight;
        weight *= level as u32;
    }
    code
}

/// The digits of `code` as numbers from −1 on; None past the last code.
pub(super) fn digits(code: u32, levels: &[usize]) -> Option<Vec<f32>> {
    let mut left = code as usize;
    let digits = levels
        .iter()
        .map(|&level| {
            let half = (level / 2) as f32;
            let digit = (left % level) as f32;
            left /= level;
            (digit - half) / half
        })
        .collect();
    (left == 0).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_undo_the_quantiser() {
        let levels = [4usize; 6];
        assert_eq!(digits(4096, &levels), None);
        assert_eq!(digits(4095, &levels).as_deref(), Some([0.5; 6].as_slice()));
        assert_eq!(
            digits(1, &levels).as_deref(),
            Some([-0.5, -1.0, -1.0, -1.0, -1.0, -1.0].as_slice())
        );
        // tanh(z + atanh(0.5/1.5015))·1.5015 − 0.5 of 0 is 0: the third of four levels.
        assert_eq!(quantise(&[0.0; 6], &levels), 2 * (4096 - 1) / 3);
        assert_eq!(quantise(&[-9.0; 6], &levels), 0);
        assert_eq!(quantise(&[9.0; 6], &levels), 4095);
        assert_eq!(quantise(&[9.0, -9.0], &[5, 3]), 4);
    }
}
