//! Names and shapes of the tensors of wav2vec 2.0 that are read.

use super::{Wav2Vec2Config, LAYERS_READ};

/// Those of the model that `config` describes, without the prefix that some checkpoints give them.
pub fn tensors(config: &Wav2Vec2Config) -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    let mut layer = |name: String, shape: &[usize]| {
        all.push((format!("{name}.weight"), shape.to_vec()));
        all.push((format!("{name}.bias"), shape[..1].to_vec()));
    };
    let mut channels = 1;
    for (i, (&rows, &kernel)) in config.conv_dim.iter().zip(&config.conv_kernel).enumerate() {
        let at = format!("feature_extractor.conv_layers.{i}");
        layer(format!("{at}.conv"), &[rows, channels, kernel]);
        layer(format!("{at}.layer_norm"), &[rows]);
        channels = rows;
    }
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    layer("feature_projection.layer_norm".into(), &[channels]);
    layer("feature_projection.projection".into(), &[hidden, channels]);
    for i in 0..LAYERS_READ {
        let at = format!("encoder.layers.{i}");
        for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            layer(format!("{at}.attention.{name}"), &[hidden, hidden]);
        }
        layer(format!("{at}.layer_norm"), &[hidden]);
        layer(format!("{at}.final_layer_norm"), &[hidden]);
        let dense = format!("{at}.feed_forward");
        layer(format!("{dense}.intermediate_dense"), &[wide, hidden]);
        layer(format!("{dense}.output_dense"), &[hidden, wide]);
    }
    let at = "encoder.pos_conv_embed.conv";
    let taps = config.num_conv_pos_embeddings;
    let width = hidden / config.num_conv_pos_embedding_groups;
    all.push((format!("{at}.weight_g"), vec![1, 1, taps]));
    all.push((format!("{at}.weight_v"), vec![hidden, width, taps]));
    all.push((format!("{at}.bias"), vec![hidden]));
    all
}
