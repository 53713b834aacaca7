"""init: what it makes of what it sees; and, on a Django project that is not ours, init, doctor and sync as processes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stock import Stock

from local.bundle import ROOT
from local.emulator import Emulator
from local.process import wait_until
from shared.config import Settings, parse
from shared.errors import BadRequest
from shared.mapping import Type
from shared.native import Reference
from shared.proposal.backends import of_models, of_openapi
from shared.proposal.documents import guessed, singular
from shared.proposal.matching import matched, related, wanted
from shared.proposal.seen import SeenEntity, SeenField
from shared.proposal.written import Proposal


def written(*entities: SeenEntity) -> tuple[str, Settings]:
    """Return the proposal of these entities, and what it says as settings."""
    text = Proposal("http://x/api/sync", "django-token", "demo", "main", entities).text()
    return text, parse(text, "sync.yaml", {})


def schema(**properties: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "components": {"schemas": {"BookItem": {"type": "object", "properties": properties}}}}


TEXT = {"type": "string"}
PROPERTIES = {
    # what the page says of a property, its type, whether something about it is unsure
    "text": (TEXT, Type.TEXT, False),
    "date": ({"type": "string", "format": "date"}, Type.DATE, False),
    "time": ({"type": "string", "format": "date-time", "nullable": True}, Type.DATETIME, False),
    "decimal": ({"type": "string", "format": "decimal", "pattern": r"^-?\d{0,6}(?:\.\d{0,3})?$"}, Type.DECIMAL, False),
    "decimal of unknown places": ({"type": "string", "format": "decimal"}, Type.DECIMAL, True),
    "integer or null": ({"type": ["integer", "null"]}, Type.INTEGER, False),
    "list": ({"type": "array", "items": TEXT}, Type.LIST, False),
    "an enumeration": ({"allOf": [{"$ref": "#/components/schemas/ColourEnum"}]}, Type.TEXT, False),
    "nothing said": ({}, Type.JSON, True),
}


@pytest.mark.parametrize("spec, kind, unsure", PROPERTIES.values(), ids=PROPERTIES)
def test_an_openapi_page_tells_types(spec: Mapping[str, Any], kind: Type, unsure: bool) -> None:
    page = schema(id={"type": "integer"}, it=spec)
    page["components"]["schemas"] |= {
        "ColourEnum": {"type": "string"},
        "PatchedBookItem": page["components"]["schemas"]["BookItem"],
    }
    [found] = of_openapi(page)
    assert (found.name, found.key) == ("book_item", "id")
    assert [(each.type, bool(each.notes)) for each in found.fields] == [(kind, unsure)]
    assert (
        "book_item" in written(found.__class__(found.name, found.key, found.fields, collection="books"))[1].pairs["main"].entities
    )


def test_what_nobody_writes_and_a_key_that_was_guessed_are_said() -> None:
    [found] = of_openapi(schema(slug=TEXT, made_at={"type": "string", "readOnly": True}, title=TEXT))
    assert (found.key, [each.name for each in found.fields]) == ("slug", ["title"])
    assert (found.notes, found.left_out) == (
        ("is slug the key? it must be unique, and never change",),
        ("made_at: the page says that nobody writes it",),
    )
    with pytest.raises(BadRequest, match="neither `openapi` nor `swagger`"):
        of_openapi({"paths": {}})


def test_fields_are_found_under_firestores_names_and_what_does_not_fit_is_counted_without_a_value() -> None:
    entity = SeenEntity(
        "member", "id", [SeenField("birth_date", Type.DATE), SeenField("fee", Type.DECIMAL, 2), SeenField("x", Type.TEXT)]
    )
    documents = [
        {"birthDate": datetime(2000, 1, 2, tzinfo=UTC), "fee": "1.20", "more": 1, "id": "1", "_sync": {}},
        {"birthDate": "2000-01-02", "fee": "no secret"},
    ]
    found = matched(entity, {"members": documents}, None)
    text, settings = written(found)
    fields = settings.pairs["main"].entities["member"].fields
    assert (found.collection, fields["birth_date"].firestore, fields["fee"].places) == ("members", "birthDate", 2)
    assert "fee: {type: decimal, places: 2} # unsure: 1 of 2 documents hold text there" in text
    assert "x: text # unsure: in no document that was looked at" in text
    assert "# not synced: more: in Firestore only (integer)" in text
    assert ("no secret" in text, "2000" in text, "_sync" in text) == (False, False, False)


def test_a_collection_that_was_named_is_taken_and_one_that_is_missing_is_said() -> None:
    entity = SeenEntity("member", "id", [SeenField("name", Type.TEXT)])
    assert matched(entity, {"people": [{"name": "x"}], "members": []}, "people").collection == "people"
    found = matched(entity, {}, None)
    assert (found.collection, found.notes) == ("members", ("no documents in members yet",))
    assert wanted([entity], {"member": "people"}, ["members"]) == ["people"]
    assert wanted([entity], {}, ["books", "members"]) == ["members"]


def test_tenants_and_references_are_written_so_that_the_file_is_in_order() -> None:
    told = {
        "results": [
            {"entity": "branch", "key": "code", "has_tenants": False, "fields": [{"name": "name", "type": "text"}]},
            {
                "entity": "event",
                "key": "code",
                "has_tenants": True,
                "fields": [
                    {"name": "at", "type": "reference", "to": "branch"},
                    {"name": "by", "type": "reference", "to": "user"},
                ],
            },
        ]
    }
    entities = related([matched(each, {}, None) for each in of_models(told)])
    text, settings = written(*entities)
    event = settings.pairs["main"].entities["event"]
    assert (event.collection, event.tenants) == ("tenants/{tenant}/events", ("TENANT",))
    assert (event.fields["at"].to, event.fields["by"].type) == ("branch", Type.TEXT)
    assert "unsure: refers to what is not synced" in text


def test_without_a_backend_that_tells_firestore_is_taken_at_its_word() -> None:
    found = guessed("bookItems", [{"a": 1, "b": 1, "c": [], "d": Reference("x/y")}, {"a": 2.5, "b": "x"}])
    assert (found.name, {each.name: each.type for each in found.fields}) == (
        "book_item",
        {"a": Type.NUMBER, "b": Type.JSON, "c": Type.LIST},
    )
    assert found.left_out == ("d: a reference, and what it points to is not known",)
    assert [singular(each) for each in ("branches", "cities", "address", "classes", "members")] == [
        "branch",
        "city",
        "addres",
        "class",
        "member",
    ]


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable())


@given(field=NAMES, at=st.none() | NAMES, note=st.text(max_size=20), empty=st.none() | st.just("") | st.text(max_size=5))
def test_whatever_things_are_called_the_file_says_it_as_it_was(field: str, at: str | None, note: str, empty: str | None) -> None:
    if at == "_sync" or (at or field).startswith("__"):
        return
    seen = SeenField(field, Type.TEXT, firestore=at, empty=empty, notes=(note,))
    _, settings = written(SeenEntity("thing", "the key", [seen], collection="things", left_out=(note,)))
    spec = settings.pairs["main"].entities["thing"].fields[field]
    assert (spec.type, spec.firestore, spec.empty) == (Type.TEXT, at, empty)


# The real thing


class Shell:
    """The program as it is called, with the variables that it is told and no others."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "COLUMNS": "100", "USER": "gunnar", **env}

    def run(self, arguments: Sequence[str], code: int) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "bothways"), *arguments]
        done = subprocess.run(
            command, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = self.run(arguments, code)
        return done.stdout + done.stderr

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run([*arguments, "--json"], code).stdout)


@pytest.mark.stack
def test_a_stock_django_project_goes_from_init_over_doctor_to_a_sync_both_ways(tmp_path: Path) -> None:
    with Stock(tmp_path) as stock:
        stock.shell('Book(isbn="1", title="Njála", price="12.50", notes="x").save()')
        client = stock.firestore()
        client.document("books/2").set(
            {"title": "Egla", "price": "9.90", "publishedOn": "2001-02-03", "inPrint": True, "cover": "x"}
        )
        shell = Shell(stock.env)
        assert "name it with --url" in shell("init", code=2)
        told = shell.json("init", "--url", stock.url)
        assert (told["entities"], told["unsure"]) == (
            {"book": {"collection": "books", "fields": 5}},
            ["book.notes: in no document that was looked at"],
        )
        config = (stock.place / "sync.yaml").read_text()
        assert ('project: "${GOOGLE_CLOUD_PROJECT}"' in config, f'url: "{stock.url}"' in config) == (True, True)
        assert "is there already; --force" in shell("init", "--url", stock.url, code=2)
        stock.add(told["add"])
        shell = Shell(stock.env | stock.deploy())
        checks = {(each["check"], each["state"], each["message"]) for each in shell.json("doctor")["checks"]}
        assert ("models", "ok", "book: key and 5 fields are as django has them") in checks
        assert ("triggers", "ok", "the functions here have all 1 trackers") in checks
        # The record that was there before the functions: only a reconcile finds it.
        shell("reconcile")
        assert stock.shell('print(Book.objects.get(isbn="2").title)') == "Egla"
        found = client.document("books/1").get().to_dict()
        assert (found["title"], found["price"], found["notes"]) == ("Njála", "12.50", "x")
        stock.shell('Book.objects.filter(isbn="1").update(price="13.00")')
        client.document("books/2").update({"publishedOn": "2002-02-02"})
        wait_until(
            lambda: shell.json("status")["result"]["pairs"]["main"]["peers"]["firestore"]["pending"] == 1, "the trigger", 30
        )
        assert {row["key"] for row in shell.json("plan")["result"]["pairs"]["main"]["plan"]} == {"1", "2"}
        shell("sync")
        assert client.document("books/1").get().to_dict()["price"] == "13.00"
        assert stock.shell('print(Book.objects.get(isbn="2").published_on)') == "2002-02-02"
        assert "all is well" in shell("status")


@pytest.mark.stack
def test_init_asks_on_a_terminal_for_what_it_was_not_told_and_takes_an_openapi_page(tmp_path: Path, emulator: Emulator) -> None:
    page = {"openapi": "3.0.3", "components": {"schemas": {"Book": {"properties": {"id": {"type": "integer"}, "title": TEXT}}}}}
    (tmp_path / "page.json").write_text(json.dumps(page))
    file = tmp_path / "sync.yaml"
    shell = Shell({"FIRESTORE_EMULATOR_HOST": emulator.host})
    mine, its = pty.openpty()
    command = [str(ROOT / "bothways"), "init", "--openapi", str(tmp_path / "page.json"), "--output", str(file)]
    with os.fdopen(mine, "wb", buffering=0) as keyboard:
        child = subprocess.Popen(command, env=shell.env, stdin=its, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.close(its)
        keyboard.write(b"http://example.org/api/sync\ndemo-asked\n")
        said, asked = child.communicate(timeout=60)
    assert child.returncode == 0, asked
    assert ("Where is the backend's REST queue mounted" in asked, "Which Google Cloud project?" in asked) == (True, True)
    assert "no documents in books yet" in said
    settings = parse(file.read_text(), "sync.yaml", {})
    assert (settings.peers["django"].url, settings.peers["firestore"].project) == ("http://example.org/api/sync", "demo-asked")  # type: ignore[union-attr]
    assert list(settings.pairs["main"].entities["book"].fields) == ["title"]


@pytest.mark.stack
def test_init_says_what_is_wrong_with_what_it_is_told(tmp_path: Path) -> None:
    with Stock(tmp_path) as stock:
        shell = Shell(stock.env | {"DJANGO_URL": stock.url})
        (tmp_path / "token").write_text("not the token")
        (tmp_path / "page").write_text("{")
        assert "answered 401" in shell("init", "--token-file", str(tmp_path / "token"), code=1)
        assert "did you mean 'book'?" in shell("init", "--entity", "bok", code=2)
        assert "--collection is ENTITY=PATH" in shell("init", "--collection", "books", code=2)
        assert "cannot be read as JSON or YAML" in shell("init", "--openapi", str(tmp_path / "page"), code=2)
        (tmp_path / "page").write_text('{"openapi": "3", "components": {"schemas": {"A": {"properties": {"a": 5, "b": 6}}}}}')
        assert "is not built as OpenAPI pages are" in shell("init", "--openapi", str(tmp_path / "page"), code=2)
        assert "cannot be written" in shell("init", "--output", str(tmp_path / "nowhere" / "sync.yaml"), code=1)
        assert shell.json("init", "--url", "http://127.0.0.1:9/x", code=1)["errors"][0]["exit_code"] == 1
        assert not (stock.place / "sync.yaml").exists()
