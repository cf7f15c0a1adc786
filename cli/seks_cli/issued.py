"""Showing a new token: the last line of standard output, or a JSON document."""

from typing import TYPE_CHECKING

from seks_cli import output

if TYPE_CHECKING:
    from seks_addon.vault import StoredSecret, Token


def show(secret: "StoredSecret", token: "Token | None", text: str | None, *, as_json: bool) -> None:
    """Print a token with what it stands for, or, where there is no token, what one would stand for."""
    if as_json:
        output.document(
            {
                "secret": secret.name,
                "client": secret.client,
                "agent": token.agent if token else None,
                "token": text,
                "token_id": token.id if token else None,
                "hosts": secret.binding.hosts,
                "env": dict.fromkeys(secret.env, text) if token else {},
            }
        )
    elif token and text:
        output.say(f"Token {token.id}, for the agent {token.agent}:")
        output.data(text)
