"""What is installed: pinned with hashes, the same everywhere, and under licences that are known."""

import re
from pathlib import Path

import pytest

from local.licences import LOCKS, bundled, page, pinned

ROOT = Path(__file__).resolve().parents[2]
ALL = (*LOCKS, "requirements-dev.txt")
FREE = ("MIT", "BSD", "Apache", "PSF", "MIT-0", "ISC", "Python Software Foundation")
NAMED = {"merge3", "psycopg", "psycopg-binary", "certifi"}  # copyleft; docs/licences.md says what follows from it


@pytest.mark.parametrize("lock", ALL)
def test_every_package_is_pinned_with_hashes_and_no_registry_is_named(lock):
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if line and not line.startswith("#")))
    assert len(blocks) == len(pinned(lock)) > 10
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text


@pytest.mark.parametrize("lock", ALL)
def test_what_is_asked_for_is_what_is_pinned(lock):
    text = (ROOT / lock.replace(".txt", ".in")).read_text()
    asked = re.findall(r"^([A-Za-z0-9._-]+)(?:\[\w+\])?==([^\s;]+)", text, re.MULTILINE)
    assert asked
    assert {(re.sub(r"[._]", "-", name.lower()), version) for name, version in asked} <= set(pinned(lock).items())


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_deployed_is_what_is_tested(lock):
    assert pinned(lock).items() <= pinned("requirements-dev.txt").items()


def test_a_package_with_compiled_parts_has_hashes_for_every_platform():
    (block,) = re.findall(r"^pyyaml==.*?(?=^\S)", (ROOT / "requirements.txt").read_text(), re.MULTILINE | re.DOTALL)
    assert block.count("sha256:") > 30


def test_the_page_of_licences_is_current():
    assert (ROOT / "docs/licences.md").read_text() == page()


def test_the_packages_of_the_pages_are_listed_and_what_only_makes_or_tests_them_is_not():
    found = bundled()
    assert {"firebase", "@firebase/firestore", "lit-html", "uplot"} <= set(found)
    assert {"esbuild", "axe-core"} & set(found) == set()
    assert "unknown" not in found.values()


def test_no_copyleft_comes_in_unnamed():
    rows = re.findall(r"^\| (\S+) +\| (.+?) +\|$", (ROOT / "docs/licences.md").read_text(), re.MULTILINE)
    found = {name for name, licence in rows if name not in {"Name", "---"} and not any(free in licence for free in FREE)}
    assert len(rows) > 90
    assert found == NAMED
