"""An S3 bucket: where it is, how it is opened, and what its errors mean.

The address names the bucket; the keys to it come as they do for every tool of AWS, from
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or from the machine's role.
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

# A bucket that hangs must not hang a request: no try is begun after AGAIN, and none takes longer
# than ASK, or PUT where a part of an upload is on its way.
CONNECT_TIMEOUT, REQUEST_TIMEOUT, UPLOAD_TIMEOUT = (
    timedelta(seconds=2),
    timedelta(seconds=5),
    timedelta(seconds=10),
)
RETRY_TIMEOUT = timedelta(seconds=3)
MAX_RETRIES = 2
RETRY_BACKOFF: "BackoffConfig" = {
    "init_backoff": timedelta(seconds=0.1),
    "max_backoff": timedelta(seconds=1),
    "base": 2,
}

DEFAULT_REGION = "us-east-1"  # of stores that have none
KEYS_REFUSED_MESSAGE = "its keys are refused: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
WRONG_REGION_MESSAGE = "it is in another region: set AWS_REGION, or add ?region=… to the address"
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
    """A bucket and the place in it: what `s3://bucket/prefix?region=…&endpoint=…` says."""

    name: str
    prefix: str
    endpoint: str
    region: str

    @classmethod
    def from_url(cls, url: str) -> "Bucket":
        """Read an address, and what it leaves out from AWS_REGION and AWS_ENDPOINT_URL; Invalid."""
        parts = urlsplit(url)
        told = dict(parse_qsl(parts.query))
        region = (
            told.get("region")
            or _first_env_value("AWS_REGION", "AWS_DEFAULT_REGION")
            or DEFAULT_REGION
        )
        if not is_region(region):
            raise Invalid("AWS_REGION should look like eu-central-1")
        endpoint = told.get("endpoint") or _first_env_value(
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
        """Where its files are fetched from: scheme, host and port."""
        return "{0.scheme}://{0.netloc}".format(urlsplit(self.endpoint))

    def open_store(self, request_timeout: timedelta) -> Any:
        """Return the store, of which no try takes longer than `once`; nothing is asked yet."""
        return S3Store(
            self.name,
            prefix=self.prefix or None,
            endpoint=self.endpoint,
            aws_endpoint_url_s3=self.endpoint,
            region=self.region,
            virtual_hosted_style_request=False,
            disable_bulk_delete=True,  # which some stores do not know
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
    """Say in a few plain words what an error of a store means; nothing of it that is secret."""
    text = str(error)
    if "169.254.169.254" in text:
        return "there are no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code := re.search(r"<Code>(\w+)</Code>", text):
        return MESSAGES_BY_ERROR_CODE.get(code[1], f"it answers {code[1]}")
    return next(
        (meaning for sign, meaning in MESSAGES_BY_ERROR_TEXT if sign in text), type(error).__name__
    )


def _first_env_value(*names: str) -> str | None:
    return next((os.environ[name].strip() for name in names if os.environ.get(name)), None)
