"""Stands in for Eventarc between the emulator and the trackers.

The emulator delivers an event once, and forgets it if the tracker's process is dead. Production delivers at least once,
in any order, until it is answered with 2xx. So this takes every event at once and delivers it in that way: some of them
doubled, some late, all of them side by side and therefore in any order; and some, of certain documents, are dropped for
good, as happens after a day of failing.
"""

from __future__ import annotations

import base64
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Self

import requests
from google.cloud.firestore import Client
from google.events.cloud.firestore_v1.types import DocumentEventData

from local.ports import HOST
from local.process import wait_until

MARKERS = "markers"
DROPPED, DOUBLED, LATE = 0.15, 0.15, 0.2
"""Shares of the events; `DROPPED` of those of forgettable documents alone."""
LONGEST_DELAY = 3.0
COURIERS = 4
CALL_SECONDS = 30


@dataclass(frozen=True)
class Post:
    """An event as the emulator posted it. `number` is its place in the order of commits."""

    number: int
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> str:
        """The id of the document that was written."""
        event = self.event
        return str(event.value.name or event.old_value.name).rpartition("/")[2]

    @property
    def event(self) -> Any:
        """The event's data, as protobuf has it."""
        data = DocumentEventData.pb()()
        data.ParseFromString(base64.b64decode(self.body))
        return data


@dataclass
class Mail:
    """What is on its way: posts with the moment at which each is due, and those that a courier is out with."""

    waiting: list[tuple[float, Post]] = field(default_factory=list)
    out: list[Post] = field(default_factory=list)


class Eventarc:
    """Takes events on `address` inside `with`, and delivers them to `target` (an address of functions) once it is set.

    `forgettable` are the documents of which an event may be dropped for good.
    """

    def __init__(self, dice: Random, forgettable: frozenset[str]) -> None:
        self.target, self._forgettable = "", forgettable
        self.counts: Counter[str] = Counter()
        self.taken: list[Post] = []
        self.dropped: set[int] = set()
        self._dice, self._mail, self._lock, self._over = dice, Mail(), threading.Condition(), False
        self._marks: set[str] = set()
        self._numbers = itertools.count()
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self.address = f"{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        for work in (self._server.serve_forever, *[self._deliver] * COURIERS):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
            self._lock.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        eventarc = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                kept = {name: value for name, value in self.headers.items() if name.lower().startswith(("ce-", "content-type"))}
                eventarc.take(self.path, kept, body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Take an event from the emulator and decide how it travels."""
        post = Post(next(self._numbers), path, headers, body)
        with self._lock:
            if path.endswith(MARKERS):
                self._marks.add(post.document)
                return
            self.taken.append(post)
            self.counts["taken"] += 1
            if post.document in self._forgettable and self._dice.random() < DROPPED:
                self.dropped.add(post.number)
                self.counts["dropped for good"] += 1
            else:
                self._send(post)

    def _send(self, post: Post) -> None:
        late = self._dice.random() < LATE
        self.counts["delayed"] += late
        self._wait(post, self._dice.uniform(0.0, LONGEST_DELAY) if late else 0.0)
        if self._dice.random() < DOUBLED:
            self.counts["doubled"] += 1
            self._wait(post, self._dice.uniform(0.0, LONGEST_DELAY))

    def _wait(self, post: Post, delay: float) -> None:
        self._mail.waiting.append((time.monotonic() + delay, post))
        self._lock.notify_all()

    def _deliver(self) -> None:
        latest = -1
        with requests.Session() as session:
            for post in self._due():
                answered = self._post(session, post)
                with self._lock:
                    self._mail.out.remove(post)
                    self.counts["delivered" if answered else "delivered again after no answer"] += 1
                    self.counts["out of order"] += answered and post.number < latest
                    latest = max(latest, post.number) if answered else latest
                    if not answered:
                        self._wait(post, self._dice.uniform(0.05, 0.3))

    def _due(self) -> Iterator[Post]:
        """Yield posts as they fall due, until all is over."""
        while True:
            with self._lock:
                while not self._over and not self._is_due():
                    self._lock.wait(0.05)
                if self._over:
                    return
                due = self._mail.waiting.pop(self._dice.choice(self._is_due()))
                self._mail.out.append(due[1])
            yield due[1]

    def _is_due(self) -> list[int]:
        now = time.monotonic()
        return [number for number, (when, _) in enumerate(self._mail.waiting) if when <= now] if self.target else []

    def _post(self, session: requests.Session, post: Post) -> bool:
        try:
            answer = session.post(self.target + post.path, data=post.body, headers=post.headers, timeout=CALL_SECONDS)
        except requests.RequestException:
            return False
        return answer.ok

    def forgotten(self) -> set[str]:
        """Return the ids of the documents of which an event was dropped."""
        return {post.document for post in self.taken if post.number in self.dropped}

    def out(self) -> list[Post]:
        """Return the events that are being delivered at this moment."""
        with self._lock:
            return list(self._mail.out)

    def wait_until_taken(self, firestore: Client) -> None:
        """Wait until every write so far has been posted: the emulator posts in the order of commits."""
        mark = uuid.uuid4().hex
        firestore.document(f"{MARKERS}/{mark}").set({"of": "the test"})
        wait_until(lambda: mark in self._marks, "the event of a marker")

    def wait_until_delivered(self, firestore: Client, seconds: float = 120.0) -> None:
        """Wait until every write so far has been posted, and all that is not dropped was delivered and answered."""
        self.wait_until_taken(firestore)
        wait_until(lambda: not (self._mail.waiting or self._mail.out), "the delivery of all events", seconds)

    def replay(self, number: int) -> None:
        """Deliver so many of the events that were delivered before once more, in any order."""
        old = [post for post in self.taken if post.number not in self.dropped]
        with self._lock:
            for post in self._dice.sample(old, min(number, len(old))):
                self.counts["replayed afterwards"] += 1
                self._wait(post, 0.0)
