"""PyTorch with transformers' Qwen2 on a CUDA device as a peer: bf16, batch 1, one process, no files needed.

    python torch_gpu.py [--only limits,0.5b,3b] [--rounds 5] [--budget SECONDS] [--limit SECONDS] [--json FILE]
    python torch_gpu.py --tiny [--compile]      checks the script itself, in seconds and without a GPU too

Machine limits first; then Qwen2.5's 0.5B and 3B at their published sizes with random weights: prefill (eager), and greedy
decoding behind a short prompt in up to three ways:

    eager      the growing cache
    compiled   a static cache, one step under torch.compile(mode="reduce-overhead", fullgraph=True)
    graph      a static cache, one eager step captured by hand in a CUDA graph; at once if compiling failed, else last

A line for each measure as soon as it is there, the median of the rounds behind a warm-up, which is not counted. What
fails or takes longer than --limit says so, and the rest goes on; what --budget leaves no time to begin is skipped. The
ways with a static cache are also fed random ids one by one: a line says how many of the best next ids are those of one
eager pass over all of them, and how many ids of their own decoding are the eager one's before the first that is not;
near ties differ in bf16. Everything runs in inference_mode, but the compiled way in no_grad, as under `generate`.
"""

import argparse
import contextlib
import functools
import gc
import inspect
import json
import os
import pathlib
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM, StaticCache

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
DTYPE = torch.bfloat16
PROMPT, NEW = 16, 128
PREFILLS = (512, 2048)
WARM = 4  # steps; of a compiled one the first compiles, the second records its graph
INNER = 10  # calls between two synchronisations where one takes a millisecond
AGAIN = 5.0  # seconds from one alarm to the next, for what caught the first
GIB = 1 << 30

SHARED = {"vocab_size": 151936, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
          "tie_word_embeddings": True, "num_key_value_heads": 2}
MODELS = {
    "0.5b": SHARED | {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "3b": SHARED | {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16},
}
TINY = SHARED | {"vocab_size": 1024, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
                 "num_attention_heads": 4}
STD, TINY_STD = 0.02, 0.1  # of the weights; a tiny model's have to be larger, or it repeats the token that it was fed

# Both have changed their names over the years.
ARGUMENTS = inspect.signature(Qwen2ForCausalLM.forward).parameters
LAST_ONLY = {"logits_to_keep" if "logits_to_keep" in ARGUMENTS else "num_logits_to_keep": 1}
TELLS_CACHE = "cache_position" in ARGUMENTS


def synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def timed(act: Callable[[], object]) -> float:
    synchronize()
    start = time.perf_counter()
    act()
    synchronize()
    return time.perf_counter() - start


def seconds(act: Callable[[], object], rounds: int, inner: int = 1) -> list[float]:
    """For one call each."""
    def several() -> None:
        for _ in range(inner):
            act()

    timed(several)
    return [timed(several) / inner for _ in range(rounds)]


class Report:
    """Prints each line at once and keeps the file up to date, so that an end before the end loses nothing."""

    def __init__(self, args: argparse.Namespace):
        self.start, self.budget, self.limit, self.path = time.monotonic(), args.budget, args.limit, args.json
        device = torch.cuda.get_device_name() if CUDA else "cpu"
        self.all = {"torch": torch.__version__, "transformers": transformers.__version__, "device": device,
                    "tiny": args.tiny, "results": []}
        print(f"torch {torch.__version__}, transformers {transformers.__version__}, {device}", flush=True)

    def keep(self, name: str, **fields: object) -> None:
        self.all["results"].append({"name": name, **fields})
        if self.path:
            self.path.write_text(json.dumps(self.all, indent=1) + "\n")

    def line(self, name: str, value: float, unit: str, more: str = "", **fields: object) -> None:
        print(f"{name:<32}{value:>10.1f} {unit:<7} {more}".rstrip(), flush=True)
        self.keep(name, value=value, unit=unit, **fields)

    def phase(self, name: str, act: Callable[[], None]) -> bool:
        """Whether it came to its end."""
        spent = time.monotonic() - self.start
        if spent > self.budget:
            print(f"{name:<32}   skipped after {spent:.0f} s", flush=True)
            self.keep(name, skipped=spent)
            return False
        try:
            with limited(self.limit):
                act()
        except (Exception, Overrun) as error:
            text = " ".join(str(error).split())[:300]
            print(f"{name:<32}    failed {type(error).__name__}: {text}", flush=True)
            self.keep(name, error=text, traceback=traceback.format_exc())
            if not self.path:
                traceback.print_exc()
            return False
        finally:
            gc.collect()
            if CUDA:
                with contextlib.suppress(RuntimeError):
                    torch.cuda.empty_cache()
        return True


class Overrun(BaseException):
    """No Exception, which a compiler that tries things would catch."""


@contextlib.contextmanager
def limited(most: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Overrun(f"took longer than {most:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, most, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def noise(count: int) -> torch.Tensor:
    return torch.empty(count, dtype=DTYPE, device=DEVICE).normal_()


def limit_phases(report: Report, args: argparse.Namespace) -> list[tuple[str, Callable[[], None]]]:
    size, side = (1 << 20, 256) if args.tiny else (2 * GIB, 8192)

    @torch.inference_mode()
    def copy() -> None:
        source, target = noise(size // 2), noise(size // 2)
        took = seconds(lambda: target.copy_(source), 2 * args.rounds, INNER)
        report.line("copy, read + written", 2 * size / statistics.median(took) / 1e9, "GB/s", rounds=took)

    @torch.inference_mode()
    def read() -> None:
        source = noise(size)
        rows = source.view(-1, 1 << 14)
        ways = {"all": source.sum, "rows": lambda: rows.sum(1)}
        took = {name: seconds(way, 2 * args.rounds, INNER) for name, way in ways.items()}
        best = min(took, key=lambda name: statistics.median(took[name]))
        rate = 2 * size / statistics.median(took[best]) / 1e9
        report.line("sum, read", rate, "GB/s", f"(of {best})", rounds=took)

    @torch.inference_mode()
    def product() -> None:
        a, b = noise(side * side).view(side, side), noise(side * side).view(side, side)
        out = torch.empty_like(a)
        took = seconds(lambda: torch.matmul(a, b, out=out), 2 * args.rounds, INNER)
        report.line(f"matmul {side}^3 bf16", 2 * side**3 / statistics.median(took) / 1e12, "TFLOP/s", rounds=took)

    return [("copy, read + written", copy), ("sum, read", read), ("matmul bf16", product)]


def make_model(sizes: dict, std: float = STD) -> Qwen2ForCausalLM:
    config = Qwen2Config(**sizes)
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model = Qwen2ForCausalLM(config)
    model = model.to(DTYPE).to_empty(device=DEVICE).eval().requires_grad_(False)
    model.lm_head.weight = model.model.embed_tokens.weight
    # Not a parameter, so it has no numbers yet.
    rotary = model.model.rotary_emb
    half = torch.arange(0, head_dim(sizes), 2, dtype=torch.float32, device=DEVICE) / head_dim(sizes)
    rotary.inv_freq = rotary.original_inv_freq = 1.0 / sizes["rope_theta"] ** half
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.normal_(0, std)
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            weight.fill_(1.0)
    return model


def head_dim(sizes: dict) -> int:
    return sizes["hidden_size"] // sizes["num_attention_heads"]


def static_cache(config: Qwen2Config, length: int) -> StaticCache:
    """Its arguments differ between transformers' versions."""
    ways = [
        lambda: StaticCache(config=config, max_cache_len=length),
        lambda: StaticCache(config=config, max_batch_size=1, max_cache_len=length, device=DEVICE, dtype=DTYPE),
        lambda: StaticCache(config, 1, length, DEVICE, DTYPE),
    ]
    for way in ways[:-1]:
        with contextlib.suppress(TypeError):
            return way()
    return ways[-1]()


def best_id(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1].argmax(-1, keepdim=True)


class Eager:
    """`ids` is the next id to feed; it never leaves the device."""

    mode = torch.inference_mode

    def __init__(self, model: Qwen2ForCausalLM):
        self.model = model

    def begin(self, prompt: torch.Tensor) -> None:
        self.cache = DynamicCache()
        self.feed(prompt)
        self.step()

    def feed(self, ids: torch.Tensor) -> None:
        self.ids = ids

    def step(self) -> None:
        out = self.model(input_ids=self.ids, past_key_values=self.cache, use_cache=True, **LAST_ONLY)
        self.ids = best_id(out.logits)


class Static:
    """Ids and position have a place of their own, which a step reads and overwrites."""

    mode = torch.inference_mode

    def __init__(self, model: Qwen2ForCausalLM):
        self.model, self.cache = model, static_cache(model.config, PROMPT + NEW)
        self.ids = torch.zeros(1, 1, dtype=torch.int64, device=DEVICE)
        self.position = torch.zeros(1, dtype=torch.int64, device=DEVICE)
        self.forward = self.plain

    def plain(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        where = {"position_ids": positions[None]}
        if TELLS_CACHE:
            where["cache_position"] = positions
        out = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, **where, **LAST_ONLY)
        return best_id(out.logits)

    def begin(self, prompt: torch.Tensor) -> None:
        self.cache.reset()
        length = prompt.shape[1]
        self.ids.copy_(self.plain(prompt, torch.arange(length, device=DEVICE)))
        self.position.fill_(length)

    def feed(self, ids: torch.Tensor) -> None:
        self.ids.copy_(ids)

    def step(self) -> None:
        self.ids.copy_(self.forward(self.ids, self.position))
        self.position.add_(1)


class Compiled(Static):
    mode = torch.no_grad

    def __init__(self, model: Qwen2ForCausalLM):
        super().__init__(model)
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        self.forward = torch.compile(self.plain, mode="reduce-overhead", fullgraph=True, dynamic=False)

    def step(self) -> None:
        torch.compiler.cudagraph_mark_step_begin()
        super().step()

    def about(self) -> dict:
        counters = torch._dynamo.utils.counters
        return {"graphs": counters["stats"]["unique_graphs"], "cudagraph_skips": counters["inductor"]["cudagraph_skips"]}


class Graph(Static):
    """Without a GPU the plain step."""

    def begin(self, prompt: torch.Tensor) -> None:
        super().begin(prompt)
        if CUDA and not hasattr(self, "graph"):
            self.capture()
            super().begin(prompt)

    def capture(self) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM):
                super().step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            super().step()
        self.graph = graph

    def step(self) -> None:
        if CUDA:
            self.graph.replay()
        else:
            super().step()


WAYS = {"eager": Eager, "compiled": Compiled, "graph": Graph}


class Bench:
    """One model's phases."""

    def __init__(self, report: Report, args: argparse.Namespace, name: str):
        self.report, self.args = report, args
        self.sizes = TINY if args.tiny else MODELS[name]
        self.name = ("tiny " if args.tiny else "") + name.upper() + " bf16"
        self.decoded: dict[str, float] = {}
        self.eager_ids: torch.Tensor | None = None

    @functools.cached_property
    def model(self) -> Qwen2ForCausalLM:
        return make_model(self.sizes, TINY_STD if self.args.tiny else STD)

    @functools.cached_property
    def prompt(self) -> torch.Tensor:
        return self.random_ids(PROMPT)

    def random_ids(self, length: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(length)
        return torch.randint(self.sizes["vocab_size"], (1, length), generator=generator).to(DEVICE)

    def parameters(self) -> dict[str, int]:
        """Tied embeddings count once: decoding reads them once, as the head."""
        total = sum(weight.numel() for weight in self.model.parameters())
        return {"all": total, "layers": total - self.model.lm_head.weight.numel()}

    def load(self) -> None:
        took = timed(lambda: self.model)
        with torch.inference_mode():
            assert torch.isfinite(self.model(input_ids=self.prompt, **LAST_ONLY).logits).all(), "not finite"
        print(f"{self.name}: {self.parameters()['all'] / 1e6:.1f}M parameters, made in {took:.1f} s", flush=True)

    def prefill(self, length: int) -> None:
        ids = self.random_ids(length)

        @torch.inference_mode()
        def act() -> None:
            self.model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True, **LAST_ONLY)

        act()
        took = seconds(act, 2 * self.args.rounds)
        middle = statistics.median(took)
        heads, layers = self.sizes["num_attention_heads"], self.sizes["num_hidden_layers"]
        attention = 4 * length * length / 2 * heads * head_dim(self.sizes) * layers
        tflops = (2 * self.parameters()["layers"] * length + attention) / middle / 1e12
        self.report.line(f"{self.name} prefill {length}", length / middle, "tok/s", f"{tflops:.1f} TFLOP/s",
                         tflops=tflops, rounds=took)

    def decode(self, way: str) -> None:
        name = f"{self.name} decode {way}"
        decoder = WAYS[way](self.model)
        with decoder.mode():
            decoder.begin(self.prompt)
            warm = timed(lambda: [decoder.step() for _ in range(WARM)])
            if way == "compiled":
                self.report.line(f"{name}: warm-up", warm, "s", **decoder.about())
            ids = torch.empty(1, NEW, dtype=torch.int64, device=DEVICE)

            def generate() -> None:
                for i in range(NEW):
                    ids[:, i : i + 1].copy_(decoder.ids)
                    decoder.step()

            took = []
            for _ in range(self.args.rounds):
                decoder.begin(self.prompt)
                took.append(timed(generate))
            rate = NEW / statistics.median(took)
            self.decoded[way] = rate
            read = 2 * self.parameters()["all"] * rate / 1e9
            fields = {"rounds": took, "gbs": read, "warm_up": warm}
            if way == "compiled":
                fields |= decoder.about()
            # Said before the ids are compared, lest that fails.
            self.report.line(name, rate, "tok/s", f"{read:.1f} GB/s of weights", **fields)
            if CUDA and fields.get("cudagraph_skips"):
                print(f"{name}: without CUDA graphs, torch skipped them", flush=True)
            if way == "eager":
                self.eager_ids = ids.clone()
            elif self.eager_ids is not None:
                self.compare(name, decoder, ids)

    def compare(self, name: str, decoder: Static, ids: torch.Tensor) -> None:
        alone = (ids == self.eager_ids)[0].long().cumprod(0).sum().item()
        fed = self.random_ids(NEW)
        logits = self.model(input_ids=torch.cat([self.prompt, fed], 1)).logits
        wanted = logits[:, PROMPT - 1 : -1].argmax(-1)
        decoder.begin(self.prompt)
        same = (decoder.ids == wanted[:, :1]).long()
        for i in range(NEW - 1):
            decoder.feed(fed[:, i : i + 1])
            decoder.step()
            same += decoder.ids == wanted[:, i + 1 : i + 2]
        kinds = wanted.unique().numel()
        told = f"{same.item()} of {NEW} ids ({kinds} kinds) as in one eager pass, alone the first {alone}"
        print(f"{name}: {told}", flush=True)
        self.report.keep(f"{name}: ids", same=same.item(), alone=alone, of=NEW, kinds=kinds)

    def decode_phase(self, way: str) -> bool:
        return self.report.phase(f"{self.name} decode {way}", lambda: self.decode(way))

    def compiled_phase(self) -> None:
        if CUDA or self.args.compile:
            if not self.decode_phase("compiled"):
                self.graph_phase()

    def graph_phase(self) -> None:
        if "graph" not in self.decoded:
            self.decode_phase("graph")

    def prefill_phases(self) -> None:
        for length in PREFILLS:
            self.report.phase(f"{self.name} prefill {length}", lambda: self.prefill(length))

    def best(self) -> None:
        if self.decoded:
            way = max(self.decoded, key=self.decoded.get)
            self.report.line(f"{self.name} decode best", self.decoded[way], "tok/s", f"({way})", way=way)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="limits,0.5b,3b", help="a list of limits, 0.5b, 3b")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=600, help="seconds after which no phase begins")
    parser.add_argument("--limit", type=float, default=120, help="seconds that one phase may take")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--tiny", action="store_true", help="a tiny model in both models' places")
    parser.add_argument("--compile", action="store_true", help="without a GPU too")
    args = parser.parse_args()
    only = args.only.split(",")
    if unknown := set(only) - {"limits", *MODELS}:
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}")
    if not CUDA and not args.tiny:
        sys.exit("no CUDA device; --tiny runs without one")

    report = Report(args)
    if "limits" in only:
        for name, act in limit_phases(report, args):
            report.phase(name, act)
    benches = [Bench(report, args, name) for name in MODELS if name in only]
    benches = [bench for bench in benches if report.phase(f"{bench.name} made", bench.load)]
    for bench in benches:
        # The large one's prefill comes first: its decoding takes longest.
        if bench is benches[0]:
            bench.decode_phase("eager")
            bench.compiled_phase()
            bench.prefill_phases()
        else:
            bench.prefill_phases()
            bench.decode_phase("eager")
            bench.compiled_phase()
    for bench in benches:
        bench.graph_phase()
    for bench in benches:
        bench.best()
    report.line("all", time.monotonic() - report.start, "s")


if __name__ == "__main__":
    main()
