"""The tiny Qwen2.5-VL as llama.cpp has it: the language model in one GGUF file, the vision tower in an "mmproj" file.

    python vision_gguf.py FOLDER [--text f32] [--vision f32] [--check]

Writes FOLDER/text-TYPE.gguf and FOLDER/mmproj-TYPE.gguf, and tests/fixtures/vision/gguf.json, from which any program can
write the two in f32. `--check` lets llama.cpp's own multimodal library answer about a picture and compares with the goldens.
"""

import argparse
import ctypes
import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch
from transformers import Qwen2_5_VLConfig

import vision_configs
import vision_recipe
from make_gguf import TYPES, add_metadata, add_tokenizer, gguf_name
from vision import ROOT, files, write_json
from vision_configs import TINY_IDS, VISION_TEMPLATE

BLOCK_NAMES = {
    "norm1": "ln1", "norm2": "ln2", "attn.proj": "attn_out", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP_NAMES = {"visual.merger.ln_q": "v.post_ln", "visual.merger.mlp.0": "mm.0", "visual.merger.mlp.2": "mm.2"}
# [name, name in the checkpoint, axis, start, end]: rows or frames of that tensor; or all of it.
Source = tuple[str, str] | tuple[str, str, int, int, int]


def vision_sources(name: str, shape: list[int]) -> list[Source]:
    """The tensors that hold this one. q, k and v are apart, and so are the two frames of the patches' convolution."""
    if name == "visual.patch_embed.proj.weight":
        return [("v.patch_embd.weight", name, 2, 0, 1), ("v.patch_embd.weight.1", name, 2, 1, 2)]
    stem, kind = name.rsplit(".", 1)
    if stem in TOP_NAMES:
        return [(f"{TOP_NAMES[stem]}.{kind}", name)]
    _, _, block, part = stem.split(".", 3)
    if part == "attn.qkv":
        rows = shape[0] // 3
        return [(f"v.blk.{block}.attn_{x}.{kind}", name, 0, i * rows, (i + 1) * rows) for i, x in enumerate("qkv")]
    return [(f"v.blk.{block}.{BLOCK_NAMES[part]}.{kind}", name)]


def sources(rows: list, vision: bool) -> list[Source]:
    found = []
    for name, shape, *_ in rows:
        if name.startswith("visual.") != vision:
            continue
        found += vision_sources(name, shape) if vision else [(gguf_name(name), name)]
    return found


def taken(weights: dict[str, np.ndarray], source: Source) -> np.ndarray:
    array = weights[source[1]]
    if len(source) > 2:
        _, _, axis, start, end = source
        array = array.take(range(start, end), axis)
        if axis == 2:
            array = array.squeeze(2)
    return np.ascontiguousarray(array)


def stored(name: str, array: np.ndarray, kind: str) -> Q:
    """As llama.cpp's converter chooses. A name that does not end in .weight stays f32, which hits the second frame's
    convolution; rows that a block format cannot hold are f16."""
    wanted, _ = TYPES[kind]
    if array.ndim == 1 or not name.endswith(".weight"):
        return Q.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if array.shape[-1] % block == 0 else Q.F16


def add_vision_metadata(w: gguf.GGUFWriter, config: dict, kept: dict, file_type: int) -> None:
    vision = config["vision_config"]
    w.add_type(gguf.GGUFType.MMPROJ)
    w.add_name("tiny")
    w.add_file_type(file_type)
    w.add_clip_has_vision_encoder(True)
    w.add_vision_projection_dim(config["hidden_size"])
    w.add_vision_image_size(560)  # what the converter assumes; a picture has its own size
    w.add_vision_patch_size(vision["patch_size"])
    w.add_vision_embedding_length(vision["hidden_size"])
    w.add_vision_feed_forward_length(vision["intermediate_size"])
    w.add_vision_block_count(vision["depth"])
    w.add_vision_head_count(vision["num_heads"])
    w.add_vision_image_mean(kept["preprocessor_config.json"]["image_mean"])
    w.add_vision_image_std(kept["preprocessor_config.json"]["image_std"])
    w.add_clip_projector_type(gguf.VisionProjectorType.QWEN25VL)
    w.add_vision_use_silu(True)
    w.add_vision_n_wa_pattern(vision["fullatt_block_indexes"][0] + 1)  # block i is full where (i + 1) % this == 0
    w.add_vision_attention_layernorm_eps(config["rms_norm_eps"])
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_text_metadata(w: gguf.GGUFWriter, config: dict, folder: pathlib.Path, file_type: int) -> None:
    text = Qwen2_5_VLConfig(**config).text_config
    add_metadata(w, text, "tiny", file_type)
    w.add_rope_dimension_sections([*config["rope_scaling"]["mrope_section"], 0])
    add_tokenizer(w, text, folder)


def described(w: gguf.GGUFWriter, found: list[Source]) -> dict:
    """`metadata`: [type, value], an array's type being [type of its items]; `tensors`: Source."""
    metadata = {}
    for shard in w.kv_data:
        for key, entry in shard.items():
            kind = entry.type.name.lower()
            if entry.type == gguf.GGUFValueType.ARRAY:
                item = entry.sub_type or gguf.GGUFValueType.get_type(entry.value[0])
                kind = [item.name.lower()]
            metadata[key] = [kind, entry.value]
    return {"metadata": metadata, "tensors": found}


def make(folder: pathlib.Path, types: dict[str, str]) -> dict[str, pathlib.Path]:
    """The two files of these types, and the description of what is in them if both are f32."""
    kept = files()["qwen2.5-vl"]
    config = kept["config.json"]
    rows = vision_recipe.checkpoint(config)
    paths, about = {}, {}
    with tempfile.TemporaryDirectory() as made:
        hub = pathlib.Path(made)
        kept["tokenizer_config.json"] = vision_configs.tokenizer_config(TINY_IDS, VISION_TEMPLATE)
        vision_recipe.write(hub, kept, rows, vision_configs.tokenizer(TINY_IDS))
        weights = load_file(hub / vision_recipe.WEIGHTS)
        for part, kind in types.items():
            paths[part] = folder / f"{part}-{kind}.gguf"
            w = gguf.GGUFWriter(paths[part], "clip" if part == "mmproj" else "qwen2vl")
            _, file_type = TYPES[kind]
            if part == "mmproj":
                add_vision_metadata(w, config, kept, file_type)
            else:
                add_text_metadata(w, config, hub, file_type)
            found = sources(rows, part == "mmproj")
            about[part] = described(w, found)
            for source in found:
                array = taken(weights, source)
                held = stored(source[0], array, kind)
                w.add_tensor(source[0], gguf.quants.quantize(array, held), raw_dtype=held)
            w.write_header_to_file()
            w.write_kv_data_to_file()
            w.write_tensors_to_file()
            w.close()
    if set(types.values()) == {"f32"}:
        write_about(about)
    return paths


def write_about(about: dict[str, dict]) -> None:
    flat = {}
    for part, data in about.items():
        flat[f"{part}.metadata"] = [[key, *value] for key, value in data["metadata"].items()]
        flat[f"{part}.tensors"] = data["tensors"]
    write_json(ROOT / "gguf.json", flat)


class Multimodal:
    """llama.cpp's mtmd library over llama_runner's model: one picture, one prompt."""

    def __init__(self, paths: dict[str, pathlib.Path]):
        import llama_cpp.mtmd_cpp as mtmd
        from llama_runner import Runner, _quiet

        mtmd.mtmd_log_set(_quiet, None)
        mtmd.mtmd_helper_log_set(_quiet, None)
        self.lib, self.runner = mtmd, Runner(paths["text"], f32_cache=True)
        params = mtmd.mtmd_context_params_default()
        params.use_gpu, params.warmup, params.n_threads, params.flash_attn_type = False, False, 2, 0
        self.context = mtmd.mtmd_init_from_file(str(paths["mmproj"]).encode(), self.runner.model, params)
        assert self.context, "llama.cpp could not load the mmproj file"

    def chunks(self, text: str, picture: Image.Image):
        lib, data = self.lib, np.ascontiguousarray(np.array(picture.convert("RGB")))
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = lib.mtmd_bitmap_init(picture.width, picture.height, pointer)
        out = lib.mtmd_input_chunks_init()
        prompt = lib.mtmd_input_text()
        prompt.text, prompt.add_special, prompt.parse_special = text.encode(), False, True
        if hasattr(prompt, "text_len"):
            prompt.text_len = len(text.encode())
        array = (lib.mtmd_bitmap_p_ctypes * 1)(bitmap)
        status = lib.mtmd_tokenize(self.context, out, ctypes.byref(prompt), array, 1)
        assert status == 0, f"mtmd_tokenize returned {status}"
        return out

    def encode(self, chunk, width: int) -> np.ndarray:
        """The rows of a picture."""
        assert self.lib.mtmd_encode_chunk(self.context, chunk) == 0
        count = self.lib.mtmd_input_chunk_get_n_tokens(chunk)
        found = self.lib.mtmd_get_output_embd(self.context)
        return np.ctypeslib.as_array(found, (count * width,)).reshape(count, width).copy()

    def answer(self, chunks, steps: int) -> tuple[np.ndarray, list[int]]:
        """The logits of the last position, and greedy ids."""
        import llama_cpp as ll

        past = ll.llama_pos(0)
        status = self.lib.mtmd_helper_eval_chunks(
            self.context, self.runner.context, chunks, 0, 0, 512, True, ctypes.byref(past)
        )
        assert status == 0, f"mtmd_helper_eval_chunks returned {status}"
        row = ll.llama_get_logits_ith(self.runner.context, -1)
        first = logits = np.ctypeslib.as_array(row, (self.runner.n_vocab,)).copy()
        ids = []
        for step in range(steps):
            ids.append(int(logits.argmax()))
            logits = self.runner.feed(ids[-1:], past.value + step)
        return first, ids


def check(paths: dict[str, pathlib.Path]) -> None:
    """Pictures that need no resizing, for llama.cpp has a resizer of its own; its GELU is the tanh form, ours is exact."""
    model = Multimodal(paths)
    data = json.loads((ROOT / "qwen2.5-vl" / "goldens.json").read_text())
    tensors = load_torch(ROOT / "qwen2.5-vl" / "goldens.safetensors")
    for case in data["cases"][:3]:
        image = case["images"][0]
        marker = model.lib.mtmd_default_marker().decode()
        text = case["rendered"].replace("<|vision_start|><|image_pad|><|vision_end|>", marker)
        chunks = model.chunks(text, Image.open(ROOT / "images" / image["resized"]))
        count = model.lib.mtmd_input_chunks_size(chunks)
        parts = [model.lib.mtmd_input_chunks_get(chunks, i) for i in range(count)]
        picture = next(c for c in parts if model.lib.mtmd_input_chunk_get_type(c) == model.lib.MTMD_INPUT_CHUNK_TYPE_IMAGE)
        vision, logits = tensors[f"{case['name']}.vision"].numpy(), tensors[f"{case['name']}.logits"][-1].numpy()
        rows = model.encode(picture, vision.shape[1])
        assert rows.shape == vision.shape, (rows.shape, vision.shape)
        model.runner.clear()
        first, ids = model.answer(chunks, len(case["greedy"]["ids"]))
        same = next((i for i, (a, b) in enumerate(zip(ids, case["greedy"]["ids"])) if a != b), len(ids))
        gap = case["greedy"]["gaps"][same] if same < len(ids) else None
        print(f"{case['name']}: {len(rows)} rows differ by {abs(rows - vision).max():.2e} of {vision.std():.2f}, "
              f"logits by {abs(first - logits).max():.2e} of {logits.std():.2f}, "
              f"{same} of {len(ids)} ids equal, gap there {gap}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--text", choices=TYPES, default="f32")
    parser.add_argument("--vision", choices=TYPES, default="f32")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.folder.mkdir(parents=True, exist_ok=True)
    paths = make(args.folder, {"text": args.text, "mmproj": args.vision})
    for path in paths.values():
        print(path.name, path.stat().st_size)
    if args.check:
        check(paths)


if __name__ == "__main__":
    main()
