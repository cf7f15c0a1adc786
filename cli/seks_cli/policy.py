"""The options that say what a secret or a token may be used for, and what a policy looks like when it is shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from seks_cli.options import reading

if TYPE_CHECKING:
    from seks_addon.policy import Policy
    from seks_cli.workplace import Workplace

_OPTIONS: Final = (
    click.option("--method", "methods", multiple=True, metavar="M", help="Only this method; repeatable."),
    click.option("--path-prefix", "path_prefixes", multiple=True, metavar="P", help="Only paths below it; repeatable."),
    click.option(
        "--path",
        "paths",
        multiple=True,
        metavar="PATTERN",
        help="Only paths that fit it: * is a segment or a part of one, ** any number; repeatable.",
    ),
    click.option("--rate", metavar="N/UNIT", help="No more requests than that: 10/s, 60/min, 1000/h, 5/day."),
    click.option("--max-uses", type=int, metavar="N", help="No more requests than that, ever."),
    click.option("--max-concurrent", type=int, metavar="N", help="No more requests than that at a time."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a policy; `read` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read(given: Mapping[str, Any], *, hosts: Sequence[str] = ()) -> "Policy":
    """Make a policy of what was given, by the options' names; raises `UsageError`."""
    from seks_addon.policy import Policy
    from seks_addon.policy.limits import Limits

    with reading():
        return Policy.parse(
            given["methods"],
            given["path_prefixes"],
            paths=given["paths"],
            hosts=hosts,
            limits=Limits.parse(given["rate"], given["max_uses"], given["max_concurrent"]),
        )


def described(policy: "Policy") -> dict[str, Any]:
    """The limits of every kind but hosts, for a person."""
    limits = policy.limits
    return {
        "methods": policy.methods or "all",
        "paths": _paths(policy) or "all",
        "rate": limits.rate or "any",
        "max uses": limits.max_uses or "any",
        "max concurrent": limits.max_concurrent or "any",
    }


def uses(workplace: "Workplace", subject: str, policy: "Policy") -> int | None:
    """How often a secret or token was used, by its id; None where its policy doesn't have that counted."""
    if not policy.limits:
        return None
    with workplace.audit() as audit:
        return audit.uses(subject)


def counted(uses: int | None) -> str:
    """A number of uses, for a person."""
    return "not counted" if uses is None else str(uses)


def shortened(policy: "Policy") -> list[str]:
    """The limits that there are, each in a word or two."""
    limits = policy.limits
    counts = {"uses": limits.max_uses, "at a time": limits.max_concurrent}
    return [
        *policy.methods,
        *policy.hosts,
        *_paths(policy),
        *([str(limits.rate)] if limits.rate else []),
        *(f"{number} {what}" for what, number in counts.items() if number),
    ]


def _paths(policy: "Policy") -> list[str]:
    return [*(f"below {prefix}" for prefix in policy.path_prefixes), *policy.paths]
