"""Makes the GGUF twins of the tiny checkpoints, with names and metadata as llama.cpp's convert_hf_to_gguf.py writes
them, and the goldens of each: transformers in f32 over the weights that the twin holds, dequantised.

Run make_models.py first."""

import json
import math
import pathlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from transformers import AutoTokenizer

import goldens
from make_models import ROOT, load

TYPES = {
    "f32": (Q.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (Q.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (Q.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (Q.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q5_1": (Q.Q5_1, gguf.LlamaFileType.MOSTLY_Q5_1),
    "q5_0": (Q.Q5_0, gguf.LlamaFileType.MOSTLY_Q5_0),
    "q4_1": (Q.Q4_1, gguf.LlamaFileType.MOSTLY_Q4_1),
    "q4_0": (Q.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
TWINS = [
    ("qwen2-tied", "f32"),
    ("qwen2-tied", "f16"),
    ("qwen2-tied", "q8_0"),
    ("qwen2-tied", "q4_0"),
    ("qwen2-tied", "q5_1"),
    ("llama-rope3", "f16"),
    ("llama-bias-linear", "f16"),
    ("qwen3", "q8_0"),
    ("qwen2-yarn", "q8_0"),
]
LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TOP_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[part]}.{kind}"


def interleave(array, heads):
    """Half-split rotary rows to interleaved pairs, which is how the llama architecture is stored in GGUF."""
    return array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def deinterleave(array, heads):
    return array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def rotary_heads(config, name):
    """How many heads' rows have to be interleaved in this tensor: 0 for all but the llama family's q and k."""
    if config.model_type != "llama":
        return 0
    return config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads if ".k_proj." in name else 0


def llama3_factors(config, head_dim):
    """`rope_freqs.weight`: by how much each frequency is divided."""
    scaling, factors = config.rope_scaling, []
    low, high, old = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["original_max_position_embeddings"]
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * config.rope_theta ** (i / head_dim)
        if wavelength < old / high:
            factors.append(1.0)
        elif wavelength > old / low:
            factors.append(scaling["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def add_metadata(w, config, case, file_type):
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    w.add_type("model")
    w.add_name(case)
    w.add_size_label("tiny")
    w.add_license("apache-2.0")
    w.add_block_count(config.num_hidden_layers)
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_rope_freq_base(config.rope_theta)
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_file_type(file_type)
    if config.model_type == "qwen3":
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
    if config.model_type == "llama":
        w.add_vocab_size(config.vocab_size)
        w.add_rope_dimension_count(head_dim)
    scaling = config.rope_scaling or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(scaling["factor"])
    elif kind == "yarn":
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(scaling["factor"])
        w.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    return head_dim


def add_tokenizer(w, config, folder):
    data = json.loads((folder / "tokenizer.json").read_text())
    vocab = {i: t for t, i in data["model"]["vocab"].items()}
    added = {t["id"]: t["content"] for t in data["added_tokens"]}
    tokens, types = [], []
    for i in range(config.vocab_size):
        if i in added:
            tokens.append(added[i])
            types.append(gguf.TokenType.CONTROL)
        elif i in vocab:
            tokens.append(vocab[i])
            types.append(gguf.TokenType.NORMAL)
        else:
            tokens.append(f"[PAD{i}]")
            types.append(gguf.TokenType.UNUSED)
    tok = AutoTokenizer.from_pretrained(folder)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("llama-bpe" if config.model_type == "llama" else "qwen2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]])
    w.add_eos_token_id(tok.eos_token_id)
    w.add_pad_token_id(tok.pad_token_id)
    w.add_bos_token_id(config.bos_token_id)
    w.add_add_bos_token(tok.bos_token is not None)
    w.add_chat_template(tok.chat_template)


def make(case, kind):
    folder, out = ROOT / case, ROOT / "gguf" / f"{case}-{kind}.gguf"
    out.parent.mkdir(exist_ok=True)
    model = load(folder)
    config = model.config
    quant, file_type = TYPES[kind]
    w = gguf.GGUFWriter(out, config.model_type)
    head_dim = add_metadata(w, config, case, file_type)
    add_tokenizer(w, config, folder)
    if (config.rope_scaling or {}).get("rope_type") == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_factors(config, head_dim))
    held = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = tensor.numpy()
        heads = rotary_heads(config, name)
        if heads:
            array = interleave(array, heads)
        # Vectors (norms, biases) stay f32, as in every file llama.cpp makes.
        stored = Q.F32 if array.ndim == 1 else quant
        data = gguf.quants.quantize(np.ascontiguousarray(array), stored)
        w.add_tensor(gguf_name(name), data, raw_dtype=stored)
        back = gguf.quants.dequantize(data, stored).reshape(array.shape).astype(np.float32)
        held[name] = torch.tensor(np.ascontiguousarray(deinterleave(back, heads) if heads else back))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return model, held


def main():
    torch.set_num_threads(1)
    for case, kind in TWINS:
        model, held = make(case, kind)
        missing, extra = model.load_state_dict(held, strict=False)
        assert not extra and set(missing) <= {"lm_head.weight"}, (missing, extra)
        model.tie_weights()
        found = goldens.collect(model, AutoTokenizer.from_pretrained(ROOT / case), short=True)
        about = {"case": case, "file": f"{case}-{kind}.gguf", "stored_dtype": kind, "computed_dtype": "float32"}
        goldens.write(ROOT / "gguf" / f"{case}-{kind}.json", {**about, **found})
        print(f"{case}-{kind}: least gap {found['least_gap']:.4f}", flush=True)


if __name__ == "__main__":
    main()
