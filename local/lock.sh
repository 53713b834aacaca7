#!/bin/sh
# `make lock`: pins what the .in files ask for, and what that needs, with the hashes of all files that the registry has for each version: so
# the pins hold on every platform, and on each Python for which they resolve alike (3.11 to 3.13).
set -eu
cd "$(dirname "$0")/.."

compile() {
    name=$1
    shift
    echo "$name.txt ..." >&2
    .venv/bin/python -m piptools compile -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --output-file "$name.txt" "$@" "$name.in"
}

# All at once first, so that what is deployed and what is tested have the same versions.
compile requirements-dev
compile requirements --constraint requirements-dev.txt
compile backend/requirements --constraint requirements-dev.txt

# What was pinned may not be installed yet, and its licence is read from what is.
.venv/bin/python -m pip install -q --require-hashes -r requirements-dev.txt
.venv/bin/python -m local.licences >docs/licences.md
