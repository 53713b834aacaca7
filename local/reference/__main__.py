"""Writes all pages, for `make docs`."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write each page that is not what it should be, and say which."""
    from local.reference.pages import PAGES

    for name, made in PAGES.items():
        file, text = ROOT / name, made()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
