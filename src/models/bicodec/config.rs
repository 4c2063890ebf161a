//! `BiCodec/config.yaml`.

use serde::Deserialize;

use crate::models::ModelError;

/// What `audio_tokenizer` says, of which only shapes and the signal's parameters matter here.
#[derive(Debug, Clone, Deserialize)]
pub struct BiCodecConfig {
    pub mel_params: MelConfig,
    pub encoder: BackboneConfig,
    pub decoder: GeneratorConfig,
    pub quantizer: QuantizerConfig,
    pub speaker_encoder: SpeakerConfig,
    pub prenet: BackboneConfig,
    /// Its tensors are in the file; nothing reads them when speech is made.
    pub postnet: BackboneConfig,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct MelConfig {
    pub sample_rate: u32,
    pub n_fft: usize,
    pub win_length: usize,
    pub hop_length: usize,
    pub mel_fmin: f64,
    pub mel_fmax: Option<f64>,
    pub num_mels: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BackboneConfig {
    pub input_channels: usize,
    pub vocos_dim: usize,
    pub vocos_intermediate_dim: usize,
    pub vocos_num_layers: usize,
    pub out_channels: usize,
    /// None: no condition.
    pub condition_dim: Option<usize>,
    #[serde(default = "two_ones")]
    pub sample_ratios: Vec<usize>,
    #[serde(default)]
    pub use_tanh_at_final: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct GeneratorConfig {
    pub input_channel: usize,
    pub channels: usize,
    pub rates: Vec<usize>,
    pub kernel_sizes: Vec<usize>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct QuantizerConfig {
    pub input_dim: usize,
    pub codebook_size: usize,
    pub codebook_dim: usize,
    #[serde(default = "yes")]
    pub use_l2_normlize: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SpeakerConfig {
    pub input_dim: usize,
    pub out_dim: usize,
    pub latent_dim: usize,
    pub token_num: usize,
    pub fsq_levels: Vec<usize>,
    #[serde(default = "one")]
    pub fsq_num_quantizers: usize,
}

fn two_ones() -> Vec<usize> {
    vec![1, 1]
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
struct File {
    audio_tokenizer: BiCodecConfig,
}

/// The largest size of anything: what is larger is a damaged file.
const LARGEST: usize = 1 << 20;

impl BiCodecConfig {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// What is no such configuration, or one that is not computed here, with the key that says so.
    pub fn parse(file: &str, text: &str) -> Result<Self, ModelError> {
        let wrong = |reason: String| ModelError::Config {
            file: file.to_string(),
            reason,
        };
        let File { audio_tokenizer } =
            serde_saphyr::from_str(text).map_err(|e| wrong(e.to_string()))?;
        audio_tokenizer.check().map_err(wrong)?;
        Ok(audio_tokenizer)
    }

    /// Samples of a semantic token.
    pub fn samples_a_token(&self) -> usize {
        self.decoder.rates.iter().product()
    }

    fn check(&self) -> Result<(), String> {
        for (name, backbone) in [
            ("encoder", &self.encoder),
            ("prenet", &self.prenet),
            ("postnet", &self.postnet),
        ] {
            if backbone.sample_ratios.iter().any(|&ratio| ratio != 1) {
                return Err(format!(
                    "{name}: sample_ratios {:?} are not supported, 1 is",
                    backbone.sample_ratios
                ));
            }
            let sizes = [
                backbone.input_channels,
                backbone.vocos_dim,
                backbone.vocos_intermediate_dim,
                backbone.out_channels,
            ];
            within(name, &sizes)?;
            if backbone.vocos_num_layers > LARGEST {
                return Err(format!("{name}: {} layers", backbone.vocos_num_layers));
            }
        }
        if self.prenet.condition_dim != Some(self.speaker_encoder.out_dim) {
            return Err(format!(
                "prenet: condition_dim {:?} is not the speaker's out_dim {}",
                self.prenet.condition_dim, self.speaker_encoder.out_dim
            ));
        }
        if self.encoder.condition_dim.is_some() {
            return Err("encoder: a condition is not supported".into());
        }
        if self.prenet.use_tanh_at_final {
            return Err("prenet: use_tanh_at_final is not supported".into());
        }
        self.check_decoder()?;
        self.check_tokens()
    }

    fn check_decoder(&self) -> Result<(), String> {
        let decoder = &self.decoder;
        within("decoder", &[decoder.input_channel, decoder.channels])?;
        if decoder.rates.len() != decoder.kernel_sizes.len() || decoder.rates.is_empty() {
            return Err(format!(
                "decoder: rates {:?} and kernel_sizes {:?} do not belong together",
                decoder.rates, decoder.kernel_sizes
            ));
        }
        for (&rate, &size) in decoder.rates.iter().zip(&decoder.kernel_sizes) {
            if rate == 0
                || rate > 1024
                || size < rate
                || !(size - rate).is_multiple_of(2)
                || size > 4096
            {
                return Err(format!(
                    "decoder: a kernel of {size} does not multiply the length by {rate}"
                ));
            }
        }
        if decoder.channels >> decoder.rates.len() == 0 {
            return Err(format!(
                "decoder: {} channels cannot be halved {} times",
                decoder.channels,
                decoder.rates.len()
            ));
        }
        let widths = [
            decoder.input_channel,
            self.prenet.out_channels,
            self.speaker_encoder.out_dim,
        ];
        if widths.iter().any(|&width| width != widths[0]) {
            return Err(format!(
                "widths {widths:?} of decoder, prenet and speaker differ"
            ));
        }
        match self.samples_a_token() == self.mel_params.hop_length {
            true => Ok(()),
            false => Err(format!(
                "decoder: rates {:?} do not make the hop of {}",
                decoder.rates, self.mel_params.hop_length
            )),
        }
    }

    fn check_tokens(&self) -> Result<(), String> {
        let (quantizer, speaker, mel) = (&self.quantizer, &self.speaker_encoder, &self.mel_params);
        within(
            "quantizer",
            &[
                quantizer.input_dim,
                quantizer.codebook_size,
                quantizer.codebook_dim,
            ],
        )?;
        within(
            "speaker_encoder",
            &[
                speaker.input_dim,
                speaker.out_dim,
                speaker.latent_dim,
                speaker.token_num,
            ],
        )?;
        within(
            "mel_params",
            &[mel.n_fft, mel.win_length, mel.hop_length, mel.num_mels],
        )?;
        if !quantizer.use_l2_normlize {
            return Err("quantizer: use_l2_normlize false is not supported".into());
        }
        let codes = speaker
            .fsq_levels
            .iter()
            .try_fold(1usize, |n, &level| n.checked_mul(level));
        let sound = speaker.fsq_num_quantizers == 1
            && !speaker.fsq_levels.is_empty()
            && speaker.fsq_levels.iter().all(|&level| level > 1)
            && codes.is_some_and(|codes| codes <= LARGEST);
        if !sound {
            return Err(format!(
                "speaker_encoder: fsq_levels {:?} with {} quantisers are not supported",
                speaker.fsq_levels, speaker.fsq_num_quantizers
            ));
        }
        let fits = quantizer.input_dim == self.encoder.out_channels
            && quantizer.input_dim == self.prenet.input_channels
            && speaker.input_dim == mel.num_mels
            && mel.win_length <= mel.n_fft
            && mel.win_length.is_multiple_of(2)
            && mel.sample_rate > 0;
        match fits {
            true => Ok(()),
            false => Err("sizes of encoder, quantizer, prenet, speaker_encoder and mel_params do not fit each other".into()),
        }
    }
}

fn within(name: &str, sizes: &[usize]) -> Result<(), String> {
    match sizes.iter().find(|&&size| size == 0 || size > LARGEST) {
        Some(size) => Err(format!("{name}: a size of {size}")),
        None => Ok(()),
    }
}
