"""How the address of an S3 bucket is written: `s3://bucket/prefix?region=…&endpoint=…`.

It is apart from the client, because reading the settings loads no S3 library.
"""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

PLAIN_URL_PATTERN = r"""[^?#@\s"'<>\\]+"""  # links are made by adding to its end
BUCKET_PATTERN = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_!.*'()=-]+)*/?"  # with a prefix


def is_bucket_url(url: str) -> bool:
    parts = split_url(url)
    if not parts or not re.fullmatch(f"s3://{BUCKET_PATTERN}", url.partition("?")[0]):
        return False
    told = parse_qsl(parts.query, keep_blank_values=True)
    checks = {"region": is_region, "endpoint": is_endpoint}
    return all(name in checks and checks[name](value) for name, value in told)


def is_region(text: str) -> bool:
    """Whether a text can be the name of a region of S3."""
    return bool(re.fullmatch(r"[A-Za-z0-9-]+", text))


def is_endpoint(url: str) -> bool:
    """Whether an address can be that of an S3 service."""
    parts = split_url(url)
    return bool(
        parts and parts.scheme in ("http", "https") and re.fullmatch(PLAIN_URL_PATTERN, url)
    )


def split_url(url: str) -> SplitResult | None:
    """Take an address with a host apart; None when it is none."""
    try:
        parts = urlsplit(url)
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket too few, a port that is no port
        return None
    return parts if whole else None
