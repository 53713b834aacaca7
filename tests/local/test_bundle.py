"""What is staged is what is deployed, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.bundle import stage
from local.errors import StackError
from local.triggers import triggers

ROOT = Path(__file__).resolve().parents[2]


def test_all_parts_lie_in_one_folder_without_compiled_files(tree, tmp_path):
    bundle = stage(tmp_path / "bundle", tree)
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert files == {"main.py", "requirements.txt", "shared/__init__.py", "shared/peers/__init__.py", "sync.yaml"}


def test_staging_again_drops_what_is_gone(tree, tmp_path):
    bundle = stage(tmp_path / "bundle", tree)
    (bundle / "old.py").write_text("")
    stage(bundle, tree)
    assert not (bundle / "old.py").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tree, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/dear.txt").write_text("keep me")
    with pytest.raises(StackError, match="is not empty and holds no bundle"):
        stage(tmp_path / "letters", tree)
    assert (tmp_path / "letters/dear.txt").exists()


def test_a_missing_part_is_named(tree, tmp_path):
    (tree / "sync.yaml").unlink()
    with pytest.raises(StackError, match=r"cannot stage the functions: sync\.yaml missing"):
        stage(tmp_path / "bundle", tree)


def test_the_command_needs_a_folder():
    done = subprocess.run([sys.executable, "-m", "local.bundle"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: python -m local.bundle DIR\n")


def test_what_only_comes_from_a_system_that_takes_no_changes_is_not_tracked():
    assert triggers(ROOT / "examples" / "bakalari.yaml") == {}
