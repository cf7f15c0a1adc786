"""A call with httpx, as its manual has it."""

import asyncio
import json
import os
import sys

import httpx

HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
CHAT = "https://api.openai.com/v1/chat/completions"


def sync() -> None:
    """One request."""
    print(json.dumps(httpx.get("https://api.openai.com/v1/models", headers=HEADERS).json()))


def concurrent() -> None:
    """Three requests at the same time."""

    async def all_of_them() -> list[httpx.Response]:
        async with httpx.AsyncClient(headers=HEADERS) as client:
            paths = ("/v1/models", "/echo", "/chunked/100000")
            return await asyncio.gather(*(client.get(f"https://api.openai.com{path}") for path in paths))

    for answer in asyncio.run(all_of_them()):
        print(answer.status_code, len(answer.content))


def stream() -> None:
    """Server-sent events, each printed when it is there."""
    with httpx.stream("POST", CHAT, headers=HEADERS, json={"stream": True}) as answer:
        for line in answer.iter_lines():
            if line:
                print(json.dumps(line), flush=True)


globals()[sys.argv[1]]()
