"""Every page: its links lead somewhere, it can be reached, and what stands in its boxes is at least well formed and known."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pages import Box, anchors, boxes, links, pages
from typer.testing import CliRunner

from local.bundle import ROOT
from scheduler.deployment.__main__ import parser
from scheduler.deployment.errors import DeployError
from shared.__main__ import app

PAGES = pages()
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MANAGE = {path.stem for path in (ROOT / "backend").glob("*/management/commands/*.py")}
DJANGOS = {"migrate", "runserver", "collectstatic", "check", "shell"}
BY_NAME = {"ids": lambda page: str(page.relative_to(ROOT)) if isinstance(page, Path) else None}


def target(page: Path, link: str) -> tuple[Path, str]:
    """Return the file that a link leads to, and the anchor in it."""
    path, _, anchor = link.partition("#")
    return ((page.parent / path).resolve() if path else page), anchor


@pytest.mark.parametrize("page", PAGES, **BY_NAME)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    found = {link: target(page, link) for link in links(page)}
    assert [link for link, (file, _) in found.items() if not file.exists() or not file.is_relative_to(ROOT)] == []
    lacking = [link for link, (file, anchor) in found.items() if anchor and (file.suffix != ".md" or anchor not in anchors(file))]
    assert lacking == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        ahead += [file for file, _ in (target(page, link) for link in links(page)) if file.exists()]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []


def troubles(box: Box) -> str:
    """Return what is wrong with what stands in a box; nothing where it is well formed, or is of no language that is known."""
    try:
        if box.language == "python":
            ast.parse(box.text)
        elif box.language == "yaml":
            yaml.safe_load(box.text)
        elif box.language == "json":
            json.loads(box.text)
        elif box.language in {"sh", "bash"}:
            return subprocess.run(["bash", "-n"], input=box.text, capture_output=True, text=True, check=False).stderr
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", PAGES, **BY_NAME)
def test_what_stands_in_a_box_is_well_formed(page: Path) -> None:
    assert {f"{box.section}: {found}" for box in boxes(page) if (found := troubles(box))} == set()
    assert {box.language for box in boxes(page)} <= {"", "python", "yaml", "json", "sh", "bash"}


def typed(page: Path) -> Iterator[str]:
    """Yield the commands that a page names, in its boxes and between its words; not those that it leaves open."""
    for box in boxes(page):
        if box.language in {"", "sh", "bash"}:
            yield from (re.split(r"\s#\s|\s[|>]", line.removeprefix("$ "))[0] for line in box.commands)
    text = "".join(re.split(r"```.*?```", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    yield from (" ".join(each.split()) for each in re.findall(r"(?<!`)`([^`]+)`(?!`)", text))


def known(command: str) -> str:
    """Return what is wrong with a command of ours; nothing where it is understood, or somebody else's."""
    match shlex.split(command):
        case ["./bothways", *rest]:
            return _understood(rest)
        case ["./deploy.sh", *rest]:
            try:
                parser().parse_args(rest)
            except DeployError as error:
                return str(error)
        case ["make", *rest]:
            targets = [each for each in rest if re.fullmatch("[a-z-]+", each)]
            return ", ".join(name for name in targets if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE))
        case ["manage.py", name, *_] | ["python", "manage.py", name, *_]:
            return "" if name in MANAGE | DJANGOS else f"there is no {name}"
    return ""


def _understood(words: list[str]) -> str:
    """Ask for the help of a command with all its options on the line, so that nothing runs and a wrong one is noticed."""
    words = words[2:] if words[:1] == ["--env"] else words
    if {"COMMAND", "--install-completion"} & set(words):
        return ""
    done = CliRunner().invoke(app, [*words, "--help"])
    return done.output if done.exit_code else ""


@pytest.mark.parametrize("page", PAGES, **BY_NAME)
def test_every_command_that_a_page_names_is_there_with_its_options(page: Path) -> None:
    named = [command for command in typed(page) if re.match(r"(\./bothways|\./deploy\.sh|make|(python )?manage\.py) ", command)]
    closed = [command for command in named if "…" not in command and "|" not in command]
    assert {command: found for command in closed if (found := known(command))} == {}
