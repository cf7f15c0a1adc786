"""What the demonstration's agents run: the vendors' SDKs with their defaults, nothing about a proxy in it."""

OPENAI = """
from openai import OpenAI
answer = OpenAI().chat.completions.create(
    model="gpt-5", messages=[{"role": "user", "content": "Say hello."}])
print(answer.choices[0].message.content)
"""

OPENAI_STREAM = """
from openai import OpenAI
for event in OpenAI().chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": "Say hello."}], stream=True):
    if event.choices and event.choices[0].delta.content:
        print(event.choices[0].delta.content, end="", flush=True)
print()
"""

ANTHROPIC = """
from anthropic import Anthropic
answer = Anthropic().messages.create(
    model="claude-opus-4-5", max_tokens=64, messages=[{"role": "user", "content": "Say hello."}])
print(answer.content[0].text)
"""

#: Everything that a process under `seks run` can read of itself.
ENVIRONMENT = """
import json, os
print(json.dumps({"environ": dict(os.environ), "cmdline": open("/proc/self/cmdline").read()
                  if os.path.exists("/proc/self/cmdline") else ""}))
"""
