"""What the documentation points at exists: tests, files, headings."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from seks_addon import addon
from tests.support.proxy import ROOT

THREATS = ROOT / "docs/threat-model.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("certs/*.md")])
_CITED = re.compile(r"`(tests/[^`:]+\.py)::([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s:]*)\)")
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def cited() -> set[tuple[str, str]]:
    """File, and test or case, of each test that the threat model names."""
    return set(_CITED.findall(THREATS.read_text()))


@pytest.mark.slow
def test_cited_tests_exist() -> None:
    """Each test of the threat model is one that pytest finds."""
    files = sorted({file for file, _ in cited()})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-m",
        "slow or not slow",
        "-q",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: set[tuple[str, str]] = set()
    for line in done.stdout.splitlines():
        file, separator, name = line.partition("::")
        if separator:
            test, _, case = name.removesuffix("]").partition("[")
            # A case runs on each of the proxies.
            found |= {(file, test), (file, re.sub("^(seks-proxy|mitmdump)-", "", case))}

    assert len(files) > 10
    assert sorted(cited() - found) == []


def test_cited_modules_exist() -> None:
    """So is each module that it says defends."""
    rows = re.findall(r"^\|[^|]*\|([^|]*)\| `tests/", THREATS.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_0-9/]+(?:\.py|/))`", row)}

    assert len(named) > 20
    assert [
        name for name in named if not any((ROOT / place / name).exists() for place in ("", "seks_addon", "cli"))
    ] == []


def test_modules_of_the_add_on() -> None:
    """Its package says of each module what it is for, and of no other."""
    named = re.findall(r"^(\w+) {2,}\S", addon.__doc__ or "", re.MULTILINE)

    assert sorted(named) == sorted(path.stem for path in ROOT.glob("seks_addon/addon/[!_]*.py"))


def test_modules_of_the_architecture() -> None:
    """Each module and package that the architecture names exists."""
    named = re.findall(
        r"(?<![\w/.])(?:[a-z0-9]+/)*[a-z0-9_]+(?:\.py|/)(?![\w/])", (ROOT / "docs/architecture.md").read_text()
    )

    assert len(named) > 30
    assert [
        name for name in named if not any((ROOT / place / name).exists() for place in ("", "seks_addon", "cli"))
    ] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    """A relative link leads to a file, and to a heading in it where it names one."""
    for link in _LINK.findall(_CODE.sub("", document.read_text())):
        path, _, heading = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def headings(document: Path) -> set[str]:
    """The anchors that forges make of a document's headings."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
