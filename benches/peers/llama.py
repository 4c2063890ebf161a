"""llama.cpp as a peer, through the C interface that llama-cpp-python carries.

    python llama.py FILE.gguf [--ctx 4736]            serves measurements, see protocol.py
    python llama.py FILE.gguf --first-token TEXT      loads, reads TEXT, takes the likeliest token, prints the time

Measures what llama-bench measures, with its defaults: random tokens in batches of at most 2048 and physical batches of
512, f16 cache, flash attention `auto`, logits of the last token, a warm-up before, nothing sampled.
"""

import argparse
import ctypes
import random
import time

import llama_cpp as ll
import numpy as np

from protocol import answer, peak_memory, serve

BATCH, PHYSICAL = 2048, 512
FLASH = {"auto": -1, "off": 0, "on": 1}


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _quiet(_level, _text, _data):
    pass


class Llama:
    """One model and one context on the CPU."""

    def __init__(self, path: str, ctx: int, threads: int, flash: str = "auto", batch: int = BATCH):
        ll.llama_log_set(_quiet, None)
        ll.llama_backend_init()
        model_params = ll.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self.model = ll.llama_model_load_from_file(path.encode(), model_params)
        params = ll.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = ctx, batch, min(batch, PHYSICAL)
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = FLASH[flash]
        self.context = self.model and ll.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"llama.cpp could not load {path}")
        self.vocab = ll.llama_model_get_vocab(self.model)
        self.n_vocab = ll.llama_vocab_n_tokens(self.vocab)
        self.memory = ll.llama_get_memory(self.context)
        self.depth_state: tuple[int, ctypes.Array] | None = None
        self.warm: set[tuple[str, int]] = set()

    def decode(self, tokens: list[int]) -> None:
        for start in range(0, len(tokens), BATCH):
            part = tokens[start : start + BATCH]
            array = (ll.llama_token * len(part))(*part)  # the batch points into it
            batch = ll.llama_batch_get_one(array, len(part))
            if status := ll.llama_decode(self.context, batch):
                raise RuntimeError(f"llama_decode returned {status}")
        ll.llama_synchronize(self.context)

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        out = (ll.llama_token * (len(data) + 8))()
        return list(out[: ll.llama_tokenize(self.vocab, data, len(data), out, len(out), False, False)])

    def random_tokens(self, n: int) -> list[int]:
        return [random.randrange(self.n_vocab) for _ in range(n)]

    def fill(self, depth: int) -> None:
        """A cache of `depth` tokens: computed once, then put back from a copy, as llama-bench does."""
        ll.llama_memory_clear(self.memory, False)
        if depth == 0:
            return
        if self.depth_state and self.depth_state[0] == depth:
            state = self.depth_state[1]
            if ll.llama_state_seq_set_data(self.context, state, len(state), 0):
                return
        self.decode(self.random_tokens(depth))
        state = (ctypes.c_uint8 * ll.llama_state_seq_get_size(self.context, 0))()
        ll.llama_state_seq_get_data(self.context, state, len(state), 0)
        self.depth_state = depth, state

    def run(self, test: str, n: int, depth: int) -> float:
        self.fill(depth)
        tokens = self.random_tokens(n)
        start = time.perf_counter()
        if test == "pp":
            self.decode(tokens)
        else:
            for token in tokens:
                self.decode([token])
        return time.perf_counter() - start

    def seconds(self, test: str, n: int, depth: int, threads: int) -> float:
        ll.llama_set_n_threads(self.context, threads, threads)
        if (test, threads) not in self.warm:
            self.run(test, n if test == "pp" else 1, 0)
            self.warm.add((test, threads))
        return self.run(test, n, depth)

    def best(self) -> int:
        """The likeliest next token."""
        logits = ll.llama_get_logits_ith(self.context, -1)
        return int(np.ctypeslib.as_array(logits, (self.n_vocab,)).argmax())


def first_token(args: argparse.Namespace) -> None:
    """Everything from the first call of llama.cpp on; Python's own start is not llama.cpp's fault."""
    start = time.perf_counter()
    peer = Llama(args.model, args.ctx, args.threads, args.flash_attn)
    loaded = time.perf_counter()
    tokens = peer.tokenize(args.first_token)
    peer.decode(tokens)
    token = peer.best()
    end = time.perf_counter()
    answer(
        tokens=len(tokens),
        token=token,
        load_ms=1000 * (loaded - start),
        first_token_ms=1000 * (end - start),
        peak_memory_bytes=peak_memory(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="FILE.gguf")
    parser.add_argument("--ctx", type=int, default=4096 + 512 + 128, help="tokens of context (4736)")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--flash-attn", choices=FLASH, default="auto")
    parser.add_argument("--first-token", metavar="TEXT", help="measure a cold start, then end")
    args = parser.parse_args()
    if args.first_token is not None:
        first_token(args)
    else:
        peer = Llama(args.model, args.ctx, args.threads, args.flash_attn)
        serve(peer, ll.llama_print_system_info().decode())


if __name__ == "__main__":
    main()
