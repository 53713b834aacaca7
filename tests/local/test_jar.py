"""Where the emulator's jar is looked for, and what a download must pass."""

import hashlib
import zipfile

import pytest

from local import jar as jars
from local.errors import StackError


def put(path, content=b"jar"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_sdk_beside_gcloud_is_found_through_its_symbolic_link(tmp_path):
    jar = put(tmp_path / "sdk" / jars.IN_SDK)
    gcloud = put(tmp_path / "sdk/bin/gcloud")
    gcloud.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gcloud").symlink_to(gcloud)
    assert next(iter(jars.candidates({"PATH": str(tmp_path / "bin")}, tmp_path))) == jar


def test_of_the_cache_of_firebase_tools_the_newest_is_taken_by_number(tmp_path):
    cache = tmp_path / jars.IN_FIREBASE_CACHE
    for version in ("1.9.0", "1.19.8", "1.20.4"):
        put(cache / f"cloud-firestore-emulator-v{version}.jar")
    found = [path.name for path in jars.candidates({"PATH": ""}, tmp_path) if path.parent == cache]
    assert found == [f"cloud-firestore-emulator-v{version}.jar" for version in ("1.20.4", "1.19.8", "1.9.0")]


def test_a_download_with_the_right_checksum_is_kept(tmp_path):
    source, target = put(tmp_path / "source", b"emulator"), tmp_path / "cache/emulator.jar"
    assert jars.download(source.as_uri(), hashlib.sha256(b"emulator").hexdigest(), target) == target
    assert target.read_bytes() == b"emulator"


def test_a_download_with_another_checksum_is_refused_and_leaves_nothing(tmp_path):
    source, target = put(tmp_path / "source", b"tampered"), tmp_path / "cache/emulator.jar"
    with pytest.raises(StackError, match=r"has the SHA-256 .*: do not use it"):
        jars.download(source.as_uri(), hashlib.sha256(b"emulator").hexdigest(), target)
    assert list(target.parent.iterdir()) == []


def test_a_failed_download_says_what_to_install(tmp_path):
    with pytest.raises(StackError, match=r"install the Google Cloud SDK's `cloud-firestore-emulator` or run `firebase"):
        jars.download((tmp_path / "nothing").as_uri(), "", tmp_path / "cache/emulator.jar")


@pytest.mark.parametrize(
    ("manifest", "first"), [("Main-Class: a.B\n", "-jar"), ("Created-By: x\n", "-cp")], ids=["firebase-tools", "sdk"]
)
def test_a_jar_is_run_by_its_manifest(tmp_path, manifest, first):
    jar = tmp_path / "emulator.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", manifest)
    assert jars.java_arguments(jar)[0] == first
