"""An S3 bucket: its URL, its client, and the meaning of its errors.

The access keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from the machine's role,
as for every AWS tool.
"""

import os
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from obstore.store import S3Store

from provider.errors import Invalid
from provider.storage.s3_url import is_endpoint, is_region

if TYPE_CHECKING:
    from obstore.store import BackoffConfig

# A hanging bucket must not hang a request: these limit each attempt.
CONNECT_TIMEOUT = timedelta(seconds=2)
REQUEST_TIMEOUT = timedelta(seconds=5)
UPLOAD_TIMEOUT = timedelta(seconds=10)  # of one part
RETRY_TIMEOUT = timedelta(seconds=3)  # no attempt begins later
MAX_RETRIES = 2
RETRY_BACKOFF: "BackoffConfig" = {
    "init_backoff": timedelta(seconds=0.1),
    "max_backoff": timedelta(seconds=1),
    "base": 2,
}

DEFAULT_REGION = "us-east-1"  # of stores without regions
KEYS_REFUSED_MESSAGE = "its keys are refused: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
WRONG_REGION_MESSAGE = "it is in another region: set AWS_REGION, or add ?region=… to the URL"
MESSAGES_BY_ERROR_CODE = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidAccessKeyId": KEYS_REFUSED_MESSAGE,
    "SignatureDoesNotMatch": KEYS_REFUSED_MESSAGE,
    "AccessDenied": "these keys may not write, read, list and delete there",
    "AuthorizationHeaderMalformed": WRONG_REGION_MESSAGE,
    "PermanentRedirect": WRONG_REGION_MESSAGE,
    "RequestTimeTooSkewed": "this machine's clock is wrong",
}
MESSAGES_BY_ERROR_TEXT = (
    ("incorrectly configured region", WRONG_REGION_MESSAGE),
    ("403 Forbidden", "it refuses these keys, or they may not do this"),
    ("HTTP error", "it does not answer"),
    ("LocalFileSystem", "the disk fails, is full or may not be written to"),
)


@dataclass(frozen=True)
class Bucket:
    """The parts of a URL like `s3://bucket/prefix?region=…&endpoint=…`."""

    name: str
    prefix: str
    endpoint: str
    region: str

    @classmethod
    def from_url(cls, url: str) -> "Bucket":
        """Parse a URL; AWS_REGION and AWS_ENDPOINT_URL add what it leaves out. Raises Invalid."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        region = (
            options.get("region")
            or _first_env_value("AWS_REGION", "AWS_DEFAULT_REGION")
            or DEFAULT_REGION
        )
        if not is_region(region):
            raise Invalid("AWS_REGION should look like eu-central-1")
        endpoint = options.get("endpoint") or _first_env_value(
            "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
        )
        endpoint = (endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/")
        if not is_endpoint(endpoint):
            raise Invalid("AWS_ENDPOINT_URL should look like https://s3.example.com")
        return cls(parts.netloc, parts.path.strip("/"), endpoint, region)

    def __str__(self) -> str:
        return f"the bucket {self.name} at {self.origin}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, from which a browser fetches presigned URLs."""
        return "{0.scheme}://{0.netloc}".format(urlsplit(self.endpoint))

    def open_store(self, request_timeout: timedelta) -> Any:
        """Return obstore's client; no attempt takes longer than `request_timeout`."""
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            endpoint=self.endpoint,
            aws_endpoint_url_s3=self.endpoint,
            region=self.region,
            virtual_hosted_style_request=False,
            disable_bulk_delete=True,  # some stores do not support it
            client_options={
                "allow_http": self.endpoint.startswith("http:"),
                "connect_timeout": CONNECT_TIMEOUT,
                "timeout": request_timeout,
            },
            retry_config={
                "max_retries": MAX_RETRIES,
                "retry_timeout": RETRY_TIMEOUT,
                "backoff": RETRY_BACKOFF,
            },
        )


def explain_error(error: BaseException) -> str:
    """Return the end of a sentence for people and logs, without keys or signatures."""
    text = str(error)
    if "169.254.169.254" in text:
        return "there are no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code := re.search(r"<Code>(\w+)</Code>", text):
        return MESSAGES_BY_ERROR_CODE.get(code[1], f"it answers {code[1]}")
    return next(
        (message for part, message in MESSAGES_BY_ERROR_TEXT if part in text), type(error).__name__
    )


def _first_env_value(*names: str) -> str | None:
    return next((os.environ[name].strip() for name in names if os.environ.get(name)), None)
