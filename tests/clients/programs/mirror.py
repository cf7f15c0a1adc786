"""Get all addresses in a file; what came is printed as JSON, a line each, its bytes as latin-1."""

import json
import os
import sys
from pathlib import Path

import httpx
import requests

HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
client, file = sys.argv[1:]
with requests.Session() if client == "requests" else httpx.Client() as session:
    for url in Path(file).read_text("utf-8").splitlines():
        answer = session.get(url, headers=HEADERS, timeout=20)
        answer.raise_for_status()
        print(json.dumps(answer.content.decode("latin-1")))
