"""The command that begins: init."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import requests
import typer
import yaml
from rich.console import RenderableType

from shared import wiring
from shared.bar import busy
from shared.cli import EXIT_CODES, Json, app
from shared.config import parse
from shared.doctor.files import RULES, TRACKER, rules, trackers
from shared.doctor.finding import State
from shared.errors import BadRequest
from shared.peers.documents import Firestore
from shared.proposal import backends, documents, matching
from shared.proposal.seen import SeenEntity
from shared.proposal.written import Proposal
from shared.terminal import USAGE, fail, known_name, show, working

__all__ = ["app"]
SECONDS = 30
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


@dataclass(frozen=True)
class Asked:
    """What init was told."""

    url: str
    project: str
    page: str | None
    entities: Sequence[str]
    places: Mapping[str, str]
    token: Path | None
    secret: str
    sample: int


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
        asked = Asked(where, google, openapi, entity or (), _places(collection), token_file, token_secret, sample)
        with busy("looking at both sides"):
            proposal = Proposal(where, token_secret, google, pair, _proposed(asked))
        text = proposal.text()
        parse(text, f"the proposal for {file.name}", {})
        file.write_text(text, encoding="utf-8")
        body = _body(file, proposal)
    show(body, as_json, _shown)


def _answer(given: str | None, question: str, flag: str, ask: bool) -> str:
    if given:
        return given
    return str(typer.prompt(question, err=True)) if ask else fail(f"name it with {flag}: {question}", USAGE)


def _places(given: Sequence[str] | None) -> dict[str, str]:
    pairs = [each.partition("=") for each in given or ()]
    if not all(equals and name and path for name, equals, path in pairs):
        fail("--collection is ENTITY=PATH, such as member=people", USAGE)
    return {name: path for name, _, path in pairs}


def _proposed(asked: Asked) -> list[SeenEntity]:
    """Return the entities with their places and names in Firestore."""
    firestore = wiring.firestore_at(asked.project)
    there = [name for name in firestore.collections() if not name.startswith("sync_")]
    told = _of_backend(asked)
    if told is None:
        found = [documents.guessed(name, _sampled(firestore, name, asked.sample)) for name in there]
        return _chosen([each for each in found if each.fields], asked)
    chosen = _chosen(told, asked)
    samples = {name: _sampled(firestore, name, asked.sample) for name in matching.wanted(chosen, asked.places, there)}
    return matching.related([matching.matched(each, samples, asked.places.get(each.name)) for each in chosen])


def _of_backend(asked: Asked) -> list[SeenEntity] | None:
    """Return what is told of the models; None if neither a page was named nor the backend tells."""
    if asked.page is not None:
        return backends.of_openapi(_page(asked.page))
    told = wiring.backend_at(asked.url, lambda: _token(asked)).models()
    return None if told is None else backends.of_models(told)


def _token(asked: Asked) -> str:
    if asked.token is None:
        return wiring.secrets_of(asked.project).get(asked.secret)
    try:
        return asked.token.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"--token-file: {asked.token} cannot be read ({type(error).__name__})") from None


def _page(place: str) -> Any:
    try:
        if place.startswith(("http://", "https://")):
            answer = requests.get(place, timeout=SECONDS)
            answer.raise_for_status()
            return yaml.safe_load(answer.text)
        return yaml.safe_load(Path(place).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, requests.RequestException, yaml.YAMLError) as error:
        raise BadRequest(f"--openapi: {place} cannot be read as JSON or YAML ({type(error).__name__})") from None


def _sampled(firestore: Firestore, collection: str, number: int) -> list[documents.Document]:
    return [each.fields for each in firestore.query(collection, {}, limit=number)] if number else []


def _chosen(found: Sequence[SeenEntity], asked: Asked) -> list[SeenEntity]:
    there = [each.name for each in found]
    if not there:
        fail("nothing was found to sync: neither the backend nor Firestore tells of any entity")
    names = [known_name("entity", each, there) for each in asked.entities] or there
    for each in asked.places:
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
