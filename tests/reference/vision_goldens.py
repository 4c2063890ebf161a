"""What Qwen2.5-VL and Namo compute, by transformers in f32 with eager attention: every stage as numbers, ids as JSON.

README.md describes the format.
"""

import json
import pathlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    Aimv2VisionModel,
    GenerationConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2ForCausalLM,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

import vision_recipe
from vision_recipe import CONNECTOR, TOWER

STEPS, LAST = 24, 3
PIXELS_OFFSET, PIXELS_STRIDE, ROWS_STRIDE = 5, 97, 9
NAMO_SYSTEM = "You are Namo small VLM model, trained by NAMO. You can look images and with great OCR ability."
NAMO_LONGEST = 700
Tensors = dict[str, torch.Tensor]


@dataclass
class Case:
    """`turns`: user, assistant, user and so on; the images belong to the first."""

    name: str
    images: list[str]
    turns: list[str]
    system: str | None = None
    stages: bool = True


CASES = [
    Case("square", ["square.png"], ["Describe this image."]),
    Case("tall", ["tall.png"], ["How many boats are there?"]),
    Case("wide", ["wide.png"], ["Will it rain today?"], "You mend nets."),
    Case("two", ["two-1.png", "two-2.png"], ["Which water is colder?"]),
    Case("chat", ["square.png"], ["What is this?", "An old man and 7 nets.", "And the dog?"], stages=False),
    Case("text", [], ["There are 12 boats, 7 nets and 1 dog."], stages=False),
]


@dataclass
class Found:
    tensors: Tensors = field(default_factory=dict)
    entry: dict = field(default_factory=dict)


@contextmanager
def kept(root: torch.nn.Module, names: dict[str, str]) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Keeps what the named modules give, call by call."""
    found: dict[str, list[torch.Tensor]] = {key: [] for key in names}
    hooks = []
    for key, name in names.items():
        def keep(_module, _input, out, key=key):
            found[key].append((out[0] if isinstance(out, tuple) else out).detach())
        hooks.append(root.get_submodule(name).register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def sampled(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1)[PIXELS_OFFSET::PIXELS_STRIDE].clone()


def rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.shape[-1])[::ROWS_STRIDE].clone()


def rounded(values) -> list[float]:
    return [float(f"{v:.5g}") for v in values]


def greedy(model, penalty: float, **inputs) -> dict:
    """Goes on past an end token. `gaps` lie between the best two scores after the penalty."""
    model.generation_config = GenerationConfig(eos_token_id=None, pad_token_id=0)
    out = model.generate(
        **inputs, max_new_tokens=STEPS, do_sample=False, temperature=None, top_p=None, top_k=None,
        repetition_penalty=penalty, return_dict_in_generate=True, output_scores=True,
    )
    best = [torch.topk(s[0], 2).values for s in out.scores]
    return {"ids": out.sequences[0, -STEPS:].tolist(), "gaps": rounded(float(b[0] - b[1]) for b in best)}


def decoded(model, penalty: float, logits: torch.Tensor, inputs: dict, found: Found) -> None:
    """Logits and ids with and without the folder's own penalty."""
    found.tensors["logits"] = logits[-LAST:].clone()
    found.entry["greedy"] = greedy(model, 1.0, **inputs)
    found.entry["greedy_penalised"] = {"penalty": penalty, **greedy(model, penalty, **inputs)}
    found.entry["least_gap"] = min(found.entry["greedy"]["gaps"] + found.entry["greedy_penalised"]["gaps"])


def opened(folder: pathlib.Path, case: Case) -> list[Image.Image]:
    return [Image.open(folder / name) for name in case.images]


def resized_name(name: str, size: tuple[int, int], source: tuple[int, int]) -> str:
    """The file that holds the picture at this size: the source itself if it has it."""
    return name if size == source else f"{pathlib.Path(name).stem}-{size[0]}x{size[1]}.png"


def keep_resized(folder: pathlib.Path, case: Case, sizes: list[tuple[int, int]]) -> list[dict]:
    """Writes the pictures as Pillow resizes them (both models' processors leave that to Pillow)."""
    found = []
    for name, image, size in zip(case.images, opened(folder, case), sizes):
        file = resized_name(name, size, image.size)
        if file != name:
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(folder / file, optimize=True)
        found.append({"file": name, "resized": file, "width": size[0], "height": size[1]})
    return found


class Qwen:
    def __init__(self, folder: pathlib.Path):
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.penalty = json.loads((folder / "generation_config.json").read_text())["repetition_penalty"]
        settings = json.loads((folder / "preprocessor_config.json").read_text())
        self.processor = Qwen2_5_VLProcessor(
            Qwen2VLImageProcessor(**{k: v for k, v in settings.items() if not k.endswith(("_type", "_class"))}),
            Qwen2TokenizerFast.from_pretrained(folder),
            Qwen2VLVideoProcessor(),
            chat_template=json.loads((folder / "chat_template.json").read_text())["chat_template"],
        )

    @staticmethod
    def messages(case: Case) -> list[dict]:
        found = [{"role": "system", "content": case.system}] if case.system else []
        for i, text in enumerate(case.turns):
            images = [{"type": "image"}] * len(case.images) if i == 0 else []
            content = [*images, {"type": "text", "text": text}] if images else text
            found.append({"role": ("user", "assistant")[i % 2], "content": content})
        return found

    @torch.no_grad()
    def collect(self, images: pathlib.Path, case: Case) -> Found:
        found, model, tower = Found(), self.model, self.model.model.visual
        rendered = self.processor.apply_chat_template(self.messages(case), add_generation_prompt=True, tokenize=False)
        inputs = self.processor(text=[rendered], images=opened(images, case) or None, return_tensors="pt")
        inputs.pop("mm_token_type_ids", None)
        grids = inputs.get("image_grid_thw")
        positions, delta = model.model.get_rope_index(inputs.input_ids, grids, attention_mask=inputs.attention_mask)
        found.entry = {
            "name": case.name, "messages": self.messages(case), "rendered": rendered,
            "ids": inputs.input_ids[0].tolist(), "position_ids": positions[:, 0].tolist(), "rope_delta": int(delta),
        }
        names = {"patch_embed": "patch_embed", **{f"block{i}": f"blocks.{i}" for i in range(len(tower.blocks))}}
        with kept(tower, names | {"vision": ""}) as stages:
            logits = model(**inputs).logits[0]
        if case.images:
            sizes = [(int(w) * 14, int(h) * 14) for _, h, w in grids]
            about = keep_resized(images, case, sizes)
            for image, grid in zip(about, grids):
                image["grid"] = grid.tolist()
            index, lengths = tower.get_window_index(grids)
            found.entry |= {
                "images": about, "pixel_values_shape": list(inputs.pixel_values.shape), "window_index": index.tolist(),
                "cu_window_seqlens": torch.unique_consecutive(torch.tensor(lengths)).tolist(),
                "cu_seqlens": np.cumsum([0] + [h * w for t, h, w in grids.tolist() for _ in range(t)]).tolist(),
            }
        if case.stages:
            found.tensors |= {
                "pixel_values": sampled(inputs.pixel_values),
                "pixel_sums": inputs.pixel_values.double().sum(1),
                **{key: rows(stages[key][0]) for key in names},
                "vision": stages["vision"][0],
            }
        decoded(model, self.penalty, logits, dict(inputs), found)
        return found


def floored(height: float, width: float) -> tuple[int, int]:
    return int(height) // 28 * 28, int(width) // 28 * 28


def namo_size(height: int, width: int, shortest: int, longest: int) -> tuple[int, int]:
    """Height and width of Namo's picture."""
    short, long = min(height, width), max(height, width)
    if short >= shortest and long <= longest:
        return floored(height, width)
    scale = longest / long if long > longest else 1.0
    if short * scale < shortest:
        scale = shortest / short
    height, width = round(height * scale), round(width * scale)
    if max(height, width) > longest:
        height, width = (height, longest) if width > height else (longest, width)
    return floored(height, width)


class Namo:
    """AIMv2 and Qwen2 by transformers; what lies between them is here."""

    def __init__(self, folder: pathlib.Path):
        config = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / vision_recipe.WEIGHTS)
        vision = vision_recipe.aimv2_config(config["vision_config"])
        vision._attn_implementation = "eager"
        self.tower = Aimv2VisionModel(vision).eval()
        self.tower.load_state_dict({name: self.tower_weight(weights, name) for name in self.tower.state_dict()})
        text = vision_recipe.qwen2_config(config["text_config"])
        text._attn_implementation = "eager"
        self.model = Qwen2ForCausalLM(text).eval()
        llm = {"model." + n.removeprefix("namo.llm."): w for n, w in weights.items() if n.startswith("namo.llm.")}
        missing = self.model.load_state_dict(llm, strict=False)
        assert missing.missing_keys == ["lm_head.weight"] and not missing.unexpected_keys, missing
        self.model.tie_weights()
        self.connector = {n.removeprefix(CONNECTOR): w for n, w in weights.items() if n.startswith(CONNECTOR)}
        self.layers = vision.num_hidden_layers + config["vision_feature_layer"] + 1  # of them the feature is the last
        self.settings = json.loads((folder / "preprocessor_config.json").read_text())
        self.penalty = json.loads((folder / "generation_config.json").read_text())["repetition_penalty"]
        self.tokenizer = Qwen2TokenizerFast.from_pretrained(folder)

    @staticmethod
    def tower_weight(weights: Tensors, name: str) -> torch.Tensor:
        for i, part in enumerate(("attention.q_proj", "attention.k_proj", "attention.v_proj")):
            if part in name:
                fused = vision_recipe.aimv2_name(name.replace(part, "attn.qkv"))
                return weights[TOWER + fused].chunk(3)[i]
        return weights[TOWER + vision_recipe.aimv2_name(name)]

    @staticmethod
    def messages(case: Case) -> list[dict]:
        found = [{"role": "system", "content": case.system or NAMO_SYSTEM}]
        for i, text in enumerate(case.turns):
            if i == 0 and len(case.images) == 1:
                text = f"<image>{text}\n"
            elif i == 0 and case.images:
                marks = "".join(f"\nImage{n + 1}:<image>" for n in range(len(case.images)))
                text = f"{marks}{text}\n".strip()
            found.append({"role": ("user", "assistant")[i % 2], "content": text})
        return found

    def pixels(self, image: Image.Image) -> torch.Tensor:
        x = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float() * self.settings["rescale_factor"]
        mean, std = (torch.tensor(self.settings[key])[:, None, None] for key in ("image_mean", "image_std"))
        return ((x - mean) / std)[None]

    def connect(self, feature: torch.Tensor) -> torch.Tensor:
        """[gh, gw, C] to [gh/2 · gw/2, text hidden]; odd grids get a row or column of zeros."""
        height, width, channels = feature.shape
        x = F.pad(feature, (0, 0, 0, width % 2, 0, height % 2))
        x = x.unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).permute(0, 2, 1, 3, 4).reshape(-1, 4 * channels)
        w = self.connector
        x = x @ w["linear_proj.weight"].T
        x = F.gelu(F.layer_norm(x, x.shape[-1:], w["norm1.weight"], w["norm1.bias"], 1e-5))
        x = F.silu(x @ w["gate_proj.weight"].T) * (x @ w["dense_h_to_4h.weight"].T)
        return x @ w["dense_4h_to_h.weight"].T

    def encode(self, pixels: torch.Tensor) -> tuple[torch.Tensor, Tensors]:
        names = {"patch_embed": "embeddings", **{f"block{i}": f"encoder.layers.{i}" for i in range(self.layers)}}
        with kept(self.tower, names) as stages:
            self.tower(pixels)
        stages = {key: value[0][0] for key, value in stages.items()}
        grid = pixels.shape[-2] // 14, pixels.shape[-1] // 14
        out = self.connect(stages[f"block{self.layers - 1}"].unflatten(0, grid))
        return out, stages

    @torch.no_grad()
    def collect(self, images: pathlib.Path, case: Case) -> Found:
        found = Found()
        rendered = self.tokenizer.apply_chat_template(self.messages(case), tokenize=False)
        rendered += "<|im_start|>assistant\n"
        pieces = [self.tokenizer(piece).input_ids for piece in rendered.split("<image>")]
        found.entry = {"name": case.name, "messages": self.messages(case), "rendered": rendered, "pieces": pieces}
        shortest, encoded, values = self.settings["size"]["shortest_edge"], [], []
        sizes = [namo_size(image.height, image.width, shortest, NAMO_LONGEST) for image in opened(images, case)]
        about = keep_resized(images, case, [(w, h) for h, w in sizes])
        for image, (height, width) in zip(about, sizes):
            image["grid"] = [height // 14, width // 14]
            values.append(self.pixels(Image.open(images / image["resized"])))
            encoded.append(self.encode(values[-1]))
        if case.images:
            found.entry["images"] = about
        if case.stages:
            join = lambda key: torch.cat([stages[key] for _, stages in encoded])
            found.tensors |= {
                "pixel_values": sampled(torch.cat([x.reshape(-1) for x in values])),
                "pixel_sums": torch.cat([x[0].double().sum(2).reshape(-1) for x in values]),
                **{key: rows(join(key)) for key in encoded[0][1]},
                "vision": torch.cat([out for out, _ in encoded]),
            }
        embed = self.model.model.embed_tokens
        parts = [embed(torch.tensor(pieces[0], dtype=torch.long))]
        for (out, _), piece in zip(encoded, pieces[1:]):
            parts += [out, embed(torch.tensor(piece, dtype=torch.long))]
        whole = torch.cat(parts)[None]
        inputs = {"inputs_embeds": whole, "attention_mask": torch.ones(whole.shape[:2], dtype=torch.long)}
        decoded(self.model, self.penalty, self.model(**inputs).logits[0], inputs, found)
        return found
