"""Pictures made of numbers, and what Pillow's resizer makes of some of them (tests/fixtures/vision/resize).

    python vision_images.py
"""

import json
import pathlib

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "vision"
# Width and height. Noise shows every tap, ramps show rounding, hard edges overshoot the range of a byte.
SIZES = {
    "noise": ((67, 43), [(28, 28), (70, 50), (84, 28), (67, 30), (50, 43)]),
    "ramps": ((40, 130), [(28, 112), (56, 140), (140, 56), (13, 11), (40, 131)]),
    "edges": ((200, 50), [(196, 56), (84, 28), (28, 84), (201, 49), (3, 2)]),
}


def noise(width: int, height: int, seed: int) -> Image.Image:
    """Every level as likely as any other."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def ramps(width: int, height: int) -> Image.Image:
    """Along x, along y, and across both."""
    y, x = np.mgrid[0:height, 0:width]
    planes = 255 * x / (width - 1), 255 - 255 * y / (height - 1), (3 * x + 2 * y) % 256
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def edges(width: int, height: int) -> Image.Image:
    """Black and white: a chequerboard, stripes that grow thinner, and a disc."""
    y, x = np.mgrid[0:height, 0:width]
    planes = (
        (x // 7 + y // 5) % 2,
        (x * x // 400) % 2,
        (x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 3) ** 2,
    )
    return Image.fromarray((255 * np.stack(planes, -1)).astype(np.uint8))


def photo(width: int, height: int, seed: int, grain: float = 0.15) -> Image.Image:
    """Soft light, some shapes with edges, and grain: statistics somewhat like a photograph's."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    planes = np.zeros((height, width, 3))
    for octave in range(6):
        for plane in range(3):
            a, b, phase = rng.normal(0, 3 * 2**octave, 2).tolist() + [rng.uniform(0, 6.3)]
            planes[..., plane] += np.sin(a * x + b * y + phase) / 1.6**octave
    for _ in range(8):
        cx, cy, radius = rng.uniform(0, 1), rng.uniform(0, height / max(width, height)), rng.uniform(0.03, 0.2)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2 if rng.random() < 0.5 else (
            (abs(x - cx) < radius) & (abs(y - cy) < radius * rng.uniform(0.3, 1))
        )
        planes[inside] = 0.5 * planes[inside] + rng.normal(0, 1.5, 3)
    planes += rng.normal(0, grain, planes.shape)
    return Image.fromarray(np.clip(128 + 50 * planes, 0, 255).astype(np.uint8))


def save(image: Image.Image, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def resized() -> list[dict]:
    """Writes the sources and Pillow's bicubic results."""
    sources = {"noise": noise(67, 43, 1), "ramps": ramps(40, 130), "edges": edges(200, 50)}
    found = []
    for name, (size, targets) in SIZES.items():
        source = sources[name]
        assert source.size == size
        save(source, ROOT / "resize" / f"{name}.png")
        for width, height in targets:
            file = f"{name}-{width}x{height}.png"
            save(source.resize((width, height), Image.Resampling.BICUBIC), ROOT / "resize" / file)
            found.append({"source": f"{name}.png", "result": file, "width": width, "height": height})
    return found


if __name__ == "__main__":
    rows = resized()
    lines = ",\n".join(json.dumps(row) for row in rows)
    (ROOT / "resize" / "cases.json").write_text(f"[\n{lines}\n]\n")
