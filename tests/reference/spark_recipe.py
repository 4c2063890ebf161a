"""Which tensors a Spark-TTS folder holds, and how far each spreads: nothing is left at its default, nothing dies out.

Names and shapes come from the models themselves, built on torch's meta device.
"""

import json
import math
import pathlib
import re

import torch
import yaml
from transformers import Qwen2Config, Qwen2ForCausalLM, Wav2Vec2Config, Wav2Vec2ForPreTraining

import spark_configs
import spark_seeded
from spark_seeded import Tensor

LLM, BICODEC, WAV2VEC2 = "LLM/model.safetensors", "BiCodec/model.safetensors", "wav2vec2-large-xlsr-53/pytorch_model.bin"


def legacy(name: str) -> str:
    """Weight norm as checkpoints spell it."""
    return name.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


def shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    return {legacy(name): list(tensor.shape) for name, tensor in model.state_dict().items()}


def bicodec(config: dict) -> torch.nn.Module:
    """For its names and shapes alone."""
    from spark_tts_lib.models.bicodec import BiCodec
    from spark_tts_lib.modules.encoder_decoder.feat_decoder import Decoder
    from spark_tts_lib.modules.encoder_decoder.feat_encoder import Encoder
    from spark_tts_lib.modules.encoder_decoder.wave_generator import WaveGenerator
    from spark_tts_lib.modules.speaker.speaker_encoder import SpeakerEncoder
    from spark_tts_lib.modules.vq.factorized_vector_quantize import FactorizedVectorQuantize

    classes = dict(
        encoder=Encoder, decoder=WaveGenerator, quantizer=FactorizedVectorQuantize, speaker_encoder=SpeakerEncoder,
        prenet=Decoder, postnet=Decoder,
    )
    # FSQ counts its codes when it is built, which the meta device cannot.
    devices = {name: "cpu" if name == "speaker_encoder" else "meta" for name in classes}
    parts = {}
    for name, part in classes.items():
        with torch.device(devices[name]):
            parts[name] = part(**config[name])
    return BiCodec(mel_params=config["mel_params"], **parts)


def fan_in(shape: list[int]) -> int:
    return math.prod(shape[1:])


def spread_llm(name: str, shape: list[int]) -> tuple[float, float]:
    if "norm" in name:
        return 1.0, 0.1
    if name.endswith("bias"):
        return 0.0, 0.3
    if "embed_tokens" in name:
        return 0.0, 3.0 / shape[1] ** 0.5
    # The residual stream has to forget the embedding, or each token would repeat itself through the tied head.
    gains = {"o_proj": 4.0, "down_proj": 4.0, "q_proj": 1.5, "k_proj": 1.5}
    gain = next((gain for part, gain in gains.items() if part in name), 1.0)
    return 0.0, gain / fan_in(shape) ** 0.5


def spread_wav2vec2(name: str, shape: list[int]) -> tuple[float, float]:
    if "layer_norm" in name:
        return (1.0, 0.1) if name.endswith("weight") else (0.0, 0.1)
    if name.endswith("weight_g"):  # one gain for each tap; the output is a sum over taps
        return 0.5, 0.05
    if name.endswith("weight_v"):
        return 0.0, 0.5
    if name.endswith("bias"):
        return 0.0, 0.05
    if len(shape) < 2:
        return 0.0, 0.5
    # Sharp attention and little of it: what all frames have in common would drown what tells them apart.
    gains = {"conv_layers": 1.4, "q_proj": 2.0, "k_proj": 2.0, "out_proj": 0.5, "intermediate": 1.5}
    gain = next((gain for part, gain in gains.items() if part in name), 1.0)
    return 0.0, gain / fan_in(shape) ** 0.5


# weight_g of the wave generator and the quantizer, by what the name ends with. A transposed convolution's output is a
# sum over all inputs but only kernel/stride taps, a snake adds a quarter of a unit and more: hence the small gains.
GAINS = (
    (r"quantizer\.in_project", 1.0),
    (r"quantizer\.out_project", 1.0),
    (r"decoder\.model\.0", 0.7),
    (r"decoder\.model\.[1-4]\.block\.1", 1.0),
    (r"decoder\.model\.\d\.block\.\d\.block\.1", 0.6),
    (r"decoder\.model\.\d\.block\.\d\.block\.3", 0.4),
    (r"decoder\.model\.6", 0.3),
)


def spread_bicodec(name: str, shape: list[int]) -> tuple[float, float]:
    stem, kind = name.rsplit(".", 1)
    norm = re.search(r"(norm|bns\.\d+|\bbn)$", stem) is not None
    if kind in ("num_batches_tracked", "cluster_size"):
        return 0.0, 0.0
    if kind == "running_mean":
        return 0.4, 0.05
    if kind == "running_var":
        return 0.4, 0.05
    if kind == "gamma":
        return (1.0, 0.1) if stem.endswith("norm") else (0.4, 0.1)
    if kind == "alpha":
        return 1.0, 0.14
    if kind == "latents":
        return 0.0, 1.0
    if kind == "weight_g":
        gain = next(g for pattern, g in GAINS if re.match(pattern + "$", stem))
        return gain, 0.1 * gain
    if kind == "weight_v":
        return 0.0, 0.5
    if norm and kind == "weight":
        return 1.0, 0.1
    if stem.endswith("norm.scale"):  # AdaLN multiplies by this itself, not by one more
        return (1.0, 0.1) if kind == "bias" else (0.0, 0.5 / fan_in(shape) ** 0.5)
    if stem.endswith("norm.shift"):
        return (0.0, 0.1) if kind == "bias" else (0.0, 0.5 / fan_in(shape) ** 0.5)
    if kind == "bias":
        return 0.0, 0.02 if stem.startswith("decoder.") else 0.1
    if stem == "quantizer.codebook":
        return 0.0, 1.0
    gain = 1.0
    if stem.endswith("layer1.conv"):  # magnitudes of a mel spectrogram lie far below 1
        gain = 8.0
    elif ".convs." in stem:
        gain = 0.7
    elif stem.endswith("quantizer.project_in"):
        gain = 1.2
    return 0.0, gain / fan_in(shape) ** 0.5


def tensors(found: dict[str, list[int]], spread) -> list[Tensor]:
    """Deviations are rounded: the recipe is read as decimals."""
    return [(name, shape, *(float(f"{x:.6g}") for x in spread(name, shape))) for name, shape in found.items()]


def checkpoints(files: dict[str, str]) -> dict[str, list[Tensor]]:
    """The tensors of each checkpoint, in the order of their file, for these configurations."""
    config = yaml.safe_load(files["BiCodec/config.yaml"])["audio_tokenizer"]
    with torch.device("meta"):
        llm = shapes(Qwen2ForCausalLM(Qwen2Config(**json.loads(files["LLM/config.json"]))))
        wav2vec2 = shapes(Wav2Vec2ForPreTraining(Wav2Vec2Config(**json.loads(files["wav2vec2-large-xlsr-53/config.json"]))))
    codec = {name: shape for name, shape in shapes(bicodec(config)).items() if not name.startswith("mel_transformer.")}
    del llm["lm_head.weight"]  # tied
    return {
        LLM: tensors(dict(sorted(llm.items())), spread_llm),
        BICODEC: tensors(dict(sorted(codec.items())), spread_bicodec),
        WAV2VEC2: tensors(wav2vec2, spread_wav2vec2),
    }


def write(folder: pathlib.Path, files: dict[str, str], found: dict[str, list[Tensor]]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path, rows in found.items():
        save = spark_seeded.write_torch if path.endswith(".bin") else spark_seeded.write_safetensors
        save(folder / path, rows)
