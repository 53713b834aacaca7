"""What the documentation says of tests is so: those that it names are there, and those that hold an invariant are named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_cli import COMMANDS

from local import command_line

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
INVARIANTS = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(?P<file>[\w/]+\.py)::(?P<test>test_\w+)`")


def names_in(path: Path) -> set[str]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {each.name for each in body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}


TESTS = {str(path.relative_to(ROOT / "tests")): names_in(path) for path in sorted((ROOT / "tests").rglob("test_*.py"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert [f"{file}::{test}" for file, test in named if test not in TESTS.get(file, set())] == []


@pytest.mark.parametrize("number", range(1, 10))
def test_every_invariant_names_its_tests(number: int) -> None:
    part = INVARIANTS.partition(f"\n## {number}. ")[2].partition("\n## ")[0]
    assert NAMED.search(part), f"docs/invariants.md names no test of invariant {number}"


def test_every_test_that_says_which_invariant_it_holds_is_named_there() -> None:
    holding = {f"{file}::{test}" for file, tests in TESTS.items() for test in tests if re.match(r"test_[1-9]_", test)}
    assert sorted(holding - {f"{file}::{test}" for file, test in NAMED.findall(INVARIANTS)}) == []


def test_the_pictures_of_the_readme_are_there_and_small() -> None:
    shown = set(re.findall(r"docs/pictures/[\w-]+\.png", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert shown == {str(each.relative_to(ROOT)) for each in (ROOT / "docs" / "pictures").glob("*.png")}
    assert len(shown) <= 3
    assert {name: size for name in shown if (size := (ROOT / name).stat().st_size) > 150_000} == {}


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    assert command_line.page() == (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8"), "run `make docs`"


def test_the_page_names_every_command_and_every_exit_code() -> None:
    page = command_line.page()
    assert [name for name in COMMANDS if f"\n## {name}\n" not in page] == []
    assert re.findall(r"^\| (\d) \|", page, re.MULTILINE) == ["0", "1", "2", "3", "4"]
