"""Every setting, read once from `PROVIDER_…` environment variables.

None is needed to start. `SETTINGS` is the registry: the README and `provider config` are
held to it by a test.
"""

import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from provider.errors import Invalid

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SCHEDULE = "5s,5m,30m,2h,5h,10h,14h,20h,24h"

SETTINGS = {
    "PROVIDER_DATABASE_URL": "where the data is; default: SQLite in the instance folder",
    "PROVIDER_SECRET_KEY": "keys for encryption, comma-separated, the first encrypts; "
    "default on SQLite: made in the instance folder",
    "PROVIDER_BASE_URL": "the public address of this server; default http://127.0.0.1:8000",
    "PROVIDER_MAIL_URL": "smtp://user:password@host:port, smtp+tls:// for STARTTLS, smtps:// "
    "for TLS; default: letters are kept in the instance folder",
    "PROVIDER_MAIL_FROM": "the sender of letters; default: provider@ the host of the base URL",
    "PROVIDER_MEDIA_URL": "where recordings and files go: file:FOLDER or s3://bucket/prefix; "
    "default: the instance folder",
    "PROVIDER_INSTANCE": "the folder for all that is made; default instance/",
    "PROVIDER_RETRY_SCHEDULE": f"waits between tries, the last repeats; default {SCHEDULE}",
    "PROVIDER_METRICS_TOKEN": "opens the details of /ready and /metrics",
    "PROVIDER_PRIVATE_CALLBACKS": "allow: http, private addresses and any port for the hosts "
    "on an account's list (development only)",
}
SECRET = {"PROVIDER_SECRET_KEY", "PROVIDER_METRICS_TOKEN"}


@dataclass(frozen=True)
class Settings:
    """What the server was told, with defaults filled in."""

    instance: Path
    database_url: str
    base_url: str = "http://127.0.0.1:8000"
    mail_url: str | None = None
    mail_from: str = "provider@localhost"
    media_url: str = ""
    retry_schedule: tuple[timedelta, ...] = ()
    metrics_token: str | None = field(default=None, repr=False)
    private_callbacks: bool = False
    secret_keys: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def https(self) -> bool:
        """Whether people reach this server over TLS, so that cookies may be bound to it."""
        return self.base_url.startswith("https://")


def duration(text: str) -> timedelta:
    """Read `90s`, `5m`, `2h`, `7d` or `2w`; anything else is Invalid."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*([smhdw])\s*", text)
    if not match or int(match[1]) == 0:
        raise Invalid(f"“{text}” is not a duration: write 90s, 5m, 2h, 7d or 2w")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; raises Invalid with one sentence that names the variable."""
    env = _Environment(os.environ if environ is None else environ)
    instance = Path(env.text("PROVIDER_INSTANCE") or "instance").absolute()
    database_url = _database_url(env.text("PROVIDER_DATABASE_URL"), instance)
    base_url = _base_url(env.text("PROVIDER_BASE_URL") or "http://127.0.0.1:8000")
    host = urlsplit(base_url).hostname or "localhost"
    return Settings(
        instance=instance,
        database_url=database_url,
        base_url=base_url,
        mail_url=_mail_url(env.text("PROVIDER_MAIL_URL")),
        mail_from=env.text("PROVIDER_MAIL_FROM") or f"provider@{host}",
        media_url=env.text("PROVIDER_MEDIA_URL") or f"file:{instance / 'media'}",
        retry_schedule=tuple(
            duration(part) for part in (env.text("PROVIDER_RETRY_SCHEDULE") or SCHEDULE).split(",")
        ),
        metrics_token=env.text("PROVIDER_METRICS_TOKEN"),
        private_callbacks=env.one_of("PROVIDER_PRIVATE_CALLBACKS", "allow"),
        secret_keys=_keys(env.text("PROVIDER_SECRET_KEY"), database_url, instance),
    )


def explain(environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return (name, value, source) of every setting, secrets masked."""
    environ = os.environ if environ is None else environ
    settings = read(environ)
    shown = {
        "PROVIDER_DATABASE_URL": _without_password(settings.database_url),
        "PROVIDER_SECRET_KEY": f"{len(settings.secret_keys)} key(s), hidden",
        "PROVIDER_BASE_URL": settings.base_url,
        "PROVIDER_MAIL_URL": _without_password(settings.mail_url or ""),
        "PROVIDER_MAIL_FROM": settings.mail_from,
        "PROVIDER_MEDIA_URL": _without_password(settings.media_url),
        "PROVIDER_INSTANCE": str(settings.instance),
        "PROVIDER_RETRY_SCHEDULE": environ.get("PROVIDER_RETRY_SCHEDULE") or SCHEDULE,
        "PROVIDER_METRICS_TOKEN": "hidden" if settings.metrics_token else "",
        "PROVIDER_PRIVATE_CALLBACKS": "allow" if settings.private_callbacks else "",
    }
    return [
        (name, shown[name], "environment" if environ.get(name) else "default") for name in SETTINGS
    ]


class _Environment:
    """The process's variables, with errors that name the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        unknown = sorted(k for k in environ if k.startswith("PROVIDER_") and k not in SETTINGS)
        if unknown:
            raise Invalid(f"Unknown setting {unknown[0]}: see the README for the list")
        self._environ = environ

    def text(self, name: str) -> str | None:
        value = self._environ.get(name, "").strip()
        if "\x00" in value:
            raise Invalid(f"{name} should not contain NUL")
        return value or None

    def one_of(self, name: str, word: str) -> bool:
        value = self.text(name)
        if value not in (None, word):
            raise Invalid(f"{name} should be “{word}” or unset")
        return value == word


def _database_url(url: str | None, instance: Path) -> str:
    if url is None:
        return f"sqlite:///{instance / 'provider.db'}"
    if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise Invalid("PROVIDER_DATABASE_URL should begin with sqlite:/// or postgresql+psycopg://")
    return url


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise Invalid("PROVIDER_BASE_URL should look like https://tests.example.com")
    return url.rstrip("/")


def _mail_url(url: str | None) -> str | None:
    if url and (
        urlsplit(url).scheme not in ("smtp", "smtps", "smtp+tls") or not urlsplit(url).hostname
    ):
        raise Invalid(
            "PROVIDER_MAIL_URL should look like smtp://user:password@mail.example.com:587"
        )
    return url


def _keys(text: str | None, database_url: str, instance: Path) -> tuple[bytes, ...]:
    if text is None:
        if not database_url.startswith("sqlite"):
            raise Invalid(
                "PROVIDER_SECRET_KEY is missing: set it to the output of "
                "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` on every machine"
            )
        text = _own_key(instance)
    keys = tuple(_key(part) for part in text.split(",") if part.strip())
    if not keys:
        raise Invalid("PROVIDER_SECRET_KEY holds no key")
    return keys


def _key(text: str) -> bytes:
    text = text.strip()
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Invalid("PROVIDER_SECRET_KEY: each key is 32 bytes in URL-safe base64")
    return key


def _own_key(instance: Path) -> str:
    """Read the key in the instance folder; make it, readable by its owner alone, at first use."""
    path = instance / "secret.key"
    instance.mkdir(parents=True, exist_ok=True)
    text = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    draft = path.with_name(f"secret.key.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        # Written aside and linked into place: two processes that start together agree on one key.
        draft.touch(mode=0o600)
        draft.write_text(text)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def _without_password(url: str) -> str:
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)
