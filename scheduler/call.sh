#!/usr/bin/env bash
# Calls a function as Cloud Scheduler would, for cron on Linux or macOS. Needs curl and bash 3.2 or newer; gcloud for SYNC_ACCOUNT.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scheduler/call.sh FUNCTION [JSON]

  FUNCTION   bidirectional_sync, reconcile, sync_health, ...
  JSON       what to ask for; '{}' if not given

  SYNC_URL         what the functions' addresses begin with: https://REGION-PROJECT.cloudfunctions.net
  SYNC_ACCOUNT     behind IAM, as deploy.sh leaves them: bothways-caller@PROJECT.iam.gserviceaccount.com. At each try gcloud is
                   asked for a token of that account; its user needs roles/iam.serviceAccountTokenCreator on it
  SYNC_TOKEN_FILE  elsewhere, without SYNC_ACCOUNT: a file, readable by you alone, with the token for the Authorization header
  SYNC_TRIES       how often to try (4)
  SYNC_WAIT        seconds before the second try, doubled before each further one (30)

exit code: 0 done; 1 failed at every try; 2 called wrongly; 3 the token was refused; 4 the request was refused;
5 another run of the pair was under way at every try

In crontab, for a run each night at half past three:
  30 3 * * *  SYNC_URL=... SYNC_ACCOUNT=... /path/to/scheduler/call.sh bidirectional_sync
EOF
}

fail() {
    echo "call.sh: $2" >&2
    exit "$1"
}

say() {
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $function: $1"
}

[[ ${1:-} != -h && ${1:-} != --help ]] || { usage && exit; }
(($# == 1 || $# == 2)) || { usage >&2 && exit 2; }
function=$1
body=${2:-"{}"}
tries=${SYNC_TRIES:-4}
wait=${SYNC_WAIT:-30}
[[ $function =~ ^[a-z_]+$ ]] || fail 2 "$function is no function's name"
[[ $tries =~ ^[1-9][0-9]*$ && $wait =~ ^[0-9]+$ ]] || fail 2 "SYNC_TRIES and SYNC_WAIT take whole numbers"
[[ ${SYNC_URL:-} == http* ]] || fail 2 "say in SYNC_URL where the functions are"
if [[ -z ${SYNC_ACCOUNT:-} ]]; then
    [[ -r ${SYNC_TOKEN_FILE:-} ]] || fail 2 "say in SYNC_TOKEN_FILE where the token is; it must be readable"
    [[ -z $(find -L "$SYNC_TOKEN_FILE" -perm -0004) ]] || fail 2 "others can read the token: chmod 600 $SYNC_TOKEN_FILE"
fi
url=${SYNC_URL%/}/$function

method=POST
[[ $function != sync_health ]] || method=GET

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# Prints the token; nothing, beside what gcloud says, where it gives none: the function then refuses.
token() {
    if [[ -n ${SYNC_ACCOUNT:-} ]]; then
        gcloud auth print-identity-token --impersonate-service-account="$SYNC_ACCOUNT" --audiences="$url" --include-email --quiet
    else
        tr -d '[:space:]' <"$SYNC_TOKEN_FILE"
    fi
}

# Prints the status, 000 for no answer. The token goes through standard input: command lines are seen by everybody.
call() {
    printf 'header = "Authorization: Bearer %s"\n' "$(token || true)" |
        curl --config - --silent --show-error --max-time 1800 --output "$answer" --write-out '%{http_code}' \
            --request "$method" --header 'Content-Type: application/json' \
            ${1:+--data "$1"} "$url" || true
}

for ((try = 1; try <= tries; try++)); do
    : >"$answer"
    status=$(call "$([[ $method == GET ]] || printf '%s' "$body")")
    case $status in
        200 | 202) say "done ($status)" && cat "$answer" && echo && exit 0 ;;
        401 | 403) say "refused ($status): $(cat "$answer")" >&2 && exit 3 ;;
        400 | 404 | 405 | 413) say "the request is wrong ($status): $(cat "$answer")" >&2 && exit 4 ;;
        409) said="another run is under way ($status)" code=5 ;;
        000) said="no answer" code=1 ;;
        *) said="failed ($status): $(cat "$answer")" code=1 ;;
    esac
    say "try $try of $tries: $said" >&2
    ((try == tries)) || sleep "$wait"
    wait=$((wait * 2))
done
exit "$code"
