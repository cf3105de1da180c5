"""An S3 server of our own on loopback, one for the whole process, and buckets in it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.request import Request, urlopen

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret"}
_bucket_numbers = count(1)


@contextmanager
def run_s3_server(port: int = 0) -> Iterator[tuple[str, ThreadedMotoServer]]:
    """Run a server, and say where; what one holds, the others of this process hold too."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, at = server.get_host_and_port()
        yield f"http://{host}:{at}", server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Where the server is."""
    with run_s3_server() as (endpoint, _):
        yield endpoint


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """A bucket of this test's own, and the keys to it in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return Bucket.create(s3_server)


class Bucket:
    """A bucket, looked at past the program."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint, self.name = endpoint, name
        self.url = f"s3://{name}/pre/fix?region=us-east-1&endpoint={endpoint}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    @classmethod
    def create(cls, endpoint: str) -> "Bucket":
        """Make a bucket."""
        made = cls(endpoint, f"films-{next(_bucket_numbers)}")
        made.client.create_bucket(Bucket=made.name)
        return made

    def keys(self) -> set[str]:
        """Return every key, less the prefix; whatever else is there fails."""
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        assert all(each["Key"].startswith("pre/fix/") for each in found)
        return {each["Key"].removeprefix("pre/fix/") for each in found}

    def count_unfinished_uploads(self) -> int:
        """Return how many uploads were begun and neither ended nor taken back."""
        return len(self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def metadata(self, key: str) -> dict[str, Any]:
        """Return what is told with a file."""
        told: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=f"pre/fix/{key}")
        return told

    def remove(self) -> None:
        """Delete the bucket with all that it holds."""
        for key in self.keys():
            self.client.delete_object(Bucket=self.name, Key=f"pre/fix/{key}")
        self.client.delete_bucket(Bucket=self.name)


@contextmanager
def require_credentials(endpoint: str) -> Iterator[None]:
    """Have the server look at keys, as all others do."""
    _set_auth_after(endpoint, "0")
    try:
        yield
    finally:
        _set_auth_after(endpoint, "inf")


def _set_auth_after(endpoint: str, request_count: str) -> None:
    told = Request(f"{endpoint}/moto-api/reset-auth", data=request_count.encode())
    told.add_header("Content-Type", "text/plain")
    with urlopen(told, timeout=10) as answer:
        assert answer.status == 200
