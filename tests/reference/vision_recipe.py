"""Which tensors a folder of Qwen2.5-VL or Namo holds, and how far each spreads. Names and shapes come from the models
themselves, built on torch's meta device."""

import json
import pathlib

import torch
from transformers import (
    Aimv2VisionConfig,
    Aimv2VisionModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)

import spark_seeded
from spark_recipe import fan_in, shapes, spread_llm, tensors
from spark_seeded import Tensor
from vision_configs import AIMV2_DEFAULTS

WEIGHTS = "model.safetensors"
TOWER, CONNECTOR = "namo.ve.vision_tower.", "namo.conn_ve_llm.layers.0.linear_proj."
# transformers' names of AIMv2 and the checkpoint's, in the order they have to be replaced.
AIMV2_NAMES = [
    ("embeddings.patch_embed", "preprocessor.patchifier.proj"), ("embeddings.rms_norm", "preprocessor.patchifier.norm"),
    ("encoder.layers", "trunk.blocks"), ("rms_norm1", "norm_1"), ("rms_norm2", "norm_2"),
    ("attention.out_proj", "attn.proj"), ("ffn.gate_proj", "mlp.fc1"), ("ffn.up_proj", "mlp.fc3"),
    ("ffn.down_proj", "mlp.fc2"), ("rms_norm.", "trunk.post_trunk_norm."),
]


def spread_vision(name: str, shape: list[int]) -> tuple[float, float]:
    if "norm" in name or "ln_q" in name:
        return (1.0, 0.1) if name.endswith("weight") else (0.0, 0.1)
    if name.endswith("bias"):
        return 0.0, 0.1
    # Sharp attention: what all patches have in common would drown what tells them apart. The rows that come out of the
    # last matrix stand among embeddings (spread_llm): they are about as large.
    gains = {"qkv": 1.6, "attn.proj": 1.5, "merger.mlp.0": 1.5, "linear_proj.linear_proj": 1.5,
             "merger.mlp.2": 4.0 / shape[0] ** 0.5, "dense_4h_to_h": 8.0 / shape[0] ** 0.5, "mlp": 1.5}
    gain = next((gain for part, gain in gains.items() if part in name), 1.0)
    return 0.0, gain / fan_in(shape) ** 0.5


def spread(name: str, shape: list[int]) -> tuple[float, float]:
    vision = name.startswith(("visual.", TOWER, CONNECTOR))
    return spread_vision(name, shape) if vision else spread_llm(name, shape)


def qwen_shapes(config: dict) -> dict[str, list[int]]:
    """By the published names, which transformers has changed."""
    with torch.device("meta"):
        found = shapes(Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config)))
    if config["tie_word_embeddings"]:
        del found["lm_head.weight"]
    rename = lambda name: name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
    return {rename(name): shape for name, shape in found.items()}


def aimv2_config(vision: dict) -> Aimv2VisionConfig:
    """`vision` is the checkpoint's vision_config, completed."""
    names = AIMV2_DEFAULTS.keys()
    sizes = {name: (AIMV2_DEFAULTS | vision)[name] for name in names}
    return Aimv2VisionConfig(**sizes, is_native=True, use_head=False, qkv_bias=False, mlp_bias=False)


def qwen2_config(text: dict) -> Qwen2Config:
    """The class's defaults are those that a saved config leaves out."""
    return Qwen2Config(**{key: value for key, value in text.items() if key != "torch_dtype"})


def aimv2_name(name: str) -> str:
    for new, old in AIMV2_NAMES:
        name = name.replace(new, old)
    return name


def connector_shapes(vision: int, text: int) -> dict[str, list[int]]:
    """Pixel shuffle 2x: four patches side by side."""
    wide = 4 * vision
    return {
        "dense_4h_to_h.weight": [text, wide],
        "dense_h_to_4h.weight": [wide, text],
        "gate_proj.weight": [wide, text],
        "linear_proj.weight": [text, wide],
        "norm1.bias": [text],
        "norm1.weight": [text],
    }


def namo_shapes(config: dict) -> dict[str, list[int]]:
    vision, text = aimv2_config(config["vision_config"]), qwen2_config(config["text_config"])
    with torch.device("meta"):
        tower, llm = shapes(Aimv2VisionModel(vision)), shapes(Qwen2ForCausalLM(text))
    found = {}
    for name, shape in tower.items():
        if "attention.k_proj" in name or "attention.v_proj" in name:
            continue
        if "attention.q_proj" in name:
            name, shape = name.replace("attention.q_proj", "attn.qkv"), [3 * shape[0], shape[1]]
        found[TOWER + aimv2_name(name)] = shape
    for name, shape in connector_shapes(vision.hidden_size, text.hidden_size).items():
        found[CONNECTOR + name] = shape
    for name, shape in llm.items():
        if name != "lm_head.weight":  # tied
            found["namo.llm." + name.removeprefix("model.")] = shape
    return found


def checkpoint(config: dict) -> list[Tensor]:
    """The tensors in the order of the file."""
    found = namo_shapes(config) if config["model_type"] == "namo" else qwen_shapes(config)
    return tensors(dict(sorted(found.items())), spread)


def write(folder: pathlib.Path, files: dict[str, dict], rows: list[Tensor], tokenizer: dict | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_pretty(folder / name, data)
    if tokenizer:
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n")
    spark_seeded.write_safetensors(folder / WEIGHTS, rows)


def write_pretty(path: pathlib.Path, data: dict) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
