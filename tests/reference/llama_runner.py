"""A thin hold on llama.cpp (through llama-cpp-python's ctypes layer): logits of given tokens, one sequence."""

import ctypes

import llama_cpp as ll
import numpy as np


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _quiet(_level, _text, _data):
    pass


class Runner:
    """One model and one context: CPU, f16 KV cache (llama.cpp's default), flash attention off."""

    def __init__(self, path, n_ctx=1024, n_threads=2, f32_cache=False):
        ll.llama_log_set(_quiet, None)
        ll.llama_backend_init()
        model_params = ll.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self.model = ll.llama_model_load_from_file(str(path).encode(), model_params)
        assert self.model, f"llama.cpp could not load {path}"
        params = ll.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, n_ctx, n_ctx
        params.n_threads = params.n_threads_batch = n_threads
        params.flash_attn_type = 0
        if f32_cache:
            params.type_k = params.type_v = 0
        self.context = ll.llama_init_from_model(self.model, params)
        assert self.context, "llama.cpp could not make a context"
        self.vocab = ll.llama_model_get_vocab(self.model)
        self.n_vocab = ll.llama_vocab_n_tokens(self.vocab)

    def clear(self):
        ll.llama_memory_clear(ll.llama_get_memory(self.context), True)

    def feed(self, tokens, past, every=False):
        """Runs `tokens` at positions `past ..`; logits of the last one `[vocab]`, or of all `[n, vocab]`, f32."""
        batch = ll.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, past + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = every or i == len(tokens) - 1
        status = ll.llama_decode(self.context, batch)
        assert status == 0, f"llama_decode returned {status}"
        wanted = range(len(tokens)) if every else [len(tokens) - 1]
        got = [np.ctypeslib.as_array(ll.llama_get_logits_ith(self.context, i), (self.n_vocab,)).copy() for i in wanted]
        ll.llama_batch_free(batch)
        return np.stack(got) if every else got[0]

    def tokenize(self, text, special=False):
        """Ids of `text`, nothing added; with `special`, `<|…|>` are read as the tokens they name."""
        data = text.encode()
        out = (ll.llama_token * (len(data) + 8))()
        n = ll.llama_tokenize(self.vocab, data, len(data), out, len(out), False, special)
        assert n >= 0
        return list(out[:n])

    def detokenize(self, ids):
        tokens = (ll.llama_token * len(ids))(*ids)
        out = ctypes.create_string_buffer(64 * len(ids) + 64)
        n = ll.llama_detokenize(self.vocab, tokens, len(ids), out, len(out), False, True)
        assert n >= 0
        return out.raw[:n].decode(errors="replace")

    def template(self):
        text = ll.llama_model_chat_template(self.model, None)
        return text.decode() if text else None

    def ends(self, token):
        return bool(ll.llama_vocab_is_eog(self.vocab, token))

    def close(self):
        ll.llama_free(self.context)
        ll.llama_model_free(self.model)


def log_softmax(logits):
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def greedy(runner, ids, steps):
    """Greedy continuation of `steps` tokens, past any end token, and each step's best two."""
    runner.clear()
    logits, out, top2, first = runner.feed(ids, 0), [], [], None
    for step in range(steps):
        best = np.argsort(logits)[::-1][:2]
        if first is None:
            first = float(log_softmax(logits)[best[0]])
        out.append(int(best[0]))
        top2.append([{"token": int(t), "logit": float(logits[t])} for t in best])
        if step + 1 < steps:
            logits = runner.feed(out[-1:], len(ids) + step)
    return {"ids": out, "top2": top2, "first_logprob": first}


def nll_mean(runner, ids):
    """Mean negative log-likelihood of `ids` in one context, the first one unscored."""
    runner.clear()
    logits = runner.feed(ids, 0, every=True)
    return float(-np.mean([log_softmax(logits[i])[ids[i + 1]] for i in range(len(ids) - 1)]))
