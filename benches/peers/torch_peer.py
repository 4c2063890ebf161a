"""PyTorch with transformers' Qwen2 as a peer.

    python torch_peer.py FOLDER --dtype f32|bf16|f16 [--compile]        serves measurements, see protocol.py

FOLDER holds config.json and model.safetensors. Without --compile the model runs eagerly with its growing cache; with it
prompt and step are compiled (the first run of each shape takes minutes) over a static cache as long as the test needs.
"""

import argparse
import time

import torch
from transformers import DynamicCache, Qwen2ForCausalLM, StaticCache

from protocol import serve

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
CHUNK = 512


class Torch:
    """One model; the cache is made anew for each test."""

    def __init__(self, folder: str, dtype: str, compiled: bool):
        self.model = Qwen2ForCausalLM.from_pretrained(folder, dtype=DTYPES[dtype], attn_implementation="sdpa").eval()
        self.forward = torch.compile(self.model.forward, dynamic=False) if compiled else self.model.forward
        self.compiled = compiled
        self.warm: set[tuple[str, int, int, int]] = set()

    def cache(self, length: int) -> DynamicCache | StaticCache:
        config = self.model.config
        return StaticCache(config=config, max_cache_len=length) if self.compiled else DynamicCache(config=config)

    def step(self, ids: torch.Tensor, position: int, cache: DynamicCache | StaticCache) -> None:
        positions = torch.arange(position, position + ids.shape[1])
        self.forward(input_ids=ids, past_key_values=cache, cache_position=positions, use_cache=True, logits_to_keep=1)

    def run(self, test: str, n: int, depth: int) -> float:
        ids = torch.randint(self.model.config.vocab_size, (1, depth + n))
        cache = self.cache(depth + n)
        for at in range(0, depth, CHUNK):
            self.step(ids[:, at : min(at + CHUNK, depth)], at, cache)
        start = time.perf_counter()
        if test == "pp":
            self.step(ids[:, depth:], depth, cache)
        else:
            for i in range(depth, depth + n):
                self.step(ids[:, i : i + 1], i, cache)
        return time.perf_counter() - start

    @torch.inference_mode()
    def seconds(self, test: str, n: int, depth: int, threads: int) -> float:
        torch.set_num_threads(threads)
        shape = (test, n, depth, threads) if self.compiled else (test, 0, 0, threads)
        if shape not in self.warm:
            self.run(test, n if self.compiled or test == "pp" else 4, depth if self.compiled else 0)
            self.warm.add(shape)
        return self.run(test, n, depth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    serve(Torch(args.folder, args.dtype, args.compile), f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
