"""Checks of S3 URLs like `s3://bucket/prefix?region=…&endpoint=…`.

A module of its own, because reading the settings must not import the slow S3 library.
"""

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit

# Without query and fragment: paths are appended to such a URL.
PLAIN_URL_PATTERN = r"""[^?#@\s"'<>\\]+"""
BUCKET_PATTERN = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_!.*'()=-]+)*/?"  # with a prefix


def is_bucket_url(url: str) -> bool:
    parts = split_url(url)
    if not parts or not re.fullmatch(f"s3://{BUCKET_PATTERN}", url.partition("?")[0]):
        return False
    options = parse_qsl(parts.query, keep_blank_values=True)
    checks = {"region": is_region, "endpoint": is_endpoint}
    return all(name in checks and checks[name](value) for name, value in options)


def is_region(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9-]+", text))


def is_endpoint(url: str) -> bool:
    parts = split_url(url)
    return bool(
        parts and parts.scheme in ("http", "https") and re.fullmatch(PLAIN_URL_PATTERN, url)
    )


def split_url(url: str) -> SplitResult | None:
    """Split a URL that has a host; None if it is not valid."""
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket, a port that is no number
        return None
    return parts if is_valid else None
