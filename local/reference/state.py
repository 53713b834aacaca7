"""The page of the sync's own collections: what is in them is told here; the rest is read from where it is decided."""

import re
from collections.abc import Mapping
from pathlib import Path

from local.reference.schemas import table
from shared.retention import RULES

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# What the sync keeps in Firestore

All of it can be read in Firebase's console. `make docs` writes this page; how long each is kept is set in
`shared/retention.py`, who may read it from a browser in `firestore.rules`. Nobody but the functions, and the command line,
writes any of it. What of people is in it, and how it is erased, is told in [privacy.md](privacy.md).

A *stamp* says when and where a value was written: `2026-11-22T03:10:56.123456Z|django`. A *fingerprint* is a short hash of a
value. What carries `expire_at` is deleted by Firestore within a day or so after it; null: not yet to be deleted. In a
document that is synced there is one field more, `_sync`: by field a line `stamp|fingerprint` (`fields`), and `hash` and
`bucket`, by which two sides are compared."""
OF_A_RECORD = {"entity": "the kind of record", "tenant": "its tenant; null for an entity without any", "key": "its key"}
PAIR = {"pair": "the pair"}
ABOUT: Mapping[str, str] = {
    "sync_queue": "Edits made in Firestore, to be carried over. A tracker adds them, a run labels them. "
    "The id is `tenant:entity:key:update time`. Of a polled system, what a poll has found.",
    "sync_conflicts": "Two writes of one field, neither of whose authors had seen the other. Runs write them, before anything is "
    "overwritten. The id is a hash of record, field and both stamps.",
    "sync_dead_letters": "Changes that the other side will not take as they are, or not yet. Runs write, replays close them.",
    "sync_tombstones": "Deleted records. Trackers and runs write them; the id holds a hash of the key.",
    "sync_runs": "One document for each run that had something to do, and one an hour of those that had not.",
    "sync_leases": "Who is syncing a pair, or did last: one document for each pair, and for each shard while it works.",
    "sync_claims": "Which agent is at work on a record, so that no two are; the id is made of the record.",
    "sync_statistics": "A pair's figures of a day, put together once it is over.",
    "sync_audit": "Who did what to which record, by a keyed hash: decisions, replays, erasures, exports, roles, mass deletes "
    "that were allowed.",
    "sync_refs": "What is known of each record of a polled system.",
    "sync_checkpoints": "How far a full reconcile came that was cut off; under `poll:`, from where a polled system is asked.",
}
FIELDS: Mapping[str, Mapping[str, str]] = {
    "sync_queue": PAIR
    | OF_A_RECORD
    | {
        "action": "`create`, `update` or `delete`",
        "fields": "the edited fields with their values; null: it was emptied",
        "stamp": "when and where it was edited",
        "stamps": "of fields whose stamp is another",
        "base": "by field, the stamp of what the edit replaced; null: nothing",
        "deleted": "the stamp of the delete; null for an edit",
        "deleted_base": "of a delete, by field, the stamp of what the deleter had seen",
        "replaced": "by field, the value that it replaced, where a policy merges",
        "correlation_id": "by which the edit can be followed through systems",
        "shard": "0 to 63, from a hash of the key",
        "sync_status": "`pending`, `synced`, `superseded` (by a later write), `failed` (a dead letter) or `held` (in conflict)",
        "superseded_by": "the stamp of that later write",
        "created_at": "when it was queued",
        "synced_at": "when it was labelled",
        "run_id": "by which run",
        "error": "of a failed one, why",
        "erased_at": "when the record was erased; little else is left then",
        "expire_at": "when it may go",
    },
    "sync_conflicts": PAIR
    | OF_A_RECORD
    | {
        "field": "the field",
        "local": "`value` and `stamp` of what lay there; a delete has no value. `left_out`: it was too large for this",
        "incoming": "the same of what came",
        "stamps": "both stamps, the earlier first",
        "base": "the stamp that the later author had seen",
        "winner": "`local`, `incoming` or `none`",
        "rule": "the policy that chose, `initial_winner`, or `resolved`",
        "status": "`open`, `settled` (by the rule), `resolved` (by somebody) or `superseded` (by a newer edit)",
        "resolution": "the stamp with which the decision was written",
        "resolving": "what somebody has begun to decide",
        "chosen": "`local`, `incoming` or `value`",
        "resolved_by": "who decided",
        "resolved_at": "when",
        "note": "why, in their words",
        "run_id": "the run that met it",
        "created_at": "when",
        "expire_at": "when it may go; null while it is open",
    },
    "sync_dead_letters": PAIR
    | OF_A_RECORD
    | {
        "from": "the peer whose change it is",
        "change_id": "the change's id in its queue",
        "change": "the change, as in `sync_queue`",
        "reason": "a word, such as `too-large` or `reference`",
        "message": "what to do about it; no value",
        "fields": "by field, which rule it broke",
        "status": "`open`, `waiting` (runs try it again), `replayed` or `superseded`",
        "superseded_by": "the stamp of the later write",
        "attempts": "how often it was tried",
        "first_at": "when first",
        "last_at": "when last",
        "closed_at": "when it was replayed or overtaken",
        "run_id": "by which run it was refused, or closed",
        "expire_at": "when it may go",
    },
    "sync_tombstones": OF_A_RECORD
    | {
        "deleted": "the stamp of the delete; null: the record is back",
        "fields": "its last values; none after an erasure",
        "stamps": "their stamps",
        "removed": "which states of the document the sync itself deleted of late, by update time",
        "erased": "the stamp of the erasure",
        "expire_at": "when it may go",
    },
    "sync_runs": PAIR
    | {
        "run_id": "its id",
        "by": "who asked for it",
        "status": "`running`, `handed_out`, `done`, `failed` or `abandoned`",
        "day": "that on which it began, in UTC",
        "started_at": "when it began",
        "completed_at": "when it ended",
        "result": "its [report](reference-functions.md#a-runs-report)",
        "failure": "where it failed, and why; null: it did not",
        "handed_out": "of one in shards: how many, which entities, and which of them is under way (`wave`)",
        "part_ENTITY_NUMBER": "of one in shards: what that shard has done",
        "expire_at": "when it may go",
    },
    "sync_leases": {
        "run_id": "the run that holds it, or did",
        "until": "until when, unless it is renewed; null: nobody does",
        "done": "how many `changes` were read and records `compared`, by a run that took longer than half a minute",
        "last": "the last run that ended: when, whether it went through, and when one last did, of all tenants or of one",
    },
    "sync_claims": {
        "holder": "the agent's name",
        "until": "until when, unless it claims it anew or gives it back",
        "expire_at": "when it may go",
    },
    "sync_statistics": PAIR
    | {
        "day": "the day",
        "runs": "how many began on it",
        "failed": "how many of them failed",
        "unfinished": "how many were cut off",
        "changes": "how many changes were read, or records mended",
        "carried": "these by direction, and the repaired records as `reconciled`",
        "conflicts": "how many were met",
        "dead_letters": "how many changes were refused",
        "quota_errors": "how often a quota was used up",
        "billed": "`reads`, `writes` and `deletes`",
        "costs": "by currency",
        "durations": "how many runs took so long, by size; each size is a tenth more than the one before",
        "events": "by kind, how many edits were carried, and how long that took",
        "expire_at": "when it may go",
    },
    "sync_audit": {
        "what": "what was done, such as `resolve_conflict`, `erase_record`, `allow_mass_delete` or `grant`",
        "id": "of what: a conflict, a call, a user",
        "by": "who",
        "at": "when",
        "entity": "the kind of record",
        "record": "a keyed hash of its key, the one that the log has",
        "outcome": "`begun`, then what came of it",
        "keep": "of a decision, which side was kept, or that it was another value",
        "again": "of a decision, whether it was one anew",
        "reason": "of an erasure, why",
        "removed": "of an erasure, how much of what was dropped",
        "remains": "of an erasure, what is kept until when",
        "plan": "the mass delete that was allowed",
        "pair": "of a replay, the pair",
        "letters": "of a replay, hashes of the letters' ids",
        "role": "the role that a user was given",
        "fields": "of an agent's write, the names of the fields",
        "expire_at": "when it may go",
    },
    "sync_refs": PAIR
    | {"peer": "the polled system"}
    | OF_A_RECORD
    | {
        "external": "its id there; null while it is not there",
        "leads_to": "in a document that stands for an external id alone: the key of its record",
        "state": "`live`, `creating` or `gone`",
        "fields": "by field, `stamp|fingerprint`",
        "deleted": "the stamp of its delete",
        "hidden": "of a deleted one, its last values",
        "stamps": "their stamps",
        "writing": "by field, `stamp|fingerprint` of what is being written there",
        "removing": "the stamp of a delete that is being made there",
        "writing_at": "since when",
        "missed": "how many complete lists in a row lacked it",
        "missed_at": "when the poll began that counted so last",
        "at": "when the system says it was changed last",
        "erased": "the stamp of the erasure",
        "expire_at": "when it may go",
    },
    "sync_checkpoints": PAIR
    | {
        "run_id": "the run that was cut off",
        "at": "when it came so far",
        "entity": "which entity it was at",
        "tenant": "of which tenant",
        "after": "the last key that was done",
        "reconciled": "its figures up to there",
        "since": "from where the system is asked next, in its own words",
        "polled_at": "when it was last asked",
        "full_at": "when everything was last listed",
    },
}
"""What each field holds, by collection. A test looks whether documents hold any other."""


def page() -> str:
    """Return the page as it should be."""
    return HEAD + "".join(f"\n{_section(name)}" for name in FIELDS)


def _section(name: str) -> str:
    rule = RULES[name]
    kept = f"{rule.told}, from when {rule.since}" if rule.kept else rule.since
    read = f"Kept: {kept}. Read from a browser by: {', '.join(_readers(name)) or 'nobody'}."
    return f"## {name}\n\n{ABOUT[name]}\n\n{read}\n\n" + table(
        ["field", ""], ([f"`{field}`", told] for field, told in FIELDS[name].items())
    )


def _readers(name: str) -> list[str]:
    """Return who may read a collection, as firestore.rules has it."""
    rules = (ROOT / "firestore.rules").read_text(encoding="utf-8")
    found = re.search(rf"match /{name}/\{{id\}} {{\s+allow read: if ([^;]+);", rules)
    allowed = found[1] if found else ""
    own = ["whose record it is about"] if "isOwn()" in allowed else []
    return re.findall(r"'(\w+)'", allowed) + own
