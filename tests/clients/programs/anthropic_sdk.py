"""A call with the anthropic SDK: no address, proxy or certificate is named."""

import asyncio
import json
import sys
from typing import Any

from anthropic import Anthropic, AsyncAnthropic

REQUEST: Any = {
    "model": "claude-test",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Say hello."}],
}


def message() -> None:
    """A message."""
    print(json.dumps(Anthropic().messages.create(**REQUEST).content[0].text))


def stream() -> None:
    """A message, word by word."""
    with Anthropic().messages.stream(**REQUEST) as words:
        for word in words.text_stream:
            print(json.dumps(word), flush=True)


def concurrent() -> None:
    """Two messages at the same time, with the asynchronous client."""

    async def both() -> None:
        async with AsyncAnthropic() as client:
            for answer in await asyncio.gather(*(client.messages.create(**REQUEST) for _ in range(2))):
                print(json.dumps(answer.content[0].text))

    asyncio.run(both())


globals()[sys.argv[1]]()
