"""Every setting, read once from `PROVIDER_…` environment variables; none is needed to start.

`SETTINGS` is the registry. A test checks that docs/deployment.md and `provider config` list
exactly these settings.
"""

import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from provider.errors import Invalid
from provider.storage.fsync import fsync_path, make_folder
from provider.storage.s3_url import PLAIN_URL_PATTERN, is_bucket_url, split_url

DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MAX_DURATION = timedelta(days=3650)
DEFAULT_RETRY_SCHEDULE = "5s,5m,30m,2h,5h,10h,14h,20h,24h"

SETTINGS = {
    "PROVIDER_DATABASE_URL": "the database; default: SQLite in the instance folder",
    "PROVIDER_SECRET_KEY": "keys for encryption, comma-separated, the first encrypts; "
    "default on SQLite: a key that is created in the instance folder",
    "PROVIDER_BASE_URL": "the public address of this server; default http://127.0.0.1:8000",
    "PROVIDER_MAIL_URL": "smtp://user:password@host:port, smtp+tls:// for STARTTLS, smtps:// "
    "for TLS; default: e-mails are stored in the instance folder",
    "PROVIDER_MAIL_FROM": "the sender of e-mails; default: provider@ the host of the base URL",
    "PROVIDER_MEDIA_URL": "the place for recordings and files: file:FOLDER or s3://bucket/prefix; "
    "default: the instance folder",
    "PROVIDER_MEDIA_DOWNLOADS": "proxied (default): recordings come through this server; signed: "
    "browsers fetch them from S3, at addresses that expire",
    "PROVIDER_INSTANCE": "the folder for everything that the program stores; default instance/",
    "PROVIDER_RETRY_SCHEDULE": "waits between attempts, the last repeats; "
    f"default {DEFAULT_RETRY_SCHEDULE}",
    "PROVIDER_LIMITS_URL": "redis://host:port/number, rediss://, valkey:// or valkeys://, in which "
    "all processes count requests together; default: each process counts for itself",
    "PROVIDER_METRICS_TOKEN": "the bearer token for /metrics and for the details of /ready",
    "PROVIDER_PRIVATE_CALLBACKS": "allow: http, private addresses and any port for the hosts "
    "on an account's list (development only)",
}


@dataclass(frozen=True)
class Settings:
    """The parsed settings, with defaults for those that are unset."""

    instance: Path
    database_url: str = field(repr=False)  # may contain a password
    base_url: str = "http://127.0.0.1:8000"
    mail_url: str | None = field(default=None, repr=False)  # may contain a password
    mail_from: str = "provider@localhost"
    media_url: str = field(default="", repr=False)  # may contain a password
    signed_downloads: bool = False
    retry_schedule: tuple[timedelta, ...] = ()
    limits_url: str | None = field(default=None, repr=False)  # may contain a password
    metrics_token: str | None = field(default=None, repr=False)
    private_callbacks: bool = False
    secret_keys: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def is_https(self) -> bool:
        """Whether people reach this server over TLS; cookies are then bound to the host."""
        return self.base_url.startswith("https://")


def parse_duration(text: str) -> timedelta:
    """Parse `90s`, `5m`, `2h`, `7d` or `2w`, up to ten years; Invalid otherwise."""
    match = re.fullmatch(r"\s*([0-9]{1,7})\s*([smhdw])\s*", text)
    duration = timedelta(**{DURATION_UNITS[match[2]]: int(match[1])}) if match else timedelta(0)
    if not timedelta(0) < duration <= MAX_DURATION:
        raise Invalid(f"“{text}” is not a duration up to ten years: write 90s, 5m, 2h, 7d or 2w")
    return duration


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; Invalid names the variable that is wrong."""
    env = _Environment(os.environ if environ is None else environ)
    instance = Path(env.text("PROVIDER_INSTANCE") or "instance").absolute()
    database_url = _database_url(env.text("PROVIDER_DATABASE_URL"), instance)
    base_url = _base_url(env.text("PROVIDER_BASE_URL") or "http://127.0.0.1:8000")
    media_url = _media_url(env.text("PROVIDER_MEDIA_URL"), instance)
    return Settings(
        instance=instance,
        database_url=database_url,
        base_url=base_url,
        mail_url=_mail_url(env.text("PROVIDER_MAIL_URL")),
        mail_from=_mail_from(env.text("PROVIDER_MAIL_FROM"), base_url),
        media_url=media_url,
        signed_downloads=_signed_downloads(env.text("PROVIDER_MEDIA_DOWNLOADS"), media_url),
        retry_schedule=_retry_schedule(
            env.text("PROVIDER_RETRY_SCHEDULE") or DEFAULT_RETRY_SCHEDULE
        ),
        limits_url=_limits_url(env.text("PROVIDER_LIMITS_URL")),
        metrics_token=_metrics_token(env.text("PROVIDER_METRICS_TOKEN")),
        private_callbacks=env.is_set_to("PROVIDER_PRIVATE_CALLBACKS", "allow"),
        secret_keys=_secret_keys(env.text("PROVIDER_SECRET_KEY"), database_url, instance),
    )


def describe_settings(environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return (name, value, source) of every setting, secrets masked."""
    environ = os.environ if environ is None else environ
    settings = load_settings(environ)
    given = {name: environ.get(name, "").strip() for name in SETTINGS}
    values = {
        "PROVIDER_DATABASE_URL": _without_password(settings.database_url),
        "PROVIDER_SECRET_KEY": f"{len(settings.secret_keys)} key(s), hidden",
        "PROVIDER_BASE_URL": settings.base_url,
        "PROVIDER_MAIL_URL": _without_password(settings.mail_url or ""),
        "PROVIDER_MAIL_FROM": settings.mail_from,
        "PROVIDER_MEDIA_URL": _without_password(settings.media_url),
        "PROVIDER_MEDIA_DOWNLOADS": "signed" if settings.signed_downloads else "proxied",
        "PROVIDER_INSTANCE": str(settings.instance),
        "PROVIDER_RETRY_SCHEDULE": given["PROVIDER_RETRY_SCHEDULE"] or DEFAULT_RETRY_SCHEDULE,
        "PROVIDER_LIMITS_URL": _without_password(settings.limits_url or ""),
        "PROVIDER_METRICS_TOKEN": "hidden" if settings.metrics_token else "",
        "PROVIDER_PRIVATE_CALLBACKS": "allow" if settings.private_callbacks else "",
    }
    return [(name, values[name], "environment" if given[name] else "default") for name in SETTINGS]


class _Environment:
    """The environment variables; an error names the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        unknown = sorted(
            name for name in environ if name.startswith("PROVIDER_") and name not in SETTINGS
        )
        if unknown:
            raise Invalid(f"Unknown setting {unknown[0]}: see docs/deployment.md for the list")
        self._environ = environ

    def text(self, name: str) -> str | None:
        value = self._environ.get(name, "").strip()
        if not value.isprintable():  # a NUL, a line break, bytes that are not UTF-8
            raise Invalid(f"{name} should be one line of plain text")
        return value or None

    def is_set_to(self, name: str, expected: str) -> bool:
        value = self.text(name)
        if value not in (None, expected):
            raise Invalid(f"{name} should be “{expected}” or unset")
        return value == expected


def _database_url(url: str | None, instance: Path) -> str:
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


def _base_url(url: str) -> str:
    parts = split_url(url)
    if (
        not parts
        or parts.scheme not in ("http", "https")
        or not re.fullmatch(PLAIN_URL_PATTERN, url)
    ):
        raise Invalid("PROVIDER_BASE_URL should look like https://tests.example.com")
    return url.rstrip("/")


def _mail_url(url: str | None) -> str | None:
    parts = split_url(url or "smtp://unset")
    if not parts or parts.scheme not in ("smtp", "smtps", "smtp+tls"):
        raise Invalid(
            "PROVIDER_MAIL_URL should look like smtp://user:password@mail.example.com:587, "
            "with special characters of the password percent-encoded"
        )
    return url


def _mail_from(sender: str | None, base_url: str) -> str:
    host = urlsplit(base_url).hostname or ""
    # An IPv6 address cannot be a mail domain.
    sender = sender or f"provider@{'localhost' if ':' in host else host}"
    if not re.fullmatch(r"[^@\s<>\",;]+@[^@\s<>\",;]+", parseaddr(sender)[1]):
        raise Invalid("PROVIDER_MAIL_FROM should be an e-mail address like tests@example.com")
    return sender


def _media_url(url: str | None, instance: Path) -> str:
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


def _signed_downloads(mode: str | None, media_url: str) -> bool:
    if mode not in (None, "proxied", "signed"):
        raise Invalid("PROVIDER_MEDIA_DOWNLOADS should be “proxied” or “signed”")
    if mode == "signed" and not media_url.startswith("s3:"):
        raise Invalid("PROVIDER_MEDIA_DOWNLOADS=signed needs PROVIDER_MEDIA_URL=s3://…")
    return mode == "signed"


def _retry_schedule(text: str) -> tuple[timedelta, ...]:
    try:
        return tuple(parse_duration(part) for part in text.split(","))
    except Invalid as error:
        raise Invalid(f"PROVIDER_RETRY_SCHEDULE: {error}, separated by commas") from None


def _limits_url(url: str | None) -> str | None:
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


def _metrics_token(token: str | None) -> str | None:
    if token and not re.fullmatch(r"[!-~]+", token):
        raise Invalid(
            "PROVIDER_METRICS_TOKEN should be ASCII letters, digits and signs, without spaces"
        )
    return token


def _secret_keys(text: str | None, database_url: str, instance: Path) -> tuple[bytes, ...]:
    if text:
        return tuple(_decode_key(part, "PROVIDER_SECRET_KEY") for part in text.split(","))
    if not database_url.startswith("sqlite"):
        raise Invalid(
            "PROVIDER_SECRET_KEY is missing: set it to the output of "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` on every machine"
        )
    try:
        return (_instance_key(instance),)
    except OSError as error:
        raise Invalid(
            f"PROVIDER_INSTANCE: {instance} cannot be used ({error.strerror}): choose another one"
        ) from None


def _decode_key(text: str, error_prefix: str) -> bytes:
    text = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", text):
        raise Invalid(f"{error_prefix}: keys are 32 bytes in URL-safe base64, separated by commas")
    return urlsafe_b64decode(text[:43] + "=")


def _instance_key(instance: Path) -> bytes:
    """Read the key file of the instance folder; create it (mode 0600) at first use."""
    path = instance / "secret.key"
    make_folder(instance)
    if not path.exists():
        _create_key_file(path)
    error_prefix = f"PROVIDER_SECRET_KEY is unset and {path} is damaged, restore it"
    return _decode_key(path.read_text("ascii", "replace"), error_prefix)


def _create_key_file(path: Path) -> None:
    # Write a temporary file, then link it: processes that start at the same time agree on one key.
    # The key is on the disk before anything is encrypted with it.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    temporary.touch(mode=0o600, exist_ok=False)
    with temporary.open("wb") as file:
        file.write(urlsafe_b64encode(secrets.token_bytes(32)))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
    fsync_path(path.parent)


def _without_password(url: str) -> str:
    """Mask the password before the host, and secrets in the query."""
    url = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|secret|key|token)[^=&]*)=[^&]*", r"\1=***", url)
