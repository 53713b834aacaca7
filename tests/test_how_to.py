"""docs/how-to.md: what it shows is taken by what reads it, and what it promises of a rename, a removal and a restore is so."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import Box, boxes
from stock import Stock
from test_init import Shell
from world import World

from local.bundle import ROOT
from shared.config import PairSpec, Settings, parse
from shared.doctor import files
from shared.doctor.finding import State
from shared.mapping import Entity, Field, Type
from shared.model import Policy, Scope
from shared.peers.firestore import FirestorePeer
from shared.run import Pair

PAGE = boxes(ROOT / "docs" / "how-to.md")
SHOWN = [box for box in [*PAGE, *boxes(ROOT / "README.md")] if box.language == "yaml"]
PYTHON = {box.section: box for box in PAGE if box.language == "python"}
NUDGING = (ROOT / "backend" / "syncqueue" / "nudging.py").read_text(encoding="utf-8")
DECLARATIONS = (ROOT / "backend" / "syncqueue" / "declarations.py").read_text(encoding="utf-8")
AROUND: dict[str, Any] = {
    "version": 1,
    "peers": {
        "django": {"kind": "rest_queue", "url": "https://shop.example.org/api/sync", "token": "secret:django-token"},
        "firestore": {"kind": "firestore", "project": "p"},
    },
    "pairs": {"main": {"left": "django", "right": "firestore", "initial_winner": "django"}},
}
BRANCH = {"branch": {"collection": "branches", "key": "code", "fields": {"name": "text"}}}
"""What README's box refers to."""


def loaded(box: Box) -> Settings:
    """Return the settings with what a box shows at its place: settings of the pair `main`, or its entities."""
    shown, whole = yaml.safe_load(box.text), copy.deepcopy(AROUND)
    pair = whole["pairs"]["main"]
    if set(shown) == {"main"} and set(shown["main"]) <= set(PairSpec.model_fields):
        pair |= shown["main"] | {"entities": BRANCH}
    else:
        pair["entities"] = BRANCH | shown
    return parse(yaml.safe_dump(whole), box.section, {})


@pytest.mark.parametrize("box", SHOWN, ids=lambda box: box.section)
def test_what_is_shown_of_sync_yaml_is_taken(box: Box) -> None:
    assert loaded(box).pairs["main"].entities


def test_the_policies_and_the_types_of_the_page_are_all_there_are() -> None:
    text = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)`", text.partition("| policy |")[2].partition("\n\n")[0])
    assert {policy.value for policy in Policy} <= set(named)
    types = re.findall(r"^\| ([^|]+) \|", text.partition("| type | in Django")[2].partition("\n\n")[0], re.MULTILINE)
    assert {kind.value for kind in Type} <= {word for row in types for word in re.findall(r"\b[a-z]+\b", row)}


def test_the_tracker_and_the_declarations_of_the_page_are_such() -> None:
    [found] = files.trackers(PYTHON["Add an entity"].text, ["author"])
    assert found.state is State.OK
    declared = [box for box in PAGE if box.text.startswith('{"entity"')]
    assert len(declared) == 2
    for box in declared:
        names = set(ast.literal_eval(box.text))
        assert {"entity", "model", "key", "fields"} <= names
        assert all(f'"{name}"' in DECLARATIONS for name in names)
    [statement] = ast.parse(PYTHON["Move a pair to real time"].text).body
    assert isinstance(statement, ast.Assign)
    assert all(f'"{name}"' in NUDGING for name in ast.literal_eval(statement.value))


# What becomes of the records


def told_anew(w: World, fields: tuple[Field, ...]) -> None:
    """Let the functions be deployed with other fields."""
    entity = Entity("thing", "things", fields)
    w.firestore = FirestorePeer("firestore", w.database, "things", [entity], w.clock, w.clock.tick)
    scope = Scope("things", ("thing",), page_size=3)
    w.pair = Pair("things", w.django, w.firestore, scope, w.database.billed, entities={"thing": entity})


def plain(w: World, key: str) -> Mapping[str, Any]:
    document = w.database.snapshot(w.path(key))
    return {name: value for name, value in document.fields.items() if name != "_sync"} if document.exists else {}


def both(w: World, key: str) -> Any:
    """Return what both sides hold, which must be the same; None if there is no record."""
    assert w.d_values(key) == w.f_values(key)
    return w.d_values(key)


def test_a_field_that_is_not_synced_any_more_stays_as_it_is_on_both_sides() -> None:
    w = World()
    w.d_save("x", a=1, b=2, c=3)
    w.settle()
    told_anew(w, (Field("a", Type.JSON, "a"), Field("b", Type.JSON, "b")))
    w.django.names = {"thing": ("a", "b")}
    w.f_update("x", a=9, c=7)
    w.settle()
    assert (plain(w, "x"), w.d_values("x")) == ({"a": 9, "b": 2, "c": 7}, {"a": 9, "b": 2, "c": 3})


def test_a_field_that_is_renamed_in_django_keeps_its_name_and_values_in_firestore() -> None:
    w = World()
    w.d_save("x", a=1, b=2, c=3)
    w.settle()
    w.django.names = {"thing": ("a", "b", "remarks")}
    w.django.rows[w.id("x")]["remarks"] = w.django.rows[w.id("x")].pop("c")
    del w.django.index[w.id("x")]["c"]
    told_anew(w, (Field("a", Type.JSON, "a"), Field("b", Type.JSON, "b"), Field("remarks", Type.JSON, "c")))
    w.clock.tick(60)
    w.django.save(w.id("x"), {})  # as sync_scan does: whatever is not accounted for is adopted
    assert w.sync().moved == 1
    w.f_update("x", c=4)
    w.settle()
    assert (plain(w, "x"), w.d_values("x")) == ({"a": 1, "b": 2, "c": 4}, {"a": 1, "b": 2, "remarks": 4})
    assert w.conflicts() == []


def lived(w: World) -> None:
    """What happens after the backup: edits on both sides, a new record, a delete on each side."""
    w.d_save("x", a=10)
    w.f_update("x", b=20)
    w.f_delete("y")
    w.d_delete("z")
    w.d_save("new", a=5)
    w.settle()


def backed_up() -> tuple[World, Any, dict[str, Any]]:
    """Return both sides at the moment of a backup, and copies of what each holds."""
    w = World()
    for key in "xyz":
        w.d_save(key, a=1, b=2)
    w.settle()
    django = {name: copy.deepcopy(getattr(w.django, name)) for name in ("rows", "index", "tombstones", "queue", "labels")}
    return w, django, {path: each.fields for path, each in w.database.documents.items() if path.startswith("things/")}


def restore_django(w: World, backup: Mapping[str, Any]) -> None:
    for name, value in backup.items():
        setattr(w.django, name, value)


def restore_firestore(w: World, backup: Mapping[str, Any]) -> None:
    for path in [each for each in w.database.documents if each.startswith("things/")]:
        del w.database.documents[path]
    for path, fields in backup.items():
        w.database.client_set(path, fields)
    w.database.events.clear()  # an import tells no trigger


@pytest.mark.parametrize("side", ["django", "firestore"])
def test_what_was_written_since_a_backup_comes_back_from_the_other_side(side: str) -> None:
    w, django, firestore = backed_up()
    lived(w)
    restore_django(w, django) if side == "django" else restore_firestore(w, firestore)
    w.reconcile()
    w.settle()
    assert (both(w, "x")["a"], both(w, "x")["b"], both(w, "new")["a"]) == (10, 20, 5)
    assert (both(w, "y"), both(w, "z")) == (None, None)


def test_an_edit_that_was_not_carried_yet_is_lost_with_the_database_that_held_it() -> None:
    w, django, _ = backed_up()
    w.d_save("x", a=77)
    restore_django(w, django)
    w.reconcile()
    assert both(w, "x")["a"] == 1


def test_both_sides_can_be_taken_back_to_the_backup() -> None:
    w, django, firestore = backed_up()
    lived(w)
    restore_django(w, django)
    restore_firestore(w, firestore)
    for path in [each for each in w.database.documents if each.startswith(("sync_queue/", "sync_tombstones/"))]:
        del w.database.documents[path]
    w.reconcile()
    w.settle()
    assert [both(w, key) for key in ("x", "y", "z", "new")] == [{"a": 1, "b": 2}] * 3 + [None]


# The same on a real project


RENAMED = """
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("books", "0001_initial")]
    operations = [migrations.RenameField("book", "notes", "remarks")]
"""


@pytest.mark.stack
def test_a_field_of_a_django_project_is_renamed_as_the_page_says(tmp_path: Path) -> None:
    with Stock(tmp_path) as stock:
        stock.shell('Book(isbn="1", title="Njála", price="12.50", notes="x").save()')
        shell = Shell(stock.env)
        stock.add(shell.json("init", "--url", stock.url)["add"])
        shell("reconcile")
        for file in (stock.site / "books" / "models.py", stock.site / "shop" / "settings.py"):
            file.write_text(file.read_text().replace('"notes"', '"remarks"').replace("notes =", "remarks ="))
        (stock.site / "books" / "migrations" / "0002_renamed.py").write_text(RENAMED)
        stock.migrated()
        config = stock.place / "sync.yaml"
        config.write_text(re.sub(r"notes: .*", 'remarks: {type: text, empty: "", firestore: notes}', config.read_text()))
        shell("sync")
        client = stock.firestore()
        assert client.document("books/1").get().to_dict()["notes"] == "x"
        stock.shell('book = Book.objects.get(isbn="1"); book.remarks = "y"; book.save()')
        shell("sync")
        assert client.document("books/1").get().to_dict()["notes"] == "y"
        client.document("books/1").update({"notes": "z"})
        shell("reconcile")
        assert stock.shell('print(Book.objects.get(isbn="1").remarks)') == "z"
        client.close()
        assert shell.json("conflicts") == []
