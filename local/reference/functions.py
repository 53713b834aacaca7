"""The page of the functions, made from functions/main.py and the models of what is asked for."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from local.reference.schemas import keys, said, table
from local.triggers import triggers
from shared import service
from shared.model import Billed
from shared.report import Brake, Comparison, Failure, Tally

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "functions" / "main.py"
HEAD = """# Functions

What each function takes and answers. `make docs` writes this page from `functions/main.py` and the models of the requests.
Who may call them, and with which token, is told in [security.md](security.md); how a call is made by hand in
[operating.md](operating.md).

Those called with POST take a JSON body of at most 1 MiB; an empty one is all defaults, and an unknown key is refused with
those that are valid. Each answers with JSON:

| key | |
| --- | --- |
| `success` | whether all that was asked for was done |
| `requestId`, `runId` | under which the log and `sync_runs` tell of this call |
| `startedAt`, `completedAt`, `durationMs`, `timestamp` | when, in UTC |
| `result` | what each function says below |
| `errors` | a list of what went wrong, each with a `message`, and where it is known `kind`, `pair` and `retry` |

## Status

"""
STATUS = {
    200: "Done, or nothing to do.",
    405: "The function is called with another method; the message says which.",
    500: "A peer failed, or the functions are not configured rightly. The scheduler tries again.",
    503: "Something needs somebody: of the functions that ask how all is.",
}
REFUSED = {401: "No token, or none that is valid.", 403: "The caller is known, and may not do this."}
REPORT = """## A run's report

In `result.pairs.NAME`, and in `sync_runs` as `result`.

"""


PARTS: Mapping[str, type] = {"directions": Tally, "reconciled": Comparison, "brakes": Brake, "billed": Billed, "tenants": Failure}
KEYS = {
    "directions": "By name, such as `django_to_firestore`, how many changes were read, and what became of them.",
    "conflicts": "How many edits met another that had not seen them. All are in `sync_conflicts`.",
    "dead_letters": "How many changes were refused for good. All are in `sync_dead_letters`.",
    "brakes": "A list of mass deletes that were held; `allow_mass_delete` with the `plan` of one lets just those pass.",
    "left_over": "Whether the run ended before it had seen everything; the next one goes on.",
    "stopped_by": "What ended it then: `time`, `changes` or `budget`.",
    "billed": "What Firestore bills for the run, in operations.",
    "cost": "The same as an `amount` and its `currency`, by the `prices` in sync.yaml.",
    "quota_errors": "By peer, how often it said that a quota is used up.",
    "started_at": "When the run began.",
    "completed_at": "When it ended.",
    "dry_run": "True in the answer to a dry run, which alone has the next four.",
    "forecast": "What the run would be billed.",
    "forecast_cost": "The same as an amount.",
    "plan": "What the run would do: up to 1,000 rows of record, field, from, to, and why.",
    "plan_more": "How many further rows there are.",
    "events": "By kind, such as `member updated`: how many edits were carried, and how long after they were written.",
    "reconciled": "Of a reconcile, by entity: how many records were compared, and what became of those that differed.",
    "counts": "How many records were created, updated and deleted, such as `membersUpdated`.",
    "tenants": "By tenant, why it could not be asked; everybody else was.",
    "handed_out": "Into how many shards, and of which entities, where other instances carry the run on.",
    "resumed_from": "The run whose full reconcile this one went on with.",
}
"""Each key of a report (`Report.as_json`)."""


def page() -> str:
    """Return the page as it should be."""
    functions = list(_functions())
    http = [_http(each) for each in functions if "http" in _trigger(each)]
    trackers = table(
        ["tracker", "is told of writes to"], ([f"`{name}`", f"`{at}`"] for name, at in triggers(ROOT / "sync.yaml").items())
    )
    told = "## Trackers\n\nFirestore calls them after every write, through Eventarc. Each queues what was edited.\n\n"
    return HEAD + _statuses() + "\n" + "\n".join(http) + f"\n{REPORT}{_report()}\n{told}{trackers}"


def _functions() -> Iterator[ast.FunctionDef]:
    yield from (each for each in ast.parse(MAIN.read_text(encoding="utf-8")).body if isinstance(each, ast.FunctionDef))


def _trigger(function: ast.FunctionDef) -> str:
    return ast.unparse(function.decorator_list[0])


def _statuses() -> str:
    found = dict(STATUS | REFUSED)
    for kind, status in service.ANSWERED.items():
        found[status] = " ".join(filter(None, [found.get(status), said(kind)]))
    return table(["status", ""], ([str(status), found[status]] for status in sorted(found)))


def _http(function: ast.FunctionDef) -> str:
    told = f"## {function.name}\n\n{said_in(function)}\n\n"
    call = _answering(function)
    if call is None:
        return told.rstrip() + "\n"
    given = {each.arg: ast.literal_eval(each.value) for each in call.keywords if isinstance(each.value, ast.Constant)}
    work = _work(call)
    who = "signed with a journal's event key" if any(each.arg == "by" for each in call.keywords) else f"role `{given['role']}`"
    told += f"`{given.get('method', 'POST')}`, {who}. {said(work)}\n"
    asked = _asked(work)
    return told + (f"\n{keys(asked, str)}" if asked else "")


def said_in(function: ast.FunctionDef) -> str:
    """Return the docstring of a function that was read and not run."""
    return " ".join((ast.get_docstring(function) or "").split())


def _answering(function: ast.FunctionDef) -> ast.Call | None:
    calls = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
    return next((each for each in calls if ast.unparse(each.func) == "service.answering"), None)


def _work(call: ast.Call) -> Any:
    """Return the function that does what is asked for."""
    given = call.args[1]
    called = given.body.func if isinstance(given, ast.Lambda) and isinstance(given.body, ast.Call) else given
    module, _, name = ast.unparse(called).partition(".")
    return getattr(importlib.import_module(f"shared.{module}"), name)


def _asked(work: Any) -> Any:
    """Return the model of the body, None where there is none."""
    found = re.search(r"parse\(request, ([\w.]+)\)", inspect.getsource(work))
    place: Any = inspect.getmodule(work)
    for part in found[1].split(".") if found else ():
        place = getattr(place, part)
    return place if found else None


def _report() -> str:
    rows = [[f"`{name}`", told + _keys_of(PARTS.get(name))] for name, told in KEYS.items()]
    return table(["key", ""], rows)


def _keys_of(part: type | None) -> str:
    return f" Keys: {', '.join(f'`{each.name}`' for each in fields(part))}." if part and is_dataclass(part) else ""
