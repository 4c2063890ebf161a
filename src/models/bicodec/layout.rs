//! Names and shapes of all tensors of a BiCodec checkpoint.

use super::backbone::STAGE_LAYERS;
use super::config::{BackboneConfig, BiCodecConfig};
use super::{ecapa, speaker};

/// Collects names below a prefix.
struct Names {
    prefix: String,
    all: Vec<(String, Vec<usize>)>,
}

impl Names {
    fn add(&mut self, name: &str, shape: &[usize]) {
        let full = format!("{}{name}", self.prefix);
        self.all.push((full, shape.to_vec()));
    }

    /// Weight and bias.
    fn layer(&mut self, name: &str, shape: &[usize]) {
        self.add(&format!("{name}.weight"), shape);
        self.add(&format!("{name}.bias"), &shape[..1]);
    }

    /// Direction, size and the bias of `rows`.
    fn weight_norm(&mut self, name: &str, shape: &[usize], rows: usize) {
        self.add(&format!("{name}.weight_v"), shape);
        self.add(&format!("{name}.weight_g"), &[shape[0], 1, 1]);
        self.add(&format!("{name}.bias"), &[rows]);
    }

    fn batch_norm(&mut self, name: &str, width: usize) {
        self.layer(name, &[width]);
        self.add(&format!("{name}.running_mean"), &[width]);
        self.add(&format!("{name}.running_var"), &[width]);
        self.add(&format!("{name}.num_batches_tracked"), &[]);
    }

    fn under(&mut self, prefix: &str, names: impl FnOnce(&mut Self)) {
        let before = self.prefix.len();
        self.prefix.push_str(prefix);
        self.prefix.push('.');
        names(self);
        self.prefix.truncate(before);
    }

    fn norm(&mut self, name: &str, width: usize, condition: Option<usize>) {
        match condition {
            None => self.layer(name, &[width]),
            Some(inputs) => {
                self.layer(&format!("{name}.scale"), &[width, inputs]);
                self.layer(&format!("{name}.shift"), &[width, inputs]);
            }
        }
    }

    fn backbone(
        &mut self,
        inputs: usize,
        config: &BackboneConfig,
        layers: usize,
        condition: Option<usize>,
    ) {
        let (dim, wide) = (config.vocos_dim, config.vocos_intermediate_dim);
        self.layer("embed", &[dim, inputs, 7]);
        self.norm("norm", dim, condition);
        for i in 0..layers {
            self.under(&format!("convnext.{i}"), |names| {
                names.layer("dwconv", &[dim, 1, 7]);
                names.norm("norm", dim, condition);
                names.layer("pwconv1", &[wide, dim]);
                names.layer("pwconv2", &[dim, wide]);
                names.add("gamma", &[dim]);
            });
        }
        self.layer("final_layer_norm", &[dim]);
    }

    fn stages(&mut self, config: &BackboneConfig) {
        for j in 0..config.sample_ratios.len() {
            self.under(&format!("downsample.{j}.1"), |names| {
                names.backbone(config.vocos_dim, config, STAGE_LAYERS, None)
            });
        }
    }

    /// Prenet and postnet.
    fn decoder_net(&mut self, config: &BackboneConfig) {
        let dim = config.vocos_dim;
        self.layer("linear_pre", &[dim, config.input_channels]);
        self.stages(config);
        self.under("vocos_backbone", |names| {
            names.backbone(dim, config, config.vocos_num_layers, config.condition_dim)
        });
        self.layer("linear", &[config.out_channels, dim]);
    }

    fn generator(&mut self, config: &BiCodecConfig) {
        let decoder = &config.decoder;
        let mut channels = decoder.channels;
        self.weight_norm("0", &[channels, decoder.input_channel, 7], channels);
        for (i, &size) in decoder.kernel_sizes.iter().enumerate() {
            self.under(&format!("{}.block", i + 1), |names| {
                let half = channels / 2;
                names.add("0.alpha", &[1, channels, 1]);
                names.weight_norm("1", &[channels, half, size], half);
                for unit in 2..5 {
                    names.under(&format!("{unit}.block"), |names| {
                        names.add("0.alpha", &[1, half, 1]);
                        names.weight_norm("1", &[half, half, 7], half);
                        names.add("2.alpha", &[1, half, 1]);
                        names.weight_norm("3", &[half, half, 1], half);
                    });
                }
            });
            channels /= 2;
        }
        let n = decoder.rates.len();
        self.add(&format!("{}.alpha", n + 1), &[1, channels, 1]);
        self.weight_norm(&format!("{}", n + 2), &[1, channels, 7], 1);
    }

    fn ecapa(&mut self, mels: usize, out: usize) {
        let (channels, features) = (ecapa::CHANNELS, ecapa::FEATURES);
        self.layer("layer1.conv", &[channels, mels, 5]);
        self.batch_norm("layer1.bn", channels);
        for layer in 2..5 {
            self.under(&format!("layer{layer}.se_res2block"), |names| {
                let width = channels / ecapa::GROUPS;
                for unit in [0, 2] {
                    names.layer(&format!("{unit}.conv"), &[channels, channels, 1]);
                    names.batch_norm(&format!("{unit}.bn"), channels);
                }
                for group in 0..ecapa::GROUPS - 1 {
                    names.layer(&format!("1.convs.{group}"), &[width, width, 3]);
                    names.batch_norm(&format!("1.bns.{group}"), width);
                }
                names.layer("3.linear1", &[ecapa::SQUEEZED, channels]);
                names.layer("3.linear2", &[channels, ecapa::SQUEEZED]);
            });
        }
        self.layer("conv", &[features, features, 1]);
        self.layer("pool.linear1", &[128, 3 * features, 1]);
        self.layer("pool.linear2", &[features, 128, 1]);
        self.batch_norm("bn", 2 * features);
        self.layer("linear", &[out, 2 * features]);
    }

    fn perceiver(&mut self, dim: usize, tokens: usize) {
        let (width, inner) = (speaker::HEADS * speaker::HEAD_DIM, speaker::inner(dim));
        self.add("latents", &[tokens, dim]);
        self.layer("proj_context", &[dim, ecapa::FEATURES]);
        for i in 0..speaker::DEPTH {
            self.under(&format!("layers.{i}"), |names| {
                names.add("0.to_q.weight", &[width, dim]);
                names.add("0.to_kv.weight", &[2 * width, dim]);
                names.add("0.to_out.weight", &[dim, width]);
                names.layer("1.0", &[2 * inner, dim]);
                names.layer("1.2", &[dim, inner]);
            });
        }
        self.add("norm.gamma", &[dim]);
    }
}

/// All tensors of the checkpoint that `config` describes: 840 for the published one.
pub fn tensors(config: &BiCodecConfig) -> Vec<(String, Vec<usize>)> {
    let mut names = Names {
        prefix: String::new(),
        all: Vec::new(),
    };
    let (encoder, quantizer) = (&config.encoder, &config.quantizer);
    names.under("encoder", |names| {
        names.under("encoder", |names| {
            names.backbone(
                encoder.input_channels,
                encoder,
                encoder.vocos_num_layers,
                None,
            )
        });
        names.stages(encoder);
        names.layer("project", &[encoder.out_channels, encoder.vocos_dim]);
    });
    names.under("quantizer", |names| {
        let (dim, width) = (quantizer.codebook_dim, quantizer.input_dim);
        names.weight_norm("in_project", &[dim, width, 1], dim);
        names.weight_norm("out_project", &[width, dim, 1], width);
        names.add("codebook.weight", &[quantizer.codebook_size, dim]);
        names.add("cluster_size", &[quantizer.codebook_size]);
    });
    names.under("prenet", |names| names.decoder_net(&config.prenet));
    names.under("postnet", |names| names.decoder_net(&config.postnet));
    names.under("decoder.model", |names| names.generator(config));
    let voice = &config.speaker_encoder;
    names.under("speaker_encoder", |names| {
        let (dim, digits) = (voice.latent_dim, voice.fsq_levels.len());
        names.under("speaker_encoder", |names| {
            names.ecapa(voice.input_dim, voice.out_dim)
        });
        names.under("perceiver_sampler", |names| {
            names.perceiver(dim, voice.token_num)
        });
        names.layer("quantizer.project_in", &[digits, dim]);
        names.layer("quantizer.project_out", &[dim, digits]);
        names.layer("project", &[voice.out_dim, dim * voice.token_num]);
    });
    names.all
}
