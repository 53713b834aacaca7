"""The command that begins: init."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from shared import wiring
from shared.bar import busy
from shared.cli import EXIT_CODES, Json, app
from shared.config import parse
from shared.doctor.files import RULES, TRACKER, rules, trackers
from shared.doctor.finding import State
from shared.proposal.looking import Asked, Looking
from shared.proposal.seen import SeenEntity
from shared.proposal.written import Proposal
from shared.terminal import USAGE, fail, known_name, show, working

__all__ = ["app"]
Url = Annotated[
    str | None, typer.Option("--url", envvar="DJANGO_URL", help="Where the REST queue is mounted; asked for if missing.")
]
ProjectName = Annotated[
    str | None, typer.Option("--project", envvar="GOOGLE_CLOUD_PROJECT", help="The Google Cloud project; asked for if missing.")
]
Page = Annotated[str | None, typer.Option("--openapi", metavar="PAGE", help="Take the models from this OpenAPI file or address.")]
Wanted = Annotated[list[str] | None, typer.Option("--entity", help="Only this entity; may be given more than once.")]
Placed = Annotated[
    list[str] | None, typer.Option("--collection", metavar="ENTITY=PATH", help="Where an entity lies; may be repeated.")
]
PairNamed = Annotated[str, typer.Option("--pair", help="What the pair is to be called.")]
TokenFile = Annotated[Path | None, typer.Option("--token-file", help="The backend's token; else it is read from the secret.")]
TokenSecret = Annotated[str, typer.Option("--token-secret", help="The secret that holds the backend's token.")]
Sample = Annotated[int, typer.Option("--sample", min=0, max=500, help="Look at so many documents of each collection; billed.")]
Output = Annotated[Path | None, typer.Option("--output", help="The file to write, instead of the sync.yaml in use.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@app.command(epilog=EXIT_CODES)
def init(
    url: Url = None,
    project: ProjectName = None,
    openapi: Page = None,
    entity: Wanted = None,
    collection: Placed = None,
    pair: PairNamed = "main",
    token_file: TokenFile = None,
    token_secret: TokenSecret = "django-token",  # noqa: S107  # a name, and no secret
    sample: Sample = 20,
    output: Output = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Look at both sides, and propose a sync.yaml.

    Entities and fields are those that the backend tells of, or an OpenAPI page, or else Firestore's collections. What was not
    sure is said, and stands in the file as a comment. Looks only, and writes nothing but the file.
    """
    with working(as_json):
        file = output or wiring.config_path()
        if file.exists() and not force:
            fail(f"{file} is there already; --force writes over it, --output FILE writes another", USAGE)
        ask = sys.stdin.isatty() and not as_json
        where = _answer(url, "Where is the backend's REST queue mounted (its address)?", "--url", ask)
        google = _answer(project, "Which Google Cloud project?", "--project", ask)
        asked = Asked(where, google, openapi, _places(collection), token_file, token_secret, sample)
        with busy("looking at both sides"):
            looking = Looking(asked)
            chosen = _chosen(looking.entities, entity or (), asked.places)
            names = wiring.as_variable(where, "DJANGO_URL"), token_secret, wiring.as_variable(google, "GOOGLE_CLOUD_PROJECT")
            proposal = Proposal(*names, pair, looking.placed(chosen))
        text = proposal.text()
        parse(text, f"the proposal for {file.name}")
        _write(file, text)
        body = _body(file, proposal)
    show(body, as_json, _shown)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be written ({error.strerror}); --output FILE writes another")


def _answer(given: str | None, question: str, flag: str, ask: bool) -> str:
    if given:
        return given
    return str(typer.prompt(question, err=True)) if ask else fail(f"name it with {flag}: {question}", USAGE)


def _places(given: Sequence[str] | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in given or ()]
    if not all(equals and name and path for name, equals, path in pairs):
        fail("--collection is ENTITY=PATH, such as member=people", USAGE)
    return {name: path for name, _, path in pairs}


def _chosen(found: Sequence[SeenEntity], wanted: Sequence[str], placed: Iterable[str]) -> list[SeenEntity]:
    """Return the entities that are wanted, all if none are named; ends the program where there is no such one."""
    there = [each.name for each in found]
    if not there:
        fail("nothing was found to sync: neither the backend nor Firestore tells of any entity")
    names = [known_name("entity", each, there) for each in wanted] or there
    for each in placed:
        known_name("entity", each, names)
    return [each for each in found if each.name in names]


def _body(file: Path, proposal: Proposal) -> dict[str, Any]:
    main, rules_file = file.parent / "functions" / "main.py", file.parent / "firestore.rules"
    lacking = {"functions/main.py": _missing_trackers(main, proposal), "firestore.rules": _missing_rules(rules_file, proposal)}
    return {
        "file": str(file),
        "entities": {each.name: {"collection": each.collection, "fields": len(each.fields)} for each in proposal.entities},
        "unsure": proposal.unsure(),
        "add": {name: each for name, each in lacking.items() if each},
    }


def _missing_trackers(main: Path, proposal: Proposal) -> list[str]:
    text = main.read_text(encoding="utf-8") if main.is_file() else ""
    good = {each.name for each in proposal.entities if all(one.state is State.OK for one in trackers(text, [each.name]))}
    return [TRACKER.format(entity=each.name) for each in proposal.entities if each.name not in good]


def _missing_rules(file: Path, proposal: Proposal) -> list[str]:
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    places = {each.name: str(each.collection) for each in proposal.entities}
    good = {name for name, path in places.items() if all(one.state is State.OK for one in rules(text, {name: path}))}
    return [f"    {RULES.format(path=path)}" for name, path in places.items() if name not in good]


def _shown(body: Mapping[str, Any]) -> Iterator[RenderableType]:
    yield f"wrote {body['file']}"
    for name, each in body["entities"].items():
        yield f"  {name}: {each['fields']} fields, in {each['collection']}"
    for each in body["unsure"]:
        yield f"unsure: {each}"
    for name, texts in body["add"].items():
        yield f"\nto be added to {name}:\n"
        yield "\n\n".join(texts)
    yield "\nnext: look through the file, then `bothways doctor`, `bothways reconcile --dry-run`, `bothways reconcile`"
