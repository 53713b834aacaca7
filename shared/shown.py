"""What the command line shows to people: JSON in, tables out. Fits into 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
LONGEST = 60
"""Characters of a value; JSON output shows all of it."""


def _value(value: Any) -> str:
    try:
        text = canonical(value)
    except TerminalRecord:
        text = ascii(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _time(text: object) -> str:
    """Return an instant to the second: JSON output has the rest."""
    return str(text)[:19].replace("T", " ") if text else "-"


def _stamped(held: Body | None) -> str:
    if held is None:
        return "-"
    time, _, origin = str(held["stamp"]).partition("|")
    value = _value(held["value"]) if "value" in held else f"({held.get('characters', 'deleted')} characters)"
    return f"{value}\n{origin} {_time(time)}"


def _grid(*columns: str) -> Table:
    """Return a table without lines; the last column takes what room there is."""
    table = Table(box=None, show_header=any(columns), padding=(0, 2, 0, 0), header_style="bold")
    for name in columns[:-1]:
        table.add_column(name, overflow="fold")
    table.add_column(columns[-1], overflow="fold", ratio=1)
    return table


def story(told: Body) -> Iterator[RenderableType]:
    """Show a record's story: what happened in the order of time, then how things are."""
    record = told["record"]
    tenant = f" of {record['tenant']}" if record["tenant"] else ""
    yield Text(f"{record['entity']} {record['key']}{tenant}: {told['state']}", style="bold")
    yield ""
    events = _grid("when (UTC)", "what")
    for each in told["events"]:
        events.add_row(_time(each["at"]), Text.assemble((_headline(each), "bold"), "\n", (each["fate"], "dim")))
    yield events
    yield ""
    if told["fields"]:
        yield _fields_now(told["fields"])
    for note in told["notes"]:
        yield Text(f"Note: {note}", style="yellow")


def _headline(event: Body) -> str:
    values = ", ".join(f"{name}: {_value(value)}" for name, value in event["fields"].items())
    if event["what"] == "conflict":
        return f"conflict over {event['where']}: {values}"
    return f"{event['what']} in {event['where']}" + (f": {values}" if values else "")


def _fields_now(fields: Sequence[Body]) -> Table:
    peers = list(fields[0]["held"])
    table = _grid("now", *peers, "")
    for each in fields:
        lost = [f"overtook {_value(side.get('value'))} of {_time(side['stamp'])}" for side in each["overtook"]]
        said = [] if each["state"] == "equal" else [each["state"]]
        table.add_row(each["field"], *(_stamped(each["held"][peer]) for peer in peers), "\n".join([*said, *lost]))
    return table


COUNTS = ("read", "applied", "unchanged", "superseded", "held", "dead_letters", "waiting", "conflicts")


def runs(body: Body) -> Iterator[RenderableType]:
    """Show what a run did, or would do, by pair."""
    for name, pair in body["result"].get("pairs", {}).items():
        yield Text(f"pair {name}, run {body['runId']}{': a dry run' if 'plan' in pair else ''}", style="bold")
        yield from _counts(pair)
        yield from _plan(pair) if "plan" in pair else ()
        for each in pair["brakes"]:
            way = f"{each['deletes']} deletes of {each['entity']} ({each['direction']}, {each['allowed']} pass unasked)"
            yield Text(f"held: {way}; --allow-mass-delete {each['plan']} lets them pass", style="yellow")
        if pair["left_over"]:
            yield Text(f"stopped by its {pair['stopped_by']}; the next run goes on", style="yellow")
        yield Text(f"billed: {_billed(pair['billed'])}")
    yield from (Text(f"{each.get('pair', '')}: {each['message']}", style="red") for each in body["errors"])


def _counts(pair: Body) -> Iterator[RenderableType]:
    table = _grid("", *pair["directions"], "")
    for word in COUNTS:
        table.add_row(word.replace("_", " "), *(str(tally[word]) for tally in pair["directions"].values()), "")
    yield table
    for entity, figures in pair.get("reconciled", {}).items():
        yield f"{entity}: " + ", ".join(f"{number} {word.replace('_', ' ')}" for word, number in figures.items())


def _plan(pair: Body) -> Iterator[RenderableType]:
    if pair["plan"]:
        table = _grid("record", "field", "from", "to", "")
        for row in pair["plan"]:
            record = f"{row['entity'] or row.get('id')} {row['key'] or ''}\n{row['direction'] or ''}"
            why = f"{row['action']}\n{row['why']}"
            table.add_row(record, row["field"] or "", _stamped(row["from"]), _stamped(row["to"]), why)
        yield table
    if pair["plan_more"]:
        yield f"and {pair['plan_more']} more rows"
    yield f"it would be billed: {_billed(pair['forecast'])}"


def _billed(billed: Body) -> str:
    return ", ".join(f"{number} {word}" for word, number in billed.items())


def health(body: Body) -> Iterator[RenderableType]:
    """Show how all pairs are doing."""
    for name, pair in body["result"]["pairs"].items():
        last = pair["last_run"]
        word = "done" if last and last["success"] else "failed"
        ended = f"{word} {_time(last['completed_at'])}, {last['run_id']}" if last else "none yet"
        yield Text(f"pair {name}: {'needs somebody' if pair['problems'] else 'all is well'}", style="bold")
        table = _grid("", "waiting", "refused", "oldest", "clock")
        for peer, status in pair["peers"].items():
            figures = (str(status["pending"]), str(status["failed"]), _time(status["oldest_pending_at"]), _time(status["clock"]))
            table.add_row(peer, *figures)
        yield table
        yield f"last run: {ended}"
        yield f"dead letters: {pair['dead_letters']}"
        yield from (Text(problem, style="yellow") for problem in pair["problems"])


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
        yield Text(f"{each['entity']} {each['key']}{tenant}, {each['field']} ({each['rule']})", style="bold")
        yield f"  {each['id']}"
        for side in ("local", "incoming"):
            mark = "stands" if each["winner"] == side else ""
            yield f"  {_stamped(each[side]).replace(chr(10), '  ')}  {mark}".rstrip()
    yield _how_many(found, "open conflict")


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
