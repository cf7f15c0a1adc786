"""Fuzzes one target in a process of its own: `python -m tests.fuzz.worker TARGET SECONDS FOLDER`.

With atheris where it can be had, else with random mutations of the seeds, blind to what they reach. The input that
fails is written to FOLDER; the exit code is 0 where none did.
"""

import contextlib
import hashlib
import importlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.seeds import SEEDS, words

try:
    import atheris
except ImportError:
    atheris = None

_BEGAN = time.monotonic()
#: Bytes of an input; seconds that one may take.
LONGEST, SLOWEST = 2048, 20


def main(name: str, seconds: int, folder: Path) -> None:
    """Ends the process where the fuzzer does."""
    with atheris.instrument_imports(include=["seks_addon"]) if atheris else contextlib.nullcontext():
        target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    # It takes its time to start.
    seconds = max(1, seconds - round(time.monotonic() - _BEGAN))
    if atheris is None:
        sys.exit(_blind(target, SEEDS[name], seconds, folder / f"{name}-crash-"))
    with tempfile.TemporaryDirectory() as scratch:
        corpus, dictionary = Path(scratch) / "corpus", Path(scratch) / "words"
        corpus.mkdir()
        for number, seed in enumerate(SEEDS[name]):
            (corpus / str(number)).write_bytes(seed)
        dictionary.write_text("".join(f'"{word.decode()}"\n' for word in words()))
        options = {
            "max_total_time": seconds,
            "max_len": LONGEST,
            "timeout": SLOWEST,
            "dict": dictionary,
            "artifact_prefix": folder / f"{name}-",
            "verbosity": 0,
            "print_final_stats": 1,
        }
        atheris.Setup([name, *(f"-{key}={value}" for key, value in options.items()), str(corpus)], target)
        atheris.Fuzz()


def _blind(target: Callable[[bytes], None], seeds: list[bytes], seconds: int, prefix: Path) -> int:
    chance, end, runs = random.Random(), time.monotonic() + seconds, 0
    pieces = [word.decode("unicode_escape").encode("latin-1") for word in words()]
    while time.monotonic() < end:
        data = _mutated(chance, chance.choice(seeds), pieces + seeds)[:LONGEST]
        runs += 1
        try:
            target(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            traceback.print_exception(error)
            Path(f"{prefix}{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            return 1
    print(f"stat::number_of_executed_units: {runs} random", file=sys.stderr)
    return 0


def _mutated(chance: random.Random, data: bytes, pieces: list[bytes]) -> bytes:
    for _ in range(chance.randint(1, 4)):
        start, length = chance.randint(0, len(data)), chance.choice((0, 0, 1, 4, 16))
        piece = chance.choice((b"", chance.randbytes(1), chance.choice(pieces)))
        data = data[:start] + piece + data[start + length :]
    return data


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
