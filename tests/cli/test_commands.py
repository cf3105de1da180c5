"""The `provider` command."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from provider import outbox
from provider.ats import ADAPTERS
from provider.cli import deliveries, main
from provider.cli.common import printable_text
from provider.config import SETTINGS
from provider.core.accounts import Account, AccountToken
from provider.core.orders import Order
from provider.core.staff import Staff
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.s3_server import Bucket
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server
from tests.web.console_client import ConsoleClient

Run = Callable[..., Result]
TEST = """\
kind: assessment
key: small
name: Small
sections:
  - key: one
    title: One
    items:
      - {kind: true_false, key: a, prompt: Is it so?, answer: true}
"""


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on the test's database and checks its exit code."""
    monkeypatch.setattr("structlog.is_configured", lambda: False)  # as in a process of its own
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(services.settings.instance))
    if not services.db.is_sqlite:  # SQLite's file is in the instance's folder
        monkeypatch.setenv("PROVIDER_DATABASE_URL", services.settings.database_url)
    monkeypatch.setenv("PROVIDER_BASE_URL", services.settings.base_url)
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s")

    def run(*words: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(
            main, words, input=stdin, prog_name="provider", obj=services.clock
        )
        assert result.exit_code == code, (result.output, result.exception)
        assert "Traceback" not in result.output
        return result

    return run


def parse_json(result: Result) -> Any:
    return json.loads(result.stdout)


def error_message(result: Result) -> str:
    """Return the message of a command that printed one line of error and nothing else."""
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("Error: ").strip()


def load_account(services: Services, name: str = "Groove Tech") -> Account:
    with services.db.reading() as session:
        account = Account.get_by_name(session, name)
        _ = [token.prefix for token in account.tokens]  # loads them before the session ends
        return account


def create_account(run: Run, *options: str, name: str = "Groove Tech") -> str:
    """Create an account with the command, and return its token."""
    result = run("account", "create", name, "--ats", "workable", "--json", *options)
    return str(parse_json(result)["token"])


def list_commands(group: click.Group) -> list[list[str]]:
    """Return every command's words without `provider`, such as `["order", "list"]`."""
    context = click.Context(group)
    paths = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = list_commands(command) if isinstance(command, click.Group) else [[]]
        paths += [[name, *words] for words in inner]
    return paths


# The program


def test_command_with_clock_in_context_uses_it(run: Run, services: Services) -> None:
    create_account(run)
    assert load_account(services).created_at == services.now()


def test_every_command_has_help(run: Run) -> None:
    paths = list_commands(main)
    assert len(paths) > 25
    for path in paths:
        assert "Usage: provider" in run(*path, "--help").stdout


def test_program_help_repeats_first_line_of_each_command(run: Run) -> None:
    help_text = " ".join(run("--help").stdout.split())
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f" {name} {(command.help or '').splitlines()[0]}" in help_text


def test_help_loads_no_slow_module() -> None:
    code = "import sys, provider.cli; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert not {"sqlalchemy", "alembic", "flask", "rich"} & set(result.stdout.decode().split())


def test_list_command_loads_no_slow_module() -> None:
    code = (
        "import sys, provider.cli.orders, provider.services, provider.maintenance.schema_version; "
        "print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    slow_modules = {"alembic", "flask", "rich", "structlog", "markdown_it", "cryptography"}
    assert not slow_modules & set(result.stdout.decode().split())


def test_version_option_prints_version(run: Run) -> None:
    assert run("--version").stdout.startswith("provider 0.")


def test_wrong_usage_prints_one_line_and_exits_with_2(run: Run) -> None:
    assert "No such command 'nope'" in error_message(run("nope", code=2))
    assert "--ats" in error_message(run("account", "create", "X", code=2))
    assert "provider staff create --help" in error_message(
        run("staff", "create", "a@b.test", "--role", "boss", code=2)
    )


def test_group_without_command_prints_help(run: Run) -> None:
    assert "Commands:" in run("account", code=2).stderr


def test_invalid_environment_setting_is_named_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_BASE_URL", "nonsense")
    for words in (["config"], ["init"], ["serve"], ["account", "list"]):
        assert "PROVIDER_BASE_URL" in error_message(run(*words, code=1))


@pytest.mark.sqlite
def test_command_without_database_recommends_init(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "new"))
    for words in (["account", "list"], ["seed"], ["serve"], ["order", "list"]):
        assert "provider init" in error_message(run(*words, code=1))


@pytest.mark.sqlite
def test_init_run_twice_succeeds(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "new"))
    run("init")
    run("init")
    assert parse_json(run("account", "list", "--json")) == []


def test_init_with_missing_bucket_fails(
    run: Run, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_MEDIA_URL", s3_bucket.url)
    run("init")
    assert s3_bucket.keys() == set()
    s3_bucket.remove()
    assert error_message(run("init", code=1)).endswith("cannot be used: there is no such bucket")


@pytest.mark.sqlite
def test_init_in_unusable_folder_prints_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "file" / "below"))
    monkeypatch.delenv("PROVIDER_SECRET_KEY")
    assert "Not a directory" in error_message(run("init", code=1))


@pytest.mark.sqlite
def test_damaged_database_prints_one_line(run: Run, services: Services) -> None:
    services.db.close()
    for file in services.settings.instance.glob("provider.db*"):
        file.write_bytes(b"not a database at all" * 100)
    assert "not a database" in error_message(run("account", "list", code=1))


def test_config_shows_sources_and_hides_secrets(run: Run) -> None:
    settings = {setting["name"]: setting for setting in parse_json(run("config", "--json"))}
    assert set(settings) == set(SETTINGS)
    assert settings["PROVIDER_BASE_URL"]["source"] == "environment"
    assert settings["PROVIDER_RETRY_SCHEDULE"]["source"] == "default"
    assert "a2tra2" not in run("config").stdout


def test_printable_text_replaces_control_characters() -> None:
    assert printable_text("a\x1b[31mb\nc") == "a [31mb c"


# Accounts


def test_account_create_prints_valid_token(run: Run, services: Services) -> None:
    token = create_account(run, "--callback-token", "out", "--callback-host", "hooks.groove.test")
    caller = services.authenticator.authenticate(token, "workable", services.now())
    assert caller.name == "Groove Tech"
    assert caller.callback_hosts == ("hooks.groove.test",)
    stored = load_account(services)
    assert stored.expire_after_seconds == 7 * 86400
    assert stored.callback_token
    assert b"out" not in stored.callback_token
    assert stored.get_callback_token(services.secret_box) == "out"


@pytest.mark.sqlite
def test_account_token_is_shown_once_and_not_stored(run: Run, services: Services) -> None:
    token = create_account(run)
    assert token not in run("account", "show", "Groove Tech").stdout
    assert token not in run("account", "list", "--json").stdout
    for file in services.settings.instance.glob("provider.db*"):
        assert token.encode() not in file.read_bytes()


def test_account_create_without_hosts_allows_only_ats_hosts(run: Run, services: Services) -> None:
    create_account(run)
    assert load_account(services).callback_hosts == ["*.workable.com"]


def test_account_create_prints_base_url_and_token(run: Run) -> None:
    shown = run("account", "create", "Groove Tech", "--ats", "workable").stdout
    assert "http://provider.test" in shown
    assert "prv_" in shown


def test_account_create_greenhouse_prints_its_four_addresses(run: Run) -> None:
    created = parse_json(run("account", "create", "Acme", "--ats", "greenhouse", "--json"))
    names = ("list_tests", "send_test", "test_status", "response_error")
    assert [created["urls"][name] for name in names] == [
        f"http://provider.test/greenhouse/{name}" for name in names
    ]
    shown = parse_json(run("account", "show", "Acme", "--json"))
    assert created["urls"]["send_test"] in run("account", "show", "Acme").stdout
    assert shown["callback_hosts"] == ["*.greenhouse.io"]
    assert shown["checks"] is False
    run("account", "set", "Acme", "checks=yes", "every_end=yes")
    assert parse_json(run("account", "show", "Acme", "--json"))["checks"] is True


@pytest.mark.parametrize(
    ("ats", "events", "has_consent"),
    [
        ("workable", {"candidate_moved", "candidate_created"}, True),
        ("greenhouse", {"candidate_stage_change"}, True),
        ("jobtrain", set(), False),
        ("pageup", set(), False),
    ],
)
def test_account_urls_have_webhooks_and_redirect_where_needed(
    run: Run, services: Services, client: FlaskClient, ats: str, events: set[str], has_consent: bool
) -> None:
    urls = parse_json(run("account", "create", "Acme", "--ats", ats, "--json"))["urls"]
    shown = parse_json(run("account", "show", "Acme", "--json"))
    assert shown["urls"] == urls
    assert {name for name in urls if "/hooks/" in urls[name]} == events
    redirects = [url for url in urls.values() if url == "http://provider.test/console/connect"]
    assert len(redirects) == has_consent
    console = ConsoleClient.signed_in(services, client)
    page = console.get_text(f"/console/accounts/{shown['id']}")
    assert [url for url in urls.values() if f"<code>{url}</code>" not in page] == []


def test_account_create_sandbox_account_is_in_the_audit_log(run: Run) -> None:
    run("account", "create", "Trials", "--ats", "workable", "--sandbox")
    assert parse_json(run("account", "show", "Trials", "--json"))["sandbox"] is True
    (entry,) = parse_json(run("audit", "--action", "account.created", "--json"))
    assert entry["after"]["sandbox"] is True


def test_account_create_reads_callback_token_from_stdin(run: Run, services: Services) -> None:
    run("account", "create", "A", "--ats", "workable", "--callback-token", "-", stdin="secret\n")
    assert load_account(services, "A").get_callback_token(services.secret_box) == "secret"


@pytest.mark.parametrize("typed", ["B\nC", "B\x1b C", "B\u202e\x00C"])
def test_account_create_name_with_controls_is_cleaned(
    run: Run, services: Services, typed: str
) -> None:
    run("account", "create", typed, "--ats", "workable")
    assert load_account(services, "B C").name == "B C"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["Groove Tech"], "already"),
        ([" "], "one line"),
        (["B", "--callback-host", "https://x.test/"], "not a host"),
        (["B", "--callback-host", "*"], "not a host"),
        (["B", "--callback-host", "*.com"], "at least two names after the star"),
        (["B", "--expire-after", "soon"], "not a duration"),
        (["B", "--expire-after", "0d"], "not a duration"),
        (["B", "--expire-after", "999999w"], "up to ten years"),
        (["B", "--callback-token", "two words"], "one word"),
        (["B", "--callback-token", "line\nbreak"], "one word"),
    ],
)
def test_account_create_with_invalid_value_creates_nothing(
    run: Run, words: list[str], reason: str
) -> None:
    create_account(run)
    assert reason in error_message(run("account", "create", "--ats", "workable", *words, code=1))
    assert [record["name"] for record in parse_json(run("account", "list", "--json"))] == [
        "Groove Tech"
    ]


def test_account_set_help_lists_the_settings_of_every_ats(run: Run) -> None:
    words = re.split(r"[\s,]+", run("account", "set", "--help").stdout)
    assert {"auth=access_token|partner_token|oauth", "webhooks=yes|no", "stages=TABLE"} <= {*words}
    for adapter in ADAPTERS.values():
        expected = {f"{setting.name}={setting.form}" for setting in adapter.settings}
        assert expected - {*words} == set()


def test_account_set_changes_every_setting(run: Run, services: Services) -> None:
    create_account(run)
    run(
        "account",
        "set",
        "Groove Tech",
        "callback_hosts=*.groove.test, Hooks.groove.TEST",
        "callback_token=new",
        "expire_after=12h",
        "timezone=Europe/Athens",
        "shared_ttl=120 minutes",
        "sandbox=yes",
        "brand.display_name=Groove & Co",
        "brand.colour=#0A5CFF",
        "candidate_emails=expiry",
        "reminders=1d,3d",
        "declined=on",
        "top_level_grade=true",
    )
    shown = parse_json(run("account", "show", "Groove Tech", "--json"))
    assert shown["callback_hosts"] == ["*.groove.test", "hooks.groove.test"]
    assert shown["expire_after"] == 12 * 3600
    assert shown["timezone"] == "Europe/Athens"
    assert shown["shared_ttl"] == "120 minutes"
    assert shown["brand.display_name"] == "Groove & Co"
    assert shown["brand.colour"] == "#0a5cff"
    assert (shown["candidate_emails"], shown["reminders"]) == ("expiry", "3d,1d")
    assert shown["sandbox"] is shown["declined"] is shown["top_level_grade"] is True
    assert load_account(services).get_callback_token(services.secret_box) == "new"


def test_account_set_none_resets_settings(run: Run, services: Services) -> None:
    create_account(run, "--callback-token", "out")
    run(
        "account",
        "set",
        "Groove Tech",
        "shared_ttl=3 views",
        "brand.display_name=X",
        "brand.colour=#000000",
    )
    run(
        "account",
        "set",
        "Groove Tech",
        "shared_ttl=none",
        "brand.display_name=none",
        "brand.colour=none",
        "callback_token=none",
        "declined=no",
    )
    stored = load_account(services)
    assert (stored.shared_ttl, stored.shared_ttl_units, stored.branding) == (None, None, {})
    assert stored.callback_token is None
    assert stored.options == {"declined": False}


def test_account_set_names_outcomes_by_product_in_a_sandbox(run: Run) -> None:
    create_account(run)
    run("seed")
    run("account", "set", "Groove Tech", "sandbox_outcomes=numerical-reasoning=fail", "sandbox=yes")
    shown = parse_json(run("account", "show", "Groove Tech", "--json"))
    assert shown["sandbox_outcomes"] == "assessment/numerical-reasoning=fail"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("nonsense=1", "there are callback_token, callback_hosts"),
        ("callback_hosts=", "not a host"),
        ("callback_hosts=a.test/x", "not a host"),
        ("callback_hosts=a.test:8000", "not a host"),
        ("timezone=Mars/Olympus", "not a time zone"),
        ("shared_ttl=soon", "120 minutes"),
        ("shared_ttl=0 views", "120 minutes"),
        ("sandbox=maybe", "yes or no"),
        ("declined=", "yes or no"),
        ("brand.colour=red", "#0a5cff"),
    ],
)
def test_account_set_with_invalid_value_changes_nothing(
    run: Run, services: Services, setting: str, reason: str
) -> None:
    create_account(run)
    assert reason in error_message(
        run("account", "set", "Groove Tech", "timezone=Europe/Athens", setting, code=1)
    )
    assert load_account(services).timezone == "UTC"


def test_account_set_without_value_is_wrong_usage(run: Run) -> None:
    create_account(run)
    assert "KEY=VALUE" in error_message(run("account", "set", "Groove Tech", "sandbox", code=2))


def test_unknown_account_recommends_account_list(run: Run) -> None:
    for words in (["show", "X"], ["set", "X", "sandbox=no"], ["token", "X"], ["revoke", "X", "p"]):
        assert "provider account list" in error_message(run("account", *words, code=1))


def test_second_token_is_valid_until_revoked(run: Run, services: Services) -> None:
    first = create_account(run)
    second = run("account", "token", "Groove Tech").stdout.strip()
    assert parse_json(run("account", "token", "Groove Tech", "--json"))["token"].startswith("prv_")
    for token in (first, second):
        services.authenticator.authenticate(token, "workable", services.now())
    run("account", "revoke", "Groove Tech", first[:12])
    tokens = parse_json(run("account", "show", "Groove Tech", "--json"))["tokens"]
    assert [bool(token["revoked_at"]) for token in tokens] == [True, False, False]
    assert "no open token" in error_message(
        run("account", "revoke", "Groove Tech", first[:12], code=1)
    )


def test_account_revoke_with_ambiguous_prefix_revokes_none(run: Run, services: Services) -> None:
    create_account(run)
    run("account", "token", "Groove Tech")
    assert "2 tokens" in error_message(run("account", "revoke", "Groove Tech", "prv_", code=1))
    with services.db.reading() as session:
        assert not any(token.revoked_at for token in session.query(AccountToken))


def test_account_products_shows_all_or_only_selected_products(run: Run) -> None:
    create_account(run)
    run("seed")
    all_products = parse_json(run("account", "products", "Groove Tech", "--json"))
    assert len(all_products) >= 3
    run("account", "products", "Groove Tech", "--only", "numerical-reasoning", "first-interview")
    seen = parse_json(run("account", "products", "Groove Tech", "--json"))
    assert {record["key"] for record in seen} == {"numerical-reasoning", "first-interview"}
    run("account", "products", "Groove Tech", "--all")
    assert parse_json(run("account", "products", "Groove Tech", "--json")) == all_products


def test_sample_package_is_visible_only_to_sandbox_account(run: Run) -> None:
    create_account(run)
    run("seed")
    visible = parse_json(run("account", "products", "Groove Tech", "--json"))
    assert "check" not in {record["kind"] for record in visible}
    run("account", "set", "Groove Tech", "sandbox=yes")
    visible_in_sandbox = parse_json(run("account", "products", "Groove Tech", "--json"))
    assert "check" in {record["kind"] for record in visible_in_sandbox}


def test_account_products_with_unknown_key_changes_nothing(run: Run) -> None:
    create_account(run)
    run("seed")
    assert "no product “x”" in error_message(
        run("account", "products", "Groove Tech", "--only", "x", code=1)
    )
    assert len(parse_json(run("account", "products", "Groove Tech", "--json"))) >= 3
    for words in (["--all", "--only", "x"], ["--only"], ["x"]):
        run("account", "products", "Groove Tech", *words, code=2)


# Staff


def test_staff_are_created_listed_and_disabled(run: Run, services: Services) -> None:
    run(
        "staff",
        "create",
        "Sam@Provider.test",
        "--role",
        "admin",
        "--password-stdin",
        stdin="correct horse battery\nignored",
    )
    listed = parse_json(run("staff", "list", "--json"))
    assert [(record["email"], record["role"]) for record in listed] == [
        ("sam@provider.test", "admin")
    ]
    run("staff", "disable", "sam@provider.test")
    with services.db.reading() as session:
        person = session.query(Staff).one()
    assert person.disabled_at
    assert "correct horse" not in person.password_hash
    assert "already" in error_message(run("staff", "disable", "sam@provider.test", code=1))


def test_staff_are_limited_to_accounts_and_the_limit_is_ended(run: Run) -> None:
    create_account(run)
    words = ("staff", "create", "sam@provider.test", "--role", "viewer", "--password-stdin")
    run(*words, "--account", "Groove Tech", stdin="correct horse battery")
    assert parse_json(run("staff", "list", "--json"))[0]["accounts"] == ["Groove Tech"]
    assert "is owner" not in run("staff", "role", "sam@provider.test", "owner", code=1).stdout
    run("staff", "limit", "sam@provider.test", "--all")
    assert parse_json(run("staff", "list", "--json"))[0]["accounts"] is None
    run("staff", "limit", "sam@provider.test", "Groove Tech")
    assert parse_json(run("staff", "list", "--json"))[0]["accounts"] == ["Groove Tech"]
    assert "no account" in error_message(
        run("staff", "limit", "sam@provider.test", "Nobody", code=1)
    )
    for extra in ([], ["Groove Tech", "--all"]):
        run("staff", "limit", "sam@provider.test", *extra, code=2)


@pytest.mark.parametrize(
    ("email", "password", "reason"),
    [
        ("sam", "correct horse battery", "not an e-mail"),
        ("sam@provider.test", "short", "password"),
        ("sam@provider.test", "", "password"),
    ],
)
def test_staff_create_with_invalid_value_creates_nothing(
    run: Run, email: str, password: str, reason: str
) -> None:
    words = ("staff", "create", email, "--role", "viewer", "--password-stdin")
    assert reason in error_message(run(*words, stdin=password, code=1))
    assert parse_json(run("staff", "list", "--json")) == []


def test_staff_create_without_password_recommends_stdin_option(run: Run) -> None:
    assert "--password-stdin" in error_message(
        run("staff", "create", "sam@provider.test", "--role", "admin", code=2)
    )
    assert "provider staff list" in error_message(run("staff", "disable", "x@y.test", code=1))


# Products


def test_seed_twice_adds_published_samples_once(run: Run) -> None:
    assert "Added assessment/numerical-reasoning" in run("seed").stdout
    before = parse_json(run("product", "list", "--json"))
    assert {record["kind"] for record in before} == {"assessment", "interview", "check"}
    assert {record["state"] for record in before} == {"published"}
    assert "already" in run("seed").stdout
    assert parse_json(run("product", "list", "--json")) == before


def test_seed_does_not_change_archived_sample(run: Run) -> None:
    run("seed")
    run("product", "archive", "numerical-reasoning")
    run("seed")
    assert (
        parse_json(run("product", "show", "numerical-reasoning", "--json"))["state"] == "archived"
    )


def test_imported_product_is_draft_until_published(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(TEST)
    assert run("product", "import", str(file)).stdout == "assessment/small version 1: new, draft\n"
    assert parse_json(run("product", "show", "small", "--json"))["version"] is None
    run("product", "publish", "small")
    shown = parse_json(run("product", "show", "small", "--json"))
    assert (shown["state"], shown["version"], len(shown["versions"])) == ("published", 1, 1)
    assert "unchanged" in run("product", "import", str(file)).stdout
    file.write_text(TEST.replace("Is it so?", "Is it?"))
    assert "version 2: new, published" in run("product", "import", str(file), "--publish").stdout


def test_import_of_exported_product_is_unchanged(run: Run, tmp_path: Path) -> None:
    run("seed")
    for record in parse_json(run("product", "list", "--json")):
        file = tmp_path / f"{record['key']}.yaml"
        file.write_text(run("product", "export", f"{record['kind']}/{record['key']}").stdout)
        assert "unchanged" in run("product", "import", str(file)).stdout


def test_import_with_error_names_line_and_imports_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        TEST + "---\n" + TEST.replace("key: small", "key: other").replace("true}", "7}")
    )
    message = error_message(run("product", "import", str(file), code=1))
    assert f"{file} line 17" in message
    assert "sections[0].items[0]" in message
    assert parse_json(run("product", "list", "--json")) == []


@pytest.mark.parametrize(
    ("old", "new", "character"),
    [
        ("    title", "\u00a0   title", "U+00A0 NO-BREAK SPACE"),
        ("kind: true_false", "kind: “true_false”", "“ (U+201C LEFT DOUBLE QUOTATION MARK)"),
        ("key: small", "key: small\u200b", "U+200B ZERO WIDTH SPACE"),
        ("title:", "title：", "： (U+FF1A FULLWIDTH COLON)"),
        ("    title", "\ttitle", "U+0009 TAB"),
    ],
)
def test_import_error_names_the_character_in_the_way(
    run: Run, tmp_path: Path, old: str, new: str, character: str
) -> None:
    file = tmp_path / "odd.yaml"
    assert old in TEST
    file.write_text(TEST.replace(old, new, 1), encoding="utf-8")
    message = error_message(run("product", "import", str(file), code=1))
    assert character in message
    line = TEST[: TEST.index(old)].count("\n") + 1
    assert f"line {line}" in message or f"line {line + 1}" in message


def test_import_warns_where_candidates_read_something_else(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    item = """      - kind: numeric
        key: product
        answer: 24
        prompt: |
          How much is
          2*3*4?
"""
    file.write_text(TEST + item)
    result = run("product", "import", str(file))
    assert f"Warning: {file} line 14, sections[0].items[1].prompt: “*” in" in result.stderr
    assert "write `plain: true`" in result.stderr
    assert "version 1: new, draft" in result.stdout
    file.write_text(TEST + item + "        plain: true\n")
    assert run("product", "import", str(file)).stderr == ""


def test_import_of_missing_file_prints_one_line(run: Run) -> None:
    assert "No such file" in error_message(run("product", "import", "nowhere.yaml", code=1))


def test_publish_restores_archived_product(run: Run) -> None:
    run("seed")
    run("product", "archive", "first-interview")
    run("product", "publish", "interview/first-interview")
    assert parse_json(run("product", "show", "first-interview", "--json"))["state"] == "published"


def test_product_key_of_two_kinds_needs_kind(run: Run, services: Services) -> None:
    factories.create_test(services, key="same")
    factories.create_interview(services, key="same")
    message = error_message(run("product", "show", "same", code=1))
    assert "assessment/same or interview/same" in message
    assert parse_json(run("product", "show", "interview/same", "--json"))["kind"] == "interview"
    assert "not a kind" in error_message(run("product", "show", "thing/same", code=1))


# Orders and deliveries


@pytest.fixture
def order(services: Services, run: Run) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def test_order_list_is_newest_first_filtered_and_paged(
    run: Run, services: Services, order: str
) -> None:
    with services.db.reading() as session:
        account_id = Account.get_by_name(session, "Groove Tech").id
    later = factories.place_order(
        services,
        account_id,
        factories.create_interview(services),
        "interview",
        callback_url="https://groove-tech.workable.com/2",
    )

    def ids(*words: str) -> list[str]:
        return [record["id"] for record in parse_json(run("order", "list", "--json", *words))]

    assert ids() == [later, order]
    assert ids("--kind", "interview") == [later]
    assert ids("--status", "completed") == []
    assert ids("--account", "Groove Tech", "--limit", "1") == [later]
    assert ids("--before", later) == [order]
    assert "Lakita Marrero" in run("order", "list").stdout


def test_order_list_filters_by_waiting_for_and_person(
    run: Run, services: Services, order: str
) -> None:
    factories.finish_test(services, order)
    with services.db.reading() as session:
        account_id = Account.get_by_name(session, "Groove Tech").id
    later = factories.place_order(
        services,
        account_id,
        factories.create_interview(services),
        "interview",
        callback_url="https://groove-tech.workable.com/2",
        email="sam@example.com",
    )

    def records(*words: str) -> list[tuple[str, str]]:
        listed = parse_json(run("order", "list", "--json", *words))
        return [(record["id"], record["waiting_for"]) for record in listed]

    assert records() == [(later, "candidate"), (order, "nobody")]
    assert records("--waiting-for", "candidate") == [(later, "candidate")]
    assert records("--waiting-for", "staff") == []
    person = ("--account", "Groove Tech", "--email")
    assert records(*person, "LAKITA_marrero@gmail.com ") == [(order, "nobody")]
    assert records(*person, "SAM@example.com", "--status", "pending") == [(later, "candidate")]
    assert records(*person, "nobody@example.com") == []
    message = error_message(run("order", "list", "--email", "sam@example.com", code=1))
    assert message == "--email needs --account: a person is known within one account"


def test_order_show_has_timeline_and_deliveries(run: Run, services: Services, order: str) -> None:
    factories.finish_test(services, order)
    shown = parse_json(run("order", "show", order, "--json"))
    assert shown["status"] == "completed"
    assert shown["score"] == 100
    assert "placed" in [record["type"] for record in shown["events"]]
    assert {record["channel"] for record in shown["deliveries"]} == {"email", "callback"}
    assert "completed" in run("order", "show", order).stdout


def test_order_link_prints_invitation_link(run: Run, services: Services, order: str) -> None:
    # The command decrypts the link of the e-mail with the same key.
    assert run("order", "link", order).stdout.strip() == factories.invitation_url(services, order)


def test_order_is_cancelled_and_reopened_with_reason(
    run: Run, services: Services, order: str
) -> None:
    run("order", "cancel", order, "--reason", "The job is filled")
    assert factories.order_status(services, order) == "cancelled"
    assert "cannot become" in error_message(run("order", "cancel", order, "--reason", "x", code=1))
    run("order", "reopen", order, "--reason", "It is not")
    shown = parse_json(run("order", "show", order, "--json"))
    assert shown["status"] == "pending"
    assert {"The job is filled", "It is not"} <= {record["note"] for record in shown["events"]}
    assert "ended" in error_message(run("order", "reopen", order, "--reason", "x", code=1))
    assert "--reason" in error_message(run("order", "cancel", order, code=2))


def test_order_correct_masks_the_old_address_of_deliveries(
    run: Run, services: Services, order: str
) -> None:
    factories.deliver_emails(services)
    run("order", "correct", order, "--email", "lakita.marrero@example.com")
    factories.deliver_emails(services)
    deliveries = parse_json(run("delivery", "list", "--json"))
    new, old = (run("delivery", "show", delivery["id"]).stdout for delivery in deliveries)
    assert "To: lakita.marrero@example.com" in new
    assert "To: l…@g…" in old
    assert "lakita_marrero" not in old


def test_order_extra_time_takes_percent_or_minutes(run: Run, order: str) -> None:
    given = parse_json(run("order", "extra-time", order, "--percent", "25", "--json"))
    assert (given["extra_time_seconds"], given["total_seconds"]) == (300, 1500)
    assert "27 minutes" in run("order", "extra-time", order, "--minutes", "7").stdout
    for words in ((), ("--percent", "25", "--minutes", "7")):
        assert "--percent or --minutes" in error_message(
            run("order", "extra-time", order, *words, code=2)
        )


def test_unknown_order_or_delivery_prints_one_line(run: Run) -> None:
    for words in (["show", "x"], ["link", "x" * 50], ["cancel", "x", "--reason", "y"]):
        assert "no such order" in error_message(run("order", *words, code=1))
    assert "no such delivery" in error_message(run("delivery", "show", "x", code=1))


def test_failed_delivery_is_listed_shown_and_sent_again(
    run: Run, services: Services, order: str
) -> None:
    with services.db.writing() as session:
        queue = session.query(Message).one().queue
        claim = outbox.claim(session, queue, services.now(), 1)[0]
        outbox.store_body(session, claim, b"Dear Lakita\x1b[2J")
        rejected = outbox.Outcome("rejected", status_code=550, error="no such mailbox")
        factories.settle_attempt(services, session, claim, rejected)
    failed = parse_json(run("delivery", "list", "--state", "parked", "--json"))
    assert [(delivery["order"], delivery["state"]) for delivery in failed] == [(order, "parked")]
    delivery_id = failed[0]["id"]
    assert "Failed" in run("delivery", "list").stdout
    shown = run("delivery", "show", delivery_id).stdout
    assert "no such mailbox" in shown
    assert "Failed" in shown
    assert "parked" not in shown
    assert "\x1b" not in shown
    attempts = parse_json(run("delivery", "show", delivery_id, "--json"))["attempt_history"]
    assert [attempt["status_code"] for attempt in attempts] == [550]
    run("delivery", "retry", delivery_id)
    assert [record["state"] for record in parse_json(run("delivery", "list", "--json"))] == [
        "waiting"
    ]
    assert "Only a failed delivery" in error_message(run("delivery", "retry", delivery_id, code=1))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_shown_email_has_no_token_of_the_invitation(
    run: Run, services: Services, order: str, options: list[str]
) -> None:
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/email")
    dispatcher.stop()
    delivery_id = parse_json(run("delivery", "list", "--json"))[0]["id"]
    shown = run("delivery", "show", delivery_id, *options).stdout
    assert "To: lakita_marrero@gmail.com" in shown
    assert "/c/…" in shown
    assert factories.invitation_url(services, order).rpartition("/")[2] not in shown


def create_failed_deliveries(services: Services, run: Run, name: str, count: int) -> list[str]:
    """Create an account with orders whose callbacks and e-mails have all failed."""
    account_id, _ = factories.create_account(services, name)
    product = factories.create_test(services)
    ids = []
    for number in range(count):
        url = f"https://x.workable.com/{number}"
        ids.append(factories.place_order(services, account_id, product, callback_url=url))
        run("order", "cancel", ids[-1], "--reason", "why")
    with services.db.writing() as session:
        for queue in (f"{account_id}/callback/x.workable.com", f"{account_id}/email"):
            for claim in outbox.claim(session, queue, services.now(), 1000):
                factories.settle_attempt(
                    services, session, claim, outbox.Outcome("rejected", status_code=410)
                )
    return ids


def test_delivery_list_is_filtered_by_account_and_channel(run: Run, services: Services) -> None:
    groove, other = (
        create_failed_deliveries(services, run, "Groove Tech", 2),
        create_failed_deliveries(services, run, "Other", 1),
    )

    def orders(*words: str) -> list[str]:
        return sorted(
            record["order"] for record in parse_json(run("delivery", "list", "--json", *words))
        )

    assert orders("--account", "Other") == other * 2
    assert orders("--channel", "callback") == sorted(groove + other)
    assert orders("--channel", "email", "--account", "Groove Tech") == sorted(groove)
    assert orders("--channel", "email", "--state", "waiting") == []
    assert orders("--channel", "media") == []
    assert "account list" in error_message(run("delivery", "list", "--account", "X", code=1))


def test_delivery_list_filters_by_any_channel_with_messages(run: Run, services: Services) -> None:
    create_failed_deliveries(services, run, "Groove Tech", 1)
    error = error_message(run("delivery", "list", "--channel", "file_drop", code=1))
    assert "choose one of callback, email, media" in error
    with services.db.writing() as session:
        for queue in ("1/file_drop", "1/callback/file_drop"):  # a host may have this name
            outbox.append(
                session,
                queue=queue,
                ordering_key=queue.rpartition("/")[0],
                sequence=0,
                topic="export",
                payload={},
                now=services.now(),
            )
    shown = parse_json(run("delivery", "list", "--json", "--channel", "file_drop"))
    assert [record["order"] for record in shown] == ["1"]


def test_delivery_retry_all_works_in_batches_and_with_filters(
    run: Run, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH_SIZE", 2)
    create_failed_deliveries(services, run, "Groove Tech", 5)
    create_failed_deliveries(services, run, "Other", 1)

    def failed_count() -> int:
        return len(parse_json(run("delivery", "list", "--json", "--state", "parked")))

    assert failed_count() == 12
    options = ("--account", "Groove Tech", "--channel", "callback")
    assert run("delivery", "retry", "--all", *options).stdout == "5 deliveries are due again.\n"
    assert failed_count() == 7
    output = run("delivery", "retry", "--all", "--channel", "email", "--account", "Other").stdout
    assert output == "1 delivery is due again.\n"
    assert run("delivery", "retry", "--all").stdout == "6 deliveries are due again.\n"
    assert run("delivery", "retry", "--all").stdout == "0 deliveries are due again.\n"


def create_superseded_delivery(services: Services, run: Run) -> tuple[str, str]:
    """Return a failed delivery with an attempted successor, and a failed one without successor."""
    orders = create_failed_deliveries(services, run, "Groove Tech", 2)
    callbacks = parse_json(run("delivery", "list", "--json", "--channel", "callback"))
    run("order", "reopen", orders[0], "--reason", "again")
    with services.db.writing() as session:
        (claim,) = outbox.claim(session, "1/callback/x.workable.com", services.now(), 1)
        factories.settle_attempt(
            services, session, claim, outbox.Outcome("retry", retry_after=timedelta(hours=1))
        )
    superseded, retryable = (
        next(callback["id"] for callback in callbacks if callback["order"] == order)
        for order in orders
    )
    return superseded, retryable


def test_delivery_retry_does_not_send_superseded_status(run: Run, services: Services) -> None:
    superseded, _ = create_superseded_delivery(services, run)
    output = run("delivery", "retry", superseded).stdout
    assert output.startswith("The delivery is not sent: a later status")
    assert parse_json(run("delivery", "show", superseded, "--json"))["state"] == "superseded"


def test_delivery_retry_all_skips_superseded_statuses(run: Run, services: Services) -> None:
    superseded, retryable = create_superseded_delivery(services, run)
    output = run("delivery", "retry", "--all", "--channel", "callback").stdout
    assert output.startswith("1 delivery is due again.\nNot sent: 1, because a later status")
    states = {
        record["id"]: record["state"] for record in parse_json(run("delivery", "list", "--json"))
    }
    assert (states[superseded], states[retryable]) == ("superseded", "waiting")


def test_delivery_retry_needs_id_or_all(run: Run) -> None:
    assert "--all" in error_message(run("delivery", "retry", code=2))
    assert "--all" in error_message(run("delivery", "retry", "x", "--all", code=2))
    assert "--all" in error_message(run("delivery", "retry", "x", "--account", "X", code=2))


def test_pauses_are_listed_and_mentioned_by_delivery_list(run: Run, services: Services) -> None:
    account_id, _ = factories.create_account(services)
    assert parse_json(run("delivery", "pauses", "--json")) == []
    assert run("delivery", "list").stderr == ""
    until = services.now() + timedelta(minutes=5)
    with services.db.writing() as session:
        outbox.pause(session, "destination/x.test", "It answers 503", until, services.now())
    assert run("delivery", "list").stderr.startswith("1 pause is in force")
    with services.db.writing() as session:
        outbox.pause(session, f"account/{account_id}/callback", "Refused", until, services.now())
        outbox.pause(session, f"queue/{account_id}/callback/x.test", "Rest", until, services.now())
        outbox.pause(session, "destination/email", "It does not answer", until, services.now())
    shown = parse_json(run("delivery", "pauses", "--json"))
    assert {
        (record["scope"], record["host"], record["account"], record["channel"]) for record in shown
    } == {
        ("host", "x.test", "", "callback"),
        ("account", "", "Groove Tech", "callback"),
        ("queue", "x.test", "Groove Tech", "callback"),
        ("host", "", "", "email"),
    }
    assert {record["paused_at"] for record in shown} == {services.now().isoformat()}
    assert {record["retry_at"] for record in shown} == {until.isoformat()}
    result = run("delivery", "pauses")
    assert "It answers 503" in result.stdout
    assert "provider account set 'Groove Tech' callback_token=" in result.stderr
    assert run("delivery", "list", "--json").stderr.startswith("4 pauses are in force")


def test_new_callback_token_ends_pause_of_account(run: Run, services: Services) -> None:
    ours, _ = factories.create_account(services)
    other, _ = factories.create_account(services, "Other")
    scopes = [f"account/{ours}/callback", f"account/{other}/callback", "destination/x.test"]
    with services.db.writing() as session:
        for scope in scopes:
            outbox.pause(session, scope, "Refused", services.now(), services.now())
    run("account", "set", "Groove Tech", "callback_hosts=*.workable.com")
    assert len(parse_json(run("delivery", "pauses", "--json"))) == 3
    run("account", "set", "Groove Tech", "callback_token=another")
    pauses = parse_json(run("delivery", "pauses", "--json"))
    assert [(pause["scope"], pause["account"]) for pause in pauses] == [
        ("account", "Other"),
        ("host", ""),
    ]


@pytest.mark.parametrize(
    ("value", "stored"), [("5", 5.0), ("0.01", 0.01), ("10000", 10_000.0), ("none", None)]
)
def test_callback_rate_is_stored_and_shown(run: Run, value: str, stored: float | None) -> None:
    create_account(run)
    run("account", "set", "Groove Tech", "callback_rate=2")
    run("account", "set", "Groove Tech", f"callback_rate={value}")
    assert parse_json(run("account", "show", "Groove Tech", "--json"))["callback_rate"] == stored


@pytest.mark.parametrize("value", ["0", "0.009", "10001", "-5", "nan", "inf", "fast", ""])
def test_callback_rate_outside_range_is_rejected(run: Run, value: str) -> None:
    create_account(run)
    run("account", "set", "Groove Tech", "callback_rate=2")
    message = error_message(run("account", "set", "Groove Tech", f"callback_rate={value}", code=1))
    assert "0.01 to 10000" in message
    assert parse_json(run("account", "show", "Groove Tech", "--json"))["callback_rate"] == 2


@pytest.mark.parametrize(("value", "stored"), [("20", 20), ("10000", 10_000), ("none", None)])
def test_request_rate_is_stored_and_shown(run: Run, value: str, stored: int | None) -> None:
    create_account(run)
    run("account", "set", "Groove Tech", "request_rate=2")
    run("account", "set", "Groove Tech", f"request_rate={value}")
    assert parse_json(run("account", "show", "Groove Tech", "--json"))["request_rate"] == stored


@pytest.mark.parametrize("value", ["0", "0.5", "10001", "-5", "nan", "٣", ""])
def test_request_rate_outside_range_is_rejected(run: Run, value: str) -> None:
    create_account(run)
    run("account", "set", "Groove Tech", "request_rate=2")
    message = error_message(run("account", "set", "Groove Tech", f"request_rate={value}", code=1))
    assert "1 to 10000" in message
    assert parse_json(run("account", "show", "Groove Tech", "--json"))["request_rate"] == 2


def test_table_on_terminal_shows_markup_as_text(
    run: Run, services: Services, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with services.db.writing() as session:
        Order.find(session, order).candidate.last_name = "[bold]\x1b[31m"
    from provider.cli import common

    monkeypatch.setattr(common, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("order", "list").stdout
    assert "[bold]" in shown
    assert "\x1b[31m" not in shown
