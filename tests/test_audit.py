"""Who did what: in a run's record, in sync_audit, in the log; and what that costs."""

from __future__ import annotations

import json

import pytest
from real import Real

pytestmark = pytest.mark.stack


def test_a_run_names_who_asked_for_it_in_its_own_record(real: Real) -> None:
    real.users.call("save", entity="branch", key="n", fields={"name": "Norður"})
    assert real.call("bidirectional_sync", {"pair": "members"}, token=real.stack.operator_token).status_code == 200
    [run] = real.rows("sync_runs")
    assert (run["by"], run["status"]) == ("operator token 1", "done")
    assert real.rows("sync_audit") == []


def test_an_idle_run_costs_no_write_for_the_sake_of_the_audit(real: Real) -> None:
    real.sync()
    idle = real.sync()
    assert (idle["billed"]["writes"], idle["billed"]["deletes"]) == (0, 0)
    assert idle["billed"]["reads"] <= 3
    assert real.rows("sync_audit") == []


def test_refused_calls_are_in_the_log_alone_since_a_stranger_pays_for_nothing(real: Real) -> None:
    log = real.stack.logs / "functions.log"
    before = log.stat().st_size
    for token in ("a-stranger's", f"{real.stack.operator_token}."):
        assert real.call("bidirectional_sync", token=token).status_code == 401
    asked = {"pair": "members", "allow_mass_delete": "plan"}
    assert real.call("reconcile", asked, token=real.stack.operator_token).status_code == 403
    said = log.read_bytes()[before:].decode().splitlines()
    lines = [json.loads(line) for line in said if '"event": "refused"' in line]
    assert [(line["function"], line["caller"], line["status"]) for line in lines] == [
        ("bidirectional_sync", "nobody", 401),
        ("bidirectional_sync", "nobody", 401),
        ("reconcile", "operator token 1", 403),
    ]
    assert [each.id for each in real.firestore.collections() if each.id.startswith("sync_")] == []


def test_who_lets_a_brakes_deletes_pass_is_in_the_audit_with_the_plan(real: Real) -> None:
    run_id = real.call("bidirectional_sync", {"pair": "members", "allow_mass_delete": "ab12"}).json()["runId"]
    real.call("bidirectional_sync", {"pair": "members", "allow_mass_delete": "cd34", "dry_run": True})
    [entry] = real.rows("sync_audit")
    assert (entry["what"], entry["id"], entry["by"], entry["plan"]) == ("allow_mass_delete", run_id, "operator token 2", "ab12")
