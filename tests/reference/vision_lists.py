"""Writes to tests/fixtures/vision what needs no weights: names and shapes of the published checkpoints, and which size
pictures get.

    python vision_lists.py
"""

import math
import random
import re

from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

import vision_configs
import vision_recipe
from vision import ROOT, write_json
from vision_configs import REAL_IDS
from vision_goldens import namo_size

MODELS = {
    "qwen2.5-vl-3b": vision_configs.qwen(REAL_IDS, **vision_configs.QWEN_3B),
    "namo-500m": vision_configs.namo(REAL_IDS, **vision_configs.NAMO_500M),
}


def folded(shapes: dict[str, list[int]]) -> list[list]:
    """[name, shape] or [name with {} for the layer, shape, number of layers]."""
    layers: dict[str, list[tuple[int, list[int]]]] = {}
    for name, shape in sorted(shapes.items()):
        # The connector's own "layers.0" is the only one of its kind.
        parts = None if "conn_ve_llm" in name else re.fullmatch(r"(.*\.(?:layers|blocks)\.)(\d+)(\..*)", name)
        stem, number = (f"{parts[1]}{{}}{parts[3]}", int(parts[2])) if parts else (name, -1)
        layers.setdefault(stem, []).append((number, shape))
    rows = []
    for stem, found in layers.items():
        assert all(shape == found[0][1] for _, shape in found), stem
        assert sorted(i for i, _ in found) == ([-1] if "{}" not in stem else list(range(len(found)))), stem
        rows.append([stem, found[0][1], *([len(found)] if "{}" in stem else [])])
    return rows


# Height and width: sides that end in half a step, thin ones, small ones, large ones.
SIZES = [
    (28, 28), (70, 70), (42, 98), (14, 14), (1, 1), (1, 200), (20, 300), (100, 30), (98, 126), (150, 230), (480, 640),
    (300, 1000), (50, 50), (700, 700), (701, 28), (1080, 1920), (1365, 2048), (3024, 4032), (5000, 5000), (12000, 61),
]


def sizes() -> dict[str, list[list[int]]]:
    """Height, width, the two limits, and the picture's height and width: min_pixels and max_pixels (Qwen), the shortest and
    the longest side (Namo; without sizes of 0, which the rule has for pictures that are too thin)."""
    rng = random.Random(1)
    asked = SIZES + [(rng.randrange(20, 3000), rng.randrange(20, 3000)) for _ in range(20)]
    limits = (3136, 12845056), (3136, 1003520), (200704, 401408)
    qwen = [
        [h, w, low, high, *smart_resize(h, w, factor=28, min_pixels=low, max_pixels=high)]
        for h, w in asked for low, high in limits
    ]
    namo = [[h, w, low, 700, *namo_size(h, w, low, 700)] for h, w in asked for low in (28, 42, 224, 448)]
    return {"qwen": qwen, "namo": [row for row in namo if row[4] and row[5]]}


def main() -> None:
    write_json(ROOT / "sizes.json", sizes())
    for name, config in MODELS.items():
        shapes = (vision_recipe.namo_shapes if name.startswith("namo") else vision_recipe.qwen_shapes)(config)
        numbers = sum(math.prod(shape) for shape in shapes.values())
        rows = folded(shapes)
        write_json(ROOT / f"{name}.tensors.json", {"count": len(shapes), "numbers": numbers, "tensors": rows})
        vision_recipe.write_pretty(ROOT / f"{name}.config.json", config)
        print(name, len(shapes), numbers, len(rows))


if __name__ == "__main__":
    main()
