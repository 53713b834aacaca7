"""What the command line shows to people: JSON in, tables out. Fits into 80 columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.canonical import canonical
from shared.errors import TerminalRecord
from shared.letters import Letter
from shared.native import plain
from shared.peers.documents import Snapshot

Body: TypeAlias = Mapping[str, Any]
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d{6}Z")
LONGEST = 60
"""Characters of a value; JSON output shows all of it."""


def _value(value: Any) -> str:
    try:
        text = canonical(value)
    except TerminalRecord:
        text = ascii(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _time(text: object) -> str:
    """Return an instant to the second; JSON output has the rest."""
    return INSTANT.sub(r"\1 \2", str(text)) if text else "-"


def _since(stamp: str) -> tuple[str, str]:
    """Return when and where a value was written."""
    time, _, origin = stamp.partition("|")
    return _time(time), origin


def _held(held: Body | None) -> str:
    if held is None:
        return "nothing"
    if "value" in held:
        return _value(held["value"])
    return f"{held['characters']} characters" if "characters" in held else "(deleted)"


def columns(*names: str) -> Table:
    """Return a table without lines."""
    table = Table(box=None, show_header=any(names), padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def story(told: Body) -> Iterator[RenderableType]:
    """Show a record's story: what happened in the order of time, then how things are."""
    record = told["record"]
    tenant = f" of {record['tenant']}" if record["tenant"] else ""
    yield Text(f"{record['entity']} {record['key']}{tenant}: {told['state']}", style="bold")
    events = columns("when (UTC)", "what")
    for each in told["events"]:
        events.add_row(_time(each["at"]), Text.assemble((_headline(each), "bold"), "\n", _time(each["fate"])))
    yield ""
    yield events
    if told["fields"]:
        yield ""
        yield _fields_now(told["fields"])
    for note in told["notes"]:
        yield Text(f"Note: {note}", style="yellow")


def _headline(event: Body) -> str:
    values = ", ".join(f"{name}: {_value(value)}" for name, value in event["fields"].items())
    if event["what"] == "conflict":
        return f"conflict over {event['where']}: {values}"
    return f"{event['what']} in {event['where']}" + (f": {values}" if values else "")


def _fields_now(fields: Sequence[Body]) -> Table:
    table = columns("field", "now", "since (UTC)", "by")
    for each in fields:
        held = list(each["held"].items())
        alike = each["state"] == "equal" and len({value["stamp"] for _, value in held}) == 1
        for peer, value in held[:1] if alike else held:
            shown = _held(value) if alike else f"{peer}: {_held(value)}"
            table.add_row(each["field"], shown, *(_since(value["stamp"]) if value else ()))
        if each["state"] == "unseen":
            table.add_row("", "edited, and not adopted yet")
        for lost in each["overtook"]:
            table.add_row("", f"overtook {_held(lost)}", *_since(lost["stamp"]))
    return table


COUNTS = ("read", "applied", "unchanged", "superseded", "held", "dead_letters", "waiting", "conflicts")


def runs(body: Body) -> Iterator[RenderableType]:
    """Show what a run did, or would do, by pair."""
    for name, pair in body["result"].get("pairs", {}).items():
        yield Text(f"pair {name}, run {body['runId']}{': a dry run' if 'plan' in pair else ''}", style="bold")
        yield from _counts(pair)
        yield from _plan(pair) if "plan" in pair else ()
        for each in pair["brakes"]:
            way = f"{each['deletes']} deletes of {each['entity']} ({each['direction']}; {each['allowed']} pass unasked)"
            yield Text(f"held: {way}; --allow-mass-delete {each['plan']} lets them pass", style="yellow")
        if "handed_out" in pair:
            yield Text(
                f"handed out: goes on in {pair['handed_out']['shards']} shards on other instances; its record in sync_runs tells"
            )
        if pair["left_over"]:
            yield Text(f"stopped by its {pair['stopped_by']}; the next run goes on", style="yellow")
        yield Text(f"billed: {_billed(pair['billed'], pair['cost'])}")
    yield from (Text(f"{each.get('pair', '')}: {each['message']}", style="red") for each in body["errors"])


def _counts(pair: Body) -> Iterator[RenderableType]:
    table = columns("", *pair["directions"])
    for word in COUNTS:
        table.add_row(word.replace("_", " "), *(str(tally[word]) for tally in pair["directions"].values()))
    yield table
    for entity, figures in pair.get("reconciled", {}).items():
        yield f"{entity}: " + ", ".join(f"{number} {word.replace('_', ' ')}" for word, number in figures.items())


def _plan(pair: Body) -> Iterator[RenderableType]:
    for direction, rows in groupby(pair["plan"], lambda row: row["direction"]):
        yield Text((direction or "read from neither side").replace("_to_", " to "), style="bold")
        yield _rows_of_plan(rows)
    if pair["plan_more"]:
        yield f"and {pair['plan_more']} more rows"
    yield f"it would be billed: {_billed(pair['forecast'], pair['forecast_cost'])}"


def _rows_of_plan(rows: Iterable[Body]) -> Table:
    table = columns("record", "field", "from", "to", "why")
    for name, same in groupby(rows, _of_the_plan):
        for number, row in enumerate(same):
            values = (_held(row["from"]), _held(row["to"])) if row["field"] or row["to"] else ("", "")
            table.add_row("" if number else name, row["field"] or "", *values, _time(row["why"]))
    return table


def _of_the_plan(row: Body) -> str:
    tenant = f" of {row['tenant']}" if row["tenant"] else ""
    name = f"{row['entity']} {row['key']}{tenant}" if row["key"] is not None else row["id"]
    return f"leave {name}" if row["action"] == "none" else f"{row['action']} {name}"


def _billed(billed: Body, cost: Body) -> str:
    operations = ", ".join(f"{number} {word}" for word, number in billed.items())
    return f"{operations} (about {cost['amount']:.6f} {cost['currency']})"


def health(body: Body) -> Iterator[RenderableType]:
    """Show how all pairs are doing."""
    for name, pair in body["result"]["pairs"].items():
        last = pair["last_run"]
        word = "done" if last and last["success"] else "failed"
        ended = f"{word} {_time(last['completed_at'])}, {last['run_id']}" if last else "none yet"
        yield Text(f"pair {name}: {'needs somebody' if pair['problems'] else 'all is well'}", style="bold")
        table = columns("", "waiting", "refused", "oldest", "clock")
        for peer, status in pair["peers"].items():
            figures = (str(status["pending"]), str(status["failed"]), _time(status["oldest_pending_at"]), _time(status["clock"]))
            table.add_row(peer, *figures)
        yield table
        yield f"last run: {ended}"
        yield f"dead letters: {pair['dead_letters']}"
        yield from _tenants(pair["tenants"])
        for each in pair["problems"]:
            yield Text.assemble((f"{each['code']}: {each['message']}", "yellow"), f"\n  {each['cure']}")


def _tenants(tenants: Body) -> Iterator[str]:
    """Show the tenants for whom something waits, or for whom no run has gone through for too long."""
    for tenant, each in tenants.items():
        waits = {name: number for name, number in each.items() if isinstance(number, int) and not name.endswith("seconds")}
        if any(waits.values()) or each["problems"]:
            counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in waits.items())
            yield f"{tenant}: {counts}; last success {_time(each['last_success_at'])}"


def status(body: Body) -> Iterator[RenderableType]:
    """Show every pair in one table: what waits on each side, since when, and what needs somebody."""
    table = columns("pair", "state", "waiting", "oldest", "last success", "conflicts", "dead letters")
    for name, pair in body["result"]["pairs"].items():
        waiting = "\n".join(f"{peer} {_pending(pair, peer)}" for peer in pair["sides"])
        oldest = min((each["oldest_pending_at"] for each in pair["peers"].values() if each["oldest_pending_at"]), default=None)
        success = (pair["last_run"] or {}).get("succeeded_at")
        state = Text(", ".join(each["code"] for each in pair["problems"]), style="yellow") if pair["problems"] else "all is well"
        figures = (str(pair["open_conflicts"]), str(pair["dead_letters"]))
        table.add_row(name, state, waiting, _time(oldest), _time(success), *figures)
    yield table
    if body["errors"]:
        yield "`./bothways health` says what each trouble is, and what to do"


def _pending(pair: Body, peer: str) -> str:
    return str(pair["peers"][peer]["pending"]) if peer in pair["peers"] else "(no answer)"


def statistics(told: Body) -> Iterator[RenderableType]:
    """Show what the runs of each pair came to, by day or by month."""
    for name, pair in told.items():
        yield Text(f"pair {name}", style="bold")
        table = columns("", "runs", "went through", "changes", "p50 s", "p95 s", "cost")
        for period, each in [*pair["periods"].items(), ("all", pair["all"])]:
            rate = "-" if each["success_rate"] is None else f"{each['success_rate']:.1%}"
            times = ("-" if each[share] is None else f"{each[share]:.2f}" for share in ("p50_seconds", "p95_seconds"))
            cost = ", ".join(f"{amount:.4f} {currency}" for currency, amount in each["cost"].items())
            table.add_row(period, str(each["runs"]), rate, str(each["changes"]), *times, cost)
        yield table


def letter(found: Letter) -> dict[str, Any]:
    """Return a dead letter as JSON."""
    record = found.record
    named = {"entity": record.entity, "tenant": record.tenant, "key": record.key} if record else {}
    said = {"reason": found.reason, "message": found.message, "attempts": found.attempts}
    return {"id": found.id, "pair": found.pair, "from": found.source, **named, **said}


def letters(found: Sequence[Body]) -> Iterator[RenderableType]:
    """Show dead letters."""
    for each in found:
        yield Text(each["id"], style="bold")
        yield f"  {each['reason']}: {each['message']} ({each['attempts']} attempt(s))"
    yield _how_many(found, "open dead letter")


def conflict(found: Snapshot) -> dict[str, Any]:
    """Return a conflict as JSON."""
    return {"id": found.path.partition("/")[2], **plain(dict(found.fields))}


def conflicts(found: Sequence[Body]) -> Iterator[RenderableType]:
    """Show conflicts, each with both values; the one that stands is marked."""
    for each in found:
        tenant = f" of {each['tenant']}" if each["tenant"] else ""
        status = each["status"] if each["status"] == "open" else f"{each['status']} by {each.get('resolved_by') or each['rule']}"
        yield Text(f"{each['entity']} {each['key']}{tenant}, {each['field']}: {status}", style="bold")
        yield f"  {each['id']}"
        for side in ("local", "incoming"):
            mark = "(stands)" if each["winner"] == side else ""
            time, origin = _since(each[side]["stamp"])
            yield f"  {origin} {time}: {_held(each[side])} {mark}".rstrip()
    yield _how_many(found, "conflict")


def resolved(done: Body) -> Iterator[RenderableType]:
    """Show how a conflict was decided."""
    kept = "a value of their own" if done["keep"] == "value" else f"the {done['keep']} side"
    yield f"{done['entity']}, {done['field']}: {kept} was kept by {done['resolved_by']}, and written to both sides"
    if "written_anew_at" in done:
        yield f"it was written anew at {done['written_anew_at']} meanwhile: the next run meets that as a conflict again"


def replayed(body: Body) -> Iterator[RenderableType]:
    """Show what became of dead letters."""
    for each in body["result"]["letters"]:
        by = f" by {each['superseded_by']}" if "superseded_by" in each else ""
        yield Text(each["id"], style="bold")
        yield f"  {each['outcome']}{by}" + (f": {each['reason']}: {each['message']}" if "reason" in each else "")
    yield _how_many(body["result"]["letters"], "letter")
    if body["result"]["left_over"]:
        yield "there may be more; call again"


def _how_many(found: Sequence[object], what: str) -> str:
    return f"{len(found) or 'no'} {what}{'' if len(found) == 1 else 's'}"
