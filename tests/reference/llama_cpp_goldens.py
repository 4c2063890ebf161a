"""Greedy text and the likelihood of two texts by llama.cpp on a real GGUF file, as tests/fixtures/llama_cpp/NAME.json.

    python llama_cpp_goldens.py NAME FILE.gguf
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llama_runner import Runner, greedy, nll_mean

OUT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "llama_cpp"
STEPS = 48
RAW = {
    "once": "Once upon a time, in a small village by the sea,",
    "fibonacci": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
}
CHATS = {
    "sky": [{"role": "user", "content": "Why is the sky blue?"}],
    "capital": [
        {"role": "system", "content": "You are a terse assistant. Answer in one short sentence."},
        {"role": "user", "content": "What is the capital of France?"},
    ],
    "turns": [
        {"role": "user", "content": "Write a Python function that reverses a string."},
        {"role": "assistant", "content": "def reverse(s):\n    return s[::-1]"},
        {"role": "user", "content": "Now the same in Rust. Mind café and 你好."},
    ],
}


def render(template, messages):
    """The template as transformers renders it, with a generation prompt."""

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    env.filters["tojson"] = lambda value, **kw: json.dumps(value, ensure_ascii=False, **kw)
    env.globals["raise_exception"] = raise_exception
    return env.from_string(template).render(
        messages=messages, add_generation_prompt=True, bos_token="", eos_token="<|im_end|>"
    )


def answer(runner, ids):
    found = greedy(runner, ids, STEPS)
    # Rounded logits: 1e-4 is far below what two ways of summing differ by, and halves the file.
    top2 = [[{"token": t["token"], "logit": round(t["logit"], 4)} for t in pair] for pair in found["top2"]]
    ends = [i for i, token in enumerate(found["ids"]) if runner.ends(token)]
    return {
        "ids": found["ids"],
        "first_logprob": round(found["first_logprob"], 6),
        "end_at": ends[0] if ends else None,
        "text": runner.detokenize(found["ids"]),
        "top2": top2,
    }


def collect(runner):
    prompts = []
    for name, text in RAW.items():
        ids = runner.tokenize(text)
        prompts.append({"name": name, "kind": "raw", "text": text, "ids": ids, "output": answer(runner, ids)})
    for name, messages in CHATS.items():
        rendered = render(runner.template(), messages)
        ids = runner.tokenize(rendered, special=True)
        part = {"name": name, "kind": "chat", "messages": messages, "rendered": rendered, "ids": ids}
        prompts.append({**part, "output": answer(runner, ids)})
    texts = []
    for file in ("english.txt", "code.txt"):
        ids = runner.tokenize((OUT / file).read_text())
        mean = round(nll_mean(runner, ids), 6)
        texts.append({"file": file, "ids": ids, "scored_tokens": len(ids) - 1, "nll_mean": mean})
    return {"prompts": prompts, "texts": texts}


def write(path, data):
    lines = []
    for key, value in data.items():
        if key in ("prompts", "texts"):
            inner = ",\n".join("  " + json.dumps(p, separators=(",", ":"), ensure_ascii=False) for p in value)
            lines.append(f'"{key}":[\n{inner}\n]')
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("file", type=pathlib.Path)
    args = parser.parse_args()
    with open(args.file, "rb") as f:
        sha256 = hashlib.file_digest(f, "sha256").hexdigest()
    about = {
        "model": args.name,
        "file": args.file.name,
        "sha256": sha256,
        "llama_cpp_python": importlib.metadata.version("llama-cpp-python"),
        "threads": 2,
        "cache": "f16",
    }
    write(OUT / f"{args.name}.json", {**about, **collect(Runner(args.file))})


if __name__ == "__main__":
    main()
