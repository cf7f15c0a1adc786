"""Measure the vault: finding a token among many, how soon a revocation holds, and what a large vault costs.

Every figure is a median over one run on this machine; the ratios are what travels. Keys are fake.
"""

import contextlib
import multiprocessing
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
from tabulate import tabulate

from seks_addon.binding import Binding, Endpoint
from seks_addon.home import Home
from seks_addon.secret import Secret
from seks_addon.vault import DEFAULT, StoredSecret, Vault, rotation
from seks_addon.vault.backup import backup
from seks_addon.vault.check import check
from seks_addon.vault.keysource import KeyFile
from tests.support.proxy import ROOT, Proxy
from tests.support.raw import bearer
from tests.support.site import Site
from tests.support.upstream import Upstream

HOST = "api.openai.com"
BINDING = Binding((Endpoint.parse("api.example.com", ["bearer"]),))


@click.command()
@click.option("--tokens", default="10,10000,100000", show_default=True, help="Sizes of vaults, in tokens.")
@click.option("--lookups", default=2000, show_default=True, help="Tokens that are looked up in each.")
@click.option("--revocations", default=5, show_default=True, help="Tokens that are revoked while they are used.")
@click.option("--secrets", default=10_000, show_default=True, help="Size of a vault, in secrets.")
def vault(tokens: str, lookups: int, revocations: int, secrets: int) -> None:
    """Measure the vault: lookups, revocation, size."""
    # First, as a process begins with the peak of the one that started it.
    _size(secrets)
    _lookups([int(size) for size in tokens.split(",")], lookups)
    _revocations(revocations)


# Finding a token.


def _lookups(sizes: list[int], count: int) -> None:
    with contextlib.ExitStack() as stack:
        vaults = [stack.enter_context(_new_vault()) for _ in sizes]
        chosen = [random.Random(0).choices(_fill(made, n), k=count) for made, n in zip(vaults, sizes, strict=True)]
        # In turn: the machine's speed drifts.
        times = [[_lookup(*pair) for pair in zip(vaults, texts, strict=True)] for texts in zip(*chosen, strict=True)]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    rows = [(f"{size:,}", median * 1e6, median / medians[0]) for size, median in zip(sizes, medians, strict=True)]
    click.echo("\n" + tabulate(rows, ["tokens", "refresh, resolve and reveal, µs", "x first"], floatfmt=".2f"))


def _fill(made: Vault, size: int) -> list[str]:
    """Add tokens, a hundred to each secret, in one change."""
    texts = []
    with made.change():
        client = made.clients.add(DEFAULT)
        agent, _ = made.agents.add(client, DEFAULT)
        secret: StoredSecret | None = None
        for number in range(size):
            if secret is None or number % 100 == 0:
                secret = made.secrets.add(client, f"s{number}", _value(number), BINDING)
            texts.append(made.tokens.issue(secret, agent)[1])
    return texts


def _lookup(made: Vault, text: str) -> float:
    """Seconds that a request's token takes, from its text to the credential."""
    began = time.perf_counter()
    made.refresh()
    grant = made.tokens.resolve(text)
    assert grant is not None
    made.secrets.reveal(grant.secret_id, grant.client_id)
    return time.perf_counter() - began


# Revoking one.


@dataclass
class Agent:
    """Sends one request after the other until it is told to stop; remembers when each began, and its status."""

    proxy: Proxy
    token: str
    requests: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with self.proxy.tunnel(HOST) as wire:
            while not self._stop.is_set():
                began = time.monotonic()
                answer = wire.request("GET", "/v1/models", bearer(self.token), host=HOST)
                self.requests.append((began, answer.status))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            while not self.requests:
                time.sleep(0.01)
            yield
            seen = len(self.requests)
            while len(self.requests) < seen + 50 and thread.is_alive():
                time.sleep(0.01)
        finally:
            self._stop.set()
            thread.join()

    def succeeded(self, since: float, until: float = float("inf")) -> int:
        """How many requests that began in that time were answered."""
        return sum(status == 200 for began, status in self.requests if since <= began < until)

    def refused(self, since: float) -> int:
        """How many requests that began since then were refused."""
        return sum(status == 401 for began, status in self.requests if began >= since)


def _revocations(rounds: int) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name, Upstream(HOST) as upstream:
        folder = Path(name)
        site = Site(folder / "home")
        site.secret("openai")
        options = [*upstream.connect_to(), "--upstream-ca", str(upstream.write_ca(folder / "ca.pem"))]
        with Proxy(site, *options, "--workers", "2", "--log-level", "warning") as proxy:
            for _ in range(rounds):
                agent = Agent(proxy, site.token("openai"))
                with agent.at_work():
                    began = time.monotonic()
                    _seks(site.home, "token", "revoke", site.token_id(agent.token))
                    ended = time.monotonic()
                rows.append(
                    (ended - began, agent.succeeded(began, ended), agent.succeeded(ended), agent.refused(ended))
                )
    after = sum(row[2] for row in rows)
    headers = ["revocations", "the command took, s", "answered meanwhile", "answered after it", "refused after it"]
    seconds, meanwhile = (statistics.median(row[column] for row in rows) for column in (0, 1))
    refused = sum(row[3] for row in rows)
    click.echo("\n" + tabulate([(rounds, seconds, int(meanwhile), after, refused)], headers, floatfmt=".2f"))
    if after:
        raise click.ClickException("a revoked token was taken")


def _seks(home: Home, *words: str) -> None:
    path = os.pathsep.join((str(ROOT), str(ROOT / "cli")))
    command = [sys.executable, "-m", "seks_cli.main", "--home", str(home.root), *words]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": path})


# A large vault.


def _size(secrets: int) -> None:
    # A process of its own: its peak of memory is that of this alone.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rows = pool.apply(_sized, (secrets,))
    headers = [f"{secrets:,} secrets", "s", "µs a secret", "peak memory so far, MiB"]
    click.echo(tabulate(rows, headers, floatfmt=".1f"))


def _sized(secrets: int) -> list[tuple[str, float, float, float]]:
    rows = []
    few = max(1, secrets // 10)

    def measure(what: str, act: Callable[[], object], count: int = secrets) -> None:
        began = time.perf_counter()
        act()
        seconds = time.perf_counter() - began
        # Linux gives KiB, macOS bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        rows.append((what, seconds, seconds / count * 1e6, peak / 2**20))

    with _new_vault() as made:
        client = made.clients.add(DEFAULT)

        def add(prefix: str, numbers: range) -> None:
            for number in numbers:
                made.secrets.add(client, f"{prefix}{number}", _value(number), BINDING)

        def add_all() -> None:
            with made.change():
                add("s", range(secrets))

        def add_each() -> None:
            add("t", range(few))

        measure("nothing yet", lambda: None)
        measure("add, in one change", add_all)
        measure("rekey", lambda: rotation.rekey(made, KeyFile(made.home.master_key, replaces=True)))
        measure("reencrypt", lambda: rotation.reencrypt(made, lambda *_: None))
        measure("backup", lambda: backup(made, made.home.root / "copy", lambda *_: None))
        measure("check", lambda: check(made, lambda *_: None))
        measure(f"add {few:,} more, a change each", add_each, few)
    return rows


def _value(number: int) -> Secret:
    return Secret(f"sk-FAKE-not-a-real-key-{number:016}")


@contextlib.contextmanager
def _new_vault() -> Iterator[Vault]:
    with tempfile.TemporaryDirectory() as name:
        home = Home(Path(name) / "home")
        home.create()
        with Vault.create(home) as made:
            yield made
