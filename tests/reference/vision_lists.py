"""Writes names and shapes of the published checkpoints to tests/fixtures/vision, from models without weights.

    python vision_lists.py
"""

import math
import re

import vision_configs
import vision_recipe
from vision import ROOT, write_json
from vision_configs import REAL_IDS

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


def main() -> None:
    for name, config in MODELS.items():
        shapes = (vision_recipe.namo_shapes if name.startswith("namo") else vision_recipe.qwen_shapes)(config)
        numbers = sum(math.prod(shape) for shape in shapes.values())
        rows = folded(shapes)
        write_json(ROOT / f"{name}.tensors.json", {"count": len(shapes), "numbers": numbers, "tensors": rows})
        vision_recipe.write_pretty(ROOT / f"{name}.config.json", config)
        print(name, len(shapes), numbers, len(rows))


if __name__ == "__main__":
    main()
