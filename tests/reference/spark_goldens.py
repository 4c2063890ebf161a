"""What a Spark-TTS folder computes, by spark-tts-lib and transformers in f32: every stage as numbers, tokens as JSON."""

import pathlib
import types

import numpy as np
import soxr
import torch
from spark_tts_lib.models.audio_tokenizer import BiCodecTokenizer
from spark_tts_lib.SparkTTS import SparkTTS
from spark_tts_lib.utils.audio import audio_volume_normalize
from tokenizers import Tokenizer
from transformers import Qwen2ForCausalLM

STEPS, TOP = 64, 16
TEXT, PROMPT_TEXT = "The boats lie still. 身临其境", "He mends his nets, "
# Edges, and the seam where a reference of 2.3 s begins again within the clip of 6 s.
MEL_FRAMES = [*range(8), *range(112, 120), *range(293, 301)]
ECAPA_FRAMES = [0, 1, 2, 150, 299, 300]


class Stages:
    """Keeps what the named modules give while it is open."""

    def __init__(self, root: torch.nn.Module, names: dict[str, str]):
        self.found, self.hooks = {}, []
        for key, name in names.items():
            module = root.get_submodule(name)
            self.hooks.append(module.register_forward_hook(lambda _m, _i, out, key=key: self.keep(key, out)))

    def keep(self, key: str, out: torch.Tensor | tuple) -> None:
        self.found[key] = (out[-1] if isinstance(out, tuple) else out).detach()[0]

    def __enter__(self) -> dict[str, torch.Tensor]:
        return self.found

    def __exit__(self, *_) -> None:
        for hook in self.hooks:
            hook.remove()


def gaps(distances: torch.Tensor) -> torch.Tensor:
    """Between the two nearest codes of each frame."""
    best = torch.topk(distances, 2, largest=False).values
    return best[:, 1] - best[:, 0]


def fsq_margin(z: torch.Tensor) -> float:
    """How far the nearest component lies from the border between two digits."""
    half = 3 * 1.001 / 2
    bound = torch.tanh(z.double() + np.arctanh(0.5 / half)) * half - 0.5
    return float((bound - bound.floor() - 0.5).abs().min())


@torch.no_grad()
def encode(codec: BiCodecTokenizer, wav: pathlib.Path) -> tuple[dict, dict]:
    """The reference's path: volume, clip, features, tokens."""
    normalised, clip = codec.process_audio(wav)
    stages = {"wav2vec2.conv": "feature_extractor", "wav2vec2.projected": "feature_projection.projection"}
    with Stages(codec.feature_extractor, stages) as found:
        inputs = codec.processor(normalised, sampling_rate=16000, return_tensors="pt", padding=True).input_values
        states = codec.feature_extractor(inputs).hidden_states
        mix = codec.extract_wav2vec2_features(normalised)
    stages = {
        "encode.backbone": "encoder.encoder", "encode.sampled": "encoder.downsample", "encode.z": "encoder",
        "encode.z_e": "quantizer.in_project", "encode.mel": "mel_transformer",
        "ecapa.layer1": "speaker_encoder.speaker_encoder.layer1", "ecapa.layer2": "speaker_encoder.speaker_encoder.layer2",
        "ecapa.latent": "speaker_encoder.speaker_encoder", "perceiver": "speaker_encoder.perceiver_sampler",
        "fsq.z": "speaker_encoder.quantizer.project_in",
    }
    with Stages(codec.model, stages) as more:
        semantic, global_ = codec.model.tokenize({"feat": mix, "ref_wav": clip})
        _, _, distances = codec.model.quantizer.decode_latents(more["encode.z_e"][None])
    more["encode.mel"] = more["encode.mel"][:, MEL_FRAMES]
    for name in ("ecapa.layer1", "ecapa.layer2", "ecapa.latent"):
        more[name] = more[name][:, ECAPA_FRAMES]
    tensors = {
        "wav.normalised.head": torch.from_numpy(normalised[:512].copy()),
        "wav.normalised.every64": torch.from_numpy(normalised[::64].copy()),
        "wav2vec2.input.head": inputs[0, :512],
        **found,
        **{f"wav2vec2.state{i}": states[i][0] for i in (0, 1, 11, 14, 16)},
        "wav2vec2.mix": mix[0],
        **more,
    }
    about = {
        "samples": len(normalised),
        "mean": float(normalised.mean()), "std": float(normalised.std()), "peak": float(np.abs(normalised).max()),
        "mel_frames": MEL_FRAMES, "ecapa_frames": ECAPA_FRAMES,
        "semantic": semantic[0].tolist(), "global": global_.flatten().tolist(),
        "least_codebook_gap": float(gaps(distances).min()), "least_fsq_margin": fsq_margin(more["fsq.z"]),
    }
    return tensors, about


@torch.no_grad()
def decode(codec: BiCodecTokenizer, name: str, semantic: list[int], global_: list[int]) -> tuple[dict, dict]:
    stages = {"z_q": "quantizer.out_project", "d_vector": "speaker_encoder.project", "prenet": "prenet"}
    blocks = {f"block{i}": f"decoder.model.{i}" for i in range(5)}
    with Stages(codec.model, stages | blocks) as found:
        wave = codec.detokenize(torch.tensor([global_]), torch.tensor([semantic]))
    for block in blocks:
        found[block] = found[block][:, :32]
    tensors = {f"decode.{name}.{key}": value for key, value in {**found, "wave": torch.from_numpy(wave)}.items()}
    return tensors, {"name": name, "semantic": semantic, "global": global_, "std": float(wave.std())}


def prompts(codec: BiCodecTokenizer, wav: pathlib.Path) -> dict[str, str]:
    """By the reference's own methods."""
    tts = types.SimpleNamespace(audio_tokenizer=codec)
    return {
        "control": SparkTTS.process_prompt_control(tts, "male", "moderate", "high", TEXT),
        "clone_with_transcript": SparkTTS.process_prompt(tts, TEXT, wav, PROMPT_TEXT)[0],
        "clone": SparkTTS.process_prompt(tts, TEXT, wav)[0],
    }


@torch.no_grad()
def greedy(model: Qwen2ForCausalLM, ids: list[int]) -> dict:
    """Goes on past an end token; ids of every kind compete."""
    cache, feed, out, steps, first = None, ids, [], [], None
    for _ in range(STEPS):
        found = model(torch.tensor([feed]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, scores = found.past_key_values, found.logits[0, -1]
        first = scores if first is None else first
        best = torch.topk(scores, 2)
        steps.append(float(best.values[0] - best.values[1]))
        feed = [int(best.indices[0])]
        out += feed
    top = torch.topk(first, TOP)
    return {
        "first_top": [[i, round(v, 6)] for i, v in zip(top.indices.tolist(), top.values.tolist())],
        "first_logsumexp": float(torch.logsumexp(first.double(), 0)),
        "greedy": out,
        "gaps": [round(gap, 6) for gap in steps],
    }


def language(folder: pathlib.Path, codec: BiCodecTokenizer, wav: pathlib.Path) -> list[dict]:
    tokenizer = Tokenizer.from_file(str(folder / "LLM/tokenizer.json"))
    model = Qwen2ForCausalLM.from_pretrained(folder / "LLM", dtype=torch.float32, attn_implementation="eager").eval()
    found = []
    for name, text in prompts(codec, wav).items():
        ids = tokenizer.encode(text).ids
        found.append({"name": name, "ids": ids, **greedy(model, ids)})
    return found


def volume() -> list[dict]:
    """Every branch of the volume normaliser, on 40 numbers each."""
    x = np.sin(np.arange(40) * 0.7) * np.linspace(0.2, 1.0, 40)
    cases = {"silence": 0.0, "faint": 0.0004, "few": 0.012, "quiet": 0.06, "normal": 0.4, "loud": 1.0}
    found = []
    for name, gain in cases.items():
        wave = np.round(x * gain, 6)
        if name == "few":
            wave[10:] = 0.0
            wave[0] = 0.15
        found.append({"name": name, "input": wave.tolist(), "output": audio_volume_normalize(wave).tolist()})
    # One loud click over a faint wave: the gain is at its limit and the peak has to come down again.
    wave = np.round(np.append(x * 0.02, 0.9), 6)
    found.append({"name": "click", "input": wave.tolist(), "output": audio_volume_normalize(wave).tolist()})
    return found


def resampled() -> dict[str, torch.Tensor]:
    """A tenth of a second at other rates, and at 16 kHz by soxr's best recipe."""
    tensors = {}
    for rate in (8000, 24000, 44100, 48000):
        t = np.arange(rate // 10) / rate
        wave = np.sin(2 * np.pi * (200 * t + 20000 * t**2)) * 0.5 + np.sin(2 * np.pi * 3000 * t) * 0.2
        wave = np.round(wave * 32767) / 32768
        tensors[f"resample.{rate}.input"] = torch.from_numpy(wave.astype(np.float32))
        out = soxr.resample(wave, rate, 16000, quality="VHQ")
        tensors[f"resample.{rate}.output"] = torch.from_numpy(out.astype(np.float32))
    return tensors
