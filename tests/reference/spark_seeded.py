"""Weights that any program can make again: src/weights/seeded.rs in numpy, and the files they go into.

A checkpoint is a list of [name, shape, mean, deviation]. Number i of a tensor depends on its name and i alone.
"""

import hashlib
import json
import pathlib
import zipfile
from collections.abc import Iterable, Iterator

import numpy as np
import torch

Tensor = tuple[str, list[int], float, float]
CHUNK = 1 << 20
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key(name: str) -> int:
    """FNV-1a."""
    hashed = 0xCBF29CE484222325
    for byte in name.encode():
        hashed = (hashed ^ byte) * 0x100000001B3 % 2**64
    return hashed


def chunks(name: str, count: int, mean: float, deviation: float) -> Iterator[np.ndarray]:
    """The numbers of one tensor in order; every step rounds to f32, as in Rust."""
    mean, deviation, root = np.float32(mean), np.float32(deviation), np.sqrt(np.float32(3.0))
    scale = deviation * root / np.float32(65536.0)
    offset = mean - deviation * root * np.float32(2.0)
    first, low = np.uint64(key(name)), np.uint64(0xFFFF)
    for start in range(0, count, CHUNK):
        z = np.arange(start, min(start + CHUNK, count), dtype=np.uint64)
        z += first
        z *= GOLDEN
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        total = z & low
        for shift in (16, 32, 48):
            total += (z >> np.uint64(shift)) & low
        yield total.astype(np.float32) * scale + offset


def values(tensor: Tensor) -> np.ndarray:
    name, shape, mean, deviation = tensor
    count = int(np.prod(shape, dtype=np.int64))
    return np.concatenate(list(chunks(name, count, mean, deviation))).reshape(shape)


def digest(tensors: Iterable[Tensor]) -> str:
    hashed = hashlib.sha256()
    for name, shape, mean, deviation in tensors:
        for part in chunks(name, int(np.prod(shape, dtype=np.int64)), mean, deviation):
            hashed.update(part.tobytes())
    return hashed.hexdigest()


def write_safetensors(path: pathlib.Path, tensors: Iterable[Tensor]) -> None:
    """In the order given, chunk by chunk; the header is padded to 8 bytes, without metadata."""
    tensors, header, end = list(tensors), {}, 0
    for name, shape, _, _ in tensors:
        start, end = end, end + 4 * int(np.prod(shape, dtype=np.int64))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    index = json.dumps(header, separators=(",", ":")).encode()
    index += b" " * (-len(index) % 8)
    with open(path, "wb") as file:
        file.write(len(index).to_bytes(8, "little") + index)
        for name, shape, mean, deviation in tensors:
            for part in chunks(name, int(np.prod(shape, dtype=np.int64)), mean, deviation):
                file.write(part.tobytes())


def write_torch(path: pathlib.Path, tensors: Iterable[Tensor]) -> None:
    """What `torch.save` makes of a state dict: storage N is tensor N of the list."""
    torch.save({tensor[0]: torch.from_numpy(values(tensor)) for tensor in tensors}, path)


def pickle_of(path: pathlib.Path) -> bytes:
    """The data.pkl of a file of `torch.save`. It knows names, shapes and storages but none of the numbers, so that a
    program without a pickler can write the file: this, and every storage's bytes as archive/data/N."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
