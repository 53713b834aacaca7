"""Stages what is deployed into one folder: `functions/*`, `shared/`, `sync.yaml` and `requirements.txt`.

functions-framework puts only the entry file's folder on `sys.path`, so all must lie beside main.py. deploy.sh and the
local stack both use this: what runs here is what is deployed. Uses the standard library only.
"""

import shutil
import sys
from pathlib import Path

from local.errors import StackError

ROOT = Path(__file__).resolve().parent.parent
FILES = ("sync.yaml", "requirements.txt")
UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def stage(target: Path, root: Path = ROOT) -> Path:
    """Fill a folder with the bundle, replacing what was in it, and return it.

    Raises StackError if a part is missing, or if the folder holds something else than a bundle.
    """
    parts = [root / "functions" / "main.py", root / "shared", *(root / name for name in FILES)]
    missing = [str(part.relative_to(root)) for part in parts if not part.exists()]
    if missing:
        raise StackError(f"cannot stage the functions: {', '.join(missing)} missing in {root}")
    _empty(target)
    shutil.copytree(root / "functions", target, ignore=UNWANTED, dirs_exist_ok=True)
    shutil.copytree(root / "shared", target / "shared", ignore=UNWANTED)
    for name in FILES:
        shutil.copy2(root / name, target / name)
    return target


def _empty(target: Path) -> None:
    if target.exists() and any(target.iterdir()) and not (target / "main.py").exists():
        raise StackError(f"{target} is not empty and holds no bundle: name another folder")
    shutil.rmtree(target, ignore_errors=True)


def main() -> int:
    """Stage into the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m local.bundle DIR\n")
        return 2
    try:
        sys.stdout.write(f"{stage(Path(sys.argv[1]))}\n")
    except StackError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
