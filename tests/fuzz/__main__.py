"""`python -m tests.fuzz [--seconds N] [TARGET [FILE]]`: fuzz all targets or one, or run one again on a file's input."""

import re
import subprocess
import sys
import time
from pathlib import Path

import click

from tests.fuzz.targets import TARGETS

#: Where inputs go that fail; `make clean` removes them.
FOLDER = Path(".fuzz")


@click.command()
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(min=1), help="For all targets together.")
@click.argument("target", required=False, type=click.Choice(list(TARGETS)))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(seconds: int, target: str | None, file: Path | None) -> None:
    """Fuzz all targets in turn, or the one that is named; with FILE, run it once on that input."""
    if target and file:
        TARGETS[target](file.read_bytes())
        return
    names = [target] if target else list(TARGETS)
    end = time.monotonic() + seconds
    failed = [name for left, name in zip(range(len(names), 0, -1), names, strict=True) if not _fuzz(name, end, left)]
    if failed:
        raise click.ClickException(f"inputs in {FOLDER}/ break a rule of: {', '.join(failed)}")


def _fuzz(name: str, end: float, left: int) -> bool:
    """Give one of the `left` targets its share of the time; tell whether nothing was found."""
    FOLDER.mkdir(exist_ok=True)
    share = max(1, round((end - time.monotonic()) / left))
    worker = [sys.executable, "-m", "tests.fuzz.worker", name, str(share), str(FOLDER)]
    before = set(FOLDER.iterdir())
    done = subprocess.run(worker, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode(errors="replace")
    runs = re.search(r"number_of_executed_units: (.*)", said)
    click.echo(
        f"{name}: {runs[1] if runs else 'stopped'}" + (" inputs, none breaks a rule" if not done.returncode else "")
    )
    if done.returncode:
        click.echo("\n".join(line for line in said.splitlines() if not line.startswith(("INFO", "WARNING"))))
        for path in sorted(set(FOLDER.iterdir()) - before):
            click.echo(f"again: python -m tests.fuzz {name} {path}")
    return done.returncode == 0


if __name__ == "__main__":
    main()
