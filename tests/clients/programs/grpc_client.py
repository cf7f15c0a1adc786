"""Calls with grpcio, without generated code. Proxy and trusted certificates come from the environment."""

import json
import os
import sys
from collections.abc import Iterator
from queue import Queue

import grpc

TARGET = "grpc.example.com:443"
KEY = os.environ["GRPC_KEY"]
METADATA = {"bearer": ("authorization", f"Bearer {KEY}"), "header": ("x-goog-api-key", KEY)}


def show(call: grpc.Call, *messages: bytes) -> None:
    """Print what came, with what came behind it."""
    trailers = {name: str(value) for name, value in call.trailing_metadata()}
    code = call.code().name
    print(json.dumps({"messages": [message.decode() for message in messages], "code": code, "trailers": trailers}))


def main(kind: str, place: str) -> None:
    """One call of a kind, with the key in a place."""
    metadata = (METADATA[place],)
    with grpc.secure_channel(TARGET, grpc.ssl_channel_credentials()) as channel:
        match kind:
            case "unary":
                answer, call = channel.unary_unary("/demo.Echo/Unary").with_call(
                    b"hello", metadata=metadata, timeout=20
                )
                show(call, answer)
            case "server":
                stream = channel.unary_stream("/demo.Echo/Server")(b"hello", metadata=metadata, timeout=20)
                show(stream, *stream)
            case "bidi":
                answers: Queue[bytes] = Queue()

                def questions() -> Iterator[bytes]:
                    for number in range(5):
                        yield b"%d" % number
                        # The next goes out when the answer to this one is here.
                        answers.get(timeout=20)

                stream = channel.stream_stream("/demo.Echo/Bidi")(questions(), metadata=metadata, timeout=20)
                received = []
                for answer in stream:
                    received.append(answer)
                    answers.put(answer)
                show(stream, *received)
            case "fails":
                try:
                    channel.unary_unary("/demo.Echo/Fails")(b"hello", metadata=metadata, timeout=20)
                except grpc.RpcError as error:
                    show(error)
            case "many":
                futures = [
                    channel.unary_unary("/demo.Echo/Unary").future(b"%d" % number, metadata=metadata, timeout=20)
                    for number in range(200)
                ]
                show(futures[0], *(future.result() for future in futures))


main(*sys.argv[1:])
