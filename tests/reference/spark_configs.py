"""The configuration files of a Spark-TTS folder: the published ones, and a tiny relative whose widths all differ."""

import json

BICODEC = """\
audio_tokenizer:
  mel_params:
    sample_rate: 16000
    n_fft: 1024
    win_length: 640
    hop_length: 320
    mel_fmin: 10
    mel_fmax: null
    num_mels: 128

  encoder:
    input_channels: {features}
    vocos_dim: {dim}
    vocos_intermediate_dim: {inter}
    vocos_num_layers: {encoder_layers}
    out_channels: {latent}
    sample_ratios: [1,1]

  decoder:
    input_channel: {condition}
    channels: {channels}
    rates: [8,5,4,2]
    kernel_sizes: [16,11,8,4]

  quantizer:
    input_dim: {latent}
    codebook_size: {codebook}
    codebook_dim: 8
    commitment: 0.25
    codebook_loss_weight: 2.0
    use_l2_normlize: True
    threshold_ema_dead_code: 0.2

  speaker_encoder:
    input_dim: 128
    out_dim: {condition}
    latent_dim: {speaker}
    token_num: 32
    fsq_levels: [4, 4, 4, 4, 4, 4]
    fsq_num_quantizers: 1

  prenet:
    input_channels: {latent}
    vocos_dim: {dim}
    vocos_intermediate_dim: {inter}
    vocos_num_layers: {prenet_layers}
    out_channels: {condition}
    condition_dim: {condition}
    sample_ratios: [1,1]
    use_tanh_at_final: False

  postnet:
    input_channels: {condition}
    vocos_dim: {dim}
    vocos_intermediate_dim: {inter}
    vocos_num_layers: {postnet_layers}
    out_channels: {features}
    use_tanh_at_final: False
"""
BICODEC_REAL = dict(
    features=1024, dim=384, inter=2048, encoder_layers=12, latent=1024, condition=1024, channels=1536, codebook=8192,
    speaker=128, prenet_layers=12, postnet_layers=6,
)
# 40: the perceiver's inner width is then 106, a rounded-down 106.67.
BICODEC_TINY = dict(
    features=32, dim=16, inter=32, encoder_layers=2, latent=24, condition=20, channels=32, codebook=64, speaker=40,
    prenet_layers=3, postnet_layers=2,
)

TOP = """\
# Common configurations
sample_rate: 16000
highpass_cutoff_freq: 40
segment_duration: 2.4
max_val_duration: 12
latent_hop_length: 320
ref_segment_duration: 6
volume_normalize: true
"""

LLM = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 896,
    "initializer_range": 0.02,
    "intermediate_size": 4864,
    "max_position_embeddings": 32768,
    "max_window_layers": 21,
    "model_type": "qwen2",
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 166000,
}
LLM_TINY = dict(
    hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_window_layers=2,
)

PREPROCESSOR = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0,
    "return_attention_mask": True,
    "sampling_rate": 16000,
}
WAV2VEC2 = {
    "activation_dropout": 0.0,
    "apply_spec_augment": True,
    "architectures": ["Wav2Vec2ForPreTraining"],
    "attention_dropout": 0.1,
    "bos_token_id": 1,
    "codevector_dim": 768,
    "contrastive_logits_temperature": 0.1,
    "conv_bias": True,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "ctc_loss_reduction": "sum",
    "ctc_zero_infinity": False,
    "diversity_loss_weight": 0.1,
    "do_stable_layer_norm": True,
    "eos_token_id": 2,
    "feat_extract_activation": "gelu",
    "feat_extract_dropout": 0.0,
    "feat_extract_norm": "layer",
    "feat_proj_dropout": 0.1,
    "feat_quantizer_dropout": 0.0,
    "final_dropout": 0.0,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout": 0.1,
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 4096,
    "layer_norm_eps": 1e-05,
    "layerdrop": 0.1,
    "mask_channel_length": 10,
    "mask_channel_min_space": 1,
    "mask_channel_other": 0.0,
    "mask_channel_prob": 0.0,
    "mask_channel_selection": "static",
    "mask_feature_length": 10,
    "mask_feature_prob": 0.0,
    "mask_time_length": 10,
    "mask_time_min_space": 1,
    "mask_time_other": 0.0,
    "mask_time_prob": 0.075,
    "mask_time_selection": "static",
    "model_type": "wav2vec2",
    "num_attention_heads": 16,
    "num_codevector_groups": 2,
    "num_codevectors_per_group": 320,
    "num_conv_pos_embedding_groups": 16,
    "num_conv_pos_embeddings": 128,
    "num_feat_extract_layers": 7,
    "num_hidden_layers": 24,
    "num_negatives": 100,
    "pad_token_id": 0,
    "proj_codevector_dim": 768,
    "transformers_version": "4.7.0.dev0",
    "vocab_size": 32,
}
# 18 layers, since the features are a mean of the states 11, 14 and 16.
WAV2VEC2_TINY = dict(
    conv_dim=[16] * 7, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_hidden_layers=18,
    num_conv_pos_embedding_groups=8, codevector_dim=8, proj_codevector_dim=8, num_codevectors_per_group=4,
)


def files(real: bool) -> dict[str, str]:
    """Every text file but the tokenizer's, by its path in the folder."""
    llm, wav2vec2 = (LLM, WAV2VEC2) if real else (LLM | LLM_TINY, WAV2VEC2 | WAV2VEC2_TINY)
    return {
        "config.yaml": TOP,
        "BiCodec/config.yaml": BICODEC.format_map(BICODEC_REAL if real else BICODEC_TINY),
        "LLM/config.json": json.dumps(llm, indent=2),
        "wav2vec2-large-xlsr-53/config.json": json.dumps(wav2vec2, indent=2) + "\n",
        "wav2vec2-large-xlsr-53/preprocessor_config.json": json.dumps(PREPROCESSOR, indent=2) + "\n",
    }
