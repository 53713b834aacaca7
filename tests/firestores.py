"""Firestore as the library sees it and as a plain client does, on the emulator."""

from __future__ import annotations

import grpc
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

from shared.peers.documents import Firestore


def documents(host: str, project: str) -> Firestore:
    """Return the library's view of a project of the emulator."""
    client = FirestoreClient(transport=FirestoreGrpcTransport(channel=grpc.insecure_channel(host)))
    return Firestore(client, project, metadata=[("authorization", "Bearer owner")])


def plain_client(host: str, project: str) -> firestore.Client:
    """Return the client library as anybody uses it."""
    import os

    os.environ["FIRESTORE_EMULATOR_HOST"] = host
    try:
        return firestore.Client(project=project, credentials=AnonymousCredentials())
    finally:
        del os.environ["FIRESTORE_EMULATOR_HOST"]
