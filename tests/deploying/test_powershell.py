"""scheduler/call.ps1, which nothing here can run: its syntax is whole, and it says and ends as call.sh does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

SCHEDULER = Path(__file__).resolve().parents[2] / "scheduler"
PARSER = Parser(Language(tree_sitter_powershell.language()))
SHELL = (SCHEDULER / "call.sh").read_text(encoding="utf-8")
POWERSHELL = (SCHEDULER / "call.ps1").read_bytes()


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def mistakes(source: bytes) -> list[int]:
    """Return the lines in which something is no PowerShell."""
    return [node.start_point[0] + 1 for node in nodes(PARSER.parse(source).root_node) if node.is_error or node.is_missing]


def test_its_syntax_is_whole() -> None:
    assert mistakes(POWERSHELL) == []


@pytest.mark.parametrize("left_out", [b"try {", b"param(", b"exit $Code\n}", b"@{", b"$Tries++)"])
def test_a_mistake_would_be_seen(left_out: bytes) -> None:
    source = POWERSHELL + b"if ($Code) {\nexit $Code\n}\nfor (;$Tries++) { }\n"
    assert mistakes(source) == []
    assert mistakes(source.replace(left_out, b"", 1)) != []


def test_it_defines_what_it_calls_and_calls_what_it_defines() -> None:
    root = PARSER.parse(POWERSHELL).root_node
    found: dict[str, set[str]] = {"function_name": set(), "command_name": set()}
    for node in nodes(root):
        if node.type in found and node.text is not None:
            found[node.type].add(node.text.decode())
    known = {
        "Set-StrictMode",
        "Get-Acl",
        "Get-Content",
        "Invoke-WebRequest",
        "Select-Object",
        "Start-Sleep",
        "Test-Path",
        "gcloud",
    }
    assert found["command_name"] - known == found["function_name"] | {"Write-Output"}


def ends(text: str, entry: str, many: str) -> dict[str, str]:
    """Return the exit code for each status, as a script's lines have them."""
    told: dict[str, str] = {}
    for statuses, code in re.findall(entry, text):
        told |= dict.fromkeys(re.split(many, statuses), code)
    return told


def test_each_status_has_the_exit_code_that_it_has_in_the_shell_script() -> None:
    text = POWERSHELL.decode()
    shell = ends(SHELL, r"(?m)^ +([0-9 |]+)\).*(?:exit |code=)(\d)", r" \| ")
    here = ends(text, r"\$Status -(?:in|eq) ([0-9, ]+)\) \{(?s:(?:(?!\}\n).)*?)(?:exit |\$Code = )(\d)", ", ")
    assert here == {("0" if status == "000" else status): code for status, code in shell.items()}
    assert len(here) == 10


SAID = re.compile(r"""(?:fail 2|say|said=|Stop-Wrongly|Write-Trouble|Get-Line|\$Said =) ?["']([a-z][^$("':;]+)""")


def test_it_says_the_same_in_the_same_words() -> None:
    said = {" ".join(each.split()) for each in SAID.findall(POWERSHELL.decode())}
    assert said - {"usage"} == {" ".join(each.split()) for each in SAID.findall(SHELL)}


def test_what_stands_on_top_of_both_is_the_same() -> None:
    text = POWERSHELL.decode()
    for name in set(re.findall(r"SYNC_[A-Z_]+", SHELL)):
        assert f"$env:{name}" in text
    assert "SYNC_TRIES, how often to try (4)" in text
    assert re.search(r"SYNC_TRIES 4 ", text), "and that is what it does"
    assert re.search(r"SYNC_WAIT 30 ", text)
