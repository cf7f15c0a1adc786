"""The catalog: what SEKS knows of each provider, as data. A new provider is a new file, not code.

Entries that come with SEKS are in `catalog/`; a user's own are in `providers/` of the home and win over them.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from seks_addon.binding import Endpoint
from seks_addon.environment import is_variable
from seks_addon.errors import ConfigError, InputError, NotFoundError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEYS: Final = {"name", "title", "docs", "env", "withhold", "aliases", "native", "bindings"}


@dataclass(frozen=True, slots=True)
class Provider:
    """One catalog entry.

    `env`: the variables that clients read, the primary one first. `withhold`: those that hold another credential
    of this vendor, which clients prefer, and which no agent may see.
    """

    name: str
    title: str
    docs: str
    env: tuple[str, ...]
    withhold: tuple[str, ...]
    aliases: tuple[str, ...]
    native_pattern: str
    native_prefix: str
    endpoints: tuple[Endpoint, ...]

    def looks_native(self, credential: str) -> bool:
        """Tell whether a credential has one of the forms that the vendor gives out."""
        return bool(re.fullmatch(self.native_pattern, credential))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "docs": self.docs,
            "env": list(self.env),
            "withhold": list(self.withhold),
            "aliases": list(self.aliases),
            "native": {"pattern": self.native_pattern, "example_prefix": self.native_prefix},
            "endpoints": [endpoint.to_json() for endpoint in self.endpoints],
        }


class Catalog:
    """All providers, by name."""

    def __init__(self, own: Path | None = None) -> None:
        """Read the catalog, and the user's entries below `own` where there is such a folder."""
        self._providers: dict[str, Provider] = {}
        for name, text in _sources(own):
            provider = parse_provider(name, text)
            self._providers[provider.name] = provider
        self._aliases = {alias: p.name for p in self._providers.values() for alias in p.aliases}

    def __iter__(self) -> Iterator[Provider]:
        return iter(sorted(self._providers.values(), key=lambda provider: provider.name))

    def find(self, name: str) -> Provider | None:
        """The provider of that name or alias, or None."""
        name = name.lower()
        return self._providers.get(self._aliases.get(name, name))

    def get(self, name: str) -> Provider:
        """The provider of that name or alias; raises `NotFoundError`."""
        if provider := self.find(name):
            return provider
        raise NotFoundError(
            f"there is no provider {name!r} in the catalog",
            hint="see `seks provider list`, or bind the secret with --host and --header",
        )


def parse_provider(source: str, text: str) -> Provider:
    """Read one catalog file; `source` names it in errors (`ConfigError`)."""
    try:
        data = tomllib.loads(text)
        if unknown := set(data) - _KEYS:
            raise InputError(f"unknown key {min(unknown)!r}")
        if not _NAME.fullmatch(data["name"]):
            raise InputError("the name must be lower-case letters, digits and dashes")
        env = _texts(data["env"], "env")
        withhold = _texts(data.get("withhold", []), "withhold")
        if bad := [name for name in (*env, *withhold) if not is_variable(name)]:
            raise InputError(f"{bad[0]!r} is no environment variable")
        re.compile(data["native"]["pattern"])
        endpoints = tuple(
            Endpoint.parse(
                host, _texts(table["placements"], "placements"), encoded_slash=table.get("encoded_slash") is True
            )
            for table in data["bindings"]
            for host in _texts(table["hosts"], "hosts")
        )
        if not endpoints:
            raise InputError("there is no host in 'bindings'")
        return Provider(
            name=data["name"],
            title=data["title"],
            docs=data["docs"],
            env=env,
            withhold=withhold,
            aliases=_texts(data.get("aliases", []), "aliases"),
            native_pattern=data["native"]["pattern"],
            native_prefix=data["native"]["example_prefix"],
            endpoints=endpoints,
        )
    except KeyError as error:
        raise ConfigError(f"{source}: the key {error} is missing") from None
    except InputError as error:
        raise ConfigError(f"{source}: {error.message}", hint=error.hint) from None
    except (tomllib.TOMLDecodeError, re.error, TypeError, AttributeError) as error:
        raise ConfigError(f"{source}: {error}") from None


def _texts(value: object, key: str) -> tuple[str, ...]:
    # A text alone would be read as a list of its letters.
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{key!r} must be a list of texts")
    return tuple(value)


def _sources(own: Path | None) -> Iterator[tuple[str, str]]:
    for entry in sorted(resources.files(__package__).joinpath("catalog").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".toml"):
            yield entry.name, entry.read_text("utf-8")
    if own is not None and own.is_dir():
        for path in sorted(own.glob("*.toml")):
            try:
                yield str(path), path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"can't read {path}: {error}") from None
