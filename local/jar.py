"""Finds the jar of the Cloud Firestore emulator, or downloads the official one."""

import hashlib
import os
import re
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from local.errors import StackError

IN_SDK = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
IN_FIREBASE_CACHE = ".cache/firebase/emulators"
MAIN_CLASS = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"

VERSION = "1.19.8"
URL = f"https://storage.googleapis.com/firebase-preview-drop/emulator/cloud-firestore-emulator-v{VERSION}.jar"
# Google publishes no list of checksums. This one is what several projects, one of Google's own among them, pin for
# the same address; it was not computed here. The SDK's jar of 1.19.9 is packed differently and has another.
SHA256 = "9d43599ed6151199e8d604dc87fac51218e49e5f3a48519b1ae560bbe5e3382d"


def find_jar(cache: Path) -> Path:
    """Return the emulator's jar: the Google Cloud SDK's, firebase-tools', or the one in `cache`, downloaded if need be.

    Raises StackError, saying what to install, where none can be had.
    """
    for jar in candidates(os.environ, Path.home()):
        if jar.is_file():
            return jar
    return download(URL, SHA256, cache / f"cloud-firestore-emulator-v{VERSION}.jar")


def candidates(env: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield where a jar may lie, best place first. `gcloud info` would know, but takes seconds."""
    yield from (root / IN_SDK for root in _sdk_roots(env, home))
    found = (home / IN_FIREBASE_CACHE).glob("cloud-firestore-emulator-v*.jar")
    yield from sorted(found, key=_version, reverse=True)


def _sdk_roots(env: Mapping[str, str], home: Path) -> Iterable[Path]:
    gcloud = shutil.which("gcloud", path=env.get("PATH"))
    return [
        *([Path(env["CLOUDSDK_ROOT_DIR"])] if env.get("CLOUDSDK_ROOT_DIR") else []),
        *([Path(gcloud).resolve().parent.parent] if gcloud else []),
        home / "google-cloud-sdk",
        Path("/usr/lib/google-cloud-sdk"),
        Path("/usr/share/google-cloud-sdk"),
        Path("/opt/google-cloud-sdk"),
        Path("/opt/homebrew/share/google-cloud-sdk"),
        Path("/usr/local/share/google-cloud-sdk"),
    ]


def _version(jar: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", jar.stem))


def download(url: str, sha256: str, target: Path) -> Path:
    """Fetch a file unless it is there already; it appears under its name only once its checksum is right."""
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as output, urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 (https, ours)
            shutil.copyfileobj(answer, output)
        _check(part, sha256, url)
        return part.replace(target)
    except OSError as exc:
        raise StackError(
            "no Cloud Firestore emulator was found, and its jar could not be downloaded: install the Google Cloud "
            f"SDK's `cloud-firestore-emulator` or run `firebase setup:emulators:firestore` ({url}: {exc})"
        ) from exc
    finally:
        part.unlink(missing_ok=True)


def _check(part: Path, sha256: str, url: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise StackError(f"the file at {url} has the SHA-256 {found}, expected {sha256}: do not use it, tell the maintainers")


def java_arguments(jar: Path) -> list[str]:
    """Return how java runs this jar: the SDK's names no main class, firebase-tools' does."""
    with zipfile.ZipFile(jar) as archive:
        manifest = archive.read("META-INF/MANIFEST.MF")
    return ["-jar", str(jar)] if b"Main-Class:" in manifest else ["-cp", str(jar), MAIN_CLASS]
