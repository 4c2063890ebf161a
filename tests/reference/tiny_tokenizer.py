"""A real byte-level BPE tokenizer of about 300 tokens, as the checkpoints of Qwen2 and Llama 3 carry it."""

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = """The river runs down from the hills to the sea. In the morning the light is cold and clear, and the
boats lie still on the water. An old man sits on the bank and mends his nets; he has done so for thirty years,
and his father did so before him. When the wind turns he looks up, counts the clouds, and goes on with his work.
There are 12 boats, 7 nets and 1 dog. "Will it rain today?" the children ask. It won't, he says, not before
evening. fn main() { let total = 0; for i in 0..10 { total += i; } println!("{}", total); }
"""

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

BOS = "<|begin_of_text|>"


def build(family, vocab_rows, bos):
    """Trains the tokenizer on `TEXT`. It has `vocab_rows - 3` tokens: the rows above are padding, as in Qwen's
    own checkpoints. `family` is "qwen2" or "llama3" (the split pattern); with `bos` a post-processor puts
    `<|begin_of_text|>` before the text, as Llama 3's does."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + ([BOS] if bos else [])
    tok = Tokenizer(models.BPE())
    if family == "qwen2":
        tok.normalizer = normalizers.NFC()
    split = QWEN2_SPLIT if family == "qwen2" else LLAMA3_SPLIT
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_rows - 3 - len(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tok.train_from_iterator([TEXT], trainer)
    tok.add_special_tokens(specials)
    byte_level = processors.ByteLevel(trim_offsets=False)
    if bos:
        first = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, tok.token_to_id(BOS))]
        )
        tok.post_processor = processors.Sequence([byte_level, first])
    else:
        tok.post_processor = byte_level
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tok,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        bos_token=BOS if bos else None,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHATML
    return fast
