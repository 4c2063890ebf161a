"""Runs every GGUF twin through llama.cpp and compares with the twin's golden: an independent reader accepts the file and
computes the same. Prints one line a twin; fails when greedy ids part where the golden's gap is clear."""

import json
import sys

import numpy as np

from llama_runner import Runner, greedy
from make_models import ROOT

# llama.cpp rounds activations to 8 bits against quantised weights and holds f16 sums against f16 ones.
CLEAR = {"f32": 0.02, "f16": 0.05, "q8_0": 0.3, "q5_1": 0.3, "q4_0": 0.3}


def main():
    bad = 0
    for path in sorted((ROOT / "gguf").glob("*.json")):
        golden = json.loads(path.read_text())
        runner = Runner(ROOT / "gguf" / golden["file"], n_ctx=256, f32_cache=golden["stored_dtype"] == "f32")
        worst, same, steps, parted = 0.0, 0, 0, []
        for prompt in golden["prompts"]:
            runner.clear()
            worst = max(worst, float(np.abs(runner.feed(prompt["ids"], 0) - np.array(prompt["logits"])).max()))
            want = prompt["greedy"]["ids"]
            got = greedy(runner, prompt["ids"], len(want))["ids"]
            first = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), len(want))
            same, steps = same + first, steps + len(want)
            if first < len(want):
                gap = prompt["greedy"]["gaps"][first]
                parted.append(f"{prompt['name']} at step {first}, gap {gap:.3f}")
                bad += gap > CLEAR[golden["stored_dtype"]]
        spread = float(np.std(golden["prompts"][0]["logits"]))
        print(f"{path.stem}: greedy {same}/{steps} equal, logits differ by {worst:.2e} (spread {spread:.2f})", *parted, sep="; ")
        runner.close()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
