"""What every peer must do, whichever system it is: one suite, run against each of them unchanged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from stands import (
    DjangoStand,
    EmulatorStand,
    MemoryFirestoreStand,
    MemoryStand,
    PolledByKeyStand,
    PolledOnEmulatorStand,
    PolledStand,
    SimulatedBackendStand,
    Stand,
)

from shared.canonical import BUCKETS, bucket_of, record_hash, slot_of
from shared.digests import HASHES, Digest
from shared.errors import Transient
from shared.model import Acknowledgement, Action, Change, Outcome, RecordId, Scope, Stamp, Value, stamp_at
from shared.peers.base import Asked, Eraser, Teller
from shared.peers.documents import Write
from shared.policy import Mode

KEYS = [
    "plain",
    "with space",
    "a/b//c",
    "dots.and..more",
    "50%",
    "a%2Fb",
    "þjóð-Ω-日本",
    "e\u0301",
    "é",
    "😀",
    ".",
    "..",
    "__x__",
]
EARLIER = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture(
    params=[
        MemoryStand,
        MemoryFirestoreStand,
        SimulatedBackendStand,
        PolledStand,
        PolledByKeyStand,
        pytest.param(PolledOnEmulatorStand, marks=pytest.mark.stack),
        pytest.param(EmulatorStand, marks=pytest.mark.stack),
        pytest.param(DjangoStand, marks=pytest.mark.stack),
    ],
    ids=lambda kind: kind.__name__.removesuffix("Stand"),
)
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    with request.param(request) as made:
        yield made


ids = itertools.count()


def branch(key: str) -> RecordId:
    return RecordId("branch", key)


def written(minutes: float) -> Stamp:
    """A stamp of the other side, so many minutes into yesterday."""
    return stamp_at(EARLIER + timedelta(minutes=minutes), "elsewhere")


def create(key: str, minutes: float, name: object = "North", city: object = "Akureyri") -> Change:
    fields = {"name": Value(name, written(minutes)), "city": Value(city, written(minutes))}
    return Change(f"c{next(ids)}", branch(key), Action.CREATE, fields, {"name": None, "city": None})


def update(key: str, minutes: float, base: Stamp | None, **fields: object) -> Change:
    values = {name: Value(value, written(minutes)) for name, value in fields.items()}
    return Change(f"u{next(ids)}", branch(key), Action.UPDATE, values, dict.fromkeys(values, base))


def delete(key: str, minutes: float, seen: Stamp) -> Change:
    return Change(
        f"d{next(ids)}", branch(key), Action.DELETE, deleted=written(minutes), deleted_base={"name": seen, "city": seen}
    )


def pending(stand: Stand, size: int = 500) -> list[Change]:
    pages = stand.peer.changes(Scope("branches", ("branch",), page_size=size))
    return [change for page in pages for change in page.changes]


def one(stand: Stand, change: Change, mode: Mode = Mode.LWW):  # type: ignore[no-untyped-def]
    [result] = stand.peer.apply([change], "run", mode)
    assert result.id == change.id
    return result


def held(stand: Stand, key: str) -> dict[str, object] | None:
    found = stand.peer.read([branch(key)])
    if not found or found[0].version.deleted:
        return None
    return {name: value.value for name, value in found[0].version.fields.items()}


def test_an_edit_by_its_own_users_is_shown_with_its_stamp_and_base(stand: Stand) -> None:
    stand.save("n", name="North", city="Akureyri")
    stand.save("n", city="Dalvík")
    first, second = pending(stand)
    assert first.record == second.record == branch("n")
    assert {name: value.value for name, value in first.fields.items()} == {"name": "North", "city": "Akureyri"}
    assert first.base == {"name": None, "city": None}
    assert {name: value.value for name, value in second.fields.items()} == {"city": "Dalvík"}
    assert second.base == {"city": first.fields["city"].stamp}
    assert second.fields["city"].stamp > first.fields["city"].stamp
    assert second.latest.endswith(f"|{stand.peer.name}")


def test_pages_show_all_that_waits_and_a_records_changes_in_order(stand: Stand) -> None:
    for number in range(3):
        for key in ("x", "y", "z"):
            stand.save(key, name=f"{number}")
    stamps: dict[RecordId, list[Stamp]] = {}
    for change in pending(stand, size=2):
        stamps.setdefault(change.record, []).append(change.latest)
    assert sorted(len(each) for each in stamps.values()) == [3, 3, 3]
    assert all(each == sorted(each) for each in stamps.values())


def test_what_is_acknowledged_is_not_shown_again_and_doing_it_twice_is_harmless(stand: Stand) -> None:
    stand.save("a", name="A")
    stand.save("b", name="B")
    stand.save("c", name="C")
    stand.save("d", name="D")
    by_key = {change.record.key: change.id for change in pending(stand)}
    done = Acknowledgement((by_key["a"], "never-heard-of"), {by_key["b"]: written(1)}, {by_key["c"]: "type: no"})
    stand.peer.acknowledge("run", done)
    stand.peer.acknowledge("run", done)
    assert [change.record.key for change in pending(stand)] == ["d"]
    status = stand.peer.status(Scope("branches", ("branch",)))
    assert (status.pending, status.failed) == (1, 1)
    assert status.oldest_pending_at is not None


def test_a_change_applied_twice_is_unchanged_and_makes_no_change_of_its_own(stand: Stand) -> None:
    change = create("n", 1)
    first, again = one(stand, change), one(stand, change)
    assert (first.outcome, set(first.applied)) == (Outcome.APPLIED, {"name", "city"})
    assert again.outcome is Outcome.UNCHANGED
    stand.deliver_events()
    assert pending(stand) == []
    assert held(stand, "n") == {"name": "North", "city": "Akureyri"}


def test_a_newer_change_made_on_top_is_no_conflict_and_an_older_one_is_stale_and_kept(stand: Stand) -> None:
    one(stand, create("n", 1))
    result = one(stand, update("n", 5, written(1), name="Far North"))
    assert (result.outcome, result.applied, result.conflicts) == (Outcome.APPLIED, ("name",), ())
    stale = one(stand, update("n", 3, written(1), name="Near North"))
    assert (stale.outcome, stale.applied) == (Outcome.STALE, ())
    [conflict] = stale.conflicts
    assert (conflict.field, conflict.winner) == ("name", "local")
    assert conflict.incoming == Value("Near North", written(3))
    assert held(stand, "n") == {"name": "Far North", "city": "Akureyri"}


def test_a_newer_change_that_had_not_seen_the_value_wins_and_the_loser_is_kept(stand: Stand) -> None:
    one(stand, create("n", 1))
    one(stand, update("n", 3, written(1), name="Mine"))
    change = update("n", 5, written(1), name="Theirs")
    result = one(stand, change)
    [conflict] = result.conflicts
    assert (result.outcome, conflict.winner, conflict.local) == (Outcome.APPLIED, "incoming", Value("Mine", written(3)))
    stand.peer.settle("run", [conflict.id])
    assert [each.id for each in one(stand, update("n", 6, written(1), city="Elsewhere")).conflicts] == []


def test_a_larger_stamp_over_an_equal_value_is_taken_without_a_conflict(stand: Stand) -> None:
    one(stand, create("n", 1))
    result = one(stand, update("n", 9, None, name="North"))
    assert (result.outcome, result.applied, result.conflicts) == (Outcome.APPLIED, ("name",), ())
    assert result.stamps["name"] == written(9)


def test_equal_stamps_fall_to_the_larger_json_whichever_comes_first(stand: Stand) -> None:
    for key, first, second in (("p", "aaa", "bbb"), ("q", "bbb", "aaa")):
        one(stand, create(key, 1, name=first))
        assert len(one(stand, create(key, 1, name=second)).conflicts) == 1
        assert held(stand, key) == {"name": "bbb", "city": "Akureyri"}


def test_an_update_of_an_unknown_record_waits_for_the_whole_record(stand: Stand) -> None:
    result = one(stand, update("n", 1, None, name="North"))
    assert (result.outcome, result.problem and result.problem.code) == (Outcome.RETRY, "incomplete")
    assert one(stand, create("n", 2)).outcome is Outcome.APPLIED


def test_a_deleted_record_is_gone_and_a_later_edit_brings_it_back_whole(stand: Stand) -> None:
    one(stand, create("n", 1))
    gone = one(stand, delete("n", 3, written(1)))
    assert (gone.outcome, gone.deleted, gone.conflicts) == (Outcome.APPLIED, written(3), ())
    assert held(stand, "n") is None
    assert one(stand, delete("n", 3, written(1))).outcome is Outcome.UNCHANGED
    back = one(stand, update("n", 5, written(3), name="Back"))
    assert (back.outcome, back.deleted, back.conflicts) == (Outcome.APPLIED, None, ())
    assert held(stand, "n") == {"name": "Back", "city": "Akureyri"}
    stand.deliver_events()
    assert pending(stand) == []


def test_a_delete_that_had_not_seen_an_edit_keeps_that_edit_as_a_conflict(stand: Stand) -> None:
    one(stand, create("n", 1))
    one(stand, update("n", 2, written(1), name="Unseen"))
    result = one(stand, delete("n", 3, written(1)))
    assert result.outcome is Outcome.APPLIED
    assert [(each.field, each.winner, each.local) for each in result.conflicts] == [
        ("name", "incoming", Value("Unseen", written(2)))
    ]


def test_an_older_edit_stays_hidden_under_a_tombstone(stand: Stand) -> None:
    one(stand, create("n", 1))
    one(stand, delete("n", 5, written(1)))
    result = one(stand, update("n", 3, written(1), name="Late"))
    assert (result.outcome, result.applied, result.deleted) == (Outcome.STALE, (), written(5))
    assert held(stand, "n") is None
    assert [(each.field, each.winner) for each in result.conflicts] == [("name", "local")]


def test_a_delete_of_a_record_never_heard_of_takes_effect(stand: Stand) -> None:
    assert one(stand, delete("n", 5, written(1))).outcome is Outcome.APPLIED
    assert one(stand, create("n", 3)).outcome is Outcome.STALE
    assert held(stand, "n") is None


def test_a_record_created_anew_inherits_nothing(stand: Stand) -> None:
    one(stand, create("n", 1))
    one(stand, delete("n", 3, written(1)))
    one(stand, create("n", 5, city=None))
    assert held(stand, "n") == {"name": "North", "city": None}


def test_an_edit_that_no_queue_saw_is_adopted_before_anything_is_applied_over_it(stand: Stand) -> None:
    one(stand, create("n", 1))
    stand.save_unseen("n", city="Dalvík")
    result = one(stand, update("n", 5, written(1), city="Húsavík"))
    assert result.outcome is Outcome.STALE
    assert [each.winner for each in result.conflicts] == ["local"]
    [change] = pending(stand)
    assert {name: value.value for name, value in change.fields.items()} == {"city": "Dalvík"}
    assert change.base == {"city": written(1)}


def test_reading_adopts_what_no_queue_saw(stand: Stand) -> None:
    one(stand, create("n", 1))
    stand.save_unseen("n", city="Dalvík")
    assert held(stand, "n") == {"name": "North", "city": "Dalvík"}
    assert len(pending(stand)) == 1


def test_an_edit_made_on_top_of_a_synced_value_is_later_than_it(stand: Stand) -> None:
    soon = stamp_at(datetime.now(UTC) + timedelta(seconds=2), "elsewhere")
    fields = {"name": Value("Soon", soon), "city": Value(None, soon)}
    assert one(stand, Change("soon", branch("n"), Action.CREATE, fields)).outcome is Outcome.APPLIED
    stand.save("n", name="Now")
    [change] = pending(stand)
    assert change.fields["name"].stamp > soon


def test_a_stamp_from_far_in_the_future_waits(stand: Stand) -> None:
    ahead = stamp_at(datetime.now(UTC) + timedelta(hours=3), "elsewhere")
    result = one(stand, Change("f", branch("n"), Action.CREATE, {"name": Value("N", ahead), "city": Value("C", ahead)}))
    assert (result.outcome, result.problem and result.problem.code) == (Outcome.RETRY, "future")


def test_one_bad_change_spoils_no_other_and_results_come_in_order(stand: Stand) -> None:
    bad = create("bad", 1, name=stand.unacceptable)
    results = stand.peer.apply([create("a", 1), bad, create("b", 1), update("a", 2, written(1), city="X")], "run")
    assert [each.outcome for each in results] == [Outcome.APPLIED, Outcome.INVALID, Outcome.APPLIED, Outcome.APPLIED]
    assert results[1].problem is not None
    assert set(results[1].problem.fields) == {"name"}
    assert held(stand, "a") == {"name": "North", "city": "X"}
    assert held(stand, "bad") is None


def test_deletes_that_wait_and_live_records_can_be_counted(stand: Stand) -> None:
    for key in ("a", "b", "c"):
        stand.save(key, name=key)
    stand.delete("a")
    scope = Scope("branches", ("branch",))
    assert (stand.peer.pending_deletes(scope), stand.peer.count(scope)) == (1, 2)


def test_if_unchanged_holds_what_its_author_had_not_seen(stand: Stand) -> None:
    one(stand, create("n", 1))
    assert one(stand, update("n", 5, written(1), name="Seen"), Mode.IF_UNCHANGED).outcome is Outcome.APPLIED
    result = one(stand, update("n", 9, written(1), name="Not seen"), Mode.IF_UNCHANGED)
    assert result.outcome is Outcome.HELD
    assert [each.winner for each in result.conflicts] == ["none"]
    assert held(stand, "n") == {"name": "Seen", "city": "Akureyri"}


@pytest.mark.parametrize("key", KEYS)
def test_any_key_can_be_applied_read_edited_and_deleted(stand: Stand, key: str) -> None:
    assert one(stand, create(key, 1)).outcome is Outcome.APPLIED
    assert held(stand, key) == {"name": "North", "city": "Akureyri"}
    stand.save(key, city="Dalvík")
    stand.delete(key)
    changes = pending(stand)
    assert [change.record.key for change in changes] == [key, key]
    assert changes[-1].deletes
    assert held(stand, key) is None


def test_records_shows_every_live_record_once_in_the_order_of_keys(stand: Stand) -> None:
    stand.peer.apply([create(key, 1) for key in KEYS], "run")
    stand.peer.apply([create("dead", 1), delete("dead", 2, written(1))], "run")
    stand.save_unseen("plain", city="Dalvík")
    pages = list(stand.peer.records(Scope("branches", ("branch",), page_size=4), "branch"))
    found = [record for page in pages for record in page]
    assert sorted(record.id.key for record in found) == sorted(KEYS)
    assert all(len(page) <= 4 for page in pages)
    plain = next(record for record in found if record.id.key == "plain")
    assert plain.version.fields["city"].value == "Dalvík"
    assert len(pending(stand)) == (0 if stand.shows_without_adopting else 1)


def test_what_records_shows_before_it_is_adopted_is_what_reading_it_adopts(stand: Stand) -> None:
    one(stand, create("n", 1))
    stand.save_unseen("n", city="Dalvík")
    [[shown]] = stand.peer.records(Scope("branches", ("branch",)), "branch")
    assert stand.peer.read([branch("n")]) == [shown]


SCOPE = Scope("branches", ("branch",))
EVERYTHING = range(BUCKETS), range(HASHES)


def test_an_erased_record_is_brought_back_by_nothing_older_and_inherits_nothing(stand: Stand) -> None:
    if isinstance(stand, SimulatedBackendStand):
        pytest.skip("it is not asked to erase")
    assert isinstance(stand.peer, Eraser)
    one(stand, create("n", 1))
    stand.save("n", city="Dalvík")
    first = pending(stand)
    with pytest.raises(Transient):
        stand.peer.erase(branch("n"))
    later = (datetime.now(UTC) - EARLIER).total_seconds() / 60
    one(stand, delete("n", later, written(1)))
    stand.peer.erase(branch("n"))
    stand.deliver_events()
    assert [change.fields for change in pending(stand) if change.fields] == []
    for stale in (*first, update("n", 2, written(1), name="Old"), create("n", 3), delete("n", 4, written(3))):
        assert one(stand, stale).outcome in {Outcome.STALE, Outcome.UNCHANGED}
    [found] = stand.peer.read([branch("n")])
    assert (found.version.fields, found.version.deleted) == ({}, written(later))
    assert stand.peer.erase(branch("n")) is not None
    assert one(stand, update("n", later + 0.001, written(later), name="New")).outcome is Outcome.RETRY, "incomplete"
    anew = create("n", later + 0.002, name="New")
    assert one(stand, anew).outcome is Outcome.APPLIED
    assert held(stand, "n") == {"name": "New", "city": "Akureyri"}


def hashes_of(stand: Stand) -> dict[str, int]:
    """Every record's hash by its key, asked for in whichever way the peer answers."""
    if isinstance(stand.peer, Teller):
        told = stand.peer.digests(SCOPE, "branch")
        assert told is not None
        groups = list(stand.peer.hashes(SCOPE, "branch", {bucket: each for bucket, each in enumerate(told) if each.count}))
        found = [each for _, some in groups for each in some]
        assert all(bucket_of(each.id) in buckets for buckets, some in groups for each in some)
        assert [sum(each.hash for each in found if bucket_of(each.id) == bucket) for bucket in range(BUCKETS)] == [
            each.total for each in told
        ]
    else:
        assert isinstance(stand.peer, Asked)
        found = stand.peer.hashed(SCOPE, "branch", *EVERYTHING)
        assert stand.peer.digest(SCOPE, "branch", *EVERYTHING) == Digest(len(found), sum(each.hash for each in found))
    assert len({each.id for each in found}) == len(found)
    return {each.id.key: each.hash for each in found}


def test_every_peer_makes_the_same_hashes_of_what_it_holds(stand: Stand) -> None:
    if isinstance(stand, PolledStand):
        pytest.skip("it keeps no hashes: every record is compared")
    stand.peer.apply([create(key, 1, city=None) for key in KEYS], "run")
    stand.peer.apply([create("dead", 1), delete("dead", 2, written(1))], "run")
    stand.save("plain", name="Far North")
    names = dict.fromkeys(KEYS, "North") | {"plain": "Far North"}
    expected = {key: {"name": name, "city": stand.nothing} for key, name in names.items()}
    assert hashes_of(stand) == {key: record_hash(branch(key), fields) for key, fields in expected.items()}


def test_a_peer_that_is_asked_answers_about_any_part(stand: Stand) -> None:
    if not isinstance(stand.peer, Asked):
        pytest.skip("it tells all at once")
    stand.peer.apply([create(key, 1) for key in KEYS], "run")
    found = stand.peer.hashed(SCOPE, "branch", *EVERYTHING)
    for each in found:
        bucket = bucket_of(each.id)
        own = range(bucket, bucket + 1)
        for buckets, hashes in (range(bucket + 1), range(HASHES)), (own, range(each.hash, HASHES)), (own, range(each.hash)):
            inside = [one for one in found if bucket_of(one.id) in buckets and one.hash in hashes]
            assert set(stand.peer.hashed(SCOPE, "branch", buckets, hashes)) == set(inside)
            assert stand.peer.digest(SCOPE, "branch", buckets, hashes) == Digest(len(inside), sum(one.hash for one in inside))


def test_reading_mends_a_hash_that_does_not_fit_and_queues_nothing(stand: Stand) -> None:
    if not isinstance(stand, MemoryFirestoreStand | EmulatorStand):
        pytest.skip("it keeps no hashes")
    one(stand, create("n", 1))
    [right] = stand.peer.hashed(SCOPE, "branch", *EVERYTHING)
    [document] = stand.peer.documents.get(["branches/n"])[0].values()
    stand.peer.documents.write([Write("branches/n", {"_sync": document.fields["_sync"] | {"hash": 1, "bucket": 1}}, ("_sync",))])
    assert [each.hash for each in stand.peer.hashed(SCOPE, "branch", *EVERYTHING)] == [1]
    stand.peer.read([branch("n")], adopting=False)
    assert [each.hash for each in stand.peer.hashed(SCOPE, "branch", *EVERYTHING)] == [1], "looking changes nothing"
    stand.peer.read([branch("n")])
    bucket = bucket_of(branch("n"))
    assert stand.peer.hashed(SCOPE, "branch", range(bucket, bucket + 1), range(HASHES)) == [right]
    stand.deliver_events()
    assert pending(stand) == []


@pytest.mark.parametrize("count", [4, 64])
def test_shards_part_a_queue_and_a_record_lies_in_one_whichever_the_peer(stand: Stand, count: int):
    for key in KEYS:
        stand.save(key, name="first")
    for key in KEYS[:3]:
        stand.save(key, name="second")
    stand.deliver_events()
    seen: list[str] = []
    for number in range(count):
        pages = stand.peer.changes(replace(SCOPE, shard=(number, count), page_size=2))
        keys = [change.record.key for page in pages for change in page.changes]
        assert {slot_of(branch(key), count) for key in keys} <= {number}
        seen += keys
    everything = [change.record.key for page in stand.peer.changes(SCOPE) for change in page.changes]
    assert sorted(seen) == sorted(everything)
    assert set(seen) == set(KEYS)


def test_a_queue_can_be_counted(stand: Stand):
    assert stand.peer.pending(SCOPE) == 0
    for key in KEYS[:3]:
        stand.save(key, name="first")
    stand.deliver_events()
    assert stand.peer.pending(SCOPE) == 3
