"""Asks a server the same again and again, over connections that stay: `http_load PORT COUNT CONNECTIONS PATH HEADER`.

Prints the seconds as JSON. It does as little as it can, so that the server is what is
measured; an answer other than 200 ends it.
"""

import json
import re
import socket
import sys
import time

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def read_answer(connection: socket.socket) -> None:
    got = b""
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += connection.recv(65536)
    if not got.startswith(b"HTTP/1.1 200"):
        raise SystemExit(got.decode(errors="replace"))
    match = LENGTH.search(got, 0, end)
    if match is None:
        raise SystemExit("an answer without Content-Length")
    length = int(match[1])
    while len(got) < end + 4 + length:
        got += connection.recv(65536)


def main(port: int, count: int, connections: int, path: str, header: str) -> None:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *filter(None, [header]), "", ""]
    request = "\r\n".join(lines).encode()
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    started = time.perf_counter()
    for connection in opened:
        connection.sendall(request)
    for number in range(count):
        connection = opened[number % connections]
        read_answer(connection)
        # always one waiting, so that the server never does
        if number + connections < count:
            connection.sendall(request)
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *sys.argv[4:])  # type: ignore[arg-type]  # two texts follow
