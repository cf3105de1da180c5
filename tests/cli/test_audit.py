"""Commands that change something are in the audit log, and `provider audit` shows it."""

import os
import pwd
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from provider.cli import main
from provider.cli.common import command_actor
from provider.core.audit import Action, AuditEntry
from provider.core.connections import SourceCursor
from provider.core.kinds.assessment import Assessment
from provider.core.orders import Order
from provider.maintenance.prune_media import UPLOAD_GRACE_PERIOD
from provider.services import Services
from provider.storage.database import Database
from tests import factories
from tests.cli.test_commands import (
    TEST,
    Run,
    create_account,
    create_failed_deliveries,
    error_message,
    list_commands,
    load_account,
    parse_json,
)
from tests.cli.test_commands import run as run
from tests.factories import ManualClock
from tests.maintenance.test_erasure import PERSON, completed_order
from tests.maintenance.test_prune_media import store_recording, store_unreferenced_file
from tests.second_step import set_up_second_step
from tests.web.console.test_alerts import open_alert

USER = f"command:{pwd.getpwuid(os.getuid()).pw_name}"
# Commands that change nothing, or nothing that the audit log of this instance should have.
EXEMPT = {
    "account check": "reads only",
    "account connect": "reads only",
    "account list": "reads only",
    "account offboarding": "reads only",
    "account show": "reads only",
    "alert list": "reads only",
    "audit": "reads only",
    "config": "reads only",
    "delivery list": "reads only",
    "delivery pauses": "reads only",
    "delivery show": "reads only",
    "key list": "reads only",
    "legal-text": "reads only",
    "demo": "has an instance of its own, whose commands write their entries",
    "email bounce": "records what a mail server says, on the order's timeline",
    "email preview": "reads only",
    "email test": "sends an e-mail, and changes nothing",
    "init": "a new database must stay empty for `restore`; the database has its own version",
    "order list": "reads only",
    "order show": "reads only",
    "product export": "reads only",
    "product list": "reads only",
    "product show": "reads only",
    "rule arrivals": "reads only",
    "rule list": "reads only",
    "retention preview": "reads only",
    "rule preview": "reads only",
    "serve": "starts a process",
    "staff list": "reads only",
    "usage": "reads only",
    "worker": "starts a process",
}


@pytest.fixture(autouse=True)
def _without_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)


class World:
    """The services of a case. The entry is expected in the database at `database_url`."""

    def __init__(
        self, run: Run, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.run, self.services, self.clock, self.monkeypatch = run, services, clock, monkeypatch
        self.folder = services.settings.instance
        self.database_url = services.settings.database_url

    def order(self) -> str:
        account_id, _ = factories.create_account(self.services)
        return factories.place_order(
            self.services, account_id, factories.create_test(self.services)
        )

    def entries(self) -> list[AuditEntry]:
        with closing(Database(self.database_url)) as db, db.reading() as session:
            return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))


def account_products(world: World) -> None:
    create_account(world.run)
    factories.create_test(world.services)
    world.run("account", "products", "Groove Tech", "--only", "reasoning")


def account_set(world: World) -> None:
    create_account(world.run)
    words = ("timezone=Europe/Athens", "sandbox=no", "callback_token=very-secret")
    world.run("account", "set", "Groove Tech", *words)


def account_token(world: World) -> None:
    create_account(world.run)
    world.run("account", "token", "Groove Tech")


def account_revoke(world: World) -> None:
    token = create_account(world.run)
    world.run("account", "revoke", "Groove Tech", token)


def account_secret(world: World) -> None:
    create_pageup_account(world)
    world.run("account", "secret", "Groove Tech", "api_key", stdin="a key")
    world.run("account", "secret", "Groove Tech", "api_key", "--remove")


def account_disconnect(world: World) -> None:
    world.run("account", "create", "Groove Tech", "--ats", "greenhouse")
    world.run("account", "set", "Groove Tech", "harvest_auth=code")
    output = world.run("account", "disconnect", "Groove Tech", code=1).stdout
    assert "the ATS has not revoked them: no token is known here" in output


def rule_add(world: World) -> None:
    create_pageup_account(world)
    factories.create_test(world.services)
    words = ("rule", "add", "Groove Tech", "--when", "tag=numeracy", "--product", "reasoning")
    world.run(*words)


def rule_remove(world: World) -> None:
    rule_add(world)
    world.run("rule", "remove", "Groove Tech", "1")


def rule_resume(world: World) -> None:
    rule_add(world)
    with world.services.db.writing() as session:
        session.execute(update(SourceCursor).values(stopped_reason="very many orders"))
    world.run("rule", "resume", "Groove Tech")


def create_pageup_account(world: World) -> None:
    world.run("account", "create", "Groove Tech", "--ats", "pageup")


def staff_create(world: World) -> None:
    words = ("staff", "create", "sam@provider.test", "--role", "viewer", "--password-stdin")
    world.run(*words, stdin="correct horse battery")


def staff_disable(world: World) -> None:
    factories.create_staff(world.services)
    world.run("staff", "disable", "sam@provider.test")


def staff_enable(world: World) -> None:
    staff_disable(world)
    world.run("staff", "enable", "sam@provider.test")


def staff_password(world: World) -> None:
    factories.create_staff(world.services)
    words = ("staff", "password", "Sam@provider.test", "--password-stdin")
    assert "signed out everywhere" in world.run(*words, stdin="correct horse stapler").stdout


def staff_role(world: World) -> None:
    factories.create_staff(world.services)
    world.run("staff", "role", "sam@provider.test", "viewer")


def staff_limit(world: World) -> None:
    factories.create_staff(world.services)
    factories.create_account(world.services)
    world.run("staff", "limit", "sam@provider.test", "Groove Tech")
    world.run("staff", "limit", "sam@provider.test", "--all")


def product_import(world: World) -> None:
    (world.folder / "test.yaml").write_text(TEST)
    world.run("product", "import", str(world.folder / "test.yaml"), "--publish")


def product_publish(world: World) -> None:
    content = factories.TEST_CONTENT
    factories.create_product(
        world.services, "assessment", content, "reasoning", "Reasoning", publish=False
    )
    world.run("product", "publish", "reasoning")


def product_archive(world: World) -> None:
    factories.create_test(world.services)
    world.run("product", "archive", "reasoning")


def order_link(world: World) -> None:
    world.run("order", "link", world.order())


def order_cancel(world: World) -> None:
    world.run("order", "cancel", world.order(), "--reason", "The job is filled")


def order_reopen(world: World) -> None:
    order_id = world.order()
    with world.services.db.writing() as session:
        Order.find(session, order_id).expire(session, world.services.now())
    world.run("order", "reopen", order_id, "--reason", "The link was broken")


def order_revoke_links(world: World) -> None:
    world.run("order", "revoke-links", world.order(), "--reason", "The e-mail was forwarded")


def order_resend(world: World) -> None:
    order_id = world.order()
    factories.deliver_emails(world.services)
    world.clock.advance(timedelta(minutes=1))
    world.run("order", "resend", order_id)


def order_correct(world: World) -> None:
    words = ("--email", "lakita.marrero@example.com", "--last-name", "Marrero-Diaz")
    world.run("order", "correct", world.order(), *words)


def order_extend(world: World) -> None:
    world.run("order", "extend", world.order(), "--days", "3", "--notify")


def order_extra_time(world: World) -> None:
    world.run("order", "extra-time", world.order(), "--percent", "25")


def order_accommodation(world: World) -> None:
    order_id = world.order()
    world.run("order", "accommodation", order_id)  # reads only
    words = ("--grant", "--percent", "25", "--note", "As Lakita Marrero asked by telephone")
    world.run("order", "accommodation", order_id, *words)
    world.run("order", "accommodation", order_id, "--refuse", "--note", "Not for Marrero")


def order_end_attempt(world: World) -> None:
    order_id = world.order()
    with world.services.db.writing() as session:
        Assessment.find(session, order_id).start(session, world.services.now())
    world.run("order", "end-attempt", order_id, "--reason", "The fire alarm rang")


def order_retake(world: World) -> None:
    order_id = world.order()
    factories.finish_test(world.services, order_id)
    world.run("order", "retake", order_id, "--reason", "The fire alarm rang")


def order_allow_retake(world: World) -> None:
    account_id, _ = factories.create_account(world.services, "Retakes")
    product = factories.create_test(world.services, key="limited", retakes={"allowed": False})
    order_id = factories.place_order(world.services, account_id, product)
    world.run("order", "allow-retake", order_id, "--reason", "Another job")


def order_erase(world: World) -> None:
    world.run("order", "erase", completed_order(world.services, "assessment"), "--yes")


def order_hold(world: World) -> None:
    world.run("order", "hold", world.order(), "--reason", "A dispute")


def order_release(world: World) -> None:
    order_id = world.order()
    world.run("order", "hold", order_id, "--reason", "A dispute")
    world.run("order", "release", order_id, "--reason", "Settled")


def person_export(world: World) -> None:
    completed_order(world.services, "assessment")
    world.run("person", "export", "Groove Tech", PERSON["email"], str(world.folder / "export"))


def person_erase(world: World) -> None:
    completed_order(world.services, "assessment")
    world.run("person", "erase", "Groove Tech", PERSON["email"], "--yes")


def staff_remove_second_step(world: World) -> None:
    factories.create_staff(world.services)
    set_up_second_step(world.services, "sam@provider.test")
    world.run("staff", "remove-second-step", "sam@provider.test")


def delivery_retry(world: World) -> None:
    create_failed_deliveries(world.services, world.run, "Groove Tech", 1)
    world.run("delivery", "retry", "--all")


def alert_acknowledge(world: World) -> None:
    world.run("alert", "acknowledge", open_alert(world.services))


def alert_snooze(world: World) -> None:
    world.run("alert", "snooze", open_alert(world.services), "8h")


def backup(world: World) -> None:
    world.run("backup", str(world.folder / "backup"))


def restore(world: World) -> None:
    world.run("backup", str(world.folder / "backup"))
    world.monkeypatch.setenv("PROVIDER_INSTANCE", str(world.folder / "restored"))
    world.monkeypatch.delenv("PROVIDER_DATABASE_URL", raising=False)
    world.run("restore", str(world.folder / "backup"))
    world.database_url = f"sqlite:///{world.folder / 'restored' / 'provider.db'}"


def copy_instance(world: World) -> None:
    source = world.services.db.url.render_as_string(hide_password=False)
    world.services.db.close()
    world.database_url = f"sqlite:///{world.folder / 'copy.db'}"
    world.run("copy-instance", source, world.database_url)


def media_prune(world: World) -> None:
    store_recording(world.services)
    store_unreferenced_file(world.services)
    world.clock.advance(UPLOAD_GRACE_PERIOD + timedelta(minutes=1))
    world.run("media", "prune")


def account_disable(world: World) -> None:
    create_account(world.run)
    world.run("account", "disable", "Groove Tech", "--yes")


def account_enable(world: World) -> None:
    account_disable(world)
    world.run("account", "enable", "Groove Tech")


def account_export(world: World) -> None:
    account_disable(world)
    world.run("account", "export", "Groove Tech", str(world.folder / "account.zip"), "--yes")


def account_erase(world: World) -> None:
    account_export(world)
    world.run("account", "erase", "Groove Tech", "--yes")


DISABLED = [Action.ACCOUNT_CREATED, Action.ACCOUNT_DISABLED]
CASES: Mapping[str, tuple[Callable[[World], object], list[Action]]] = {
    "account create": (lambda world: create_account(world.run), [Action.ACCOUNT_CREATED]),
    "account products": (account_products, [Action.ACCOUNT_CREATED, Action.ACCOUNT_CHANGED]),
    "account set": (
        account_set,
        [Action.ACCOUNT_CREATED, Action.ACCOUNT_CALLBACK_TOKEN_CHANGED, Action.ACCOUNT_CHANGED],
    ),
    "account disconnect": (
        account_disconnect,
        [Action.ACCOUNT_CREATED, Action.ACCOUNT_CHANGED, Action.ACCOUNT_DISCONNECTED],
    ),
    "account token": (account_token, [Action.ACCOUNT_CREATED, Action.ACCOUNT_TOKEN_CREATED]),
    "account revoke": (account_revoke, [Action.ACCOUNT_CREATED, Action.ACCOUNT_TOKEN_REVOKED]),
    "account secret": (
        account_secret,
        [Action.ACCOUNT_CREATED, *[Action.ACCOUNT_SECRET_CHANGED] * 2],
    ),
    "account disable": (account_disable, DISABLED),
    "account enable": (account_enable, [*DISABLED, Action.ACCOUNT_ENABLED]),
    "account export": (account_export, [*DISABLED, Action.ACCOUNT_EXPORTED]),
    "account erase": (
        account_erase,
        [
            *(*DISABLED, Action.ACCOUNT_EXPORTED),
            *(Action.ACCOUNT_ERASURE_REQUESTED, Action.ACCOUNT_ERASED),
        ],
    ),
    "rule add": (rule_add, [Action.ACCOUNT_CREATED, Action.RULE_ADDED]),
    "rule remove": (rule_remove, [Action.ACCOUNT_CREATED, Action.RULE_ADDED, Action.RULE_REMOVED]),
    "rule resume": (rule_resume, [Action.ACCOUNT_CREATED, Action.RULE_ADDED, Action.RULES_RESUMED]),
    "staff create": (staff_create, [Action.STAFF_CREATED]),
    "staff disable": (staff_disable, [Action.STAFF_DISABLED]),
    "staff remove-second-step": (
        staff_remove_second_step,
        [Action.STAFF_SECOND_STEP_REMOVED],
    ),
    "staff enable": (staff_enable, [Action.STAFF_DISABLED, Action.STAFF_ENABLED]),
    "staff password": (staff_password, [Action.STAFF_PASSWORD_CHANGED]),
    "staff limit": (staff_limit, [Action.STAFF_ACCOUNTS_CHANGED] * 2),
    "staff role": (staff_role, [Action.STAFF_ROLE_CHANGED]),
    "product import": (product_import, [Action.PRODUCT_IMPORTED, Action.PRODUCT_PUBLISHED]),
    "product publish": (product_publish, [Action.PRODUCT_PUBLISHED]),
    "product archive": (product_archive, [Action.PRODUCT_ARCHIVED]),
    "seed": (
        lambda world: world.run("seed"),
        [Action.PRODUCT_IMPORTED, Action.PRODUCT_PUBLISHED] * 9,
    ),
    "order link": (order_link, [Action.ORDER_LINK_SHOWN]),
    "order cancel": (order_cancel, [Action.ORDER_CANCELLED]),
    "order revoke-links": (order_revoke_links, [Action.ORDER_LINKS_REVOKED]),
    "order reopen": (order_reopen, [Action.ORDER_REOPENED]),
    "order resend": (order_resend, [Action.ORDER_INVITATION_RESENT]),
    "order correct": (order_correct, [Action.ORDER_CANDIDATE_CORRECTED]),
    "order extend": (order_extend, [Action.ORDER_EXTENDED]),
    "order extra-time": (order_extra_time, [Action.ORDER_EXTRA_TIME_GIVEN]),
    "order accommodation": (order_accommodation, [Action.ORDER_ACCOMMODATION_DECIDED] * 2),
    "order end-attempt": (order_end_attempt, [Action.ORDER_ATTEMPT_ENDED]),
    "order retake": (order_retake, [Action.ORDER_RETAKEN]),
    "order allow-retake": (order_allow_retake, [Action.ORDER_RETAKE_ALLOWED]),
    "order erase": (order_erase, [Action.ORDER_ERASED]),
    "order hold": (order_hold, [Action.ORDER_HELD]),
    "order release": (order_release, [Action.ORDER_HELD, Action.ORDER_RELEASED]),
    "person export": (person_export, [Action.PERSON_EXPORTED]),
    "person erase": (person_erase, [Action.ORDER_ERASED]),
    "delivery retry": (
        delivery_retry,
        [Action.ORDER_CANCELLED, *[Action.DELIVERY_SENT_AGAIN] * 2],
    ),
    "alert acknowledge": (alert_acknowledge, [Action.ALERT_ACKNOWLEDGED]),
    "alert snooze": (alert_snooze, [Action.ALERT_SNOOZED]),
    "backup": (backup, [Action.INSTANCE_BACKED_UP]),
    "restore": (restore, [Action.INSTANCE_RESTORED]),
    "copy-instance": (copy_instance, [Action.INSTANCE_COPIED]),
    "key reencrypt": (lambda world: world.run("key", "reencrypt"), [Action.INSTANCE_REENCRYPTED]),
    "media prune": (media_prune, [Action.MEDIA_PRUNED]),
}


def test_every_command_has_a_case_or_is_exempt() -> None:
    commands = {" ".join(words) for words in list_commands(main)}
    assert commands == set(CASES) | set(EXEMPT)
    assert not set(CASES) & set(EXEMPT)


@pytest.mark.machine_time  # a media store dates its files by the machine's clock
@pytest.mark.parametrize("command", CASES)
def test_command_is_in_the_audit_log(
    run: Run,
    services: Services,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    world = World(run, services, clock, monkeypatch)
    act, actions = CASES[command]
    act(world)
    entries = world.entries()
    assert [entry.action for entry in entries] == actions
    assert {(entry.actor, entry.at) for entry in entries} == {(USER, services.now())} or (
        command == "media prune"
    )
    stored = " ".join(f"{entry.subject} {entry.before} {entry.after}" for entry in entries)
    for text in ("very-secret", "correct horse", "lakita", "Marrero"):
        assert text not in stored


def test_entries_of_order_commands_have_the_changed_fields(
    run: Run, services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = World(run, services, clock, monkeypatch).order()
    with services.db.reading() as session:
        expires_at = Order.find(session, order_id).expires_at
    why = ("--reason", "An example")
    for name, *options in (
        ("correct", "--last-name", "Marrero-Diaz"),
        ("extend", "--days", "3"),
        ("extra-time", "--minutes", "5"),
        ("revoke-links", *why),
        ("hold", *why),
        ("release", *why),
        ("cancel", *why),
        ("reopen", *why),
    ):
        run("order", name, order_id, *options)
    entries = parse_json(run("audit", "--subject", f"order:{order_id}", "--json"))
    assert [(entry["before"], entry["after"]) for entry in entries] == [
        (None, {"fields": ["last_name"]}),
        (
            {"expires_at": expires_at.isoformat()},
            {"expires_at": (expires_at + timedelta(days=3)).isoformat()},
        ),
        ({"extra_time_seconds": 0}, {"extra_time_seconds": 300}),
        (None, {"links": 1}),
        (None, None),
        (None, None),
        ({"status": "pending"}, {"status": "cancelled"}),
        ({"status": "cancelled"}, {"status": "pending"}),
    ]
    shown = parse_json(run("order", "show", order_id, "--json"))
    by_commands = [event for event in shown["events"] if event["actor"] == "command"]
    assert len(by_commands) == len(entries)


def test_copy_entry_has_no_password_of_the_source(
    run: Run, services: Services, postgres_url: str
) -> None:
    separator = "&" if "?" in postgres_url else "?"
    target = f"sqlite:///{services.settings.instance / 'copy.db'}"
    run("copy-instance", f"{postgres_url}{separator}password=very-secret", target)
    with closing(Database(target)) as db, db.reading() as session:
        entry = session.scalars(select(AuditEntry)).one()
    assert entry.after
    assert entry.after["from"].endswith("password=***")


def test_account_entry_has_old_and_new_settings(run: Run, services: Services) -> None:
    create_account(run)
    run("account", "set", "Groove Tech", "timezone=Europe/Athens", "sandbox=no")
    account = load_account(services)
    entry = parse_json(run("audit", "--action", "account.changed", "--json"))[0]
    assert entry["subject"] == f"account:{account.public_id}"
    assert entry["before"] == {"timezone": "UTC"}
    assert entry["after"] == {"timezone": "Europe/Athens"}


def test_failed_command_leaves_no_entry(run: Run) -> None:
    create_account(run)
    run("account", "set", "Groove Tech", "timezone=Europe/Athens", "sandbox=perhaps", code=1)
    assert len(parse_json(run("audit", "--json"))) == 1


def test_command_actor_behind_sudo_is_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command_actor() == USER
    monkeypatch.setenv("SUDO_USER", "anna\x1b[2J")
    assert command_actor() == "command:anna [2J"


def test_command_actor_of_nameless_user_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert command_actor() == "command:4000000"


# `provider audit`


def test_audit_prints_newest_last_with_changes(run: Run, clock: ManualClock) -> None:
    create_account(run)
    clock.advance(timedelta(hours=1))
    run("account", "set", "Groove Tech", "timezone=Europe/Athens")
    header, first, second = run("audit").stdout.splitlines()
    assert header.split() == ["Time", "Actor", "Action", "Subject", "Change"]
    assert "account.created" in first
    assert "account.changed" in second
    assert "timezone: UTC → Europe/Athens" in second
    assert USER in second


def test_audit_filters_by_each_option(run: Run, clock: ManualClock) -> None:
    create_account(run)
    clock.advance(timedelta(days=2))
    create_account(run, name="Acme")

    def count(*words: str) -> int:
        return len(parse_json(run("audit", "--json", *words)))

    subject = parse_json(run("audit", "--json"))[0]["subject"]
    assert count() == 2
    assert count("--limit", "1") == count("--since", "1d") == count("--subject", subject) == 1
    assert count("--since", f"{clock.now():%Y-%m-%dT%H:%M}") == 1
    assert count("--since", f"{clock.now() - timedelta(days=3):%Y-%m-%d}") == 2
    assert count("--actor", USER) == count("--action", "account.created") == 2
    assert count("--actor", "nobody") == count("--action", "order.cancelled") == 0


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", "0d"])
def test_audit_since_without_a_time_names_the_forms(run: Run, since: str) -> None:
    message = error_message(run("audit", "--since", since, code=1))
    assert "write 2026-11-28, 2026-11-28T09:30 or 7d" in message


def test_audit_unknown_action_lists_the_known_ones(run: Run) -> None:
    assert "order.cancelled" in error_message(run("audit", "--action", "nothing", code=2))
