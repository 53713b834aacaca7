"""Distance: a proxy that makes every call late by so many milliseconds and counts calls, in a process of its own.

`python -m bench.proxy MILLISECONDS PORT=HOST:PORT ...`. It passes TCP on, each piece of what a client sends after the
delay and in order, so calls under way do not wait for each other. It answers each line on its standard input with what it
has counted since the last one, and ends with that input.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

PIECE = 65536
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RESET, DATA, END = 1, 3, 0, 1
"""Of HTTP/2: kinds of frames, and the flag of a stream's last one."""


class Count:
    """How many calls came, by port, and how many were under way at once."""

    def __init__(self) -> None:
        self.under_way, self.most, self.calls = 0, 0, dict[str, int]()

    def begin(self, port: str) -> None:
        """Note that a call began."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.calls[port] = self.calls.get(port, 0) + 1

    def end(self) -> None:
        """Note that a call was answered."""
        self.under_way -= 1

    def told(self) -> dict[str, Any]:
        """Return the counts and begin anew."""
        told = {"most": self.most, "calls": self.calls}
        self.most, self.calls = self.under_way, {}
        return told


class Line:
    """One connection's calls: of HTTP/1 one at a time, of HTTP/2 a stream each."""

    def __init__(self, port: str, count: Count) -> None:
        self.port, self.count = port, count
        self.open: set[int] = set()
        self.framed: bool | None = None
        self._preface = 0
        self._left = {True: bytearray(), False: bytearray()}

    def saw(self, piece: bytes, sent: bool) -> None:
        """Note a piece of what the client `sent`, or of what it was answered."""
        if self.framed is None:
            self.framed = PREFACE.startswith(piece[: len(PREFACE)])
            self._preface = len(PREFACE) if self.framed else 0
        if sent:
            piece, self._preface = piece[self._preface :], max(0, self._preface - len(piece))
        if self.framed:
            self._frames(piece, sent)
        else:
            self._note(0, begins=sent, ends=not sent)

    def _frames(self, piece: bytes, sent: bool) -> None:
        left = self._left[sent]
        left += piece
        while len(left) >= 9 and len(left) >= 9 + (length := int.from_bytes(left[:3])):
            kind, flags, stream = left[3], left[4], int.from_bytes(left[5:9])
            del left[: 9 + length]
            over = kind == RESET or (not sent and kind in {HEADERS, DATA} and bool(flags & END))
            self._note(stream, begins=sent and kind == HEADERS, ends=over)

    def _note(self, stream: int, begins: bool, ends: bool) -> None:
        if begins and stream not in self.open:
            self.open.add(stream)
            self.count.begin(self.port)
        elif ends and stream in self.open:
            self.open.discard(stream)
            self.count.end()

    def close(self) -> None:
        """Note that whatever was under way will not be answered."""
        for stream in list(self.open):
            self._note(stream, begins=False, ends=True)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, saw: Callable[[bytes], None]
) -> None:
    """Pass on each piece `delay` seconds after it came; the next is read meanwhile."""
    loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

    async def send() -> None:
        while (piece := (await waiting.get()))[1]:
            await asyncio.sleep(piece[0] - loop.time())
            writer.write(piece[1])
            await writer.drain()
        writer.close()

    sending = asyncio.create_task(send())
    with suppress(OSError):
        while data := await reader.read(PIECE):
            saw(data)
            waiting.put_nowait((loop.time() + delay, data))
    waiting.put_nowait((0, b""))
    with suppress(OSError):
        await sending


async def _serve(port: str, target: str, delay: float, count: Count) -> None:
    host, _, number = target.partition(":")

    async def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        line = Line(port, count)
        server, to_server = await asyncio.open_connection(host, int(number))
        there = _pass_on(client, to_server, delay, lambda piece: line.saw(piece, sent=True))
        back = _pass_on(server, to_client, 0, lambda piece: line.saw(piece, sent=False))
        with suppress(asyncio.CancelledError):  # the whole process ends
            await asyncio.gather(there, back)
        line.close()

    await asyncio.start_server(connected, host, int(port))


async def _main(delay: float, ways: list[str]) -> None:
    count = Count()
    for way in ways:
        port, _, target = way.partition("=")
        await _serve(port, target, delay, count)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(json.dumps(count.told()) + "\n")
        sys.stdout.flush()


class Proxy:
    """The process, inside `with`. `ways` are from which port to which HOST:PORT."""

    def __init__(self, milliseconds: int, ways: dict[int, str]) -> None:
        """Describe it."""
        self._command = [str(milliseconds), *(f"{port}={target}" for port, target in ways.items())]

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.proxy", *self._command]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def told(self) -> dict[str, Any]:
        """Return `most`, the calls that were under way at once, and `calls` by port, since this was last asked."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the proxy has no pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]) / 1000, sys.argv[2:]))
