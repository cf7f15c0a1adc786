"""A call with requests, as its manual has it."""

import json
import os
import sys

import requests

HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}


def get() -> None:
    """One request."""
    print(json.dumps(requests.get("https://api.openai.com/v1/models", headers=HEADERS, timeout=20).json()))


def session() -> None:
    """Two requests of a session, the second with a body."""
    with requests.Session() as session:
        session.headers.update(HEADERS)
        for answer in (
            session.get("https://api.openai.com/v1/models", timeout=20),
            session.post("https://api.openai.com/echo", json={"say": "hello"}, timeout=20),
        ):
            answer.raise_for_status()
            print(answer.text)


globals()[sys.argv[1]]()
