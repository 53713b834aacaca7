"""gcloud and firebase, pretended: keeps what is made in the file that PRETENDED names. What is made twice is refused, and so is
a change of what is not there. Understands just what deploy.sh says; test_requests.py has the real gcloud say it."""

import json
import os
import sys
from pathlib import Path

STATE = Path(os.environ["PRETENDED"])
PLAIN = {"add-iam-policy-binding", "add-invoker-policy-binding", "enable", "update-traffic", "remove-iam-policy-binding", "add"}
FAIL = os.environ.get("PRETEND_TO_FAIL_AT")


def flag(words, name):
    """Return the value of a flag, written either way."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            return after
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def entry(kind, name, words):
    """Return what a list tells of something that was made."""
    group, path = flag(words, "--collection-group"), "projects/p/databases/(default)/collectionGroups"
    fields = [dict(part.split("=") for part in word.partition("=")[2].split(",")) for word in words if "--field-config" in word]
    told = {"name": f"projects/p/{name}", "state": "ENABLED"}
    if "service-accounts" in kind:
        return told | {"email": f"{name}@demo-project.iam.gserviceaccount.com"}
    if kind == "functions":
        address = {"serviceConfig": {"uri": f"https://{name}.example"}}
        return told | {"labels": dict([flag(words, "--update-labels").split("=")])} | address
    if kind == "firestore databases":
        return {"name": "projects/p/databases/(default)", "locationId": flag(words, "--location"), "type": "FIRESTORE_NATIVE"}
    if "composite" in kind:
        shape = [{"fieldPath": each["field-path"], "order": each["order"].upper()} for each in fields]
        return {"name": f"{path}/{group}/indexes/1", "queryScope": "COLLECTION", "fields": shape}
    if kind.startswith("firestore"):
        kept = [{"fields": [{"order": word.rpartition("=")[2].upper()}]} for word in words if word.startswith("--index")]
        return {"name": f"{path}/{group}/fields/{name.rpartition('/')[2]}", "indexConfig": {"indexes": kept}}
    if "monitoring" in kind:
        return told | {"displayName": flag(words, "--display-name") or json.loads(flag(words, "--policy"))["displayName"]}
    return told


def said(text):
    """Print something, and return that all is well."""
    sys.stdout.write(f"{text}\n")
    return 0


def parted(words):
    """Return kind, verb and name of a command."""
    at = next(place for place, word in enumerate(words) if word in VERBS)
    names = [word for word in words[at + 1 :] if not word.startswith("--") and word != "http"]
    return " ".join(words[:at]), words[at], (names or [""])[0]


VERBS = {"create", "update", "deploy", "delete", "list", "describe", "pause", "resume", "print-access-token", *PLAIN}


def main(words):
    """Do one command."""
    state = json.loads(STATE.read_text()) if STATE.exists() else {"there": {}, "ran": []}
    kind, verb, name = parted(words)
    if verb == "print-access-token":
        return said("a-made-up-token")
    if name == "projects:list":
        return 0
    if verb == "describe":
        return said("True" if "billing" in kind else f"the-{name}")
    if verb == "list":
        return said(json.dumps(list(state["there"].get(kind, {}).values())))
    if FAIL and FAIL in " ".join(words):
        sys.stderr.write(f"ERROR: (gcloud) {os.environ['PRETEND_TO_SAY']}\n")
        return 1
    given = sys.stdin.read()
    state["ran"].append({"words": words, "given": given})
    if name == "projects:addfirebase":
        state["there"]["services"] = {name: {"name": "firebase.googleapis.com"}}
    code = changed(state["there"].setdefault(kind, {}), kind, verb, name, words)
    whole = STATE.with_suffix(f".{os.getpid()}")
    whole.write_text(json.dumps(state))
    whole.replace(STATE)
    return code


def changed(known, kind, verb, name, words):
    """Change what is kept; return an exit code."""
    if kind.startswith("firestore") and "databases" not in kind:
        name = f"{flag(words, '--collection-group')}/{name if 'composite' not in kind else flag(words, '--field-config')}"
        verb = "create" if "composite" in kind else "deploy"
    if "monitoring" in kind and verb == "create":
        name = f"number-{len(known) + 1}"
    name = name.rpartition("/")[2] if "monitoring" in kind else name
    name = name.partition("@")[0] if "service-accounts" in kind else name
    if verb in PLAIN or kind.startswith("run") or name.startswith("the-"):  # of the latter, `describe` told
        return 0
    if (verb == "create") == (name in known) and verb != "deploy":
        sys.stderr.write(f"ERROR: (gcloud) {name} {'already exists' if verb == 'create' else 'NOT_FOUND'}\n")
        return 1
    if verb == "delete":
        del known[name]
    elif verb in {"pause", "resume"}:
        known[name]["state"] = "PAUSED" if verb == "pause" else "ENABLED"
    else:
        known[name] = known.get(name, {}) | entry(kind, words[words.index(name)] if name in words else name, words)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]) if sys.argv[1] == "gcloud" else main(["firebase", "deploy", *sys.argv[2:]]))
