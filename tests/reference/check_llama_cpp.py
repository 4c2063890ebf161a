"""How far llama.cpp's quantised arithmetic lies from f32 over the same, dequantised weights (transformers).

    python check_llama_cpp.py NAME FILE.gguf      (needs `accelerate` as well)
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

GOLDENS = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "llama_cpp"


def main():
    name, file = sys.argv[1], pathlib.Path(sys.argv[2])
    golden = json.loads((GOLDENS / f"{name}.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    for prompt in golden["prompts"]:
        ids, out = prompt["ids"], prompt["output"]
        with torch.no_grad():
            logits = model(torch.tensor([ids + out["ids"][:-1]])).logits[0, len(ids) - 1 :]
        gaps = [a["logit"] - b["logit"] for a, b in out["top2"]]
        best = logits.argmax(-1).tolist()
        parted = [(i, round(gaps[i], 3)) for i, (a, b) in enumerate(zip(best, out["ids"])) if a != b]
        first = float(torch.log_softmax(logits[0], -1)[out["ids"][0]])
        print(f"{prompt['name']}: first logprob {first:.3f} against {out['first_logprob']:.3f}; other choices (step, gap): {parted}")
    for text in golden["texts"]:
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([text["ids"]])).logits[0], -1)
        mean = -float(logprobs[:-1].gather(1, torch.tensor(text["ids"][1:])[:, None]).double().mean())
        print(f"{text['file']}: nll {mean:.4f} against {text['nll_mean']:.4f} ({100 * (mean / text['nll_mean'] - 1):+.2f} %)")


if __name__ == "__main__":
    main()
