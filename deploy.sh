#!/usr/bin/env bash
# Deploys everything to a Google Cloud project: ./deploy.sh --help. Run it again after each change; it is safe to.
set -euo pipefail

for ((i = 1; i < $#; i++)); do # a folder to stage into is meant from where this was called
    if [[ ${!i} == --stage ]]; then
        next=$((i + 1)) folder=${!next}
        [[ $folder == /* ]] || folder=$PWD/$folder
        set -- "${@:1:i}" "$folder" "${@:next+1}"
    fi
done

cd "$(dirname "${BASH_SOURCE[0]}")"
sh local/venv.sh
exec .venv/bin/python -m scheduler.deployment "$@"
