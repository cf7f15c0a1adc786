"""A call with the standard library."""

import json
import os
from urllib.request import Request, urlopen

headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
with urlopen(Request("https://api.openai.com/v1/models", headers=headers), timeout=20) as answer:
    print(json.dumps(json.load(answer)))
