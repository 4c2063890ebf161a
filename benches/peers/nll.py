"""Mean negative log-likelihood of a text by llama.cpp, to hold `crane score MODEL --file TEXT --json` against.

    python nll.py FILE.gguf TEXT [--tokens 8192] [--cut OUT]

Nothing is put before the text; one context; natural logarithms; the first token is unscored. With --cut, the part of
the text that was scored is written to OUT, so that crane can be given the same tokens.
"""

import argparse
import pathlib

import llama_cpp as ll
import numpy as np

from llama import FLASH, Llama
from protocol import answer

CHUNK = 256  # tokens whose logits are kept at once


def detokenize(peer: Llama, ids: list[int]) -> bytes:
    out = bytearray(16 * len(ids) + 64)
    buffer = (ll.ctypes.c_char * len(out)).from_buffer(out)
    n = ll.llama_detokenize(peer.vocab, (ll.llama_token * len(ids))(*ids), len(ids), buffer, len(out), False, True)
    if n < 0:
        raise SystemExit("the text does not fit into the buffer")
    return bytes(out[:n])


def cut_to(peer: Llama, text: str, limit: int) -> tuple[str, list[int]]:
    """The longest beginning of the text, in whole tokens, that is read as at most `limit` of them."""
    ids = peer.tokenize(text)
    keep = limit
    while len(ids) > limit:
        text = detokenize(peer, ids[:keep]).decode(errors="ignore")
        ids, keep = peer.tokenize(text), keep - 1
    return text, ids


def chunk_logits(peer: Llama, ids: list[int], past: int) -> np.ndarray:
    """Logits behind each of `ids`, which stand at `past`: [n, vocab] in f64."""
    batch = ll.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, past + i, 1, 0, 1
    status = ll.llama_decode(peer.context, batch)
    ll.llama_batch_free(batch)
    if status:
        raise SystemExit(f"llama_decode returned {status}")
    rows = [np.ctypeslib.as_array(ll.llama_get_logits_ith(peer.context, i), (peer.n_vocab,)) for i in range(len(ids))]
    return np.stack(rows).astype(np.float64)


def nll_mean(peer: Llama, ids: list[int]) -> float:
    total = 0.0
    for start in range(0, len(ids) - 1, CHUNK):
        part = ids[start : start + CHUNK]
        logits = chunk_logits(peer, part, start)
        next_ids = ids[start + 1 : start + 1 + CHUNK]
        logits = logits[: len(next_ids)]
        top = logits.max(axis=-1, keepdims=True)
        sums = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
        total += float((sums - logits[np.arange(len(next_ids)), next_ids]).sum())
    return total / (len(ids) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="FILE.gguf")
    parser.add_argument("text", type=pathlib.Path, metavar="TEXT")
    parser.add_argument("--tokens", type=int, default=8192, help="score this many at most (8192)")
    parser.add_argument("--cut", type=pathlib.Path, metavar="OUT")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--flash-attn", choices=FLASH, default="auto")
    args = parser.parse_args()
    peer = Llama(args.model, args.tokens, args.threads, args.flash_attn, batch=CHUNK)
    text, ids = cut_to(peer, args.text.read_bytes().decode(), args.tokens)
    if args.cut:
        args.cut.write_bytes(text.encode())
    answer(tokens=len(ids), nll_mean=nll_mean(peer, ids))


if __name__ == "__main__":
    main()
