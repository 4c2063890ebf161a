"""Token ids and decoded text by transformers and tokenizers -> tests/fixtures/text/tokenizers.json

    pip install transformers==4.57.6 tokenizers==0.22.2
    python text_tokenizers.py

Real vocabularies are too large to keep here, so four small ones are trained on the text below, with the pre-tokenisers,
normalisers, decoders and special tokens of Qwen2.5, Llama 3, SmolLM2 and Llama 2 (SentencePiece with byte fallback).
Each is written as tokenizer.json, and as the lists that a GGUF file would hold.
"""

import json
import random
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer
from transformers.convert_slow_tokenizer import generate_merges

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then the dog sleeps in the sun. It isn't the fox's fault; they've met.",
    "def add(a, b):\n    # return the sum\n    return a + b\n\n\nclass Adder:\n    def __init__(self):\n        self.total = 0\n",
    "In 1969 there were 1234567 people; 3.14159 is not 22/7. Call 555-0100 today! Really?? Yes...",
    "你好，世界！今天天气很好。你好你好。 Привет, мир! Привет всем. Grüße aus München, où êtes-vous? naïve café",
    "<html>\n\t<body class=\"x\">Hello Hello WORLD HTTPServer camelCase snake_case</body>\n</html>\r\n\r\n",
] * 3
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
STRINGS = [
    "", "Hello", " Hello", "Hello ", "  two  spaces  ", "\n", "\n\n", "a\nb\r\nc\r\n\r\n d", "\t\ttabs\t", "1234567890 3.14159",
    "don't I'll WE'VE he'd it's 'tis 'S", "foo_bar camelCase HTTPServer", "你好，世界！", "日本語のテキスト 한국어", "Привет, мир",
    "مرحبا", "ไทย", "😀", "👩‍👩‍👧‍👦 family 🏳️‍🌈", "e\u0301 vs é", "\u1112\u1161\u11ab", "ﬁ ½ ² ℃", "\u00a0nbsp\u3000wide", "\ufeffbom\u200b",
    "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|>x", "<s>x</s> <unk>", " <|im_end|> ", "<|im_start|", "<tool_call>{}</tool_call>",
    "<|begin_of_text|>a<|eot_id|>", "def f(x):\n    return x**2  # no\n\n\nclass A:\n\tpass\n", "a" * 50, "!" * 40, " " * 33, " " * 7 + "x",
    "\n" * 5 + "x", "\x00\x01\x7f", "\ud7ff\ue000\U0010ffff", "▁under▁ ▁ ", "<0x41>", "Ġtest Ċ", "ſtrange 'ſ", "\u2028line\u0085", "½1²3 ١٢٣",
    "  \n  \n x", "the fox isn't there.",
]
POOL = ["a", "the", " ", "  ", "\n", "\r", "\t", "1", "22", "'s", "é", "e\u0301", "你", "好", "😀", "\u200d", "▁", "<|im_end|>", "<", ">", "!", "...", "\u00a0", "Ж", "ไ", "Ab", "<s>", "</s>", "<tool_call>"]


def byte_level(regex, normalizer, special, config, pre, ignore_merges, digits=False, bos=None, old_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=digits)
    first = pre_tokenizers.Digits(individual_digits=True) if digits else pre_tokenizers.Split(Regex(regex), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([first, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_tokens([AddedToken(t, special=s, normalized=False) for t, s in special])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if bos:
        template = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))])
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    saved = json.loads(tokenizer.to_str())
    merges = [" ".join(pair) for pair in saved["model"]["merges"]]
    if old_merges:
        saved["model"]["merges"] = merges
    types = dict(special)
    tokens = [t for t, _ in sorted(tokenizer.get_vocab().items(), key=lambda kv: kv[1])]
    gguf = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens + ["[PAD]"],
        "token_type": [{True: 3, False: 4}[types[t]] if t in types else 1 for t in tokens] + [5],
        "merges": merges,
        "eos_token_id": tokenizer.token_to_id(config["eos_token"]),
        "add_bos_token": bool(bos),
    }
    if config.get("bos_token"):
        gguf["bos_token_id"] = tokenizer.token_to_id(config["bos_token"])
    return saved, config, gguf


def sentencepiece():
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator(
        [("▁" + text).replace(" ", "▁") for text in CORPUS], trainers.BpeTrainer(vocab_size=420, show_progress=False)
    )
    learned = sorted(trained.get_vocab().items(), key=lambda kv: kv[1])
    learned = [(t, i) for t, i in learned if len(t) == 1 or set(t) != {"▁"}]
    pieces = [t for t, _ in learned if len(t) > 1] + [t for t, _ in learned if len(t) == 1 and t not in "ПриветГмüü"]
    pieces += ["▁▁", "▁▁▁▁"]
    head = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tokens = head + pieces
    scores = [0.0] * len(head) + [-float(i) if set(p) != {"▁"} or len(p) == 1 else -1e9 for i, p in enumerate(pieces)]
    vocab = {t: i for i, t in enumerate(tokens)}
    merges = generate_merges(vocab, dict(zip(pieces, scores[len(head):])))
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in head[:3]])
    config = {
        "tokenizer_class": "LlamaTokenizer", "legacy": True, "add_bos_token": True, "add_eos_token": False,
        "unk_token": {"__type": "AddedToken", "content": "<unk>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
        "bos_token": {"__type": "AddedToken", "content": "<s>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
        "eos_token": "</s>",
    }
    gguf = {
        "model": "llama", "tokens": tokens, "scores": scores, "token_type": [2, 3, 3] + [6] * 256 + [1] * len(pieces),
        "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0,
    }
    return json.loads(tokenizer.to_str()), config, gguf


def reference(saved, config):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tokenizer.json").write_text(json.dumps(saved))
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        tokenizer = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(7)
    strings = STRINGS + ["".join(rng.choice(POOL) for _ in range(rng.randint(1, 40))) for _ in range(80)]
    texts = []
    for text in strings:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.encode(text) in (ids, [tokenizer.bos_token_id] + ids), text
        texts.append([text, ids, tokenizer.decode(ids, clean_up_tokenization_spaces=False)])
    decoded = []
    sentencepiece_ = config["tokenizer_class"] == "LlamaTokenizer"
    usable = [i for i in range(len(tokenizer) + 3) if not (sentencepiece_ and 3 <= i < 259)]
    for _ in range(60):
        if sentencepiece_:
            # Byte tokens come as whole characters, or alone between pieces of text: in a run that mixes whole and
            # broken characters `tokenizers` drops the whole ones, and crane means not to.
            ids = []
            for _ in range(rng.randint(1, 12)):
                bytes_ = rng.choice(["", "", "é", "😀", "ไ"]).encode() or bytes([rng.choice([0xFF, 0xC3, 0x80])])
                ids += [rng.choice(usable[1:]) for _ in range(rng.randint(0, 3))] + [rng.choice(usable[10:])]
                ids += [3 + b for b in bytes_]
                ids += [tokenizer.convert_tokens_to_ids("▁the")]
        else:
            ids = [rng.choice(usable) for _ in range(rng.randint(1, 60))]
        decoded.append([
            ids,
            tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False),
        ])
    with_special = tokenizer.encode("")
    return {"added": with_special, "texts": texts, "decoded": decoded, "size": len(tokenizer)}


def main():
    chat = [("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True), ("<tool_call>", False), ("</tool_call>", False)]
    fast = "PreTrainedTokenizerFast"
    kinds = {
        "qwen2": byte_level(
            QWEN2, normalizers.NFC(), chat,
            {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None, "bos_token": None, "add_bos_token": False},
            "qwen2", False, old_merges=True,
        ),
        "llama3": byte_level(
            LLAMA3, None, [("<|begin_of_text|>", True), ("<|end_of_text|>", True), ("<|eot_id|>", True)],
            {"tokenizer_class": fast, "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": True},
            "llama-bpe", True, bos="<|begin_of_text|>",
        ),
        "smollm": byte_level(
            None, None, chat[:3],
            {"tokenizer_class": fast, "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
            "smollm", False, digits=True,
        ),
        "llama": sentencepiece(),
    }
    fixture = {
        name: {"tokenizer_json": saved, "tokenizer_config": config, "gguf": gguf, **reference(saved, config)}
        for name, (saved, config, gguf) in kinds.items()
    }
    out = Path(__file__).resolve().parent.parent / "fixtures" / "text" / "tokenizers.json"
    out.write_text(json.dumps(fixture, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{out}: {out.stat().st_size} bytes")


main()
