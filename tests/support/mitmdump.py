"""The same add-on in a stock mitmproxy: `mitmdump -s FILE`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.proxy import ROOT, Proxy, wait_for
from tests.support.site import Site

LISTENING = re.compile(r"HTTP\(S\) proxy listening at (127\.0\.0\.1:\d+)")


class Mitmdump(Proxy):
    """`mitmdump`, with the options of `seks-proxy run`, and more of its own."""

    def __init__(
        self,
        site: Site,
        *options: str,
        more: Sequence[str] = (),
        module: str | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        """`module` is what to run instead of the program, with the same arguments."""
        super().__init__(site)
        command = [sys.executable, "-m", "seks_addon"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        program = [str(Path(sys.executable).with_name("mitmdump"))]
        home = ["--set", f"seks_home={site.home.root}", "--set", f"confdir={site.home.root.parent / 'mitmproxy'}"]
        listen = ["--listen-host", "127.0.0.1", "--listen-port", "0"]
        script = ["-s", shown.stdout.strip()]
        called = [sys.executable, "-m", module, "mitmdump"] if module else program
        self._command = [*called, *script, *listen, *home, *settings(options), *more]
        self._env = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}

    def start(self) -> None:
        """Start it and wait for the line that says where it listens, and for the add-on, which comes a little later."""
        runs = self.site.home.run
        before = set(runs.glob("*"))
        self.launch()
        wait_for(lambda: (LISTENING.search(self.log) and set(runs.glob("*")) - before) or self.pid is None)
        found = LISTENING.search(self.log)
        assert found, self.log
        self.ready = {"listen": found[1]}

    def launch(self) -> None:
        """Start it."""
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(self._command, env=self._env, cwd=ROOT, stdout=output, stderr=output)


def settings(options: Sequence[str]) -> Iterator[str]:
    """The options of `seks-proxy run` that have a value, as mitmproxy's."""
    for name, value in zip(options[::2], options[1::2], strict=True):
        yield from ("--set", f"seks_{name.removeprefix('--').replace('-', '_')}={value}")
