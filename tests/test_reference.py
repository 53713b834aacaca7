"""The reference is what the code says, and leaves out nothing that the code has."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import test_joining
import test_manual
import test_privacy
import test_reconcile
import test_replay
import test_shards
import test_statistics
import yaml
from memory_firestore import MemoryFirestore
from polled_world import PolledWorld
from test_polled_world import play

from local.reference import __main__, functions, schemas, settings, state
from local.reference.pages import PAGES
from shared.claims import Claims
from shared.model import Billed, RecordId
from shared.peers.documents import Write
from shared.report import Brake, Comparison, Failure, Report, Tally
from shared.retention import RULES
from shared.specs.base import Part
from shared.timing import Taken

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert PAGES[name]() == (ROOT / name).read_text(encoding="utf-8"), "run `make docs`"


def test_a_page_that_has_drifted_is_written_anew_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    __main__.main()
    assert capsys.readouterr().out.split() == list(PAGES)
    drifted = tmp_path / "docs" / "reference-rest.md"
    drifted.write_text("something else")
    __main__.main()
    assert capsys.readouterr().out.split() == ["docs/reference-rest.md"]
    assert drifted.read_text(encoding="utf-8") == PAGES["docs/reference-rest.md"]()


def parts(kind: type[Part]) -> list[type[Part]]:
    return [each for below in kind.__subclasses__() for each in [below, *parts(below)] if below.__module__.startswith("shared.")]


def test_every_part_of_sync_yaml_has_its_section_and_every_key_a_meaning() -> None:
    told = list(settings.SECTIONS.values())
    assert [each.__name__ for each in parts(Part) if each not in told and not parts(each)] == []
    silent = [f"{kind.__name__}.{key}" for kind in told for key in kind.model_fields if not schemas.meanings(kind).get(key)]
    assert silent == []


def test_every_key_of_every_request_has_a_meaning() -> None:
    asked = [functions._asked(functions._work(call)) for each in functions._functions() if (call := functions._answering(each))]
    kinds = [kind for kind in asked if kind]
    assert len(kinds) == len(asked) - 1, "sync_health alone takes no body"
    assert [f"{kind.__name__}.{key}" for kind in kinds for key in kind.model_fields if not schemas.meanings(kind).get(key)] == []


def test_every_key_of_a_report_has_a_meaning() -> None:
    report = Report(
        "members", "r", datetime(2026, 1, 1, tzinfo=UTC), forecast=Billed(), handed_out={"shards": 4}, resumed_from="q"
    )
    report.directions, report.reconciled, report.events = {"a_to_b": Tally()}, {"member": Comparison()}, {"member": Taken(1)}
    report.brakes, report.tenants = [Brake("a_to_b", "member", 1, 0, "p")], {"RVK": Failure("a", "b", True)}
    report.counts["membersUpdated"] = 1
    assert sorted(functions.KEYS) == sorted(report.as_json())


def test_the_backends_description_holds_no_text_that_a_comma_has_cut() -> None:
    def empty(value: Any, place: str = "") -> list[str]:
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [place] if value is None else [each for name, below in inside for each in empty(below, f"{place}/{name}")]

    assert empty(yaml.safe_load((ROOT / "backend/syncqueue/openapi.yaml").read_text(encoding="utf-8"))) == []


# The sync's own collections


def polled() -> None:
    for seed in range(6):
        play(PolledWorld(Random(seed), 0.02, knows_keys=seed % 2 == 0))


def held_for_long() -> None:
    w = test_privacy.busy()
    w.store.renew("things", w.clock(), {"changes": 1, "compared": 0})


def claimed() -> None:
    w = test_privacy.busy()
    Claims(w.store, w.clock, "an agent").take(RecordId("thing", "k"))


SCENES: Sequence[Callable[[], Any]] = (
    test_privacy.test_after_an_erasure_nothing_of_the_record_is_left_anywhere,
    test_replay.test_who_replayed_what_is_noted_and_no_value_of_it,
    partial(test_replay.test_what_was_superseded_since_is_closed_and_nothing_later_is_overwritten, "django"),
    test_manual.test_every_call_leaves_an_entry_in_the_audit_without_a_value,
    test_manual.test_resolving_twice_says_who_did_it_and_when,
    test_joining.test_the_value_replaced_is_kept_in_the_queue_only_where_conflicts_are_merged,
    test_shards.test_a_large_backlog_is_handed_out_and_the_last_shard_closes_the_run,
    test_statistics.test_a_day_that_is_over_is_put_together_once,
    test_reconcile.test_a_checkpoint_of_another_release_is_gone_on_with,
    claimed,
    polled,
    held_for_long,
)
"""Together they let the sync write each of its collections."""
ELSEWHERE = {
    "sync_queue": {"correlation_id"},  # comes with a change of a backend that names one
    "sync_audit": {"plan", "role", "fields"},  # the functions and the command line note these themselves
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The names of all fields that are written from now on, by collection."""
    seen: dict[str, set[str]] = defaultdict(set)
    apply = MemoryFirestore._apply

    def watched(self: MemoryFirestore, writes: Sequence[Write]) -> None:
        apply(self, writes)
        for each in writes:
            seen[each.path.partition("/")[0]] |= {
                "part_ENTITY_NUMBER" if name.startswith("part_") else name for name in each.fields or ()
            }

    monkeypatch.setattr(MemoryFirestore, "_apply", watched)
    return seen


def test_every_field_that_the_sync_writes_is_told_of_and_no_other(written: dict[str, set[str]]) -> None:
    for scene in SCENES:
        scene()
    found = {name: fields | ELSEWHERE.get(name, set()) for name, fields in written.items() if name.startswith("sync_")}
    told = {name: set(fields) for name, fields in state.FIELDS.items()}
    assert {
        name: sorted(fields - told.get(name, set())) for name, fields in found.items() if fields - told.get(name, set())
    } == {}
    assert {name: sorted(told[name] - found.get(name, set())) for name in told if told[name] - found.get(name, set())} == {}


def test_every_collection_has_its_section() -> None:
    assert set(state.FIELDS) == set(state.ABOUT) == set(RULES)
    overrides = json.loads((ROOT / "firestore.indexes.json").read_text(encoding="utf-8"))["fieldOverrides"]
    ours = [each for each in overrides if each["collectionGroup"].startswith("sync_")]
    unknown = [each for each in ours if each["fieldPath"].partition(".")[0] not in state.FIELDS[each["collectionGroup"]]]
    assert unknown == []
