"""Parsers of the settings' texts; an unset variable is None. Errors name the variable."""

import re
import shlex
from datetime import timedelta
from email.utils import parseaddr
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from provider.errors import Invalid
from provider.storage.s3_url import PLAIN_URL_PATTERN, is_bucket_url, split_url

DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SIZE_UNIT_BYTES = {"MB": 1_000_000, "GB": 1_000_000_000}
MAX_DURATION = timedelta(days=3650)
MAX_SEAL_PASSWORD_LENGTH = 200
MIN_METRICS_TOKEN_LENGTH = 16  # characters
MAX_LABEL_LENGTH = 60  # characters of a button
MAX_OPERATOR_NAME_LENGTH = 100  # characters


def parse_duration(text: str) -> timedelta:
    """Parse `90s`, `5m`, `2h`, `7d` or `2w`, up to ten years; Invalid otherwise."""
    match = re.fullmatch(r"\s*([0-9]{1,7})\s*([smhdw])\s*", text)
    duration = timedelta(**{DURATION_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if not timedelta(0) < duration <= MAX_DURATION:
        raise Invalid(f"“{text}” is not a duration up to ten years: write 90s, 5m, 2h, 7d or 2w")
    return duration


def parse_database_url(url: str | None, instance: Path) -> str:
    if url is None:
        return f"sqlite:///{instance / 'provider.db'}"
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise Invalid("PROVIDER_DATABASE_URL should begin with sqlite:/// or postgresql+psycopg://")
    if url.startswith("postgresql") and not find_spec("psycopg"):
        raise Invalid("PostgreSQL needs more packages: run `pip install 'provider[scale]'`")
    # Each connection would open an in-memory database of its own.
    file = url.removeprefix("sqlite:///")
    if file in ("", ":memory:") or (file != url and "?" in file):
        raise Invalid("PROVIDER_DATABASE_URL should be sqlite:/// and a file, without options")
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise Invalid(
            "PROVIDER_DATABASE_URL should look like postgresql+psycopg://user:password@host/name"
        ) from None
    return url


def parse_database_direct_url(url: str | None, database_url: str) -> str | None:
    if url is None:
        return None
    if not (url.startswith("postgresql+psycopg://") and database_url.startswith("postgresql")):
        raise Invalid(
            "PROVIDER_DATABASE_DIRECT_URL should be the PostgreSQL database of "
            "PROVIDER_DATABASE_URL, and begin with postgresql+psycopg://"
        )
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise Invalid(
            "PROVIDER_DATABASE_DIRECT_URL should look like "
            "postgresql+psycopg://user:password@host/name"
        ) from None
    return url


def parse_base_url(url: str) -> str:
    parts = split_url(url)
    if (
        not parts
        or parts.scheme not in ("http", "https")
        or not re.fullmatch(PLAIN_URL_PATTERN, url)
    ):
        raise Invalid("PROVIDER_BASE_URL should look like https://tests.example.com")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise Invalid(
            "PROVIDER_BASE_URL should end after the host or its port: serve this program at a "
            "host name of its own, such as https://tests.example.com"
        )
    return url.rstrip("/")


def parse_trusted_proxies(text: str | None, base_url: str) -> int:
    if text is None:
        return int(base_url.startswith("https://"))  # this program itself serves no TLS
    if not re.fullmatch("[0-9]", text):
        raise Invalid("PROVIDER_TRUSTED_PROXIES should be a number from 0 to 9")
    return int(text)


def parse_mail_url(url: str | None) -> str | None:
    parts = split_url(url or "smtp://unset")
    if not parts or parts.scheme not in ("smtp", "smtps", "smtp+tls"):
        raise Invalid(
            "PROVIDER_MAIL_URL should look like smtp://user:password@mail.example.com:587, "
            "with special characters of the password percent-encoded"
        )
    return url


def parse_mail_token_command(command: str | None, mail_url: str | None) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command or ""))
    except ValueError:
        raise Invalid("PROVIDER_MAIL_TOKEN_COMMAND should close its quotes") from None
    if words:
        _require_user_without_password("PROVIDER_MAIL_TOKEN_COMMAND", mail_url)
    return words


def parse_mail_token_file(
    file: str | None, mail_url: str | None, command: tuple[str, ...]
) -> Path | None:
    if file is None:
        return None
    if command:
        raise Invalid("Set PROVIDER_MAIL_TOKEN_COMMAND or PROVIDER_MAIL_TOKEN_FILE, not both")
    _require_user_without_password("PROVIDER_MAIL_TOKEN_FILE", mail_url)
    return Path(file).absolute()


def _require_user_without_password(name: str, mail_url: str | None) -> None:
    parts = urlsplit(mail_url or "")
    if not parts.username or parts.password:
        raise Invalid(
            f"{name} needs PROVIDER_MAIL_URL with a user and without a password, such as "
            "smtp+tls://tests%40example.com@smtp.example.com:587"
        )


def parse_mail_from(sender: str | None, base_url: str) -> str:
    host = urlsplit(base_url).hostname or ""
    # An IPv6 address cannot be a mail domain.
    sender = sender or f"provider@{'localhost' if ':' in host else host}"
    if not re.fullmatch(r"[^@\s<>\",;]+@[^@\s<>\",;]+", parseaddr(sender)[1]):
        raise Invalid("PROVIDER_MAIL_FROM should be an e-mail address like tests@example.com")
    return sender


def parse_operator_name(name: str | None) -> str:
    name = (name or "").strip()
    if len(name) > MAX_OPERATOR_NAME_LENGTH or not name.isprintable():
        raise Invalid("PROVIDER_OPERATOR_NAME should be one line of at most 100 characters")
    return name


def parse_operator_contact(variable: str, contact: str | None) -> str:
    contact = (contact or "").strip()
    if contact and not re.fullmatch(
        r"[^@\s<>\",;:]+@[^@\s<>\",;/]+\.[^@\s<>\",;/]+|https://[^\s<>\"\\@]+", contact
    ):
        raise Invalid(
            f"{variable} should be an e-mail address, or an address like https://example.com/help"
        )
    return contact


def parse_dkim_selector(selector: str | None) -> str | None:
    if selector and not re.fullmatch(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", selector):
        raise Invalid("PROVIDER_DKIM_SELECTOR should be a name of a DNS record like mail2026")
    return selector


def parse_speech_engine(name: str | None) -> str:
    if name and not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", name):
        raise Invalid("PROVIDER_SPEECH_ENGINE should be the name of an engine, such as moonshine")
    return name or ""


def parse_seal_file(text: str | None) -> Path | None:
    if text and Path(text).suffix.lower() not in (".p12", ".pfx"):
        raise Invalid("PROVIDER_SEAL_FILE should be the path of a PKCS#12 file, such as seal.p12")
    return Path(text).absolute() if text else None


def parse_seal_password(password: str | None) -> str:
    if password and len(password) > MAX_SEAL_PASSWORD_LENGTH:
        raise Invalid(
            f"PROVIDER_SEAL_PASSWORD should have at most {MAX_SEAL_PASSWORD_LENGTH} characters"
        )
    return password or ""


def parse_media_url(url: str | None, instance: Path) -> str:
    url = url or f"file:{instance / 'media'}"
    if url.startswith("s3:") and not is_bucket_url(url):
        raise Invalid(
            "PROVIDER_MEDIA_URL should look like s3://bucket/prefix, with ?region=… and "
            "&endpoint=https://… where needed; keys go into AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY"
        )
    if not re.fullmatch(r"file:.+|s3:.+", url):
        raise Invalid("PROVIDER_MEDIA_URL should look like file:FOLDER or s3://bucket/prefix")
    return url


def parse_signed_downloads(mode: str | None, media_url: str) -> bool:
    if mode not in (None, "proxied", "signed"):
        raise Invalid("PROVIDER_MEDIA_DOWNLOADS should be “proxied” or “signed”")
    if mode == "signed" and not media_url.startswith("s3:"):
        raise Invalid("PROVIDER_MEDIA_DOWNLOADS=signed needs PROVIDER_MEDIA_URL=s3://…")
    return mode == "signed"


def parse_retry_schedule(text: str) -> tuple[timedelta, ...]:
    try:
        return tuple(parse_duration(part) for part in text.split(","))
    except Invalid as error:
        raise Invalid(f"PROVIDER_RETRY_SCHEDULE: {error}, separated by commas") from None


def parse_request_timeout(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except Invalid as error:
        raise Invalid(f"PROVIDER_REQUEST_TIMEOUT: {error}") from None


def parse_min_free_space(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,7})\s?(MB|GB)", text)
    if not match:
        raise Invalid("PROVIDER_MIN_FREE_SPACE should look like 500MB or 2GB")
    return int(match[1]) * SIZE_UNIT_BYTES[match[2]]


def parse_clamd(address: str | None) -> str | None:
    if address is None or address.startswith("/"):
        return address
    if not re.fullmatch(r"(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}", address, re.ASCII):
        raise Invalid("PROVIDER_CLAMD should look like host:3310 or /run/clamav/clamd.ctl")
    return address


def parse_limits_url(url: str | None) -> str | None:
    if url is None:
        return None
    if not split_url(url) or not re.fullmatch(r"(redis|valkey)s?://[^?#\s]+", url):
        raise Invalid(
            "PROVIDER_LIMITS_URL should look like redis://:password@cache.example.com:6379/0, or "
            "begin with rediss://, valkey:// or valkeys://"
        )
    if not re.fullmatch(r"/?|/[0-9]{1,4}", urlsplit(url).path):
        raise Invalid("PROVIDER_LIMITS_URL should end with a host, or with / and a number")
    if not find_spec("redis"):
        raise Invalid(
            "PROVIDER_LIMITS_URL needs more packages: run `pip install 'provider[scale]'`"
        )
    return url


def parse_metrics_token(token: str | None) -> str | None:
    if token and not re.fullmatch(rf"[!-~]{{{MIN_METRICS_TOKEN_LENGTH},}}", token):
        raise Invalid(
            f"PROVIDER_METRICS_TOKEN should be at least {MIN_METRICS_TOKEN_LENGTH} ASCII letters, "
            "digits and signs, without spaces"
        )
    return token


def parse_private_callbacks(text: str | None) -> bool:
    if text not in (None, "allow"):
        raise Invalid("PROVIDER_PRIVATE_CALLBACKS should be “allow” or unset")
    return text == "allow"


def parse_recording_size(text: str | None) -> bool:
    """Return True if heavy recordings become smaller; None for the default is False."""
    if text not in (None, "original", "480p"):
        raise Invalid("PROVIDER_RECORDING_SIZE should be “original” or “480p”")
    return text == "480p"


def mask_passwords(url: str | None) -> str:
    """Mask the password before the host, and secrets in the query."""
    url = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url or "")
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|key|token)[^=&]*)=[^&]*", r"\1=***", url)


def parse_openid_issuer(url: str | None, private_callbacks: bool) -> str | None:
    if url is None:
        return None
    parts = split_url(url)
    schemes = ("http", "https") if private_callbacks else ("https",)
    if (
        not parts
        or parts.scheme not in schemes
        or parts.query
        or parts.fragment
        or not re.fullmatch(PLAIN_URL_PATTERN, url)
    ):
        raise Invalid(
            "PROVIDER_OPENID_ISSUER should look like https://login.example.com/realm, exactly as "
            "the issuer writes it"
        )
    return url


def parse_openid_client_id(client_id: str | None, issuer: str | None) -> str | None:
    return _require_with_issuer("PROVIDER_OPENID_CLIENT_ID", client_id, issuer)


def parse_openid_client_secret(secret: str | None, issuer: str | None) -> str | None:
    return _require_with_issuer("PROVIDER_OPENID_CLIENT_SECRET", secret, issuer)


def _require_with_issuer(name: str, value: str | None, issuer: str | None) -> str | None:
    if (value is None) != (issuer is None):
        raise Invalid(f"Set PROVIDER_OPENID_ISSUER and {name} together, or neither")
    return value


def parse_openid_label(label: str) -> str:
    if len(label) > MAX_LABEL_LENGTH:
        raise Invalid(f"PROVIDER_OPENID_LABEL should have at most {MAX_LABEL_LENGTH} characters")
    return label
