"""Measure the scrubber alone: throughput over what answers are made of, the delay of an event, what one costs to build.

Every figure is a median over one run on this machine; the ratios are what travels: to one search for the raw key, by
`bytes.find`, in the same text.
"""

import base64
import json
import random
import statistics
import time
from collections.abc import Callable

import click
from tabulate import tabulate

from seks_addon.scrub import Known, Scrubber
from tests.samples import KEY, TOKEN

CHUNK = 64 * 1024
KNOWN = Known(KEY, TOKEN)
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": " word"}}]}\n\n'


@click.command()
@click.option("--mebibytes", default=64, show_default=True, help="How much of each kind of text.")
@click.option("--events", default=2000, show_default=True, help="Events, and scrubbers that are built.")
def scrub(mebibytes: int, events: int) -> None:
    """Measure the scrubber: throughput, an event's delay, building."""
    rows = [_throughput(kind, text, mebibytes) for kind, text in _texts().items()]
    headers = ["one key, chunks of 64 KiB", "scrubbed, GB/s", "bytes.find, GB/s", "x bytes.find"]
    click.echo(tabulate(rows, headers, floatfmt=".3f"))
    scrubber = Scrubber([KNOWN])
    if scrubber.feed(EVENT) != EVENT:
        raise click.ClickException("an event is held back")
    delays = [_seconds(lambda: scrubber.feed(EVENT)) for _ in range(events)]
    builds = [_seconds(lambda: Scrubber([KNOWN])) for _ in range(events)]
    click.echo(f"\nAn event of {len(EVENT)} bytes passes at once, after {statistics.median(delays) * 1e6:.1f} µs.")
    click.echo(f"A scrubber for an answer takes {statistics.median(builds) * 1e6:.0f} µs to build.")


def _texts() -> dict[str, bytes]:
    """A chunk of each kind."""
    chance = random.Random(0)
    noise = chance.randbytes(CHUNK)
    words = ["token", "the", "model", "answers", "a", "question", "with", 'a "quote"', "and", "a\nline"]
    choices = [{"index": n, "content": " ".join(chance.choices(words, k=12))} for n in range(CHUNK // 64)]
    texts = {
        "random": noise,
        "JSON": json.dumps({"choices": choices}).encode(),
        "base64": base64.b64encode(noise),
        "hex": noise.hex().encode(),
        # What somebody would choose who wants to keep the proxy busy.
        "escapes": b"".join(b"%%%02x" % byte for byte in KEY.encode()[:20]) * CHUNK,
    }
    return {kind: text[:CHUNK] for kind, text in texts.items()}


def _throughput(kind: str, text: bytes, mebibytes: int) -> tuple[str, float, float, float]:
    scrubber, key = Scrubber([KNOWN]), KEY.encode()
    # In turn: the machine's speed drifts.
    times = [
        (_seconds(lambda: scrubber.feed(text)), _seconds(lambda: text.find(key)))
        for _ in range(max(1, (mebibytes << 20) // len(text)))
    ]
    scrubbed, found = (len(text) / statistics.median(column) / 1e9 for column in zip(*times, strict=True))
    return kind, scrubbed, found, scrubbed / found


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
