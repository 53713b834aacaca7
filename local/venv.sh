#!/bin/sh
# Makes .venv what the requirements say. Where it is so already, this does nothing and needs no network.
set -eu
cd "$(dirname "$0")/.."

# A venv holds its own path, so a moved folder needs a new one.
wanted=$({ pwd; cat requirements-dev.txt; } | cksum)
if [ -x .venv/bin/python ] && [ "$(cat .venv/stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

usable() {
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3.13 python3.12 python3.11 python3
fi
for candidate in "$@"; do
    if usable "$candidate"; then
        # -I: the modules beside venv.py must not hide the standard library's
        exec "$candidate" -I local/venv.py "$wanted"
    fi
done
echo "no Python 3.11 or newer with venv was found${PYTHON:+ under PYTHON=$PYTHON}: install one (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2
exit 1
