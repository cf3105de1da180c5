"""An S3 server on loopback, one for the whole process, with a bucket for each test."""

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
    """Run a server and lend its URL. All servers of this process share their contents."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        host, bound_port = server.get_host_and_port()
        yield f"http://{host}:{bound_port}", server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    with run_s3_server() as (endpoint, _):
        yield endpoint


@pytest.fixture
def s3_bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> "Bucket":
    """Return a bucket for one test, with its credentials in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return Bucket.create(s3_server)


class Bucket:
    """A bucket that tests read directly, not through the program."""

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
        bucket = cls(endpoint, f"videos-{next(_bucket_numbers)}")
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket

    def keys(self) -> set[str]:
        """Return all keys without the prefix; fail when a key lacks the prefix."""
        objects = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        assert all(stored["Key"].startswith("pre/fix/") for stored in objects)
        return {stored["Key"].removeprefix("pre/fix/") for stored in objects}

    def count_unfinished_uploads(self) -> int:
        """Return how many multipart uploads were neither completed nor aborted."""
        return len(self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def metadata(self, key: str) -> dict[str, Any]:
        """Return the response of HEAD for a file."""
        response: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=f"pre/fix/{key}")
        return response

    def remove(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=self.name, Key=f"pre/fix/{key}")
        self.client.delete_bucket(Bucket=self.name)


@contextmanager
def require_credentials(endpoint: str) -> Iterator[None]:
    """Make the server check credentials, as real servers do."""
    _set_auth_after(endpoint, "0")
    try:
        yield
    finally:
        _set_auth_after(endpoint, "inf")


def _set_auth_after(endpoint: str, request_count: str) -> None:
    request = Request(f"{endpoint}/moto-api/reset-auth", data=request_count.encode())
    request.add_header("Content-Type", "text/plain")
    with urlopen(request, timeout=10) as response:
        assert response.status == 200
