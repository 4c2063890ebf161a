//! Tokens → samples.

use std::ops::Range;

use super::backbone::{self, Backbone, BackboneShape, Stages};
use super::config::BiCodecConfig;
use super::generator::{self, Generator};
use super::speaker::digits;
use crate::kernels::{conv, Unit};
use crate::models::ModelError;
use crate::nn::conv::{unit, Affine, Conv, ConvShape, Function, Norm, Out, Signal, Space, Vector};
use crate::weights::{Loader, WeightsError};

/// Frames that are computed in one go, besides their context: bounds the memory, not the result.
pub(super) const FRAMES: usize = 400;

/// The half of BiCodec that speaks, on the GPU of its loader where there is one, in f32.
pub struct Decoder {
    config: BiCodecConfig,
    /// `[codes, codebook_dim]`.
    codebook: Vec<f32>,
    out_project: Conv,
    linear_pre: Conv,
    stages: Stages,
    backbone: Backbone,
    linear: Conv,
    generator: Generator,
    /// `[latent, digits]` and `[latent]`.
    project_out: (Vec<f32>, Vec<f32>),
    /// `[out, latent · tokens]`.
    project: Affine,
    space: Space,
    work: Work,
}

#[derive(Default)]
struct Work {
    codes: Signal,
    a: Signal,
    b: Signal,
    features: Signal,
    backbone: backbone::Work,
    generator: generator::Work,
}

/// What the decoder needs to know of a voice.
pub struct Voice {
    /// The d-vector, `[out]`.
    d: Vec<f32>,
    norms: Vec<Norm>,
    /// Of the last layer before the wave generator, with the d-vector.
    bias: Vector,
}

impl Decoder {
    /// Reads the tensors that speaking needs.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape.
    pub fn load(loader: &Loader, config: &BiCodecConfig) -> Result<Self, WeightsError> {
        let unit = unit(loader);
        let (quantizer, prenet) = (&config.quantizer, &config.prenet);
        let speaker = &config.speaker_encoder;
        let at = loader.under("prenet");
        let (dim, wide) = (prenet.vocos_dim, prenet.vocos_intermediate_dim);
        let encoder = loader.under("speaker_encoder");
        let width = speaker.latent_dim * speaker.token_num;
        Ok(Self {
            codebook: loader.numbers(
                "quantizer.codebook.weight",
                &[quantizer.codebook_size, quantizer.codebook_dim],
            )?,
            out_project: Conv::weight_norm(
                loader,
                Unit::F32,
                "quantizer.out_project",
                ConvShape::same(quantizer.input_dim, quantizer.codebook_dim, 1),
            )?,
            linear_pre: Conv::pointwise(
                &at,
                unit,
                "linear_pre",
                [dim, prenet.input_channels],
                None,
            )?,
            stages: Stages::load(&at, unit, prenet.sample_ratios.len(), dim, wide)?,
            backbone: Backbone::load(
                &at.under("vocos_backbone"),
                unit,
                BackboneShape {
                    inputs: dim,
                    dim,
                    intermediate: wide,
                    layers: prenet.vocos_num_layers,
                    condition: prenet.condition_dim,
                },
                1.0,
            )?,
            linear: Conv::pointwise(&at, unit, "linear", [prenet.out_channels, dim], None)?,
            generator: Generator::load(&loader.under("decoder.model"), unit, &config.decoder)?,
            project_out: (
                encoder.numbers(
                    "quantizer.project_out.weight",
                    &[speaker.latent_dim, speaker.fsq_levels.len()],
                )?,
                encoder.numbers("quantizer.project_out.bias", &[speaker.latent_dim])?,
            ),
            project: Affine::load(&encoder, "project", [speaker.out_dim, width])?,
            config: config.clone(),
            space: Space::new(loader, unit),
            work: Work::default(),
        })
    }

    /// Samples of a second.
    pub fn sample_rate(&self) -> u32 {
        self.config.mel_params.sample_rate
    }

    /// Samples of a semantic token.
    pub fn samples_a_token(&self) -> usize {
        self.config.samples_a_token()
    }

    /// Global tokens of a voice.
    pub fn globals(&self) -> usize {
        self.config.speaker_encoder.token_num
    }

    /// Global tokens that there are.
    pub fn global_codes(&self) -> usize {
        super::global_codes(&self.config)
    }

    /// Semantic tokens that there are.
    pub fn codes(&self) -> usize {
        self.config.quantizer.codebook_size
    }

    /// The voice of `globals`.
    ///
    /// # Errors
    /// Another number of them than [`Decoder::globals`], or one past the codes; those of a GPU.
    pub fn voice(&self, globals: &[u32]) -> Result<Voice, ModelError> {
        let speaker = &self.config.speaker_encoder;
        if globals.len() != speaker.token_num {
            return Err(ModelError::Tokens(format!(
                "a voice is {} global tokens, not {}",
                speaker.token_num,
                globals.len()
            )));
        }
        let latent = speaker.latent_dim;
        let (weight, bias) = &self.project_out;
        // Channel by channel, as the flattening of the reference has it.
        let mut flat = vec![0f32; latent * speaker.token_num];
        for (token, &global) in globals.iter().enumerate() {
            let digits = digits(global, &speaker.fsq_levels)
                .ok_or_else(|| ModelError::Tokens(format!("there is no global token {global}")))?;
            for channel in 0..latent {
                let row = &weight[channel * digits.len()..(channel + 1) * digits.len()];
                let product: f32 = row.iter().zip(&digits).map(|(w, x)| w * x).sum();
                flat[channel * speaker.token_num + token] = bias[channel] + product;
            }
        }
        let d = self.project.apply(&self.space.vector(flat)?)?;
        let norms = self.backbone.norms(Some(&d))?;
        let d = d.to_numbers()?;
        let bias = self.linear.bias().iter().zip(&d);
        let bias = bias.map(|(bias, d)| bias + d).collect();
        Ok(Voice {
            norms,
            d,
            bias: self.space.vector(bias)?,
        })
    }

    /// Tokens before and after a token that its samples depend on.
    pub fn context(&self) -> usize {
        self.prenet_reach() + self.generator.reach()
    }

    fn prenet_reach(&self) -> usize {
        self.stages.reach() + self.backbone.reach()
    }

    /// Samples of the tokens in `range` of `tokens`, of which nothing is known before the first and after the last: with
    /// [`Decoder::context`] more tokens on both sides they equal those of a longer text, bit for bit, on the CPU and on a
    /// GPU. `go_on` is asked now and then; the result is None once it says no.
    ///
    /// # Errors
    /// A token past the codebook; samples that are not numbers; those of a GPU.
    ///
    /// # Panics
    /// A range past the tokens.
    pub fn samples(
        &mut self,
        voice: &Voice,
        tokens: &[u32],
        range: Range<usize>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let mut samples = Vec::with_capacity(range.len() * self.samples_a_token());
        for start in range.clone().step_by(FRAMES) {
            if !go_on() {
                return Ok(None);
            }
            let end = range.end.min(start + FRAMES);
            samples.extend(self.block(voice, tokens, start..end)?);
        }
        match samples.iter().all(|x| x.is_finite()) {
            true => Ok(Some(samples)),
            false => Err(ModelError::Tokens(
                "the codec's samples are not numbers; the file may be damaged: try 'crane verify', or --dtype f32".into(),
            )),
        }
    }

    fn block(
        &mut self,
        voice: &Voice,
        tokens: &[u32],
        range: Range<usize>,
    ) -> Result<Vec<f32>, ModelError> {
        let around = |range: &Range<usize>, reach: usize| {
            range.start.saturating_sub(reach)..tokens.len().min(range.end + reach)
        };
        let generated = around(&range, self.generator.reach());
        let read = around(&generated, self.prenet_reach());
        self.compute_features(voice, &tokens[read.clone()])?;
        let Work {
            a,
            features,
            generator,
            ..
        } = &mut self.work;
        let start = generated.start - read.start;
        features.part(start..start + generated.len(), a, &self.space)?;
        let samples = self.generator.forward(a, generator, &mut self.space)?;
        let each = self.samples_a_token();
        let from = (range.start - generated.start) * each;
        Ok(samples[from..from + range.len() * each].to_vec())
    }

    /// What the wave generator reads, `[channels, tokens]`.
    ///
    /// # Errors
    /// A token past the codebook; those of a GPU.
    pub fn features(&mut self, voice: &Voice, tokens: &[u32]) -> Result<conv::Signal, ModelError> {
        self.compute_features(voice, tokens)?;
        Ok(std::mem::take(&mut self.work.features).into_host()?)
    }

    fn compute_features(&mut self, voice: &Voice, tokens: &[u32]) -> Result<(), ModelError> {
        let dim = self.config.quantizer.codebook_dim;
        let mut rows = Vec::with_capacity(tokens.len() * dim);
        for &token in tokens {
            let start = token as usize * dim;
            let row = self
                .codebook
                .get(start..start + dim)
                .ok_or_else(|| ModelError::Tokens(format!("there is no semantic token {token}")))?;
            rows.extend_from_slice(row);
        }
        let space = &mut self.space;
        let Work {
            codes,
            a,
            b,
            features,
            backbone,
            ..
        } = &mut self.work;
        codes.put_rows(&rows, dim, space)?;
        let same = Function::Identity;
        self.out_project.apply(codes, Out::active(a, same), space)?;
        self.linear_pre.apply(a, Out::active(b, same), space)?;
        self.stages.forward(b, backbone, space)?;
        self.backbone.forward(b, &voice.norms, backbone, space, a)?;
        let out = Out {
            bias: Some(&voice.bias),
            ..Out::plain(features)
        };
        Ok(self.linear.apply(a, out, space)?)
    }
}

impl Voice {
    /// The d-vector.
    pub fn vector(&self) -> &[f32] {
        &self.d
    }
}
