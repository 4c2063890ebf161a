"""PyTorch with transformers' vision towers as a peer of `crane vision`.

    python vision_torch.py [--models qwen2.5-vl-3b namo-500m] [--dtypes f32 bf16] [--size 1024 768] [--threads 2]
        [--rounds 3]

The towers have their published sizes and random weights, on whose values their speed does not depend. "encode" is from
normalised pixels to the rows that the language model reads, "preprocess" from a decoded picture to normalised pixels, by
the faster of transformers' two processors where it has two. Attention is sdpa. Prints a JSON line for each measure: the
median of the rounds behind a warm-up.
"""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from transformers import Aimv2VisionModel, Qwen2_5_VLConfig, Qwen2VLImageProcessor, Qwen2VLImageProcessorFast
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "reference"))
import vision_configs
import vision_images
import vision_recipe
from protocol import answer, peak_memory
from vision_configs import MEAN, REAL_IDS, STD
from vision_goldens import NAMO_LONGEST, namo_size

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SHORTEST = 42  # of Namo's picture; only a picture smaller than that cares


def seconds(act: Callable[[], object], rounds: int) -> list[float]:
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        took.append(time.perf_counter() - start)
    return took


def measure(test: str, rounds: int, act: Callable[[], object], **about: object) -> None:
    took = seconds(act, rounds)
    answer(test=test, **about, ms=round(1e3 * statistics.median(took), 2), rounds=[round(1e3 * t, 2) for t in took])


class Qwen:
    def __init__(self, dtype: torch.dtype):
        config = Qwen2_5_VLConfig(**vision_configs.qwen(REAL_IDS, **vision_configs.QWEN_3B)).vision_config
        config._attn_implementation = "sdpa"
        with torch.device("meta"):
            tower = Qwen2_5_VisionTransformerPretrainedModel(config)
        self.tower = filled(tower, dtype)
        # Not a parameter, so it has no numbers yet.
        rotary = self.tower.rotary_pos_emb
        half = config.hidden_size // config.num_heads // 2
        rotary.inv_freq = 1.0 / 10000.0 ** (torch.arange(0, half, 2) / half)
        self.dtype = dtype
        settings = {"min_pixels": 3136, "max_pixels": 12845056, "image_mean": MEAN, "image_std": STD}
        self.processors = [Qwen2VLImageProcessor(**settings), Qwen2VLImageProcessorFast(**settings)]

    def prepare(self, picture) -> list[Callable[[], object]]:
        """One call for each processor."""
        return [lambda p=p: p(picture, return_tensors="pt") for p in self.processors]

    def encode(self, picture) -> Callable[[], torch.Tensor]:
        inputs = self.processors[0](picture, return_tensors="pt")
        pixels = inputs.pixel_values.to(self.dtype)
        return lambda: self.tower(pixels, inputs.image_grid_thw)


class Namo:
    """The block that is not read is not computed."""

    def __init__(self, dtype: torch.dtype):
        sizes = vision_configs.NAMO_500M
        config = vision_recipe.aimv2_config(sizes["vision"])
        config._attn_implementation = "sdpa"
        wide, text = 4 * config.hidden_size, sizes["text"]["hidden_size"]
        with torch.device("meta"):
            tower = Aimv2VisionModel(config)
            connector = nn.ModuleDict({
                "proj": nn.Linear(wide, text, bias=False), "norm": nn.LayerNorm(text),
                "gate": nn.Linear(text, wide, bias=False), "up": nn.Linear(text, wide, bias=False),
                "down": nn.Linear(wide, text, bias=False),
            })
        tower.encoder.layers = tower.encoder.layers[:-1]
        self.tower, self.connector, self.dtype = filled(tower, dtype), filled(connector, dtype), dtype

    def pixels(self, picture) -> torch.Tensor:
        height, width = namo_size(picture.height, picture.width, SHORTEST, NAMO_LONGEST)
        resized = picture.resize((width, height), vision_images.Image.Resampling.BICUBIC)
        x = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(height, width, 3).permute(2, 0, 1)
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        return ((x / 255 - mean) / std)[None]

    def prepare(self, picture) -> list[Callable[[], object]]:
        return [lambda: self.pixels(picture)]

    def encode(self, picture) -> Callable[[], torch.Tensor]:
        pixels, part = self.pixels(picture).to(self.dtype), self.connector
        grid = pixels.shape[2] // 14, pixels.shape[3] // 14

        def run() -> torch.Tensor:
            x = self.tower.encoder(self.tower.embeddings(pixels)).last_hidden_state[0].unflatten(0, grid)
            x = x.unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 1, 3, 4).flatten(2).flatten(0, 1)
            x = F.gelu(part["norm"](part["proj"](x)))
            return part["down"](F.silu(part["gate"](x)) * part["up"](x))

        return run


MODELS = {"qwen2.5-vl-3b": Qwen, "namo-500m": Namo}


def filled(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A module of the meta device with numbers: matrices that keep a vector's size, norms at 1, biases at 0."""
    module = module.to(dtype).to_empty(device="cpu").eval()
    torch.manual_seed(0)
    for name, weight in module.named_parameters():
        if weight.dim() > 1:
            weight.normal_(0, (weight.numel() / len(weight)) ** -0.5)
        else:
            weight.fill_(0.0 if name.endswith("bias") else 1.0)
    return module


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--dtypes", nargs="*", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--size", nargs=2, type=int, default=(1024, 768), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    picture = vision_images.photo(*args.size, seed=1)
    for name in args.models:
        for dtype in args.dtypes:
            model = MODELS[name](DTYPES[dtype])
            about = {"model": name, "dtype": dtype, "threads": args.threads, "torch": torch.__version__}
            encode = model.encode(picture)
            rows = encode()  # the warm-up
            assert torch.isfinite(rows).all()
            measure("encode", args.rounds, encode, **about, image_tokens=len(rows))
            if dtype == args.dtypes[0]:
                ways = model.prepare(picture)
                fastest = min(ways, key=lambda way: min(seconds(way, 3)))
                measure("preprocess", args.rounds, fastest, **about, image_tokens=len(rows))
            answer(model=name, dtype=dtype, peak_memory=peak_memory())
            del model, encode


if __name__ == "__main__":
    main()
