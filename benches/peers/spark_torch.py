"""PyTorch with spark-tts-lib's BiCodec and transformers' wav2vec2 as a peer of speech synthesis.

    python spark_torch.py FOLDER [--dtypes f32 bf16] [--threads 2] [--rounds 3]

FOLDER is a Spark-TTS folder; one with seeded weights (tests/reference/spark_tts.py --real) is as fast as the published one.
Prints a JSON line for each measure: the median of the rounds behind a warm-up, and how many seconds of audio it makes
or reads in a second.
"""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "reference"))
import spark_shims

spark_shims.install()

from spark_tts_lib.models.bicodec import BiCodec
from torch.nn.utils import parametrize
from transformers import Wav2Vec2Model

from protocol import answer, peak_memory

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
RATE, HOP = 16000, 320
WARM = 3  # calls: TorchScript (the snakes) compiles in the first two
LAYERS_NEEDED = 16  # the features are a mean of the states 11, 14 and 16


def seconds(act: Callable[[], object], rounds: int) -> list[float]:
    for _ in range(WARM):
        act()
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        took.append(time.perf_counter() - start)
    return took


def measure(name: str, audio: float, rounds: int, act: Callable[[], object], **about: object) -> None:
    try:
        took = seconds(act, rounds)
    except RuntimeError as error:
        answer(test=name, **about, error=str(error).splitlines()[0])
        return
    middle = statistics.median(took)
    answer(test=name, **about, audio=audio, seconds=round(middle, 4), rounds=[round(t, 4) for t in took],
           realtime=round(audio / middle, 2))


def fold(codec: BiCodec) -> None:
    """Weight norm into plain weights, which spark-tts-lib's own remove_weight_norm fails to do: it computes every weight
    of the wave generator again in each call."""
    for module in codec.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


def speech(codec: BiCodec, frames: int, rounds: int, about: dict) -> None:
    semantic = torch.randint(codec.quantizer.codebook_size, (1, frames))
    voice = torch.randint(4096, (1, 1, 32))
    measure(f"detokenise {frames}", frames * HOP / RATE, rounds, lambda: codec.detokenize(semantic, voice), **about)


def reference(codec: BiCodec, wav2vec2: Wav2Vec2Model, length: int, rounds: int, about: dict) -> None:
    """What cloning does first. The reference runs all layers of wav2vec2 though it reads none behind the 16th."""
    dtype = wav2vec2.dtype
    wave, clip = torch.randn(1, length * RATE).to(dtype), torch.randn(1, length * RATE) * 0.1
    layers = wav2vec2.encoder.layers
    for kept in (len(layers), LAYERS_NEEDED):
        wav2vec2.encoder.layers = layers[:kept]
        measure(f"wav2vec2 {kept} layers", length, rounds, lambda: wav2vec2(wave), **about)
    wav2vec2.encoder.layers = layers
    hidden = wav2vec2(wave, output_hidden_states=True).hidden_states
    features = ((hidden[11] + hidden[14] + hidden[16]) / 3).transpose(1, 2)
    measure("semantic tokens", length, rounds, lambda: codec.quantizer.tokenize(codec.encoder(features)), **about)
    mel = codec.mel_transformer.float()(clip).to(dtype).transpose(1, 2)
    measure("mel", length, rounds, lambda: codec.mel_transformer(clip), **about)
    measure("global tokens", length, rounds, lambda: codec.speaker_encoder.tokenize(mel), **about)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--dtypes", nargs="*", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.dtypes:
        about = {"dtype": name, "threads": args.threads, "torch": torch.__version__}
        codec = BiCodec.load_from_checkpoint(args.folder / "BiCodec").to(DTYPES[name])
        for weights in ("normed", "folded"):
            if weights == "folded":
                fold(codec)
            for frames in (100, 250):
                speech(codec, frames, args.rounds, about | {"weights": weights})
        wav2vec2 = Wav2Vec2Model.from_pretrained(args.folder / "wav2vec2-large-xlsr-53", dtype=DTYPES[name]).eval()
        reference(codec, wav2vec2, 6, args.rounds, about)
        answer(dtype=name, peak_memory=peak_memory())


if __name__ == "__main__":
    main()
