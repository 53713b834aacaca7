#!/usr/bin/env bash
# Deploys everything to a Google Cloud project: ./deploy.sh --help. Run it again after each change; it is safe to.
set -euo pipefail

export CALLED_FROM=$PWD # files and folders are meant from there
cd "$(dirname "${BASH_SOURCE[0]}")"
sh local/venv.sh
exec .venv/bin/python -m scheduler.deployment "$@"
