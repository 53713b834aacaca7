"""What the real gcloud sends to Google for jobs, the queue, indexes and TTL policies: once, cut off half-way, and again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from deploying.google import Google
from deploying.trees import ARGUMENTS, PROJECT, deploy, real

pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("gcloud") is None, reason="no gcloud on this machine"),
]
WHERE = f"projects/{PROJECT}/locations/europe-west1"
GROUPS = f"projects/{PROJECT}/databases/(default)/collectionGroups"


def only(tree: Path, env: dict[str, str], part: str) -> None:
    done = deploy(tree, *ARGUMENTS, "--only", part, env=env)
    assert done.returncode == 0, done.stderr


def test_jobs_and_queue_are_made_once_and_then_changed(tree: Path, google: Google, tmp_path: Path) -> None:
    env = real(tmp_path, google)
    command = [str(tree / "deploy.sh"), *ARGUMENTS, "--only", "scheduler"]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as cut:
        while len(google.under("jobs")) < 2:
            assert cut.poll() is None
            time.sleep(0.02)
        os.killpg(cut.pid, signal.SIGKILL)
    assert len(google.under("jobs")) < 4
    only(tree, env, "scheduler")
    assert google.refusals == []
    assert google.under("queues") == {"bothways": QUEUE}
    jobs = google.under("jobs")
    assert set(jobs) == {"bothways-nightly-members", "bothways-quick-members", "bothways-full-members", "bothways-health"}
    assert jobs["bothways-nightly-members"] == NIGHTLY
    assert jobs["bothways-health"]["httpTarget"] == HEALTH
    before = len(google.written("POST", WHERE))
    only(tree, env, "scheduler")
    assert len(google.written("POST", WHERE)) == before
    assert google.under("jobs").keys() == jobs.keys()
    assert google.under("queues") == {"bothways": QUEUE}


QUEUE = {
    "name": f"{WHERE}/queues/bothways",
    "rateLimits": {"maxConcurrentDispatches": 8, "maxDispatchesPerSecond": 10.0},
    "retryConfig": {"maxAttempts": 20, "maxBackoff": "300s", "minBackoff": "5s"},
}
OIDC = {
    "audience": f"https://europe-west1-{PROJECT}.cloudfunctions.net/bidirectional_sync",
    "serviceAccountEmail": f"bothways-caller@{PROJECT}.iam.gserviceaccount.com",
}
NIGHTLY = {
    "name": f"{WHERE}/jobs/bothways-nightly-members",
    "schedule": "30 3 * * *",
    "timeZone": "Atlantic/Reykjavik",
    "attemptDeadline": "1800s",
    "retryConfig": {"maxBackoffDuration": "3600s", "maxDoublings": 5, "minBackoffDuration": "5s", "retryCount": 3},
    "httpTarget": {
        "uri": OIDC["audience"],
        "httpMethod": "POST",
        "body": "eyJwYWlyIjogIm1lbWJlcnMifQ==",  # {"pair": "members"}
        "headers": {"Content-Type": "application/json"},
        "oidcToken": OIDC,
    },
}
HEALTH_URL = f"https://europe-west1-{PROJECT}.cloudfunctions.net/sync_health"
HEALTH = {"uri": HEALTH_URL, "httpMethod": "GET", "oidcToken": OIDC | {"audience": HEALTH_URL}}


def test_indexes_and_ttl_policies_are_asked_for_once(tree: Path, google: Google, tmp_path: Path) -> None:
    env = real(tmp_path, google)
    only(tree, env, "indexes")
    by_bucket = [{"fieldPath": "_sync.bucket", "order": "ASCENDING"}, {"fieldPath": "_sync.hash", "order": "ASCENDING"}]
    composite = {"apiScope": "ANY_API", "fields": by_bucket, "multikey": False, "queryScope": "COLLECTION"}
    assert [body for _, body in google.written("POST", "/indexes")] == [composite]
    single = {"indexes": [{"fields": [{"order": "ASCENDING"}], "queryScope": "COLLECTION"}]}
    asked = {path.partition("collectionGroups/")[2]: body for path, body in google.written("PATCH", "/fields/")}
    members, runs = f"{GROUPS}/members/fields", f"{GROUPS}/sync_runs/fields"
    mask, ttl = "?alt=json&updateMask=indexConfig", "?alt=json&updateMask=ttlConfig"
    assert asked == {
        f"members/fields/_sync{mask}": {"indexConfig": {}, "name": f"{members}/_sync"},
        f"members/fields/_sync.bucket{mask}": {"indexConfig": single, "name": f"{members}/_sync.bucket"},
        f"members/fields/_sync.hash{mask}": {"indexConfig": single, "name": f"{members}/_sync.hash"},
        f"sync_runs/fields/expire_at{mask}": {"indexConfig": {}, "name": f"{runs}/expire_at"},
        f"sync_runs/fields/expire_at{ttl}": {"ttlConfig": {}, "name": f"{runs}/expire_at"},
        f"sync_runs/fields/result{mask}": {"indexConfig": {}, "name": f"{runs}/result"},
    }
    before = len(google.calls)
    only(tree, env, "indexes")
    assert {method for method, path, _ in google.calls[before:] if "databases" in path} == {"GET"}
