"""Makes the synthetic models of the comparison: Qwen2.5-0.5B's real configuration with seeded weights.

    python make_models.py TOKENIZER.gguf OUT

writes, into the folder OUT, qwen2.5-0.5b-{f32,f16,bf16}.gguf, what llama.cpp's own quantiser makes of the first
(-q8_0, -q4_0, -q4_k_m), and the same weights as Hugging Face folders in f32 and bf16. The tokenizer is copied from
TOKENIZER.gguf, any GGUF file of Qwen2.5's. Needs 4 GB of memory and 7 GB of disk. Files that exist are kept.
"""

import argparse
import ctypes
import json
import pathlib
import shutil
from collections.abc import Iterator

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

NAME = "qwen2.5-0.5b"
LAYERS, HIDDEN, INTER, HEADS, KV_HEADS, VOCAB, CONTEXT = 24, 896, 4864, 14, 2, 151936, 32768
KV_WIDTH = HIDDEN // HEADS * KV_HEADS
THETA, EPS = 1e6, 1e-6
FLOATS = {
    "f32": (Q.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (Q.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (Q.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}
QUANTISED = {"q8_0": 7, "q4_0": 2, "q4_k_m": 15}  # llama_ftype
FOLDERS = {"f32": ("float32", "F32"), "bf16": ("bfloat16", "BF16")}
HF_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": INTER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "rms_norm_eps": EPS,
    "rope_theta": THETA,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "sliding_window": CONTEXT,
    "max_window_layers": 21,
    "attention_dropout": 0.0,
    "initializer_range": 0.02,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "use_cache": True,
}


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor, named as in a GGUF file."""
    yield "token_embd.weight", (VOCAB, HIDDEN)
    yield "output_norm.weight", (HIDDEN,)
    for i in range(LAYERS):
        yield f"blk.{i}.attn_norm.weight", (HIDDEN,)
        for part, width in (("q", HIDDEN), ("k", KV_WIDTH), ("v", KV_WIDTH)):
            yield f"blk.{i}.attn_{part}.weight", (width, HIDDEN)
            yield f"blk.{i}.attn_{part}.bias", (width,)
        yield f"blk.{i}.attn_output.weight", (HIDDEN, HIDDEN)
        yield f"blk.{i}.ffn_norm.weight", (HIDDEN,)
        yield f"blk.{i}.ffn_gate.weight", (INTER, HIDDEN)
        yield f"blk.{i}.ffn_up.weight", (INTER, HIDDEN)
        yield f"blk.{i}.ffn_down.weight", (HIDDEN, INTER)


def tensors(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """The weights: N(0, 0.02) in f32, norms around 1; each tensor from a generator of its own."""
    for i, (name, shape) in enumerate(shapes()):
        values = np.random.default_rng([seed, i]).standard_normal(shape, dtype=np.float32)
        values *= 0.02
        yield name, values + 1 if "norm" in name else values


def stored_as(shape: tuple[int, ...], matrices: Q) -> Q:
    """Vectors are f32 in every GGUF file."""
    return matrices if len(shape) > 1 else Q.F32


def encode(values: np.ndarray, kind: Q) -> np.ndarray:
    """f32 as f32, f16 or bf16; the last as its bit patterns."""
    if kind == Q.F16:
        return values.astype(np.float16)
    return gguf.quants.quantize(values, kind).view(np.uint16) if kind == Q.BF16 else values


def copy_tokenizer(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for key, field in reader.fields.items():
        if key.startswith("tokenizer."):
            element = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=element)


def add_config(writer: gguf.GGUFWriter, file_type: gguf.LlamaFileType) -> None:
    writer.add_name(f"{NAME} synthetic")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INTER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(THETA)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_file_type(file_type)


def write_gguf(path: pathlib.Path, dtype: str, seed: int, reader: gguf.GGUFReader) -> None:
    """One GGUF file, tensor by tensor: no two of them are in memory at once."""
    kind, file_type = FLOATS[dtype]
    writer = gguf.GGUFWriter(path, "qwen2")
    add_config(writer, file_type)
    copy_tokenizer(reader, writer)
    for name, shape in shapes():
        stored, items = stored_as(shape, kind), int(np.prod(shape))
        size = items * (4 if stored == Q.F32 else 2)
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, values in tensors(seed):
        writer.write_tensor_data(encode(values, stored_as(values.shape, kind)))
    writer.close()


def hf_name(name: str) -> str:
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blk."):
        return f"{HF_NAMES[stem]}.{kind}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{HF_NAMES[part]}.{kind}"


def write_folder(path: pathlib.Path, dtype: str, seed: int, tokenizer: pathlib.Path | None) -> None:
    """config.json and model.safetensors: a JSON index of the tensors, padded to 8 bytes, then their bytes."""
    torch_dtype, spelled = FOLDERS[dtype]
    width = 4 if dtype == "f32" else 2
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes():
        start, end = end, end + width * int(np.prod(shape))
        header[hf_name(name)] = {"dtype": spelled, "shape": shape, "data_offsets": [start, end]}
    index = json.dumps(header).encode()
    index += b" " * (-len(index) % 8)
    path.mkdir(exist_ok=True)
    with open(path / "model.safetensors", "wb") as file:
        file.write(len(index).to_bytes(8, "little") + index)
        for _, values in tensors(seed):
            file.write(encode(values, FLOATS[dtype][0]).tobytes())
    (path / "config.json").write_text(json.dumps(CONFIG | {"torch_dtype": torch_dtype}, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json") if tokenizer else ():
        shutil.copy(tokenizer / name, path / name)


def quantise(source: pathlib.Path, out: pathlib.Path, ftype: int) -> None:
    """By llama.cpp, which also chooses what stands in for a k-quant where 256 does not divide the width."""
    import llama_cpp as ll

    ll.llama_backend_init()
    params = ll.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 2
    status = ll.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(params))
    if status != 0:
        raise SystemExit(f"llama.cpp could not quantise {source}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer_gguf", type=pathlib.Path, metavar="TOKENIZER.gguf")
    parser.add_argument("out", type=pathlib.Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="folder of tokenizer.json, for the safetensors folders")
    parser.add_argument("--only", nargs="*", help="of f32 f16 bf16 q8_0 q4_0 q4_k_m folder-f32 folder-bf16")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(args.tokenizer_gguf)
    jobs = {kind: (f"{NAME}-{kind}.gguf", lambda p, k=kind: write_gguf(p, k, args.seed, reader)) for kind in FLOATS}
    base = args.out / jobs["f32"][0]
    for kind, ftype in QUANTISED.items():
        jobs[kind] = (f"{NAME}-{kind}.gguf", lambda p, f=ftype: quantise(base, p, f))
    for kind in FOLDERS:
        jobs[f"folder-{kind}"] = (f"{NAME}-{kind}", lambda p, k=kind: write_folder(p, k, args.seed, args.tokenizer))
    for job, (name, make) in jobs.items():
        path = args.out / name
        if not path.exists() and (not args.only or job in args.only):
            part = path.with_name(path.name + ".part")
            make(part)
            part.rename(path)
            print(path)


if __name__ == "__main__":
    main()
