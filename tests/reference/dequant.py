"""Writes tests/fixtures/dequant.gguf: random blocks of every GGUF type that crane computes with, each
beside its numbers as the `gguf` package dequantises them.

Run again with:  pip install gguf numpy && python tests/reference/dequant.py
The output is the same byte for byte with the same versions (made with gguf 0.19, numpy 2).
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES, GGUFWriter
from gguf.quants import dequantize

ROWS, WIDTH = 3, 512

# Where the half-precision scales are within a block (bytes), by type: random bytes there would be NaNs.
SCALES = {
    T.Q4_0: [0],
    T.Q4_1: [0, 2],
    T.Q5_0: [0],
    T.Q5_1: [0, 2],
    T.Q8_0: [0],
    T.Q2_K: [80, 82],
    T.Q3_K: [108],
    T.Q4_K: [0, 2],
    T.Q5_K: [0, 2],
    T.Q6_K: [208],
}


def blocks(rng, kind):
    """ROWS rows of WIDTH numbers as random blocks of `kind`, uint8."""
    block, size = GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (ROWS * WIDTH // block, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = rng.normal(0, 0.02, len(data)).astype(np.float16)
        # A zero, a negative zero and a subnormal scale occur in real files.
        scale[:3] = np.array([0.0, -0.0, 3e-7], dtype=np.float16)
        data[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return data.reshape(ROWS, -1)


def main():
    rng = np.random.default_rng(20240607)
    out = Path(__file__).parents[1] / "fixtures" / "dequant.gguf"
    writer = GGUFWriter(out, "crane-test")
    for kind in SCALES:
        raw = blocks(rng, kind)
        writer.add_tensor(f"{kind.name}.weight", raw, raw_dtype=kind)
        writer.add_tensor(f"{kind.name}.expected", dequantize(raw, kind))
    floats = rng.normal(0, 1, (ROWS, WIDTH)).astype(np.float32)
    writer.add_tensor("F16.weight", floats.astype(np.float16))
    writer.add_tensor("F16.expected", floats.astype(np.float16).astype(np.float32))
    bf16 = (floats.view(np.uint32) >> 16).astype(np.uint16)
    writer.add_tensor("BF16.weight", bf16.view(np.uint8), raw_dtype=T.BF16)
    writer.add_tensor("BF16.expected", (bf16.astype(np.uint32) << 16).view(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
