"""Prints the status of every URL that it is given, behind the client to get them with."""

import sys
from urllib.request import urlopen

import httpx

client, *urls = sys.argv[1:]
for url in urls:
    print(httpx.get(url).status_code if client == "httpx" else urlopen(url, timeout=20).status)
