#!/bin/sh
# Asks pip-audit for known weaknesses of what is deployed. It needs the network, and is no requirement of ours: where it, or its
# data, cannot be had, this says so and passes.
set -eu
cd "$(dirname "$0")/.."

audit=$(command -v .venv/bin/pip-audit || command -v pip-audit || true)
if [ -z "$audit" ]; then
    echo "not audited: there is no pip-audit here (pip install pip-audit)"
    exit 0
fi
for lock in requirements.txt backend/requirements.txt; do
    said=$("$audit" --require-hashes --disable-pip --progress-spinner off -r "$lock" 2>&1) && found=no || found=yes
    unknown=$(echo "$said" | grep -c 'could not be audited' || true)
    if [ "$unknown" = "$(grep -c == "$lock")" ]; then
        echo "$lock: not audited: the registry that is used here keeps no list of weaknesses"
    elif [ "$found" = no ]; then
        echo "$lock: $(echo "$said" | head -n 1), $unknown packages unknown"
    elif echo "$said" | grep -Eqi 'ConnectionError|ServiceError|HTTPError|ProxyError|Timeout'; then
        echo "$lock: not audited: the list of weaknesses cannot be had here"
    else
        echo "$said"
        exit 1
    fi
done
