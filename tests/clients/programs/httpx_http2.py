"""Requests at the same time with httpx and HTTP/2."""

import asyncio
import json
import os
import sys

import httpx

CALLS = {
    "openai": ("https://api.openai.com/echo", {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}),
    "anthropic": ("https://api.anthropic.com/echo", {"x-api-key": os.environ["ANTHROPIC_API_KEY"]}),
}


async def main(name: str) -> None:
    """Twenty of them."""
    url, headers = CALLS[name]
    async with httpx.AsyncClient(http2=True, headers=headers, timeout=20) as client:
        answers = await asyncio.gather(*(client.post(url, content=b"%d" % number) for number in range(20)))
    versions = sorted({answer.http_version for answer in answers})
    statuses = sorted({answer.status_code for answer in answers})
    print(json.dumps({"versions": versions, "statuses": statuses, "count": len(answers)}))


asyncio.run(main(sys.argv[1]))
