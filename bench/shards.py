"""Four function processes on shards against one, on the same backlog, with distance to both peers.

`python -m bench.shards --records N [--milliseconds 30] [--json]`
"""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
import yaml

from bench.instances import Front, distance
from local.bundle import ROOT
from local.errors import StackError
from local.ports import free_port
from local.process import wait_until
from local.stack import Stack
from local.web import answers

SHARDS = 4


@dataclass(frozen=True)
class Measured:
    """One backlog carried by so many processes: seconds from the call to the closed record, and the record's figures."""

    processes: int
    seconds: float
    changes: int
    applied: int
    billed: dict[str, int]


def measure(folder: Path, processes: int, records: int, seconds: float) -> Measured:
    """Carry so many members from Django to Firestore: by one process alone, or in shards by several."""
    with ExitStack() as exits:
        config = folder / "sync.yaml"
        front = exits.enter_context(Front())
        described = Stack(
            folder / "stack", triggers={}, functions_env={"SYNC_CONFIG": str(config)}, tasks=processes, functions_url=front.url
        )
        config.write_text(_config(1 if processes > 1 else 10**9), encoding="utf-8")
        stack = exits.enter_context(described)
        if stack.backend is None:
            raise StackError("the bench needs the backend")
        stack.backend.manage("seed_members", "--count", str(records), "--seed", "7", NUDGE_PAIR="")
        env = {
            "FIRESTORE_EMULATOR_HOST": exits.enter_context(distance(stack.emulator_host, seconds)),
            "DJANGO_URL": _at(stack.backend_url, exits.enter_context(distance(_host(stack.backend_url), seconds))),
        }
        for number in range(processes):
            port = free_port()
            host = exits.enter_context(stack.functions_host(f"instance-{number}", port, **env))
            host.wait_ready(lambda port=port: answers(f"http://127.0.0.1:{port}/"))  # type: ignore[misc]
            _warmed(f"http://127.0.0.1:{port}", stack)
            front.free.put(f"http://127.0.0.1:{port}")
        return _carried(stack, front, processes)


def _config(threshold: int) -> str:
    config = yaml.safe_load((ROOT / "sync.yaml").read_text(encoding="utf-8"))
    config["pairs"]["members"]["limits"] = {"shard_threshold": threshold, "shards": SHARDS}
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def _warmed(url: str, stack: Stack) -> None:
    """Have the instance make its clients: a cold start is not what is measured."""
    requests.get(f"{url}/sync_health", headers=_token(stack), timeout=60)


def _token(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.operator_token}"}


def _host(url: str) -> str:
    return url.removeprefix("http://").partition("/")[0]


def _at(url: str, host: str) -> str:
    return url.replace(_host(url), host, 1)


def _carried(stack: Stack, front: Front, processes: int) -> Measured:
    client = stack.firestore()
    began = time.monotonic()
    answer = requests.post(f"{front.url}/bidirectional_sync", json={"pair": "members"}, headers=_token(stack), timeout=1800)
    if answer.status_code != 200:
        raise StackError(f"bidirectional_sync answered {answer.status_code}; see {stack.logs}")
    record = client.document(f"sync_runs/members:{answer.json()['runId']}")
    wait_until(lambda: (record.get().to_dict() or {}).get("status") == "done", "the end of the run", 1800)
    seconds = time.monotonic() - began
    result: dict[str, Any] = (record.get().to_dict() or {})["result"]
    client.close()  # type: ignore[no-untyped-call]
    tallies = result["directions"].values()
    changes, applied = (sum(tally[name] for tally in tallies) for name in ("read", "applied"))
    return Measured(processes, round(seconds, 2), changes, applied, result["billed"])


def compare(records: int, seconds: float) -> dict[str, Any]:
    """Return both measurements and the speed-up."""
    measured = []
    for processes in (1, 4):
        with TemporaryDirectory(prefix="bothways-") as folder:
            measured.append(measure(Path(folder), processes, records, seconds))
    one, four = measured
    return {"one": asdict(one), "four": asdict(four), "speed_up": round(one.seconds / four.seconds, 2)}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.shards", description=__doc__)
    parser.add_argument("--records", type=int, default=5000, help="members in the backlog (%(default)s)")
    parser.add_argument("--milliseconds", type=int, default=30, help="by which every call to a peer is late (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    options = parser.parse_args()
    found = compare(options.records, options.milliseconds / 1000)
    if options.json:
        print(json.dumps(found))  # noqa: T201  # what a bench is for
        return
    for name in ("one", "four"):
        print(f"{name:>5} process(es): {found[name]['seconds']} s for {found[name]['changes']} changes")  # noqa: T201
    print(f"speed-up {found['speed_up']}")  # noqa: T201


if __name__ == "__main__":
    main()
