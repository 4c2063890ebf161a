"""Makes the tiny seeded checkpoints under tests/fixtures/models and their goldens. See README.md for how to run it.

Every checkpoint is what transformers' `save_pretrained` writes, with nothing left at its default: norm weights,
biases and QK norms are perturbed, since the defaults 1 and 0 hide a missing term. A seed is taken only if every greedy
step of every golden has a clear gap between its best two logits.
"""

import argparse
import copy
import json
import pathlib

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import goldens
import tiny_tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models"
VOCAB = 320
CLASSES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}

# name: model type, configuration, stored dtype, config spelling ("saved": as this transformers writes it; "old": as
# checkpoints of 2024 have it), and extras.
CASES = {
    "qwen2-tied": dict(
        family="qwen2", dtype="float32", spelling="saved", hidden_states=True,
        config=dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, tie_word_embeddings=True, rope_theta=1000000.0, rms_norm_eps=1e-6),
    ),
    "qwen2-sliding-sharded": dict(
        family="qwen2", dtype="bfloat16", spelling="old", shard="40KB",
        config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=16, tie_word_embeddings=False, rope_theta=10000.0,
                    rms_norm_eps=1e-5, use_sliding_window=True, sliding_window=8, max_window_layers=1),
    ),
    "llama-rope3": dict(
        family="llama", dtype="float32", spelling="old", bos=True,
        config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                    num_key_value_heads=1, tie_word_embeddings=False, rope_theta=10000.0, rms_norm_eps=1e-5,
                    rope_scaling=LLAMA3_ROPE),
    ),
    "llama-bias-linear": dict(
        family="llama", dtype="float16", spelling="old",
        config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                    num_key_value_heads=2, tie_word_embeddings=True, rope_theta=10000.0, rms_norm_eps=1e-6,
                    attention_bias=True, mlp_bias=True, rope_scaling={"type": "linear", "factor": 2.0}),
    ),
    "qwen3": dict(
        family="qwen3", dtype="float32", spelling="saved",
        config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                    num_key_value_heads=1, head_dim=32, tie_word_embeddings=True, rope_theta=1000000.0,
                    rms_norm_eps=1e-6),
    ),
    "qwen2-yarn": dict(
        family="qwen2", dtype="float32", spelling="old",
        config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                    num_key_value_heads=1, tie_word_embeddings=True, rope_theta=10000.0, rms_norm_eps=1e-6,
                    max_position_embeddings=128,
                    rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}),
    ),
}


def perturb(model, seed):
    """Random weights of a scale at which every part of the network matters to the logits."""
    gen = torch.Generator().manual_seed(seed)
    gains = {"q_proj": 1.5, "k_proj": 1.5, "o_proj": 2.0, "down_proj": 2.0}
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=gen)
            part = name.split(".")[-2]
            if "norm" in part:
                p.copy_(1.0 + 0.1 * noise)
            elif name.endswith("bias"):
                p.copy_(0.3 * noise)
            elif part in ("embed_tokens", "lm_head"):
                p.copy_(noise * 3.0 / model.config.hidden_size**0.5)
            else:
                p.copy_(noise * gains.get(part, 1.0) / p.shape[1] ** 0.5)


def old_spelling(config, case):
    """config.json as transformers wrote it before 4.56: torch_dtype, and no layer_types."""
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    if "head_dim" not in case["config"]:
        config.pop("head_dim", None)
    if case["config"].get("rope_scaling"):
        config["rope_scaling"] = case["config"]["rope_scaling"]
    config["transformers_version"] = "4.44.0"
    return config


def old_tokenizer(folder):
    """Merges as "a b" strings, and the chat template inside tokenizer_config.json."""
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    template, path = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    data = {**json.loads(path.read_text()), "chat_template": template.read_text()}
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    template.unlink()


def new_spelling(config):
    """config.json as transformers 5 writes it: dtype, layer_types, and all of rope in rope_parameters."""
    new = dict(config)
    theta = new.pop("rope_theta")
    scaling = new.pop("rope_scaling", None) or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    new["rope_parameters"] = {"rope_theta": theta, **{k: v for k, v in scaling.items() if k != "type"}, "rope_type": kind}
    new["transformers_version"] = "5.0.0"
    return new


def build(case, seed):
    """The model of `case` with `seed`, rounded to the dtype it will be stored in, and its tokenizer."""
    config_class, model_class = CLASSES[case["family"]]
    bos = case.get("bos", False)
    tok = tiny_tokenizer.build("llama3" if case["family"] == "llama" else "qwen2", VOCAB, bos)
    settings = {"max_position_embeddings": 256, **json.loads(json.dumps(case["config"]))}
    eos, pad = tok.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    first = tok.bos_token_id if bos else pad
    config = config_class(
        vocab_size=VOCAB, bos_token_id=first, eos_token_id=eos, attn_implementation="eager", **settings
    )
    model = model_class(config).eval()
    perturb(model, seed)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.05,
        bos_token_id=first, eos_token_id=[eos, pad], pad_token_id=pad,
    )
    return model.to(getattr(torch, case["dtype"])), tok


def save(case, model, tok, folder):
    """Writes the checkpoint into `folder`, in the spelling of `case`."""
    for old in folder.glob("*"):
        old.unlink()
    model.save_pretrained(folder, max_shard_size=case.get("shard", "1GB"))
    tok.save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    path = folder / "config.json"
    saved = json.loads(path.read_text())
    if case["spelling"] == "old":
        (folder / "config.new.json").write_text(json.dumps(new_spelling(saved), indent=2, sort_keys=True) + "\n")
        path.write_text(json.dumps(old_spelling(dict(saved), case), indent=2, sort_keys=True) + "\n")
        old_tokenizer(folder)


def load(folder):
    """The checkpoint in f32 as the files have it, attention written out (no fused kernel)."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def make(name, case, first_seed, gap):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + 2000):
        model, tok = build(case, seed)
        if not goldens.clear(copy.deepcopy(model).float(), tok, gap):
            continue
        save(case, model, tok, folder)
        found = goldens.collect(load(folder), AutoTokenizer.from_pretrained(folder), hidden_states=case.get("hidden_states", False))
        about = {"case": name, "seed": seed, "stored_dtype": case["dtype"], "computed_dtype": "float32"}
        goldens.write(ROOT / f"{name}.json", {**about, **found})
        print(f"{name}: seed {seed}, {model.num_parameters()} parameters, least gap {found['least_gap']:.3f}", flush=True)
        return
    raise SystemExit(f"{name}: no seed with a clear gap")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="cases to make (all)")
    parser.add_argument("--seed", type=int, default=1, help="first seed to try")
    parser.add_argument("--gap", type=float, default=0.02, help="least gap of the best two logits at each greedy step")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, case in CASES.items():
        if not args.cases or name in args.cases:
            make(name, case, args.seed, args.gap)


if __name__ == "__main__":
    main()
