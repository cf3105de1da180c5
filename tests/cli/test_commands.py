"""The `provider` command, run as a person or a script would."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from provider import outbox
from provider.cli import deliveries, main
from provider.cli.common import printable_text
from provider.config import SETTINGS
from provider.core.accounts import Account, AccountToken
from provider.core.orders import Order
from provider.core.staff import Staff
from provider.outbox import Message
from provider.services import Services
from tests import factories
from tests.s3_server import Bucket
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server
from tests.test_documentation import commands

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
    """Run a command on the test's database; it must succeed unless told another code."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVIDER_INSTANCE", str(services.settings.instance))
    if not services.db.is_sqlite:  # which lies in the instance's folder anyway
        monkeypatch.setenv("PROVIDER_DATABASE_URL", services.settings.database_url)
    monkeypatch.setenv("PROVIDER_BASE_URL", services.settings.base_url)
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s")

    def run(*words: str, code: int = 0, stdin: str | None = None) -> Result:
        done = CliRunner().invoke(
            main, words, input=stdin, prog_name="provider", obj=services.clock
        )
        assert done.exit_code == code, (done.output, done.exception)
        assert "Traceback" not in done.output
        return done

    return run


def said(done: Result) -> Any:
    return json.loads(done.stdout)


def error(done: Result) -> str:
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("Error: ").strip()


def account(services: Services, name: str = "Groove Tech") -> Account:
    with services.db.reading() as session:
        found = Account.get_by_name(session, name)
        _ = [token.prefix for token in found.tokens]
        return found


def create(run: Run, *more: str, name: str = "Groove Tech") -> str:
    token: str = said(run("account", "create", name, "--ats", "workable", "--json", *more))["token"]
    return token


# ---- the program


def test_command_with_a_clock_in_its_context_uses_it(run: Run, services: Services) -> None:
    create(run)
    assert account(services).created_at == services.now()


def test_every_command_explains_itself(run: Run) -> None:
    every = [words.split()[1:] for words in commands(main)]
    assert len(every) > 25
    for path in every:
        assert "Usage: provider" in run(*path, "--help").stdout


def test_the_help_says_of_each_command_what_the_command_says_of_itself(run: Run) -> None:
    told = " ".join(run("--help").stdout.split())
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert f" {name} {(command.help or '').splitlines()[0]}" in told


def test_the_help_loads_nothing_that_takes_long() -> None:
    loaded = "import sys, provider.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True)
    assert not {"sqlalchemy", "alembic", "flask", "rich"} & set(done.stdout.decode().split())


def test_a_listing_loads_nothing_that_only_others_need() -> None:
    loaded = "import sys, provider.cli.orders, provider.services, provider.maintenance.schema_version; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True)
    late = {"alembic", "flask", "rich", "structlog", "markdown_it", "cryptography"}
    assert not late & set(done.stdout.decode().split())


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").stdout.startswith("provider 0.")


def test_a_wrong_call_is_one_line_and_code_2(run: Run) -> None:
    assert "No such command 'nope'" in error(run("nope", code=2))
    assert "--ats" in error(run("account", "create", "X", code=2))
    assert "provider staff create --help" in error(
        run("staff", "create", "a@b.test", "--role", "boss", code=2)
    )


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    assert "Commands:" in run("account", code=2).stderr


def test_a_wrong_setting_is_one_line_that_names_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_BASE_URL", "nonsense")
    for words in (["config"], ["init"], ["serve"], ["account", "list"]):
        assert "PROVIDER_BASE_URL" in error(run(*words, code=1))


@pytest.mark.sqlite
def test_without_a_database_every_command_names_the_one_to_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "new"))
    for words in (["account", "list"], ["seed"], ["serve"], ["order", "list"]):
        assert "provider init" in error(run(*words, code=1))


@pytest.mark.sqlite
def test_init_creates_and_can_be_run_again(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "new"))
    run("init")
    run("init")
    assert said(run("account", "list", "--json")) == []


def test_init_looks_whether_the_bucket_can_be_used(
    run: Run, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_MEDIA_URL", s3_bucket.url)
    run("init")
    assert s3_bucket.keys() == set()
    s3_bucket.remove()
    assert error(run("init", code=1)).endswith("cannot be used: there is no such bucket")


@pytest.mark.sqlite
def test_a_folder_that_cannot_be_made_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROVIDER_INSTANCE", str(tmp_path / "file" / "below"))
    monkeypatch.delenv("PROVIDER_SECRET_KEY")
    assert "Not a directory" in error(run("init", code=1))


@pytest.mark.sqlite
def test_a_broken_database_is_one_line(run: Run, services: Services) -> None:
    services.db.close()
    for file in services.settings.instance.glob("provider.db*"):
        file.write_bytes(b"not a database at all" * 100)
    assert "not a database" in error(run("account", "list", code=1))


def test_config_shows_every_setting_with_its_source_and_no_secret(run: Run) -> None:
    shown = {each["name"]: each for each in said(run("config", "--json"))}
    assert set(shown) == set(SETTINGS)
    assert shown["PROVIDER_BASE_URL"]["source"] == "environment"
    assert shown["PROVIDER_RETRY_SCHEDULE"]["source"] == "default"
    assert "a2tra2" not in run("config").stdout


def test_names_cannot_steer_the_terminal() -> None:
    assert printable_text("a\x1b[31mb\nc") == "a [31mb c"


# ---- accounts


def test_a_new_account_has_a_token_that_opens_the_contract(run: Run, services: Services) -> None:
    token = create(run, "--callback-token", "out", "--callback-host", "hooks.groove.test")
    caller = services.authenticator.authenticate(token, "workable", services.now())
    assert caller.name == "Groove Tech"
    assert caller.callback_hosts == ("hooks.groove.test",)
    kept = account(services)
    assert kept.expire_after_seconds == 7 * 86400
    assert kept.callback_token
    assert b"out" not in kept.callback_token
    assert kept.get_callback_token(services.secret_box) == "out"


@pytest.mark.sqlite
def test_the_token_is_shown_once_and_kept_nowhere(run: Run, services: Services) -> None:
    token = create(run)
    assert token not in run("account", "show", "Groove Tech").stdout
    assert token not in run("account", "list", "--json").stdout
    for file in services.settings.instance.glob("provider.db*"):
        assert token.encode() not in file.read_bytes()


def test_without_hosts_callbacks_go_to_the_ats_alone(run: Run, services: Services) -> None:
    create(run)
    assert account(services).callback_hosts == ["*.workable.com"]


def test_people_are_told_what_to_give_the_ats(run: Run) -> None:
    shown = run("account", "create", "Groove Tech", "--ats", "workable").stdout
    assert "http://provider.test" in shown
    assert "prv_" in shown


def test_the_callback_token_can_come_from_stdin(run: Run, services: Services) -> None:
    run("account", "create", "A", "--ats", "workable", "--callback-token", "-", stdin="secret\n")
    assert account(services, "A").get_callback_token(services.secret_box) == "secret"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["Groove Tech"], "already"),
        ([" "], "one line"),
        (["a\nb"], "one line"),
        (["B", "--callback-host", "https://x.test/"], "not a host"),
        (["B", "--callback-host", "*"], "not a host"),
        (["B", "--expire-after", "soon"], "not a duration"),
        (["B", "--expire-after", "0d"], "not a duration"),
        (["B", "--expire-after", "999999w"], "up to ten years"),
        (["B", "--callback-token", "two words"], "one word"),
        (["B", "--callback-token", "line\nbreak"], "one word"),
    ],
)
def test_a_wrong_account_is_refused_and_nothing_is_kept(
    run: Run, words: list[str], reason: str
) -> None:
    create(run)
    assert reason in error(run("account", "create", "--ats", "workable", *words, code=1))
    assert [each["name"] for each in said(run("account", "list", "--json"))] == ["Groove Tech"]


def test_every_setting_of_an_account_can_be_changed(run: Run, services: Services) -> None:
    create(run)
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
        "declined=on",
        "top_level_grade=true",
    )
    shown = said(run("account", "show", "Groove Tech", "--json"))
    assert shown["callback_hosts"] == ["*.groove.test", "hooks.groove.test"]
    assert shown["expire_after"] == 12 * 3600
    assert shown["timezone"] == "Europe/Athens"
    assert shown["shared_ttl"] == "120 minutes"
    assert shown["brand.display_name"] == "Groove & Co"
    assert shown["brand.colour"] == "#0a5cff"
    assert shown["sandbox"] is shown["declined"] is shown["top_level_grade"] is True
    assert account(services).get_callback_token(services.secret_box) == "new"


def test_settings_can_be_taken_back(run: Run, services: Services) -> None:
    create(run, "--callback-token", "out")
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
    kept = account(services)
    assert (kept.shared_ttl, kept.shared_ttl_units, kept.branding) == (None, None, {})
    assert kept.callback_token is None
    assert kept.options == {"declined": False}


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
        ("brand.display_name=a\x1bb", "one line"),
    ],
)
def test_a_wrong_setting_of_an_account_changes_nothing(
    run: Run, services: Services, setting: str, reason: str
) -> None:
    create(run)
    assert reason in error(
        run("account", "set", "Groove Tech", "timezone=Europe/Athens", setting, code=1)
    )
    assert account(services).timezone == "UTC"


def test_a_setting_without_a_value_is_a_wrong_call(run: Run) -> None:
    create(run)
    assert "KEY=VALUE" in error(run("account", "set", "Groove Tech", "sandbox", code=2))


def test_an_unknown_account_names_the_command_that_lists_them(run: Run) -> None:
    for words in (["show", "X"], ["set", "X", "sandbox=no"], ["token", "X"], ["revoke", "X", "p"]):
        assert "provider account list" in error(run("account", *words, code=1))


def test_a_second_token_works_beside_the_first_until_one_is_revoked(
    run: Run, services: Services
) -> None:
    first = create(run)
    second = run("account", "token", "Groove Tech").stdout.strip()
    assert said(run("account", "token", "Groove Tech", "--json"))["token"].startswith("prv_")
    for token in (first, second):
        services.authenticator.authenticate(token, "workable", services.now())
    run("account", "revoke", "Groove Tech", first[:12])
    tokens = said(run("account", "show", "Groove Tech", "--json"))["tokens"]
    assert [bool(each["revoked_at"]) for each in tokens] == [True, False, False]
    assert "no open token" in error(run("account", "revoke", "Groove Tech", first[:12], code=1))


def test_a_prefix_that_fits_two_tokens_closes_neither(run: Run, services: Services) -> None:
    create(run)
    run("account", "token", "Groove Tech")
    assert "2 tokens" in error(run("account", "revoke", "Groove Tech", "prv_", code=1))
    with services.db.reading() as session:
        assert not any(token.revoked_at for token in session.query(AccountToken))


def test_an_account_sees_all_products_or_the_given_ones(run: Run) -> None:
    create(run)
    run("seed")
    every = said(run("account", "products", "Groove Tech", "--json"))
    assert len(every) >= 3
    run("account", "products", "Groove Tech", "--only", "numerical-reasoning", "first-interview")
    seen = said(run("account", "products", "Groove Tech", "--json"))
    assert {each["key"] for each in seen} == {"numerical-reasoning", "first-interview"}
    run("account", "products", "Groove Tech", "--all")
    assert said(run("account", "products", "Groove Tech", "--json")) == every


def test_a_sample_package_is_seen_by_sandbox_accounts_alone(run: Run) -> None:
    create(run)
    run("seed")
    real = said(run("account", "products", "Groove Tech", "--json"))
    assert "check" not in {each["kind"] for each in real}
    run("account", "set", "Groove Tech", "sandbox=yes")
    tried = said(run("account", "products", "Groove Tech", "--json"))
    assert "check" in {each["kind"] for each in tried}


def test_an_unknown_product_leaves_what_an_account_sees(run: Run) -> None:
    create(run)
    run("seed")
    assert "no product “x”" in error(
        run("account", "products", "Groove Tech", "--only", "x", code=1)
    )
    assert len(said(run("account", "products", "Groove Tech", "--json"))) >= 3
    for words in (["--all", "--only", "x"], ["--only"], ["x"]):
        run("account", "products", "Groove Tech", *words, code=2)


# ---- staff


def test_staff_are_made_listed_and_disabled(run: Run, services: Services) -> None:
    run(
        "staff",
        "create",
        "Sam@Provider.test",
        "--role",
        "admin",
        "--password-stdin",
        stdin="correct horse battery\nignored",
    )
    listed = said(run("staff", "list", "--json"))
    assert [(each["email"], each["role"]) for each in listed] == [("sam@provider.test", "admin")]
    run("staff", "disable", "sam@provider.test")
    with services.db.reading() as session:
        person = session.query(Staff).one()
    assert person.disabled_at
    assert "correct horse" not in person.password_hash
    assert "already" in error(run("staff", "disable", "sam@provider.test", code=1))


@pytest.mark.parametrize(
    ("email", "password", "reason"),
    [
        ("sam", "correct horse battery", "not an e-mail"),
        ("sam@provider.test", "short", "password"),
        ("sam@provider.test", "", "password"),
    ],
)
def test_wrong_staff_are_refused(run: Run, email: str, password: str, reason: str) -> None:
    words = ("staff", "create", email, "--role", "viewer", "--password-stdin")
    assert reason in error(run(*words, stdin=password, code=1))
    assert said(run("staff", "list", "--json")) == []


def test_a_script_that_forgets_the_password_is_told_how(run: Run) -> None:
    assert "--password-stdin" in error(
        run("staff", "create", "sam@provider.test", "--role", "admin", code=2)
    )
    assert "provider staff list" in error(run("staff", "disable", "x@y.test", code=1))


# ---- products


def test_seeding_twice_adds_the_samples_once_and_published(run: Run) -> None:
    assert "Added assessment/numerical-reasoning" in run("seed").stdout
    before = said(run("product", "list", "--json"))
    assert {each["kind"] for each in before} == {"assessment", "interview", "check"}
    assert {each["state"] for each in before} == {"published"}
    assert "already" in run("seed").stdout
    assert said(run("product", "list", "--json")) == before


def test_seeding_leaves_what_staff_have_done_to_a_sample(run: Run) -> None:
    run("seed")
    run("product", "archive", "numerical-reasoning")
    run("seed")
    assert said(run("product", "show", "numerical-reasoning", "--json"))["state"] == "archived"


def test_an_import_is_a_draft_until_it_is_published(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(TEST)
    assert run("product", "import", str(file)).stdout == "assessment/small version 1: new, draft\n"
    assert said(run("product", "show", "small", "--json"))["version"] is None
    run("product", "publish", "small")
    shown = said(run("product", "show", "small", "--json"))
    assert (shown["state"], shown["version"], len(shown["versions"])) == ("published", 1, 1)
    assert "unchanged" in run("product", "import", str(file)).stdout
    file.write_text(TEST.replace("Is it so?", "Is it?"))
    assert "version 2: new, published" in run("product", "import", str(file), "--publish").stdout


def test_what_is_exported_can_be_imported_again_without_a_change(run: Run, tmp_path: Path) -> None:
    run("seed")
    for each in said(run("product", "list", "--json")):
        file = tmp_path / f"{each['key']}.yaml"
        file.write_text(run("product", "export", f"{each['kind']}/{each['key']}").stdout)
        assert "unchanged" in run("product", "import", str(file)).stdout


def test_a_wrong_document_is_refused_with_line_and_path_and_nothing_is_kept(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(
        TEST + "---\n" + TEST.replace("key: small", "key: other").replace("true}", "7}")
    )
    told = error(run("product", "import", str(file), code=1))
    assert f"{file} line 17" in told
    assert "sections[0].items[0]" in told
    assert said(run("product", "list", "--json")) == []


def test_a_file_that_is_not_there_is_one_line(run: Run) -> None:
    assert "No such file" in error(run("product", "import", "nowhere.yaml", code=1))


def test_a_product_that_is_archived_comes_back_by_publishing(run: Run) -> None:
    run("seed")
    run("product", "archive", "first-interview")
    run("product", "publish", "interview/first-interview")
    assert said(run("product", "show", "first-interview", "--json"))["state"] == "published"


def test_a_key_of_two_kinds_wants_its_kind(run: Run, services: Services) -> None:
    factories.create_test(services, key="same")
    factories.create_interview(services, key="same")
    told = error(run("product", "show", "same", code=1))
    assert "assessment/same or interview/same" in told
    assert said(run("product", "show", "interview/same", "--json"))["kind"] == "interview"
    assert "not a kind" in error(run("product", "show", "thing/same", code=1))


# ---- orders and deliveries


@pytest.fixture
def order(services: Services, run: Run) -> str:
    account_id, _ = factories.create_account(services)
    return factories.place_order(services, account_id, factories.create_test(services))


def test_orders_are_listed_newest_first_filtered_and_paged(
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
        return [each["id"] for each in said(run("order", "list", "--json", *words))]

    assert ids() == [later, order]
    assert ids("--kind", "interview") == [later]
    assert ids("--status", "completed") == []
    assert ids("--account", "Groove Tech", "--limit", "1") == [later]
    assert ids("--before", later) == [order]
    assert "Lakita Marrero" in run("order", "list").stdout


def test_an_order_is_shown_with_its_story_and_deliveries(
    run: Run, services: Services, order: str
) -> None:
    factories.finish_test(services, order)
    shown = said(run("order", "show", order, "--json"))
    assert shown["status"] == "completed"
    assert shown["score"] == 100
    assert "placed" in [each["type"] for each in shown["events"]]
    assert {each["channel"] for each in shown["deliveries"]} == {"email", "callback"}
    assert "completed" in run("order", "show", order).stdout


def test_the_candidates_link_is_printed(run: Run, services: Services, order: str) -> None:
    # The command reads the same key: the link that the letter has.
    assert run("order", "link", order).stdout.strip() == factories.invitation_url(services, order)


def test_an_order_is_cancelled_and_reopened_with_a_reason(
    run: Run, services: Services, order: str
) -> None:
    run("order", "cancel", order, "--reason", "The job is filled")
    assert factories.order_status(services, order) == "cancelled"
    assert "cannot become" in error(run("order", "cancel", order, "--reason", "x", code=1))
    run("order", "reopen", order, "--reason", "It is not")
    shown = said(run("order", "show", order, "--json"))
    assert shown["status"] == "pending"
    assert {"The job is filled", "It is not"} <= {each["note"] for each in shown["events"]}
    assert "ended" in error(run("order", "reopen", order, "--reason", "x", code=1))
    assert "--reason" in error(run("order", "cancel", order, code=2))


def test_an_unknown_order_or_delivery_is_one_line(run: Run) -> None:
    for words in (["show", "x"], ["link", "x" * 50], ["cancel", "x", "--reason", "y"]):
        assert "no such order" in error(run("order", *words, code=1))
    assert "no such delivery" in error(run("delivery", "show", "x", code=1))


def test_a_parked_delivery_is_listed_shown_and_sent_again(
    run: Run, services: Services, order: str
) -> None:
    with services.db.writing() as session:
        lane = session.query(Message).one().queue
        claim = outbox.claim(session, lane, services.now(), 1)[0]
        outbox.store_body(session, claim, b"Dear Lakita\x1b[2J")
        never = outbox.Outcome("rejected", status_code=550, error="no such mailbox")
        factories.settle_attempt(services, session, claim, never)
    parked = said(run("delivery", "list", "--state", "parked", "--json"))
    assert [each["order"] for each in parked] == [order]
    shown = run("delivery", "show", parked[0]["id"]).stdout
    assert "no such mailbox" in shown
    assert "\x1b" not in shown
    tries = said(run("delivery", "show", parked[0]["id"], "--json"))["tries"]
    assert [each["code"] for each in tries] == [550]
    run("delivery", "retry", parked[0]["id"])
    assert [each["state"] for each in said(run("delivery", "list", "--json"))] == ["waiting"]
    assert "Only a failed delivery" in error(run("delivery", "retry", parked[0]["id"], code=1))


def parked(services: Services, run: Run, name: str, count: int) -> list[str]:
    """Return the orders of a new account whose news and letters were all given up."""
    account_id, _ = factories.create_account(services, name)
    product = factories.create_test(services)
    ids = []
    for number in range(count):
        url = f"https://x.workable.com/{number}"
        ids.append(factories.place_order(services, account_id, product, callback_url=url))
        run("order", "cancel", ids[-1], "--reason", "why")
    with services.db.writing() as session:
        for lane in (f"{account_id}/callback/x.workable.com", f"{account_id}/email"):
            for claim in outbox.claim(session, lane, services.now(), 1000):
                factories.settle_attempt(
                    services, session, claim, outbox.Outcome("rejected", status_code=410)
                )
    return ids


def test_deliveries_are_narrowed_by_account_and_where_they_go(run: Run, services: Services) -> None:
    groove, other = parked(services, run, "Groove Tech", 2), parked(services, run, "Other", 1)

    def orders(*words: str) -> list[str]:
        return sorted(each["order"] for each in said(run("delivery", "list", "--json", *words)))

    assert orders("--account", "Other") == other * 2
    assert orders("--channel", "callback") == sorted(groove + other)
    assert orders("--channel", "email", "--account", "Groove Tech") == sorted(groove)
    assert orders("--channel", "email", "--state", "waiting") == []
    assert orders("--channel", "media") == []
    assert "account list" in error(run("delivery", "list", "--account", "X", code=1))


def test_all_that_is_parked_or_a_part_of_it_is_sent_again_in_batches(
    run: Run, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "BATCH_SIZE", 2)
    parked(services, run, "Groove Tech", 5)
    parked(services, run, "Other", 1)

    def left() -> int:
        return len(said(run("delivery", "list", "--json", "--state", "parked")))

    assert left() == 12
    some = ("--account", "Groove Tech", "--channel", "callback")
    assert run("delivery", "retry", "--all", *some).stdout == "5 deliveries are due again.\n"
    assert left() == 7
    mail = run("delivery", "retry", "--all", "--channel", "email", "--account", "Other").stdout
    assert mail == "1 delivery is due again.\n"
    assert run("delivery", "retry", "--all").stdout == "6 deliveries are due again.\n"
    assert run("delivery", "retry", "--all").stdout == "0 deliveries are due again.\n"


def overtaken(services: Services, run: Run) -> tuple[str, str]:
    """Return a parked delivery whose successor has been tried, and one more that can still go."""
    orders = parked(services, run, "Groove Tech", 2)
    callbacks = said(run("delivery", "list", "--json", "--channel", "callback"))
    run("order", "reopen", orders[0], "--reason", "again")
    with services.db.writing() as session:
        (claim,) = outbox.claim(session, "1/callback/x.workable.com", services.now(), 1)
        factories.settle_attempt(
            services, session, claim, outbox.Outcome("retry", retry_after=timedelta(hours=1))
        )
    late, other = (
        next(each["id"] for each in callbacks if each["order"] == order) for order in orders
    )
    return late, other


def test_what_a_later_status_overtook_is_not_sent_again(run: Run, services: Services) -> None:
    late, _ = overtaken(services, run)
    assert run("delivery", "retry", late).stdout.startswith("It is not sent: a later status")
    assert said(run("delivery", "show", late, "--json"))["state"] == "superseded"


def test_all_are_sent_again_but_what_was_overtaken(run: Run, services: Services) -> None:
    late, other = overtaken(services, run)
    told = run("delivery", "retry", "--all", "--channel", "callback").stdout
    assert told.startswith("1 delivery is due again.\nNot sent: 1, for a later status")
    states = {each["id"]: each["state"] for each in said(run("delivery", "list", "--json"))}
    assert (states[late], states[other]) == ("superseded", "waiting")


def test_sending_again_wants_one_or_all(run: Run) -> None:
    assert "--all" in error(run("delivery", "retry", code=2))
    assert "--all" in error(run("delivery", "retry", "x", "--all", code=2))
    assert "--all" in error(run("delivery", "retry", "x", "--account", "X", code=2))


def test_what_is_held_is_listed_and_a_list_of_deliveries_says_so(
    run: Run, services: Services
) -> None:
    account_id, _ = factories.create_account(services)
    assert said(run("delivery", "pauses", "--json")) == []
    assert run("delivery", "list").stderr == ""
    until = services.now() + timedelta(minutes=5)
    with services.db.writing() as session:
        outbox.pause(session, "destination/x.test", "It answers 503", until, services.now())
    assert run("delivery", "list").stderr.startswith("One hold keeps deliveries waiting")
    with services.db.writing() as session:
        outbox.pause(session, f"account/{account_id}/callback", "Refused", until, services.now())
        outbox.pause(session, f"queue/{account_id}/callback/x.test", "Rest", until, services.now())
        outbox.pause(session, "destination/email", "It does not answer", until, services.now())
    shown = said(run("delivery", "pauses", "--json"))
    assert {(each["scope"], each["host"], each["account"], each["channel"]) for each in shown} == {
        ("host", "x.test", "", "callback"),
        ("account", "", "Groove Tech", "callback"),
        ("queue", "x.test", "Groove Tech", "callback"),
        ("host", "", "", "email"),
    }
    assert {each["paused_at"] for each in shown} == {services.now().isoformat()}
    assert {each["retry_at"] for each in shown} == {until.isoformat()}
    said_plainly = run("delivery", "pauses")
    assert "It answers 503" in said_plainly.stdout
    assert "provider account set 'Groove Tech' callback_token=" in said_plainly.stderr
    assert run("delivery", "list", "--json").stderr.startswith("4 holds keep deliveries waiting")


def test_a_new_callback_token_lets_go_what_waited_for_it(run: Run, services: Services) -> None:
    ours, _ = factories.create_account(services)
    other, _ = factories.create_account(services, "Other")
    subjects = [f"account/{ours}/callback", f"account/{other}/callback", "destination/x.test"]
    with services.db.writing() as session:
        for subject in subjects:
            outbox.pause(session, subject, "Refused", services.now(), services.now())
    run("account", "set", "Groove Tech", "callback_hosts=*.workable.com")
    assert len(said(run("delivery", "pauses", "--json"))) == 3
    run("account", "set", "Groove Tech", "callback_token=another")
    held = said(run("delivery", "pauses", "--json"))
    assert [(each["scope"], each["account"]) for each in held] == [
        ("account", "Other"),
        ("host", ""),
    ]


@pytest.mark.parametrize(
    ("value", "kept"), [("5", 5.0), ("0.01", 0.01), ("10000", 10_000.0), ("none", None)]
)
def test_a_pace_is_kept_and_shown(run: Run, value: str, kept: float | None) -> None:
    create(run)
    run("account", "set", "Groove Tech", "callback_rate=2")
    run("account", "set", "Groove Tech", f"callback_rate={value}")
    assert said(run("account", "show", "Groove Tech", "--json"))["callback_rate"] == kept


@pytest.mark.parametrize("value", ["0", "0.009", "10001", "-5", "nan", "inf", "fast", ""])
def test_a_pace_that_cannot_be_kept_is_refused(run: Run, value: str) -> None:
    create(run)
    run("account", "set", "Groove Tech", "callback_rate=2")
    told = error(run("account", "set", "Groove Tech", f"callback_rate={value}", code=1))
    assert "0.01 to 10000" in told
    assert said(run("account", "show", "Groove Tech", "--json"))["callback_rate"] == 2


@pytest.mark.parametrize(("value", "kept"), [("20", 20), ("10000", 10_000), ("none", None)])
def test_a_rate_of_calls_is_kept_and_shown(run: Run, value: str, kept: int | None) -> None:
    create(run)
    run("account", "set", "Groove Tech", "request_rate=2")
    run("account", "set", "Groove Tech", f"request_rate={value}")
    assert said(run("account", "show", "Groove Tech", "--json"))["request_rate"] == kept


@pytest.mark.parametrize("value", ["0", "0.5", "10001", "-5", "nan", "٣", ""])
def test_a_rate_of_calls_that_cannot_be_is_refused(run: Run, value: str) -> None:
    create(run)
    run("account", "set", "Groove Tech", "request_rate=2")
    told = error(run("account", "set", "Groove Tech", f"request_rate={value}", code=1))
    assert "1 to 10000" in told
    assert said(run("account", "show", "Groove Tech", "--json"))["request_rate"] == 2


def test_a_terminal_gets_tables_whose_cells_cannot_be_markup(
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
