"""The files beside the weights: the published Qwen2.5-VL-3B and Namo-500M, and a tiny relative of each."""

import json
import pathlib

import tiny_tokenizer

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
# Behind the 314 tokens of the tiny tokenizer; the embedding has some rows more, as the published ones have.
BASE, ROWS = 314, 328
SPECIALS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]
TINY_IDS = {text: BASE + i for i, text in enumerate(SPECIALS)}
REAL_IDS = {
    "<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<|vision_start|>": 151652,
    "<|vision_end|>": 151653, "<|vision_pad|>": 151654, "<|image_pad|>": 151655, "<|video_pad|>": 151656,
}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

# The template of Qwen2.5-VL: content is a string or a list of images, videos and texts.
VISION_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}{{ message['content'] }}"
    "<|im_end|>\n{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content "
    "or 'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}Picture "
    "{{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == 'video' or "
    "'video' in content %}{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}Video "
    "{{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}"
)


def text_template() -> str:
    """Qwen2.5's own."""
    return json.loads((FIXTURES / "text" / "templates.json").read_text())["templates"]["qwen2.5"]["source"]


def qwen(ids: dict[str, int], **sizes) -> dict:
    """config.json of Qwen2.5-VL with the keys of the text model at the top, as published."""
    vision = sizes.pop("vision_config")
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_token_id": ids["<|vision_pad|>"],
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_window_layers": 70,
        "model_type": "qwen2_5_vl",
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "transformers_version": "4.41.2",
        "use_cache": True,
        "use_sliding_window": False,
        **sizes,
        "vision_config": {
            "hidden_act": "silu", "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14,
            "window_size": 112, "tokens_per_second": 2, "temporal_patch_size": 2, **vision,
        },
    }


QWEN_3B = dict(
    hidden_size=2048, intermediate_size=11008, max_position_embeddings=128000, num_attention_heads=16,
    num_hidden_layers=36, num_key_value_heads=2, torch_dtype="bfloat16", vocab_size=151936,
    rope_scaling={"type": "mrope", "mrope_section": [16, 24, 24]},
    vision_config=dict(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=2048,
                       fullatt_block_indexes=[7, 15, 23, 31]),
)
# Heads of 20: neither a power of two nor a multiple of a SIMD register.
QWEN_TINY = dict(
    hidden_size=64, intermediate_size=96, max_position_embeddings=512, num_attention_heads=4, num_hidden_layers=3,
    num_key_value_heads=2, torch_dtype="float32", vocab_size=ROWS,
    rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
    vision_config=dict(depth=4, hidden_size=80, intermediate_size=90, num_heads=4, out_hidden_size=64,
                       fullatt_block_indexes=[1, 3]),
)


def namo(ids: dict[str, int], text: dict, vision: dict, dtype: str) -> dict:
    """config.json of Namo as transformers 4.48 saves it: a nested key at its class's default is left out."""
    return {
        "architectures": ["NamoForCausalLM"],
        "audio_config": {"model_type": "whisper"},
        "conn_ve_llm_type": "pixelshuffle_2x",
        "ignore_index": -100,
        "image_seq_length": 576,
        "image_token_index": -200,
        "longest_edge": None,
        "model_type": "namo",
        "multimodal_projector_bias": True,
        "new_img_size": None,
        "shortest_edge": None,
        "text_config": {
            "_name_or_path": "checkpoints/Qwen2.5-0.5B-Instruct",
            "architectures": ["Qwen2ForCausalLM"],
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "model_type": "qwen2",
            "rope_theta": 1000000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            **text,
        },
        "torch_dtype": dtype,
        "transformers_version": "4.48.3",
        "unfreeze_ve": True,
        "vision_config": {
            "_name_or_path": "checkpoints/aimv2-large-patch14-native",
            "architectures": ["AIMv2Model"],
            "model_type": "aimv2",
            "torch_dtype": "float32",
            **vision,
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "same",
    }


# What is left out of NAMO_500M: vocab_size, max_position_embeddings, rms_norm_eps and more of the text model, and all
# sizes of AIMv2-large, which is the class's default.
NAMO_500M = dict(
    text=dict(hidden_size=896, intermediate_size=4864, max_window_layers=21, num_attention_heads=14,
              num_hidden_layers=24, num_key_value_heads=2),
    vision={},
    dtype="bfloat16",
)
NAMO_TINY = dict(
    text=dict(hidden_size=112, intermediate_size=144, num_attention_heads=7, num_hidden_layers=3,
              num_key_value_heads=1, vocab_size=ROWS),
    vision=dict(hidden_size=72, intermediate_size=90, num_attention_heads=2, num_hidden_layers=4),
    dtype="float32",
)
AIMV2_DEFAULTS = dict(
    hidden_size=1024, intermediate_size=2816, num_hidden_layers=24, num_attention_heads=8, num_channels=3,
    image_size=224, patch_size=14, rms_norm_eps=1e-5,
)


def qwen_preprocessor(max_pixels: int) -> dict:
    return {
        "min_pixels": 3136, "max_pixels": max_pixels, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": MEAN, "image_std": STD, "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
    }


def namo_preprocessor(shortest: int) -> dict:
    return {
        "crop_size": {"height": 224, "width": 224}, "do_center_crop": False, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": MEAN,
        "image_processor_type": "NamoImageProcessor", "image_std": STD, "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": shortest},
    }


def tokenizer_config(ids: dict[str, int], template: str | None) -> dict:
    """Qwen's, whose template stands beside it in chat_template.json if there is none here."""
    about = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {"content": text, **about} for text, i in ids.items()},
        "additional_special_tokens": [text for text in ids if text != "<|endoftext|>"],
        "bos_token": None,
        **({"chat_template": template} if template else {}),
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }


def tokenizer(ids: dict[str, int]) -> dict:
    """tokenizer.json of the tiny models."""
    tok = json.loads(tiny_tokenizer.build("qwen2", BASE + 6, False).backend_tokenizer.to_str())
    assert len(tok["model"]["vocab"]) == BASE
    about = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tok["added_tokens"] = [{"id": i, "content": text, **about} for text, i in ids.items()]
    return tok


def qwen_files(ids: dict[str, int], config: dict, max_pixels: int = 12845056) -> dict[str, dict]:
    return {
        "config.json": config,
        "generation_config.json": {
            "bos_token_id": ids["<|endoftext|>"], "do_sample": True,
            "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]], "pad_token_id": ids["<|endoftext|>"],
            "repetition_penalty": 1.05, "temperature": 0.000001, "transformers_version": "4.49.0",
        },
        "preprocessor_config.json": qwen_preprocessor(max_pixels),
        "chat_template.json": {"chat_template": VISION_TEMPLATE},
        "tokenizer_config.json": tokenizer_config(ids, None),
    }


def namo_files(ids: dict[str, int], config: dict, shortest: int) -> dict[str, dict]:
    return {
        "config.json": config,
        "generation_config.json": {
            "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"], "repetition_penalty": 1.1, "transformers_version": "4.48.3",
        },
        "preprocessor_config.json": namo_preprocessor(shortest),
        "tokenizer_config.json": tokenizer_config(ids, text_template()),
    }
