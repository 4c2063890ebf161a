"""What a checkpoint computes, by transformers in f32, as JSON."""

import json

import numpy as np
import torch

PROMPTS = {
    "one": "a",
    "seven": "The river runs",
    "long": "In the morning the light is cold and clear, and the boats lie still on the water. "
    "There are 12 boats, 7 nets and 1 dog. fn main() { let total = 0; }",
}
CHAT = [{"role": "system", "content": "You mend nets."}, {"role": "user", "content": "Will it rain today?"}]
STEPS = 24
PENALTY = 1.3


def floats(values):
    """Numbers that read back as the same f32."""
    return [float(str(np.float32(v))) for v in np.asarray(values).reshape(-1)]


def rows(matrix):
    return [floats(row) for row in matrix]


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def greedy(model, ids, penalty=1.0, eos=None, steps=STEPS):
    """Greedy continuation by `generate`; gaps are those of the scores that were compared (after the penalty)."""
    batch = torch.tensor([ids])
    out = model.generate(
        batch, attention_mask=torch.ones_like(batch), max_new_tokens=steps, do_sample=False,
        temperature=None, top_p=None, top_k=None, repetition_penalty=penalty, eos_token_id=eos, pad_token_id=0,
        return_dict_in_generate=True, output_scores=True,
    )
    best = [torch.topk(s[0], 2).values for s in out.scores]
    return {"ids": out.sequences[0, len(ids):].tolist(), "gaps": floats([float(b[0] - b[1]) for b in best])}


def encode(tok):
    """The ids of every prompt: one token, seven, about seventy, and a chat."""
    prompts = {name: tok(text).input_ids for name, text in PROMPTS.items()}
    prompts["one"] = prompts["one"][-1:]
    prompts["seven"] = (prompts["seven"] + prompts["long"])[:7]
    prompts["long"] = prompts["long"][:70]
    prompts["chat"] = tok.apply_chat_template(CHAT, add_generation_prompt=True)
    return prompts


def clear(model, tok, least_gap):
    """Whether every greedy step's best two logits lie at least `least_gap` apart and the text is not one token
    over and over. Gives up at the first step that fails: this is the search for a seed."""
    prompts = encode(tok)
    for penalty in (PENALTY, 1.0):
        for ids in prompts.values():
            seen, cache, feed = list(ids), None, ids
            for _ in range(STEPS):
                with torch.no_grad():
                    out = model(torch.tensor([feed]), past_key_values=cache, use_cache=True)
                cache, scores = out.past_key_values, out.logits[0, -1]
                if penalty != 1.0:
                    used = torch.tensor(sorted(set(seen)))
                    part = scores[used]
                    scores[used] = torch.where(part < 0, part * penalty, part / penalty)
                best = torch.topk(scores, 2)
                if best.values[0] - best.values[1] < least_gap:
                    return False
                feed = [int(best.indices[0])]
                seen += feed
            if len(set(seen[len(ids):])) < (12 if penalty != 1.0 else 3):
                return False
    return True


def collect(model, tok, hidden_states=False, short=False):
    """The goldens of one checkpoint; `short` leaves out all but the last logits and plain greedy."""
    # `generate` takes what it is not told from here: nothing of the checkpoint's own sampling may leak in.
    model.generation_config = type(model.generation_config)(eos_token_id=None, pad_token_id=0)
    chat = tok.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    prompts = encode(tok)
    found, least = [], float("inf")
    for name, ids in prompts.items():
        logits = logits_of(model, ids)
        top = torch.topk(torch.log_softmax(torch.tensor(logits[-1]), -1), 5)
        entry = {
            "name": name,
            "ids": ids,
            "logits": floats(logits[-1]),
            "logprobs_top5": [{"token": i, "logprob": p} for i, p in zip(top.indices.tolist(), floats(top.values))],
            "greedy": greedy(model, ids),
        }
        least = min(least, *entry["greedy"]["gaps"])
        if not short:
            entry["greedy_repetition_penalty"] = {"penalty": PENALTY, **greedy(model, ids, PENALTY)}
            least = min(least, *entry["greedy_repetition_penalty"]["gaps"])
        if name == "seven" and not short:
            entry["logits_all"] = rows(logits)
        if name == "chat":
            entry["messages"] = CHAT
            entry["rendered"] = chat
            entry["text"] = tok.decode(entry["greedy"]["ids"], skip_special_tokens=True)
        found.append(entry)
    ids = prompts["long"]
    losses = -torch.log_softmax(torch.tensor(logits_of(model, ids)), -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])
    out = {
        "least_gap": least,
        "prompts": found,
        "score": {"ids": ids, "scored_tokens": len(ids) - 1, "nll_mean": float(losses.double().mean())},
    }
    if not short:
        # Stops at the first of two ids that turn up in the middle of the penalised continuation.
        penalised = found[list(prompts).index("long")]["greedy_repetition_penalty"]["ids"]
        eos = [penalised[9], penalised[6]]
        out["greedy_eos"] = {"prompt": "long", "penalty": PENALTY, "eos_token_ids": eos, **greedy(model, ids, PENALTY, eos)}
    if hidden_states:
        out["hidden_states"] = states(model, prompts["seven"])
    return out


def states(model, ids):
    """The residual stream after the embedding and after each layer, and the final norm's output."""
    layers = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, o: layers.append((o[0] if isinstance(o, tuple) else o)[0]))
        for layer in model.model.layers
    ]
    with torch.no_grad():
        final = model.model(torch.tensor([ids])).last_hidden_state[0]
        embedding = model.model.embed_tokens(torch.tensor(ids))
    for hook in hooks:
        hook.remove()
    return {
        "prompt": "seven",
        "embedding": rows(embedding),
        "layers": [rows(layer.reshape(len(ids), -1)) for layer in layers],
        "final_norm": rows(final),
    }


def write(path, data):
    """One key a line at the top two levels: diffs stay readable, files small."""
    lines = []
    for key, value in data.items():
        if key == "prompts":
            inner = ",\n".join("  " + json.dumps(p, separators=(",", ":")) for p in value)
            lines.append(f'"prompts":[\n{inner}\n]')
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
