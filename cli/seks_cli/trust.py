"""Trust anchors that a command's surroundings already named: they go on counting beside SEKS's."""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from seks_addon import ca
from seks_addon.environment import BUNDLE, BUNDLE_IF_SET, EXTRA_CA
from seks_addon.home import PUBLIC_FILE, Home, write_over


def merged(home: Home, parent: Mapping[str, str]) -> tuple[Path, Path]:
    """Give the file for clients that add a CA, and the one for those that replace theirs.

    They are the home's own, unless `parent` names certificates besides: then files that hold those too, below `run`,
    each named after its content.
    """
    known = ca.certificates(home.ca_bundle.read_bytes())
    extra = _extra(known, parent)
    if not extra:
        return home.ca_cert, home.ca_bundle
    own = ca.certificates(home.ca_cert.read_bytes())
    return _write(home, ca.as_pem([*own, *extra])), _write(home, ca.as_pem([*known, *extra]))


def _extra(known: list[bytes], parent: Mapping[str, str]) -> list[bytes]:
    found: list[bytes] = []
    for name in dict.fromkeys(parent.get(variable, "") for variable in (*BUNDLE, *EXTRA_CA, *BUNDLE_IF_SET)):
        # Whoever was pointed to a file that can't be read could not read it either.
        with contextlib.suppress(OSError, ValueError):
            found += ca.certificates(Path(name).read_bytes()) if name else []
    seen = set(known)
    return [certificate for certificate in dict.fromkeys(found) if certificate not in seen]


def _write(home: Home, pem: bytes) -> Path:
    path = home.run / f"ca-{hashlib.sha256(pem).hexdigest()[:16]}.pem"
    if not path.exists():
        write_over(path, pem, PUBLIC_FILE)
    return path
