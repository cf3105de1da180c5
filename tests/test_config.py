"""Settings: defaults, valid values, errors for wrong values, and the secret key."""

import subprocess
import sys
from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from provider import config
from provider.errors import Invalid

POSTGRES = "postgresql+psycopg://provider:hunter2@db.example.com/provider"
KEY = urlsafe_b64encode(b"k" * 32).decode()
OLD_KEY = urlsafe_b64encode(b"o" * 32).decode().rstrip("=")


def load(folder: Path, **values: str) -> config.Settings:
    env = {f"PROVIDER_{name}": value for name, value in values.items()}
    return config.load_settings({"PROVIDER_INSTANCE": str(folder), "PATH": "/usr/bin"} | env)


def test_load_settings_without_variables_has_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = config.load_settings({})
    assert settings.instance == tmp_path / "instance"
    assert settings.database_url == f"sqlite:///{tmp_path}/instance/provider.db"
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.mail_url is None
    assert settings.mail_from == "provider@127.0.0.1"
    assert settings.media_url == f"file:{tmp_path}/instance/media"
    assert settings.retry_schedule[0] == timedelta(seconds=5)
    assert settings.retry_schedule[-1] == timedelta(hours=24)
    assert settings.metrics_token is None
    assert settings.private_callbacks is False
    assert len(settings.secret_keys) == 1
    assert len(settings.secret_keys[0]) == 32


def test_load_settings_without_mapping_reads_process_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path))
    monkeypatch.setenv("PROVIDER_BASE_URL", "https://tests.example.com")
    assert config.load_settings().base_url == "https://tests.example.com"
    assert (
        "PROVIDER_BASE_URL",
        "https://tests.example.com",
        "environment",
    ) in config.describe_settings()


VALUES: list[tuple[str, str, str, Any]] = [
    ("DATABASE_URL", "sqlite:////srv/data/p.db", "database_url", "sqlite:////srv/data/p.db"),
    ("DATABASE_URL", "sqlite:///data.db", "database_url", "sqlite:///data.db"),
    ("BASE_URL", "https://tests.example.com/", "base_url", "https://tests.example.com"),
    ("BASE_URL", "http://[::1]:8000", "base_url", "http://[::1]:8000"),
    (
        "MAIL_URL",
        "smtp://u:p%40w@mail.example.com:587",
        "mail_url",
        "smtp://u:p%40w@mail.example.com:587",
    ),
    ("MAIL_URL", "smtps://mail.example.com", "mail_url", "smtps://mail.example.com"),
    ("MAIL_URL", "smtp+tls://mail.example.com", "mail_url", "smtp+tls://mail.example.com"),
    (
        "DATABASE_DIRECT_URL",
        "postgresql+psycopg://u:p@host/x",
        "database_direct_url",
        "postgresql+psycopg://u:p@host/x",
    ),
    (
        "MAIL_TOKEN_COMMAND",
        "get-token 'a b' $HOME;x",  # words, and no syntax of a shell
        "mail_token_command",
        ("get-token", "a b", "$HOME;x"),
    ),
    ("MAIL_TOKEN_FILE", "/run/token", "mail_token_file", Path("/run/token")),
    ("MAIL_FROM", "tests@example.com", "mail_from", "tests@example.com"),
    ("MAIL_FROM", "Our tests <tests@example.com>", "mail_from", "Our tests <tests@example.com>"),
    ("OPERATOR_NAME", "Tests & Söhne", "operator_name", "Tests & Söhne"),
    ("OPERATOR_SUPPORT", "help@tests.example", "operator_support", "help@tests.example"),
    (
        "OPERATOR_PRIVACY",
        "https://tests.example/privacy",
        "operator_privacy",
        "https://tests.example/privacy",
    ),
    ("DKIM_SELECTOR", "mail2026", "dkim_selector", "mail2026"),
    ("MEDIA_URL", "s3://bucket/prefix", "media_url", "s3://bucket/prefix"),
    ("MEDIA_URL", "file:/srv/media", "media_url", "file:/srv/media"),
    ("MEDIA_URL", "s3://films", "media_url", "s3://films"),
    (
        "MEDIA_URL",
        "s3://films/a/b/?region=eu-1&endpoint=http://[::1]:9000",
        "media_url",
        "s3://films/a/b/?region=eu-1&endpoint=http://[::1]:9000",
    ),
    ("MEDIA_DOWNLOADS", "proxied", "signed_downloads", False),
    ("SPEECH_ENGINE", "moonshine", "speech_engine", "moonshine"),
    ("SEAL_FILE", "/etc/seal.p12", "seal_file", Path("/etc/seal.p12")),
    ("SEAL_PASSWORD", "two words", "seal_password", "two words"),
    (
        "RETRY_SCHEDULE",
        "1s, 2m,3h ,4d,1w",
        "retry_schedule",
        (
            timedelta(seconds=1),
            timedelta(minutes=2),
            timedelta(hours=3),
            timedelta(days=4),
            timedelta(weeks=1),
        ),
    ),
    ("REQUEST_TIMEOUT", "90s", "request_timeout", timedelta(seconds=90)),
    ("RECORDING_SIZE", "480p", "shrinks_recordings", True),
    ("RECORDING_SIZE", "original", "shrinks_recordings", False),
    ("MIN_FREE_SPACE", "500MB", "min_free_bytes", 500_000_000),
    ("MIN_FREE_SPACE", "2 GB", "min_free_bytes", 2_000_000_000),
    ("CLAMD", "clamav.example.com:3310", "clamd", "clamav.example.com:3310"),
    ("CLAMD", "[::1]:3310", "clamd", "[::1]:3310"),
    ("CLAMD", "/run/clamav/clamd.ctl", "clamd", "/run/clamav/clamd.ctl"),
    ("LIMITS_URL", "redis://cache.example.com", "limits_url", "redis://cache.example.com"),
    (
        "LIMITS_URL",
        "rediss://u:p%40w@cache.example.com:6380/1",
        "limits_url",
        "rediss://u:p%40w@cache.example.com:6380/1",
    ),
    ("LIMITS_URL", "valkeys://:pw@[::1]:6380/", "limits_url", "valkeys://:pw@[::1]:6380/"),
    ("TRUSTED_PROXIES", "2", "trusted_proxies", 2),
    ("TRUSTED_PROXIES", "0", "trusted_proxies", 0),
    ("METRICS_TOKEN", " sixteen-letters- ", "metrics_token", "sixteen-letters-"),
    ("PRIVATE_CALLBACKS", "allow", "private_callbacks", True),
    (
        "OPENID_ISSUER",
        "https://login.example.com/realms/us/",
        "openid_issuer",
        "https://login.example.com/realms/us/",
    ),
    ("OPENID_CLIENT_ID", "console", "openid_client_id", "console"),
    ("OPENID_CLIENT_SECRET", "s3cret", "openid_client_secret", "s3cret"),
    ("OPENID_LABEL", "Sign in with Acme", "openid_label", "Sign in with Acme"),
    ("SECRET_KEY", f"{KEY}, {OLD_KEY}", "secret_keys", (b"k" * 32, b"o" * 32)),
]


# The needs of a setting: other settings that must be set too.
OPENID = {
    "OPENID_ISSUER": "https://login.example.com",
    "OPENID_CLIENT_ID": "console",
    "OPENID_CLIENT_SECRET": "s3cret",
}
NEEDED = {
    name: {"MAIL_URL": "smtp+tls://tests%40example.com@mail.example.com"}
    for name in ("MAIL_TOKEN_COMMAND", "MAIL_TOKEN_FILE")
} | {
    **dict.fromkeys(OPENID, OPENID),
    "DATABASE_DIRECT_URL": {"DATABASE_URL": "postgresql+psycopg://pooler/x", "SECRET_KEY": KEY},
}


@pytest.mark.parametrize(("name", "value", "field", "expected"), VALUES)
def test_load_settings_parses_valid_value(
    tmp_path: Path, name: str, value: str, field: str, expected: Any
) -> None:
    assert getattr(load(tmp_path, **NEEDED.get(name, {}) | {name: value}), field) == expected


BAD = [
    ("DATABASE_URL", "mysql://localhost/provider"),
    ("DATABASE_URL", "provider.db"),
    ("DATABASE_URL", "sqlite:///"),
    ("DATABASE_URL", "sqlite:///:memory:"),
    ("DATABASE_URL", "sqlite:///file:p.db?mode=memory&uri=true"),
    ("DATABASE_URL", "postgresql+psycopg://host:port/name"),
    ("BASE_URL", "tests.example.com"),
    ("BASE_URL", "ftp://tests.example.com"),
    ("BASE_URL", "https://"),
    ("BASE_URL", "https://[::1"),
    ("BASE_URL", "https://tests.example.com:port"),
    ("BASE_URL", "https://tests.example.com:99999"),
    ("BASE_URL", "https://tests.example.com:0"),
    ("BASE_URL", "https://tests.example.com/?a=b"),
    ("BASE_URL", "https://tests.example.com/#top"),
    ("BASE_URL", "https://user:password@tests.example.com"),
    ("BASE_URL", "https://example.com/tests"),
    ("BASE_URL", "https://example.com//tests/"),
    ("BASE_URL", "https://tests example.com"),
    ("BASE_URL", "https://tests.example.com\nX: y"),
    ("MAIL_URL", "mail.example.com"),
    ("MAIL_URL", "https://mail.example.com"),
    ("MAIL_URL", "smtp://"),
    ("MAIL_URL", "smtp://user:pass/word@mail.example.com"),
    ("MAIL_URL", "smtp://mail.example.com:smtp"),
    ("DATABASE_DIRECT_URL", "postgresql+psycopg://u:p@host/x"),  # SQLite has no pooler
    ("DATABASE_DIRECT_URL", "sqlite:////srv/provider.db"),
    ("MAIL_TOKEN_COMMAND", "get-token"),  # without a user in MAIL_URL
    ("MAIL_TOKEN_COMMAND", "get-token 'x"),
    ("MAIL_TOKEN_FILE", "/run/token"),
    ("MAIL_FROM", "Our tests"),
    ("MAIL_FROM", "tests@"),
    ("MAIL_FROM", "a@b@example.com"),
    ("OPERATOR_NAME", "x" * 101),
    ("OPERATOR_NAME", "two\nlines"),
    ("OPERATOR_SUPPORT", "javascript:alert(1)"),
    ("OPERATOR_PRIVACY", "privacy"),
    ("DKIM_SELECTOR", "two words"),
    ("MAIL_FROM", "tests@example.com\r\nBcc: all@example.com"),
    ("MEDIA_URL", "/srv/media"),
    ("MEDIA_URL", "file:"),
    ("MEDIA_URL", "s3://"),
    ("MEDIA_URL", "s3:///prefix"),
    ("MEDIA_URL", "s3:films"),
    ("MEDIA_URL", "s3://ab"),
    ("MEDIA_URL", "s3://Films"),
    ("MEDIA_URL", "s3://key:secret@films/prefix"),
    ("MEDIA_URL", "s3://films/a//b"),
    ("MEDIA_URL", "s3://films/a b"),
    ("MEDIA_URL", "s3://films#top"),
    ("MEDIA_URL", "s3://films?secret_access_key=hunter5"),
    ("MEDIA_URL", "s3://films?region="),
    ("MEDIA_URL", "s3://films?endpoint=s3.example.com"),
    ("MEDIA_URL", "s3://films?endpoint=https://s3.example.com:99999"),
    ("MEDIA_DOWNLOADS", "Signed"),
    ("SPEECH_ENGINE", "Two words"),
    ("SEAL_FILE", "seal.pem"),
    ("SEAL_PASSWORD", "x" * 201),
    ("MEDIA_DOWNLOADS", "signed"),  # files on disk have no presigned URLs
    ("RETRY_SCHEDULE", "soon"),
    ("RETRY_SCHEDULE", "5s,,5m"),
    ("RETRY_SCHEDULE", "0s"),
    ("RETRY_SCHEDULE", "5s,-1m"),
    ("RETRY_SCHEDULE", "9999999w"),
    ("RETRY_SCHEDULE", "99999999s"),
    ("RETRY_SCHEDULE", "٥s"),
    ("REQUEST_TIMEOUT", "90"),
    ("RECORDING_SIZE", "720p"),
    ("MIN_FREE_SPACE", "5 %"),
    ("MIN_FREE_SPACE", "1TB"),
    ("OPENID_ISSUER", "https://login.example.com"),  # without a client
    ("OPENID_ISSUER", "http://login.example.com"),
    ("OPENID_ISSUER", "login.example.com"),
    ("OPENID_ISSUER", "https://login.example.com?tenant=1"),
    ("OPENID_CLIENT_ID", "console"),  # without an issuer
    ("OPENID_CLIENT_SECRET", "s3cret"),
    ("OPENID_LABEL", "x" * 61),
    ("CLAMD", "clamav.example.com"),
    ("CLAMD", "tcp://clamav.example.com:3310"),
    ("CLAMD", "::1:3310"),
    ("LIMITS_URL", "cache.example.com:6379"),
    ("LIMITS_URL", "memcached://cache.example.com"),
    ("LIMITS_URL", "redis://"),
    ("LIMITS_URL", "redis://cache.example.com:many"),
    ("LIMITS_URL", "redis://cache.example.com/one"),
    ("LIMITS_URL", "redis://cache.example.com/0/1"),
    ("LIMITS_URL", "redis://cache.example.com?socket_timeout=60"),
    ("TRUSTED_PROXIES", "-1"),
    ("TRUSTED_PROXIES", "10"),
    ("TRUSTED_PROXIES", "one"),
    ("METRICS_TOKEN", "two words two words"),
    ("METRICS_TOKEN", "schlüssel-schlüssel"),
    ("METRICS_TOKEN", "fifteen-letters"),
    ("PRIVATE_CALLBACKS", "yes"),
    ("PRIVATE_CALLBACKS", "ALLOW"),
    ("SECRET_KEY", "secret"),
    ("SECRET_KEY", KEY[:40]),
    ("SECRET_KEY", KEY + KEY),
    ("SECRET_KEY", f"{KEY},"),
    ("SECRET_KEY", ","),
    ("SECRET_KEY", KEY.replace("a", "!", 1)),
    ("SECRET_KEY", "é" * 43),
    ("INSTANCE", "/dev/null"),
    ("INSTANCE", "/dev/null/below"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_load_settings_with_wrong_value_names_the_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(Invalid, match=f"PROVIDER_{name}") as error:
        load(tmp_path, **{name: value})
    assert "\n" not in str(error.value)


def test_every_setting_refuses_control_characters(tmp_path: Path) -> None:
    for name in config.SETTINGS:
        for value in ("a\x00b", "a\nb", "a\udc80b"):
            with pytest.raises(Invalid, match=f"{name} should be one line of plain text"):
                config.load_settings({"PROVIDER_INSTANCE": str(tmp_path)} | {name: value})


def test_cases_have_valid_and_wrong_value_of_every_setting() -> None:
    valid = {f"PROVIDER_{name}" for name, *_ in VALUES} | {"PROVIDER_INSTANCE"}
    assert valid == set(config.SETTINGS)
    assert {f"PROVIDER_{name}" for name, _ in BAD} == set(config.SETTINGS)


@pytest.mark.parametrize("name", sorted(config.SETTINGS))
def test_blank_value_means_default(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = config.load_settings({})
    assert config.load_settings({name: "  "}) == default
    assert (
        "environment" in {source for *_, source in config.describe_settings({name: "  "})}
    ) is False


def test_mail_token_with_password_or_twice_is_refused(tmp_path: Path) -> None:
    url = "smtp+tls://tests:hunter6@mail.example.com"
    with pytest.raises(Invalid, match="without a password") as error:
        load(tmp_path, MAIL_URL=url, MAIL_TOKEN_FILE="/run/token")
    assert "hunter6" not in str(error.value)
    with pytest.raises(Invalid, match="not both"):
        load(
            tmp_path,
            **NEEDED["MAIL_TOKEN_FILE"],
            MAIL_TOKEN_FILE="/run/token",
            MAIL_TOKEN_COMMAND="get-token",
        )


def test_unknown_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Unknown setting PROVIDER_BASEURL"):
        load(tmp_path, BASEURL="https://tests.example.com")


def test_variable_without_our_prefix_is_ignored(tmp_path: Path) -> None:
    assert config.load_settings({"PROVIDER_INSTANCE": str(tmp_path), "CLOUD_PROVIDER": "x"})


def test_signed_downloads_need_a_bucket(tmp_path: Path) -> None:
    assert load(tmp_path, MEDIA_URL="s3://films", MEDIA_DOWNLOADS="signed").signed_downloads
    assert not load(tmp_path, MEDIA_URL="s3://films").signed_downloads


def test_default_sender_is_at_base_url_host_or_localhost(tmp_path: Path) -> None:
    assert load(tmp_path, BASE_URL="https://a.example.com").mail_from == "provider@a.example.com"
    assert load(tmp_path, BASE_URL="http://[::1]:8000").mail_from == "provider@localhost"


def test_is_https_follows_base_url(tmp_path: Path) -> None:
    assert load(tmp_path, BASE_URL="https://a.example.com").is_https
    assert not load(tmp_path).is_https


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        (" 5m ", timedelta(minutes=5)),
        ("2 h", timedelta(hours=2)),
        ("3650d", timedelta(days=3650)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_parse_duration_takes_number_and_unit(text: str, length: timedelta) -> None:
    assert config.parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-5m", "0d", "1.5h", "3651d", "5m\n;"])
def test_parse_duration_error_shows_examples(text: str) -> None:
    with pytest.raises(Invalid, match="write 90s, 5m, 2h, 7d or 2w"):
        config.parse_duration(text)


# Secrets


SECRETS = {
    "PROVIDER_DATABASE_URL": "postgresql+psycopg://provider:hunter2@b@db/p?sslpassword=hunter4",
    "PROVIDER_SECRET_KEY": f"{KEY},{OLD_KEY}",
    "PROVIDER_MAIL_URL": "smtp://robot:hunter3@mail.example.com",
    "PROVIDER_MEDIA_URL": "s3://bucket/prefix?region=eu",
    "PROVIDER_MEDIA_DOWNLOADS": "signed",
    "PROVIDER_LIMITS_URL": "redis://robot:hunter5@cache.example.com/1",
    "PROVIDER_METRICS_TOKEN": "hunter6-hunter6-hunter6",
}


def test_describe_settings_has_value_and_source(tmp_path: Path) -> None:
    env = {"PROVIDER_INSTANCE": str(tmp_path), "PROVIDER_PRIVATE_CALLBACKS": "allow"} | SECRETS
    described = {name: (value, source) for name, value, source in config.describe_settings(env)}
    assert list(described) == list(config.SETTINGS)
    assert described["PROVIDER_INSTANCE"] == (str(tmp_path), "environment")
    assert described["PROVIDER_PRIVATE_CALLBACKS"] == ("allow", "environment")
    assert described["PROVIDER_RETRY_SCHEDULE"] == (
        config.SETTINGS["PROVIDER_RETRY_SCHEDULE"].default,
        "default",
    )
    assert described["PROVIDER_SECRET_KEY"] == ("2 key(s), hidden", "environment")
    assert described["PROVIDER_METRICS_TOKEN"] == ("hidden", "environment")
    assert described["PROVIDER_DATABASE_URL"][0] == (
        "postgresql+psycopg://provider:***@db/p?sslpassword=***"
    )
    assert described["PROVIDER_MAIL_URL"][0] == "smtp://robot:***@mail.example.com"
    assert described["PROVIDER_LIMITS_URL"][0] == "redis://robot:***@cache.example.com/1"
    assert described["PROVIDER_MEDIA_URL"][0] == "s3://bucket/prefix?region=eu"
    assert described["PROVIDER_MEDIA_DOWNLOADS"] == ("signed", "environment")


def test_secrets_are_hidden_in_description_and_repr(tmp_path: Path) -> None:
    env = {"PROVIDER_INSTANCE": str(tmp_path)} | SECRETS
    for text in (repr(config.describe_settings(env)), repr(config.load_settings(env))):
        for secret in ("hunter", KEY, OLD_KEY, "kkkk", "oooo", "b@db"):
            assert secret not in text


def test_describe_settings_shows_unset_value_as_empty(tmp_path: Path) -> None:
    described = {
        name: value
        for name, value, _ in config.describe_settings({"PROVIDER_INSTANCE": str(tmp_path)})
    }
    assert described["PROVIDER_MAIL_URL"] == described["PROVIDER_METRICS_TOKEN"] == ""
    assert described["PROVIDER_PRIVATE_CALLBACKS"] == ""


# The key of the instance folder


def test_instance_key_is_created_once_with_mode_0600(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "instance"
    first = load(folder)
    assert load(folder).secret_keys == first.secret_keys
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["secret.key"]


def test_instances_have_different_keys(tmp_path: Path) -> None:
    assert load(tmp_path / "a").secret_keys != load(tmp_path / "b").secret_keys


def test_secret_key_setting_creates_no_file(tmp_path: Path) -> None:
    load(tmp_path / "instance", SECRET_KEY=KEY)
    assert not (tmp_path / "instance").exists()


def test_wrong_setting_creates_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="PROVIDER_PRIVATE_CALLBACKS"):
        load(tmp_path / "instance", PRIVATE_CALLBACKS="yes")
    assert not (tmp_path / "instance").exists()


@pytest.mark.parametrize("text", ["", "half", "\x00" * 44, "ÿ" * 44])
def test_damaged_key_file_is_refused_and_unchanged(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret.key").write_text(text)
    with pytest.raises(Invalid, match=r"PROVIDER_SECRET_KEY is unset and .*secret\.key is damaged"):
        load(tmp_path)
    assert (tmp_path / "secret.key").read_text() == text


def test_concurrent_threads_create_one_key(tmp_path: Path) -> None:
    barrier = Barrier(16)

    def start(_: int) -> tuple[bytes, ...]:
        barrier.wait(10)
        return load(tmp_path / "instance").secret_keys

    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(start, range(16)))
    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "instance").iterdir()] == ["secret.key"]


LOAD_IN_EIGHT_PROCESSES = """
import os, sys
from provider.config import load_settings

wait, go = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.close(go)
        os.read(wait, 1)  # until the parent closes the pipe
        keys = load_settings({"PROVIDER_INSTANCE": sys.argv[1]}).secret_keys
        os.write(1, keys[0].hex().encode() + b"\\n")  # one write, or lines mix
        os._exit(0)
os.close(go)
for _ in range(8):
    assert os.wait()[1] == 0
"""


def test_concurrent_processes_create_one_key(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    process = subprocess.run(
        [sys.executable, "-c", LOAD_IN_EIGHT_PROCESSES, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.stderr == ""
    assert process.stdout.split() == [load(folder).secret_keys[0].hex()] * 8
    assert [path.name for path in folder.iterdir()] == ["secret.key"]


def test_postgresql_without_secret_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="PROVIDER_SECRET_KEY is missing"):
        load(tmp_path / "instance", DATABASE_URL=POSTGRES)
    assert not (tmp_path / "instance").exists()
    assert load(tmp_path, DATABASE_URL=POSTGRES, SECRET_KEY=KEY).secret_keys == (b"k" * 32,)
