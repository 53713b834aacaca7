#!/usr/bin/env bash
# Deploys everything: rules and indexes, the functions and trackers, the scheduler's jobs. Run again after each change.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: ./deploy.sh --project ID --django-url URL [OPTIONS]

  --project ID           Google Cloud project              (or PROJECT)
  --django-url URL       where the REST queue is mounted   (or DJANGO_URL)
  --region REGION        of functions and jobs             (or REGION; europe-west1)
  --firestore LOCATION   of the database, for triggers     (or FIRESTORE_LOCATION; the region)
  --account EMAIL        service account of it all         (or ACCOUNT; bothways@PROJECT.iam.gserviceaccount.com)
  --dry-run              print each command, run none
  --stage DIR            only put what would be deployed into DIR

Before the first run: create the service account, and the secrets django-token, operator-token and log-key.
EOF
}

fail() {
    echo "deploy.sh: $1" >&2
    exit "${2:-1}"
}

dry_run=
stage=
while (($#)); do
    case $1 in
        --dry-run) dry_run=1 ;;
        -h | --help) usage && exit ;;
        --project | --django-url | --region | --firestore | --account | --stage)
            (($# > 1)) || fail "$1 needs a value; --help tells more" 2
            case $1 in
                --project) PROJECT=$2 ;;
                --django-url) DJANGO_URL=$2 ;;
                --region) REGION=$2 ;;
                --firestore) FIRESTORE_LOCATION=$2 ;;
                --account) ACCOUNT=$2 ;;
                --stage) stage=$2 ;;
            esac
            shift
            ;;
        *) fail "unknown option $1; --help tells more" 2 ;;
    esac
    shift
done

[[ -z $stage || $stage == /* ]] || stage=$PWD/$stage
cd "$(dirname "${BASH_SOURCE[0]}")"
sh local/venv.sh
python=.venv/bin/python

if [[ -n $stage ]]; then
    exec "$python" -m local.bundle "$stage"
fi

[[ -n ${PROJECT:-} ]] || fail "name the project: --project ID" 2
[[ -n ${DJANGO_URL:-} ]] || fail "name the backend: --django-url URL" 2
REGION=${REGION:-europe-west1}
FIRESTORE_LOCATION=${FIRESTORE_LOCATION:-$REGION}
ACCOUNT=${ACCOUNT:-bothways@$PROJECT.iam.gserviceaccount.com}

# Prints a command so that it can be pasted, and runs it unless this is a dry run.
run() {
    printf '%q ' "$@" && printf '\n'
    [[ -n $dry_run ]] || "$@" </dev/null
}

if [[ -z $dry_run ]]; then
    for program in gcloud firebase; do
        command -v "$program" >/dev/null || fail "$program is missing: install it, and log in"
    done
fi

bundle=$(mktemp -d)
trap 'rm -rf "$bundle"' EXIT
"$python" -m local.bundle "$bundle" >/dev/null
plan=$("$python" -m local.deployment "$bundle")

common=(--project "$PROJECT" --quiet)
function_flags=(
    --gen2 --region "$REGION" --runtime python312 --source "$bundle" --service-account "$ACCOUNT"
    --memory=512Mi --concurrency=1
    "--set-env-vars=GOOGLE_CLOUD_PROJECT=$PROJECT,DJANGO_URL=$DJANGO_URL,SYNC_TRUST_IAM=1"
)

# Only callers that IAM lets through reach a function; inside, SYNC_TRUST_IAM=1 relies on that.
deploy_http() {
    run gcloud functions deploy "$1" "${common[@]}" "${function_flags[@]}" --entry-point "$1" \
        --trigger-http --no-allow-unauthenticated --timeout=1800s --max-instances=5
    run gcloud functions add-invoker-policy-binding "$1" "${common[@]}" --region "$REGION" \
        --member "serviceAccount:$ACCOUNT"
}

# --retry: an event whose function failed comes again, for up to a day.
deploy_event() {
    run gcloud functions deploy "$1" "${common[@]}" "${function_flags[@]}" --entry-point "$1" \
        --trigger-location="$FIRESTORE_LOCATION" \
        --trigger-event-filters=type=google.cloud.firestore.document.v1.written \
        --trigger-event-filters=database='(default)' --trigger-event-filters=namespace='(default)' \
        --trigger-event-filters-path-pattern=document="$2" \
        --trigger-service-account="$ACCOUNT" --retry --timeout=60s --max-instances=20
}

deploy_job() {
    local verb=create headers=--headers url=https://$REGION-$PROJECT.cloudfunctions.net/$4
    if [[ -z $dry_run ]] && gcloud scheduler jobs describe "$1" "${common[@]}" --location "$REGION" &>/dev/null </dev/null; then
        verb=update headers=--update-headers
    fi
    run gcloud scheduler jobs "$verb" http "$1" "${common[@]}" --location "$REGION" \
        --schedule "$2" --time-zone "$3" --uri "$url" --http-method POST \
        "$headers" Content-Type=application/json --message-body "$7" \
        --oidc-service-account-email "$ACCOUNT" --oidc-token-audience "$url" \
        --attempt-deadline "$5" --max-retry-attempts "$6"
}

run firebase deploy --only firestore:rules,firestore:indexes --project "$PROJECT" --non-interactive
while IFS=$'\t' read -r kind name rest; do
    IFS=$'\t' read -r -a values <<<"$rest"
    "deploy_$kind" "$name" ${values[@]+"${values[@]}"} # bash 3 calls an empty array unbound
done <<<"$plan"
