"""Every setting, read once from `PROVIDER_…` environment variables; none is needed to start.

A setting is declared once, as a field of `Settings`. A test checks that docs/deployment.md lists
exactly these settings.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from provider.config import parsers
from provider.config.parsers import mask_passwords, parse_duration
from provider.config.secret_key import parse_secret_keys
from provider.errors import Invalid

__all__ = [
    "SETTINGS",
    "Operator",
    "Setting",
    "Settings",
    "describe_settings",
    "load_settings",
    "mask_passwords",
    "parse_duration",
]


@dataclass(frozen=True)
class Setting:
    """The declaration of a setting: its variable, its meaning, how it is parsed and shown."""

    name: str
    about: str
    # The variable's text (None if unset and without default), then the fields of `depends_on`.
    parse: Callable[..., Any]
    depends_on: tuple[str, ...]
    default: str | None
    # How `provider config` prints the value; None prints the text of the variable.
    show: Callable[[Any], str] | None


@dataclass(frozen=True)
class Operator:
    """The company that runs this server, and where it answers candidates; any may be empty."""

    name: str
    support: str
    privacy: str


def _setting(
    name: str,
    about: str,
    parse: Callable[..., Any],
    *,
    depends_on: tuple[str, ...] = (),
    default: str | None = None,
    show: Callable[[Any], str] | None = str,
    secret: bool = False,
) -> Any:
    """Declare a field of Settings; `secret` hides its value in the repr."""
    about = f"{about}; default {default}" if default else about
    declaration = Setting(name, about, parse, depends_on, default, show)
    return field(repr=not secret, metadata={"setting": declaration})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parsed settings, in the order in which `provider config` prints them."""

    database_url: str = _setting(
        "PROVIDER_DATABASE_URL",
        "the database; default: SQLite in the instance folder",
        parsers.parse_database_url,
        depends_on=("instance",),
        secret=True,  # may contain a password
        show=mask_passwords,
    )
    database_direct_url: str | None = _setting(
        "PROVIDER_DATABASE_DIRECT_URL",
        "the database without a connection pooler, for workers, `provider init` and the other "
        "commands; default: PROVIDER_DATABASE_URL",
        parsers.parse_database_direct_url,
        depends_on=("database_url",),
        secret=True,  # may contain a password
        show=mask_passwords,
    )
    secret_keys: tuple[bytes, ...] = _setting(
        "PROVIDER_SECRET_KEY",
        "keys for encryption, comma-separated, the first encrypts; "
        "default on SQLite: a key that is created in the instance folder",
        parse_secret_keys,
        depends_on=("database_url", "instance"),
        secret=True,
        show=lambda keys: f"{len(keys)} key(s), hidden",
    )
    base_url: str = _setting(
        "PROVIDER_BASE_URL",
        "the public address of this server",
        parsers.parse_base_url,
        default="http://127.0.0.1:8000",
    )
    trusted_proxies: int = _setting(
        "PROVIDER_TRUSTED_PROXIES",
        "how many proxies in front append to X-Forwarded-For; default: 1 with https://, else 0",
        parsers.parse_trusted_proxies,
        depends_on=("base_url",),
    )
    mail_url: str | None = _setting(
        "PROVIDER_MAIL_URL",
        "smtp://user:password@host:port, smtp+tls:// for STARTTLS, smtps:// for TLS; "
        "default: e-mails are stored in the instance folder",
        parsers.parse_mail_url,
        secret=True,  # may contain a password
        show=mask_passwords,
    )
    mail_token_command: tuple[str, ...] = _setting(
        "PROVIDER_MAIL_TOKEN_COMMAND",
        "a command that prints an OAuth token, with which the user of PROVIDER_MAIL_URL signs in "
        "by XOAUTH2; default: no OAuth",
        parsers.parse_mail_token_command,
        depends_on=("mail_url",),
        secret=True,  # may contain a secret
        show=lambda command: f"{command[0]} …" if command else "",
    )
    mail_token_file: Path | None = _setting(  # noqa: RUF009  (a dataclass field)
        "PROVIDER_MAIL_TOKEN_FILE",
        "a file with such a token, which another program keeps fresh; default: no OAuth",
        parsers.parse_mail_token_file,
        depends_on=("mail_url", "mail_token_command"),
        show=lambda file: str(file or ""),
    )
    mail_from: str = _setting(
        "PROVIDER_MAIL_FROM",
        "the sender of e-mails; default: provider@ the host of the base URL",
        parsers.parse_mail_from,
        depends_on=("base_url",),
    )
    operator_name: str = _setting(
        "PROVIDER_OPERATOR_NAME",
        "the company that runs this server, as candidates read it on every page; default: none",
        parsers.parse_operator_name,
    )
    operator_support: str = _setting(
        "PROVIDER_OPERATOR_SUPPORT",
        "where candidates of an account without a support address get help: an e-mail address or "
        "an https address; default: none",
        partial(parsers.parse_operator_contact, "PROVIDER_OPERATOR_SUPPORT"),
    )
    operator_privacy: str = _setting(
        "PROVIDER_OPERATOR_PRIVACY",
        "where candidates of an account without a privacy address ask about their data: an e-mail "
        "address or an https address; default: none",
        partial(parsers.parse_operator_contact, "PROVIDER_OPERATOR_PRIVACY"),
    )
    dkim_selector: str | None = _setting(
        "PROVIDER_DKIM_SELECTOR",
        "the selector with which the mail server signs; `provider account check` looks for its "
        "record; default: it looks for none",
        parsers.parse_dkim_selector,
        show=lambda selector: selector or "",
    )
    media_url: str = _setting(
        "PROVIDER_MEDIA_URL",
        "the place for recordings and files: file:FOLDER or s3://bucket/prefix; "
        "default: the instance folder",
        parsers.parse_media_url,
        depends_on=("instance",),
        secret=True,  # may contain a password
        show=mask_passwords,
    )
    signed_downloads: bool = _setting(
        "PROVIDER_MEDIA_DOWNLOADS",
        "proxied (default): recordings come through this server; signed: "
        "browsers fetch them from S3, at addresses that expire",
        parsers.parse_signed_downloads,
        depends_on=("media_url",),
        show=lambda signed: "signed" if signed else "proxied",
    )
    speech_engine: str = _setting(
        "PROVIDER_SPEECH_ENGINE",
        "the engine that makes captions of recordings when staff ask for them: moonshine (English; "
        "needs the extra speech) or one of a package; default: none",
        parsers.parse_speech_engine,
    )
    seal_file: Path | None = _setting(  # noqa: RUF009  (a dataclass field)
        "PROVIDER_SEAL_FILE",
        "a PKCS#12 file with the key and the certificate that seal PDFs of consents (needs the "
        "extra seal); default: they are not sealed",
        parsers.parse_seal_file,
        show=lambda path: str(path or ""),
    )
    seal_password: str = _setting(
        "PROVIDER_SEAL_PASSWORD",
        "the password of PROVIDER_SEAL_FILE",
        parsers.parse_seal_password,
        secret=True,
        show=lambda password: "hidden" if password else "",
    )
    instance: Path = _setting(  # noqa: RUF009  (a dataclass field)
        "PROVIDER_INSTANCE",
        "the folder for everything that the program stores",
        lambda text: Path(text).absolute(),
        default="instance/",
    )
    retry_schedule: tuple[timedelta, ...] = _setting(
        "PROVIDER_RETRY_SCHEDULE",
        "waits between attempts, the last repeats",
        parsers.parse_retry_schedule,
        default="5s,5m,30m,2h,5h,10h,14h,20h,24h",
        show=None,
    )
    request_timeout: timedelta = _setting(  # noqa: RUF009  (a dataclass field)
        "PROVIDER_REQUEST_TIMEOUT",
        "the time in which a whole request must arrive; a later one is answered with 408",
        parsers.parse_request_timeout,
        default="2m",
        show=None,
    )
    min_free_bytes: int | None = _setting(
        "PROVIDER_MIN_FREE_SPACE",
        "free space of the disk, like 500MB or 2GB, below which no recording is accepted; "
        "default: 1 GB or 5 % of the disk, whichever is smaller",
        parsers.parse_min_free_space,
        show=lambda size: "" if size is None else str(size),
    )
    shrinks_recordings: bool = _setting(
        "PROVIDER_RECORDING_SIZE",
        "original, or 480p: the copy that people watch of a larger recording, or of one above "
        "2 Mbit/s, has 480 lines; the original stays as it came",
        parsers.parse_recording_size,
        show=lambda shrinks: "480p" if shrinks else "original",
    )
    clamd: str | None = _setting(
        "PROVIDER_CLAMD",
        "the daemon of ClamAV that scans the documents of candidates: host:port or the path of its "
        "socket; default: none",
        parsers.parse_clamd,
        show=lambda address: address or "",
    )
    limits_url: str | None = _setting(
        "PROVIDER_LIMITS_URL",
        "redis://host:port/number, rediss://, valkey:// or valkeys://, in which "
        "all processes count requests together; default: each process counts for itself",
        parsers.parse_limits_url,
        secret=True,  # may contain a password
        show=mask_passwords,
    )
    metrics_token: str | None = _setting(
        "PROVIDER_METRICS_TOKEN",
        "the bearer token for /metrics and for the details of /ready",
        parsers.parse_metrics_token,
        secret=True,
        show=lambda token: "hidden" if token else "",
    )
    private_callbacks: bool = _setting(
        "PROVIDER_PRIVATE_CALLBACKS",
        "allow: http, private addresses and any port for the hosts "
        "on an account's list (development only)",
        parsers.parse_private_callbacks,
        show=lambda allowed: "allow" if allowed else "",
    )

    openid_issuer: str | None = _setting(
        "PROVIDER_OPENID_ISSUER",
        "the OpenID Connect issuer with which the staff sign in; default: none",
        parsers.parse_openid_issuer,
        depends_on=("private_callbacks",),
        show=lambda issuer: issuer or "",
    )
    openid_client_id: str | None = _setting(
        "PROVIDER_OPENID_CLIENT_ID",
        "the client id that the issuer has given this server",
        parsers.parse_openid_client_id,
        depends_on=("openid_issuer",),
        show=lambda client_id: client_id or "",
    )
    openid_client_secret: str | None = _setting(
        "PROVIDER_OPENID_CLIENT_SECRET",
        "the secret of this client",
        parsers.parse_openid_client_secret,
        depends_on=("openid_issuer",),
        secret=True,
        show=lambda secret: "hidden" if secret else "",
    )
    openid_label: str = _setting(
        "PROVIDER_OPENID_LABEL",
        "the text of the button on the sign-in page",
        parsers.parse_openid_label,
        default="Sign in with your company’s account",
    )

    def with_direct_database(self) -> "Settings":
        """Return the settings of a process that must not reach its database through a pooler."""
        return replace(self, database_url=self.database_direct_url or self.database_url)

    @property
    def operator(self) -> Operator:
        return Operator(self.operator_name, self.operator_support, self.operator_privacy)

    @property
    def is_https(self) -> bool:
        """Whether people reach this server over TLS; cookies are then bound to the host."""
        return self.base_url.startswith("https://")


_DECLARATIONS: dict[str, Setting] = {
    field.name: field.metadata["setting"] for field in fields(Settings)
}
SETTINGS = {setting.name: setting for setting in _DECLARATIONS.values()}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; Invalid names the variable that is wrong."""
    environ = os.environ if environ is None else environ
    _refuse_unknown_settings(environ)
    values: dict[str, Any] = {}

    def parse(field_name: str) -> Any:
        if field_name not in values:
            setting = _DECLARATIONS[field_name]
            text = _read_text(environ, setting.name) or setting.default
            values[field_name] = setting.parse(text, *map(parse, setting.depends_on))
        return values[field_name]

    # Last, because the first start creates the key file: every other setting is right by then.
    for field_name in sorted(_DECLARATIONS, key="secret_keys".__eq__):
        parse(field_name)
    return Settings(**values)


def describe_settings(environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return (name, value, source) of every setting, secrets masked."""
    environ = os.environ if environ is None else environ
    settings = load_settings(environ)
    rows = []
    for field_name, setting in _DECLARATIONS.items():
        text = _read_text(environ, setting.name)
        value = getattr(settings, field_name)
        shown = setting.show(value) if setting.show else text or setting.default or ""
        rows.append((setting.name, shown, "environment" if text else "default"))
    return rows


def _refuse_unknown_settings(environ: Mapping[str, str]) -> None:
    unknown = sorted(
        name for name in environ if name.startswith("PROVIDER_") and name not in SETTINGS
    )
    if unknown:
        raise Invalid(f"Unknown setting {unknown[0]}: see docs/deployment.md for the list")


def _read_text(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name, "").strip()
    if not text.isprintable():  # a NUL, a line break, bytes that are not UTF-8
        raise Invalid(f"{name} should be one line of plain text")
    return text or None
