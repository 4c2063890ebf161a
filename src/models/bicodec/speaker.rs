//! A clip of a voice → its global tokens: features, a Perceiver resampler (Alayrac et al., 2022, arXiv:2204.14198) to
//! so many latents, finite scalar quantisation (Mentzer et al., 2023, arXiv:2309.15505).

use super::config::SpeakerConfig;
use super::ecapa::{Ecapa, FEATURES};
use crate::kernels::{conv, Unit};
use crate::models::ModelError;
use crate::nn::conv::{Conv, Failed, Heads, Out, Signal, Space};
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

/// Mel frames → global tokens, on the GPU of its loader where there is one.
pub struct SpeakerEncoder {
    ecapa: Ecapa,
    project_context: Conv,
    /// `[tokens, latent]`.
    latents: Vec<f32>,
    layers: Vec<Layer>,
    heads: Heads,
    gamma: Vec<f32>,
    /// `[digits, latent]` and `[digits]`.
    project_in: (Vec<f32>, Vec<f32>),
    config: SpeakerConfig,
    space: Space,
}

struct Layer {
    to_q: Conv,
    to_kv: Conv,
    to_out: Conv,
    expand: Conv,
    contract: Conv,
}

/// Memory of a layer, used again by the next.
#[derive(Default)]
struct Work {
    /// The latents and the context behind them.
    seen: Signal,
    q: Signal,
    kv: Signal,
    found: Signal,
    wide: Signal,
    gated: Signal,
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
            project_context: Conv::pointwise(
                &at,
                Unit::F32,
                "proj_context",
                [dim, FEATURES],
                None,
            )?,
            latents: at.numbers("latents", &[config.token_num, dim])?,
            layers: (0..DEPTH)
                .map(|i| Layer::load(&at.under(&format!("layers.{i}")), dim))
                .collect::<Result<_, _>>()?,
            heads: Heads::new(loader, HEADS, HEAD_DIM)?,
            gamma: at.numbers("norm.gamma", &[dim])?,
            project_in: (
                loader.numbers(
                    "quantizer.project_in.weight",
                    &[config.fsq_levels.len(), dim],
                )?,
                loader.numbers("quantizer.project_in.bias", &[config.fsq_levels.len()])?,
            ),
            config: config.clone(),
            space: Space::new(loader, Unit::F32),
        })
    }

    /// `mel` `[bands, frames]` → tokens of the voice.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn tokens(&mut self, mel: &conv::Signal) -> Result<Vec<u32>, ModelError> {
        let latents = self.latents(mel)?;
        let (weight, bias) = &self.project_in;
        let dim = self.config.latent_dim;
        let token = |latent: &[f32]| {
            let rows = weight.chunks_exact(dim).zip(bias);
            let z: Vec<f32> = rows
                .map(|(row, b)| b + row.iter().zip(latent).map(|(w, x)| w * x).sum::<f32>())
                .collect();
            quantise(&z, &self.config.fsq_levels)
        };
        Ok(latents.chunks_exact(dim).map(token).collect())
    }

    /// What is quantised, `[tokens, latent]`.
    ///
    /// # Errors
    /// Those of a GPU.
    pub fn latents(&mut self, mel: &conv::Signal) -> Result<Vec<f32>, Failed> {
        let space = &mut self.space;
        let [mut read, mut features, mut context, mut x] = [(); 4].map(|()| Signal::default());
        read.put_all(mel, space)?;
        self.ecapa.forward(&read, &mut features, space)?;
        self.project_context
            .apply(&features, Out::plain(&mut context), space)?;
        x.put_rows(&self.latents, self.config.latent_dim, space)?;
        let mut work = Work::default();
        for layer in &self.layers {
            layer.forward(&mut x, &context, &self.heads, &mut work, space)?;
        }
        let mut rows = x.into_host()?.to_rows();
        let root = (self.config.latent_dim as f32).sqrt();
        for row in rows.chunks_exact_mut(self.config.latent_dim) {
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            for (x, gamma) in row.iter_mut().zip(&self.gamma) {
                *x = *x / norm * root * gamma;
            }
        }
        Ok(rows)
    }
}

impl Layer {
    fn load(loader: &Loader, dim: usize) -> Result<Self, WeightsError> {
        let width = HEADS * HEAD_DIM;
        let bare = |name: &str, dims| Conv::bare(loader, Unit::F32, name, dims);
        let with_bias = |name: &str, dims| Conv::pointwise(loader, Unit::F32, name, dims, None);
        Ok(Self {
            to_q: bare("0.to_q", [width, dim])?,
            to_kv: bare("0.to_kv", [2 * width, dim])?,
            to_out: bare("0.to_out", [dim, width])?,
            expand: with_bias("1.0", [2 * inner(dim), dim])?,
            contract: with_bias("1.2", [dim, inner(dim)])?,
        })
    }

    /// `x` `[latent, tokens]` looks at itself and at `context` `[latent, frames]`.
    fn forward(
        &self,
        x: &mut Signal,
        context: &Signal,
        heads: &Heads,
        work: &mut Work,
        space: &mut Space,
    ) -> Result<(), Failed> {
        let Work {
            seen,
            q,
            kv,
            found,
            wide,
            gated,
        } = work;
        seen.reshape(x.channels(), x.len() + context.len(), space)?;
        seen.put(0, 0, x)?;
        seen.put(0, x.len(), context)?;
        self.to_q.apply(x, Out::plain(q), space)?;
        self.to_kv.apply(seen, Out::plain(kv), space)?;
        heads.attend(q, [&*kv, &*kv], [0, HEADS * HEAD_DIM], found)?;
        self.to_out.apply(found, Out::added(x), space)?;
        self.expand.apply(x, Out::plain(wide), space)?;
        wide.gated(gated)?;
        self.contract.apply(gated, Out::added(x), space)
    }
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
