"""A call with the openai SDK: no address, proxy or certificate is named."""

import asyncio
import json
import sys
from typing import Any

from openai import AsyncOpenAI, AuthenticationError, OpenAI

MODEL = "gpt-test"
MESSAGES: Any = [{"role": "user", "content": "Say hello."}]


def chat() -> None:
    """A chat completion."""
    answer = OpenAI().chat.completions.create(model=MODEL, messages=MESSAGES)
    print(json.dumps(answer.choices[0].message.content))


def stream() -> None:
    """A chat completion, word by word."""
    for chunk in OpenAI().chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        if word := chunk.choices[0].delta.content:
            print(json.dumps(word), flush=True)


def concurrent() -> None:
    """Two chat completions at the same time, with the asynchronous client."""

    async def both() -> None:
        async with AsyncOpenAI() as client:
            call = client.chat.completions.create
            for answer in await asyncio.gather(*(call(model=MODEL, messages=MESSAGES) for _ in range(2))):
                print(json.dumps(answer.choices[0].message.content))

    asyncio.run(both())


def responses() -> None:
    """The newer API."""
    print(json.dumps(OpenAI().responses.create(model=MODEL, input="Say hello.").output_text))


def responses_stream() -> None:
    """The newer API, word by word."""
    for event in OpenAI().responses.create(model=MODEL, input="Say hello.", stream=True):
        if event.type == "response.output_text.delta":
            print(json.dumps(event.delta), flush=True)


def models() -> None:
    """A list."""
    print(json.dumps([model.id for model in OpenAI().models.list()]))


def error() -> None:
    """A call that the host refuses."""
    try:
        OpenAI().models.list()
    except AuthenticationError as error:
        print(json.dumps({"status": error.status_code, "code": error.code, "request": error.response.url.host}))


globals()[sys.argv[1]]()
