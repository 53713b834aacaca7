"""The bench measures what it says, on real parts, and says so where something went wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from bench.__main__ import measure
from bench.delta import Delta, WrongOutcome
from bench.figures import Figure, Target, ratio
from bench.proxy import HEADERS, PREFACE, Count, Line, Proxy
from bench.raw import update, value
from bench.stand import Stand
from local.bundle import ROOT
from local.ports import free_port

FEW = ["--records", "50", "--by-hand", "10", "--whole", "50", "--backlogs", "20,50", "--repetitions", "1"]
PARTS = {
    # part: what its figures are called, among others
    "delta": {
        "creations: ceiling's time / ours",
        "django_to_firestore: by hand / ours",
        "firestore_to_django: ceiling's time / ours",
    },
    "afar": {"django_to_firestore: ceiling's time / ours", "firestore_to_django: ceiling's time / ours"},
    "peers": {"quick, none differ: billed reads", "HTTP calls to the backend", "raw BatchWrite's time / ours"},
    "backlog": {"peak memory, 50 waiting / 20", "time per change, 50 waiting / 20", "peak memory at 50"},
    "import": {"the bundle's import time", "the bundle's import memory"},
}


def measured(part: str, folder: Path) -> dict[str, dict[str, object]]:
    """Run a part as `make bench` does; return its figures by name."""
    results = folder / "results.json"
    command = [sys.executable, "-m", "bench", "--only", part, "--folder", str(folder), "--results", str(results), *FEW]
    done = subprocess.run([*command, "--databases", "sqlite"], cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert done.returncode == 0, done.stderr
    body = json.loads(results.read_text(encoding="utf-8"))
    assert body["wrong"] == []
    return {each["name"]: each for each in body["figures"]}


@pytest.mark.stack
@pytest.mark.timeout(400)
@pytest.mark.parametrize("part, named", PARTS.items(), ids=PARTS)
def test_each_part_measures_what_it_is_for(part: str, named: set[str], tmp_path: Path) -> None:
    figures = measured(part, tmp_path)
    assert named <= set(figures)
    for each in figures.values():
        low, middle, high = (float(str(each[name])) for name in ("min", "median", "max"))
        assert math.isfinite(middle)
        assert 0 <= low <= middle <= high
        assert each["met"] is None or isinstance(each["met"], bool)
        assert {"part", "unit", "target", "note", "seconds", "repetitions"} <= set(each)


@pytest.mark.stack
def test_what_was_lost_on_the_way_is_found_out(tmp_path: Path) -> None:
    with Stand(tmp_path, "sqlite", 3) as stand:
        delta = Delta(stand, 3, 1, 0)
        with pytest.raises(WrongOutcome, match="still wait"):
            delta.check()
        stand.ours("sync")
        delta.check()
        [first, *_] = stand.firestore.documents("members")
        first.fields["phone"].CopyFrom(value("another"))
        stand.firestore.write([update(first)])
        with pytest.raises(WrongOutcome, match="1 of 3 members differ"):
            delta.check()


@pytest.fixture
def meeting_point() -> Iterator[int]:
    """A server that answers two calls once both are there."""
    both = threading.Barrier(2, timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/together":
                both.wait()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_proxy_counts_calls_and_how_many_were_under_way_at_once(meeting_point: int) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Proxy(1, {port: f"127.0.0.1:{meeting_point}"}) as proxy, requests.Session() as session:
        for _ in range(3):
            assert session.get(f"{url}/alone", timeout=30).status_code == 200
        assert proxy.told() == {"most": 1, "calls": {str(port): 3}}
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: requests.get(f"{url}/together", timeout=30).status_code, range(2)))
        assert answers == [200, 200]
        assert proxy.told() == {"most": 2, "calls": {str(port): 2}}


def frame(kind: int, stream: int, flags: int = 0, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def test_streams_of_one_connection_are_calls_of_their_own() -> None:
    count = Count()
    line = Line("1", count)
    sent = PREFACE + frame(HEADERS, 1, body=b"abc") + frame(0, 1, body=b"x" * 40) + frame(HEADERS, 3)
    for start in range(0, len(sent), 7):  # pieces end anywhere
        line.saw(sent[start : start + 7], sent=True)
    assert (count.under_way, count.most) == (2, 2)
    line.saw(frame(HEADERS, 1) + frame(HEADERS, 1, flags=1), sent=False)
    assert count.under_way == 1
    line.close()
    assert count.told() == {"most": 2, "calls": {"1": 2}}
    assert count.under_way == 0


def test_a_ratio_is_taken_repetition_by_repetition_and_the_middle_one_counts() -> None:
    found = ratio("part", "name", [2, 9, 4], [1, 3, 4], ("above", "below"), Target(at_least=2))
    assert list(found.values) == [2, 3, 1]
    assert (found.median, found.met) == (2, True)
    assert found.as_json()["seconds"] == {"above": [2, 9, 4], "below": [1, 3, 4]}
    assert Figure("part", "name", [3], target=Target(at_most=2)).met is False


def test_a_part_that_goes_wrong_is_told_and_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def lost() -> Iterator[Figure]:
        yield Figure("lost", "first", [1])
        raise WrongOutcome("3 of 5 members differ")

    def slow() -> Iterator[Figure]:
        yield Figure("slow", "second", [0.1], target=Target(at_least=0.6))

    assert measure({"lost": lost, "slow": slow}, tmp_path / "results.json") == 1
    body = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert (body["wrong"], [each["met"] for each in body["figures"]]) == (["lost: 3 of 5 members differ"], [None, False])
    assert "MISSED" in capsys.readouterr().out
    assert measure({"slow": slow}, tmp_path / "results.json") == 0
