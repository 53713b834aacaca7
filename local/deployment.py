"""Tells deploy.sh what there is to deploy: `python -m local.deployment BUNDLE` prints one tab-separated line each.

http    NAME
event   NAME  DOCUMENT_PATTERN
job     NAME  SCHEDULE  TIME_ZONE  FUNCTION  ATTEMPT_DEADLINE  MAX_RETRY_ATTEMPTS  BODY
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from local.bundle import ROOT
from local.errors import StackError
from local.functions import EVENT, discover
from local.triggers import schedules, triggers

JOBS = ROOT / "scheduler" / "jobs.yaml"
JOB_FIELDS = ("name", "schedule", "time_zone", "function", "attempt_deadline", "max_retry_attempts")


def functions(kinds: Mapping[str, str], patterns: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield a row per function. Raises StackError where trackers and patterns do not match one to one."""
    trackers = {name for name, kind in kinds.items() if kind == EVENT}
    if trackers != set(patterns):
        raise StackError(f"event functions {sorted(trackers)} and triggers {sorted(patterns)} differ: mend one of them")
    for name in sorted(kinds):
        yield ["event", name, patterns[name]] if name in trackers else ["http", name]


def jobs(content: Any, served: Mapping[str, str], schedules: Mapping[str, Mapping[str, str]]) -> Iterator[list[str]]:
    """Yield a row per job of jobs.yaml, or per job and pair. `schedules` are the pairs' own, `cron` and `time_zone`.

    Raises StackError if a job is incomplete or calls what is no function.
    """
    for job in content["jobs"]:
        missing = [field for field in JOB_FIELDS if field not in job]
        if missing:
            raise StackError(f"scheduler/jobs.yaml: the job {job.get('name', '?')} lacks {', '.join(missing)}")
        if job["function"] not in served:
            raise StackError(f"scheduler/jobs.yaml: {job['name']} calls {job['function']}, which is no function")
        for pair, own in schedules.items() if job.get("per_pair") else [("", {})]:
            own = own if job.get("own_schedule") else {}
            times = {"schedule": own.get("cron", job["schedule"]), "time_zone": own.get("time_zone", job["time_zone"])}
            named = {"name": f"{job['name']}-{pair}" if pair else job["name"]}
            body = json.dumps(({"pair": pair} if pair else {}) | job.get("body", {}))
            yield ["job", *(str((job | times | named)[field]) for field in JOB_FIELDS), body]


def main() -> int:
    """Print the rows; return 1, with one sentence, if something does not fit."""
    bundle = Path(sys.argv[1])
    kinds = discover(bundle / "main.py")
    try:
        rows = [
            *functions(kinds, triggers(bundle / "sync.yaml")),
            *jobs(yaml.safe_load(JOBS.read_text()), kinds, schedules(bundle / "sync.yaml")),
        ]
    except StackError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    sys.stdout.writelines("\t".join(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
