"""Showing a new token: the last line of standard output, or a JSON document."""

from typing import TYPE_CHECKING

from seks_cli import options, output

if TYPE_CHECKING:
    from seks_addon.vault import StoredSecret, Token


def show(secret: "StoredSecret", token: "Token | None", text: str | None, *, as_json: bool) -> None:
    """Print a token with what it stands for, or, where there is no token, what one would stand for."""
    done = f"the secret {secret.name} is stored" + (f" and the token {token.id} issued" if token else "")
    way_out = f"see it with {_env(token)}, or replace it with `seks token regenerate {token.id}`" if token else None
    with output.once(done, way_out):
        if as_json:
            output.document(
                {
                    "secret": secret.name,
                    "client": secret.client,
                    "agent": token.agent if token else None,
                    "token": text,
                    "token_id": token.id if token else None,
                    "hosts": list(token.policy.hosts) if token and token.policy.hosts else secret.binding.hosts,
                    "env": dict.fromkeys(secret.env, text) if token else {},
                }
            )
        elif token and text:
            output.say(f"Token {token.id}, for the agent {token.agent}:")
            output.data(text)


def _env(token: "Token") -> str:
    client = "" if token.client == options.DEFAULT else f" --client {token.client}"
    agent = "" if token.agent == options.DEFAULT else f" --agent {token.agent}"
    return f"`seks env{agent}{client}`"
