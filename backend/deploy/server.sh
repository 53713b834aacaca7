#!/usr/bin/env bash
# The backend on a Linux server with systemd: install (again after each change), back up, restore, check. Run it as root.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: server.sh [--dry-run] install | backup | restore FILE | check | manage COMMAND...

  install        copies the code, installs packages, backs the database up, migrates, restarts, and checks
  backup         writes a backup to BACKUPS and prints its name
  restore FILE   stops the backend, backs up what there is, restores FILE, starts, and checks
  check          asks the backend how it is
  manage ...     runs a command of Django, such as: manage sync_token functions --role sync
  --dry-run      print each command, run none

  PREFIX=/opt/bothways  SETTINGS=/etc/bothways/backend.env  STATE=/var/lib/bothways  BACKUPS=/var/backups/bothways
  UNITS=/etc/systemd/system  ADDRESS=127.0.0.1:8000
EOF
}

PREFIX=${PREFIX:-/opt/bothways}
SETTINGS=${SETTINGS:-/etc/bothways/backend.env}
STATE=${STATE:-/var/lib/bothways}
BACKUPS=${BACKUPS:-/var/backups/bothways}
UNITS=${UNITS:-/etc/systemd/system}
ADDRESS=${ADDRESS:-127.0.0.1:8000}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dry_run=

fail() {
    echo "server.sh: $1" >&2
    exit "${2:-1}"
}

run() {
    printf '%q ' "$@" && printf '\n'
    [[ -n $dry_run ]] || "$@"
}

# As the backend's own user, with its settings.
as_backend() {
    run runuser -u bothways -- sh -c "cd $PREFIX/backend && set -a && . $SETTINGS && set +a && exec \"\$@\"" sh "$@"
}

prepare() {
    [[ -n $dry_run ]] || id bothways >/dev/null 2>&1 || run useradd --system --home-dir "$STATE" --create-home bothways
    run install -d -o bothways -g bothways -m 0700 "$BACKUPS" "$STATE"
    run install -d -m 0755 "$PREFIX" "$(dirname "$SETTINGS")"
    [[ -f $SETTINGS ]] || settings
    copy
    [[ -x $PREFIX/venv/bin/python ]] || run "${PYTHON:-python3}" -m venv "$PREFIX/venv"
}

packages() {
    run "$PREFIX/venv/bin/python" -m pip install -q --require-hashes -r "$PREFIX/backend/requirements.txt"
}

# What was there stays as backend.before. The backup and the migration need the new code; the backend is restarted after both.
copy() {
    run rm -rf "$PREFIX/backend.new" "$PREFIX/backend.before"
    run cp -R "$here/.." "$PREFIX/backend.new"
    [[ ! -d $PREFIX/backend ]] || run mv "$PREFIX/backend" "$PREFIX/backend.before"
    run mv "$PREFIX/backend.new" "$PREFIX/backend"
}

# A first set of settings, with a key of its own; nothing is printed of it.
settings() {
    run install -o root -g bothways -m 0640 "$here/backend.env" "$SETTINGS"
    placed "$SETTINGS"
    [[ -n $dry_run ]] || printf 'DJANGO_SECRET_KEY=%s\n' "$(od -An -N48 -tx1 /dev/urandom | tr -d ' \n')" >>"$SETTINGS"
}

# The files name the usual places; where others were asked for, they get those.
placed() {
    run sed -i -e "s#/opt/bothways#$PREFIX#g" -e "s#/etc/bothways/backend.env#$SETTINGS#g" -e "s#/var/lib/bothways#$STATE#g" \
        -e "s#/var/backups/bothways#$BACKUPS#g" -e "s#127.0.0.1:8000#$ADDRESS#g" "$@"
}

backup() {
    as_backend "$PREFIX/venv/bin/python" deploy/database.py backup "$BACKUPS"
}

start() {
    local units=(bothways-backend.service bothways-daily.service bothways-daily.timer)
    run cp "${units[@]/#/$here/}" "$UNITS/"
    placed "${units[@]/#/$UNITS/}"
    run systemctl daemon-reload
    run systemctl enable bothways-backend.service bothways-daily.timer
    run systemctl restart bothways-backend.service bothways-daily.timer
}

check() {
    run curl --silent --show-error --fail --retry 10 --retry-delay 1 --retry-all-errors --max-time 10 "http://$ADDRESS/health/" ||
        fail "the backend does not answer well: journalctl -u bothways-backend; the last backup is in $BACKUPS"
    echo
}

migrate() {
    as_backend "$PREFIX/venv/bin/python" manage.py migrate --noinput &&
        as_backend "$PREFIX/venv/bin/python" manage.py check --deploy --fail-level ERROR
}

# What is not migrated must not run, and gunicorn starts new workers out of that folder by itself.
take_back() {
    [[ ! -d $PREFIX/backend.before ]] || { rm -rf "$PREFIX/backend" && mv "$PREFIX/backend.before" "$PREFIX/backend"; }
    fail "this release cannot be installed, for the reason above; what was there runs on, and the last backup is in $BACKUPS"
}

install_all() {
    prepare
    { packages && backup && migrate; } || take_back
    start
    check
}

restore() {
    [[ -n $dry_run || -f $1 ]] || fail "there is no file $1"
    run systemctl stop bothways-backend.service
    backup
    as_backend "$PREFIX/venv/bin/python" deploy/database.py restore "$1"
    as_backend "$PREFIX/venv/bin/python" manage.py migrate --noinput
    run systemctl start bothways-backend.service
    check
    echo "Now call reconcile with {\"mode\": \"full\"}: what was written since that backup comes back from Firestore."
}

[[ ${1:-} != --dry-run ]] || { dry_run=1 && shift; }
case ${1:-} in
    install | restore | backup | check | manage) [[ -n $dry_run || $(id -u) == 0 ]] || fail "run it as root: sudo bash $0 $*" ;;
esac
case "$#:${1:-}" in
    1:install) install_all ;;
    1:backup) backup ;;
    2:restore) restore "$2" ;;
    1:check) check ;;
    *:manage) as_backend "$PREFIX/venv/bin/python" manage.py "${@:2}" ;;
    1:-h | 1:--help) usage ;;
    *) usage >&2 && exit 2 ;;
esac
