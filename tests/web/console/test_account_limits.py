"""A member of staff who is limited to some accounts sees and changes nothing of another."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from werkzeug.routing import Rule

from provider.core import audit
from provider.core.accounts import Account, AccountToken
from provider.core.alerts import DeliveryAlert
from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.orders import Order
from provider.core.orders.bulk_run import BulkRow, BulkRun
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.core.orders.edit_conflict import seen_digests
from provider.core.staff import ROLE_PERMISSIONS, Permission, SavedView, Staff, complete_sign_in
from provider.maintenance.bulk_erasure import ERASE_IN_BULK
from provider.outbox import DELIVERED, PARKED, Message
from provider.outbox.pause import pause
from provider.services import Services
from provider.storage import secrets
from tests import check_outside_factories, factories
from tests.web.console.test_permissions import (
    ANY_ROLE,
    REQUIREMENTS,
    console_routes,
)
from tests.web.console_client import ConsoleClient

ROLES = [role for role in ROLE_PERMISSIONS if role != "owner"]
# No page of a limited person may have one of these words of the other account.
SECRETS = ("Rival", "rival", "Zelda", "zelda")

# What an address may name that no order of these tests has.
PARTS = {"recording_id", "file_id", "document_id", "key", "notice_id", "screening"}


# The sections whose lists have a filter.
LISTS = ("orders", "bulk_actions", "deliveries", "emails", "usage", "audit", "screenings")


@dataclass(frozen=True)
class World:
    """The ids that stand in paths, of one account."""

    account_id: int
    account: str
    orders: dict[str, str]  # kind → order
    messages: list[str]
    token: int
    view: str
    alert: str
    run: str  # of a change of several orders
    dispute: str
    connector: str

    def values(self, argument: str, kind: str = "assessment") -> str:
        """Return the value of an argument of a path."""
        return {
            "order_id": self.orders[kind],
            "account_id": self.account,
            "message_id": self.messages[0],
            "number": str(self.token),
            "view_id": self.view,
            "alert_id": self.alert,
            "run_id": self.run,
            "dispute_id": self.dispute,
            "connector_id": self.connector,
            "template": "invitation",
            "language": "en",
            "purpose": "pre_adverse",
            "screening": "criminal",
        }.get(argument, "nothing")


def create_dispute(services: Services, session: Session, check: str) -> Dispute:
    """Return a dispute about the first screening of a check, whatever the check's state is."""
    order = Check.find(session, check)
    dispute_id = secrets.generate_public_id()
    path = f"orders/{check}/disputes/{dispute_id}"
    box = services.secret_box
    dispute = Dispute(
        public_id=dispute_id,
        screening=order.content.screenings[0].key,
        reason_encrypted=box.encrypt("other", f"{path}/reason"),
        outcome="",
        text=box.encrypt("Not me", f"{path}/text"),
        opened_at=services.now(),
    )
    order.disputes.append(dispute)
    return dispute


def create_world(
    services: Services, name: str, products: dict[str, str], **candidate: str
) -> World:
    account_id, _ = factories.create_account(services, name)
    orders = {
        kind: factories.place_order(
            services,
            account_id,
            product,
            kind,
            callback_url=f"https://{name.split()[0].lower()}.workable.com/{kind}",
            **candidate,
        )
        for kind, product in products.items()
    }
    factories.finish_test(services, orders["assessment"])
    connector = check_outside_factories.create_connector(services, account_id, name=name)
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        owner = session.scalars(select(Staff).where(Staff.email == "boss@provider.test")).one()
        filters = {"account": account.public_id}
        view = SavedView.create(session, owner, f"Of {name}", filters, is_shared=True)
        for subject in (f"account:{account.public_id}", f"order:{orders['check']}"):
            audit.record(
                session,
                f"colleague@{name.split()[0].lower()}.test",
                Action.ORDER_HELD,
                subject,
                now=services.now(),
                after={"name": name},
            )
        pause(session, f"account/{account_id}/callback", name, services.now(), services.now())
        alert = DeliveryAlert(cause=f"{account_id}/callback/x.test", opened_at=services.now())
        session.add(alert)
        dispute = create_dispute(services, session, orders["check"])
        seen = [(orders["interview"], "")]
        run = BulkRun.create(session, "hold", {"reason": name}, seen, owner.email, services.now())
        messages = session.scalars(
            select(Message).where(Message.queue.startswith(f"{account_id}/")).order_by(Message.id)
        ).all()
        for message in messages:
            message.state, message.settled_at = PARKED, services.now()
        session.flush()
        token = session.scalars(
            select(AccountToken.id).where(AccountToken.account_id == account_id)
        ).one()
        return World(
            account_id,
            account.public_id,
            orders,
            [message.public_id for message in messages],
            token,
            view.public_id,
            alert.public_id,
            run.public_id,
            dispute.public_id,
            connector,
        )


@pytest.fixture
def worlds(services: Services) -> tuple[World, World]:
    """Return the account that the limited person sees, and another one."""
    products = {
        "assessment": factories.create_test(services),
        "interview": factories.create_interview(services),
        "check": factories.create_package(services),
    }
    factories.create_staff(services, "boss@provider.test", "owner")
    own = create_world(services, "Groove Tech", products)
    other = create_world(
        services,
        "Rival Corp",
        products,
        email="zelda@rival.test",
        first_name="Zelda",
        last_name="Rivalis",
    )
    return own, other


def paths(rule: Rule, world: World, kind: str) -> list[str]:
    """Return the paths of a rule with the ids of a world."""
    choices = re.search(r"<any\(([^)]+)\):\w+>", rule.rule)
    values = choices[1].replace("'", "").split(", ") if choices else [""]
    filled = [re.sub(r"<any\([^)]+\):\w+>", value, rule.rule) for value in values]
    return [
        re.sub(r"<(?:\w+:)?(\w+)>", lambda match: world.values(match[1], kind), path)
        for path in filled
    ]


def limited_routes(app: Flask, role: str) -> Iterator[tuple[str, str, Rule]]:
    """Yield the routes that a limited person in a role may use."""
    permissions = Staff(role=role, account_ids=[1]).permissions
    for endpoint, method, rule in console_routes(app):
        requirement = REQUIREMENTS[endpoint, method]
        if requirement == ANY_ROLE or requirement in permissions:
            yield endpoint, method, rule


def kind_of(endpoint: str) -> str:
    """Return the kind of the orders that an endpoint is for; a test for those of every kind."""
    kind = endpoint.partition(".")[0].removesuffix("s")
    return kind if kind in ("interview", "check") else "assessment"


def has_account(rule: Rule) -> bool:
    arguments = {"order_id", "account_id", "message_id", "view_id", "alert_id", "run_id"}
    arguments.add("dispute_id")
    return bool(arguments & rule.arguments)


@pytest.mark.parametrize("role", ROLES)
def test_limited_staff_get_404_for_everything_of_another_account(
    services: Services,
    client: FlaskClient,
    pages_app: Flask,
    worlds: tuple[World, World],
    role: str,
) -> None:
    own, other = worlds
    ConsoleClient.signed_in(services, client, role, [own.account_id])
    token = factories.csrf_token(client.get("/console/sign-in").text)
    wrong, tried = [], 0
    for endpoint, method, rule in limited_routes(pages_app, role):
        if not has_account(rule):
            continue
        for path in paths(rule, other, kind_of(endpoint)):
            response = client.open(path, method=method, data={"csrf_token": token})
            tried += 1
            if response.status_code != 404 or any(word in response.text for word in SECRETS):
                wrong.append((method, path, response.status_code))
    assert wrong == []
    assert tried or role == "author"


@pytest.mark.parametrize("role", ROLES)
def test_limited_staff_read_the_pages_of_their_own_account(
    services: Services,
    client: FlaskClient,
    pages_app: Flask,
    worlds: tuple[World, World],
    role: str,
) -> None:
    own, _ = worlds
    ConsoleClient.signed_in(services, client, role, [own.account_id])
    pages = 0
    for endpoint, method, rule in limited_routes(pages_app, role):
        has_part = PARTS & rule.arguments
        if method != "GET" or not has_account(rule) or has_part:
            continue
        for path in paths(rule, own, kind_of(endpoint)):
            response = client.get(path)
            assert response.status_code in (200, 400, 409), (path, response.status_code)
            assert not any(word in unescape(response.text) for word in SECRETS), path
            pages += response.status_code == 200
    assert pages or role == "author"


@pytest.mark.parametrize("role", ROLES)
def test_limited_staff_find_nothing_of_another_account_in_lists(
    services: Services,
    client: FlaskClient,
    pages_app: Flask,
    worlds: tuple[World, World],
    role: str,
) -> None:
    own, other = worlds
    ConsoleClient.signed_in(services, client, role, [own.account_id])
    token = factories.csrf_token(client.get("/console/sign-in").text)
    ids = {other.account, *other.orders.values(), *other.messages}
    queries = (
        "",
        f"?account={other.account}",
        "?q=zeld",
        "?state=any",
        "?state=waiting",
        f"?subject=order:{other.orders['check']}",
        f"?action=cancel&order={other.orders['check']}",
        "?action=cancel&scope=matching",
    )
    for endpoint, method, rule in limited_routes(pages_app, role):
        if rule.arguments or endpoint == "sign_in.sign_out":
            continue
        is_list = method == "GET" and endpoint.partition(".")[0] in LISTS
        # The conditions of filters are the same for every role.
        for query in queries if is_list and role in ("admin", "viewer") else ("",):
            form = {"csrf_token": token}
            response = client.open(rule.rule + query, method=method, data=form)
            text = unescape(response.text)
            assert response.status_code < 500, (method, rule.rule, query)
            assert not any(word in text for word in SECRETS), (method, rule.rule, query)
            # A page may repeat what was asked for.
            found = [name for name in ids if name in text and name not in query]
            assert found == [], (method, rule.rule, query)


@pytest.mark.parametrize("role", ROLES)
def test_staff_limited_to_no_account_see_nothing(
    services: Services,
    client: FlaskClient,
    pages_app: Flask,
    worlds: tuple[World, World],
    role: str,
) -> None:
    own, _ = worlds
    ConsoleClient.signed_in(services, client, role, [])
    ids = {own.account, *own.orders.values(), *own.messages}
    for endpoint, method, rule in limited_routes(pages_app, role):
        if method != "GET":
            continue
        for path in paths(rule, own, kind_of(endpoint)):
            response = client.get(path)
            if has_account(rule):
                assert response.status_code == 404, path
            found = [name for name in ids if name in response.text and name not in path]
            assert found == [], path


def test_unlimited_staff_see_both_accounts_in_the_same_lists(
    services: Services, client: FlaskClient, worlds: tuple[World, World]
) -> None:
    assert worlds
    console = ConsoleClient.signed_in(services, client, "admin")
    for path in (
        "orders/",
        "deliveries/",
        "emails/",
        "accounts/",
        "audit/",
        "orders/views/",
        "orders/?q=zeld",
    ):
        text = console.get_text(f"/console/{path}")
        assert "Rival" in text or "Zelda" in text, path


def test_limited_staff_export_and_requeue_their_own_orders_only(
    services: Services, client: FlaskClient, worlds: tuple[World, World]
) -> None:
    own, other = worlds
    console = ConsoleClient.signed_in(services, client, "operator", [own.account_id])
    text = console.submit("/console/orders/export/").text
    assert sorted(own.orders.values()) == sorted(
        line.split(",")[0] for line in text.splitlines()[1:]
    )
    assert console.submit("/console/deliveries/again").status_code == 302
    with services.db.reading() as session:
        states = {
            message.queue.partition("/")[0]: message.state
            for message in session.scalars(select(Message).where(Message.queue.endswith("email")))
        }
    assert states[str(other.account_id)] == PARKED != states[str(own.account_id)]


@pytest.mark.parametrize("action", ["cancel", "erase"])
def test_limited_staff_change_their_own_orders_only_in_bulk(
    services: Services, client: FlaskClient, worlds: tuple[World, World], action: str
) -> None:
    own, other = worlds
    console = ConsoleClient.signed_in(services, client, "admin", [own.account_id])
    order_ids = own.orders["assessment"], own.orders["check"], other.orders["check"]
    if action == "erase":
        settle_everything(services)
    with services.db.reading() as session:
        orders = [Order.find(session, order_id) for order_id in order_ids]
        digests = seen_digests(session, orders)
        pairs = [f"{order.public_id}:{digests[order.id]}" for order in orders]
    form = {"action": action, "orders": " ".join(pairs), "reason": "Asked", "confirmation": action}
    response = console.submit("/console/orders/bulk/", **form)
    assert response.status_code == 302
    PERFORM_BULK_RUNS.run(services)
    ERASE_IN_BULK.run(services)
    text = unescape(console.get_text(response.headers["Location"]))
    assert not any(word in text for word in SECRETS)
    run_id = response.headers["Location"].rpartition("/")[2]
    with services.db.reading() as session:
        run = BulkRun.find(session, run_id)
        rows = session.scalars(select(BulkRow).where(BulkRow.run_id == run.id)).all()
        states = {row.order_public_id: (row.state, row.problem) for row in rows}
        assert Order.find(session, order_ids[2]).status != "cancelled" or action == "erase"
    assert states[order_ids[2]] == ("refused", "There is no such order")
    assert states[order_ids[1]] == ("done", "")


def test_limited_staff_undo_their_own_orders_and_leave_the_rest(
    app: Flask, services: Services, client: FlaskClient, worlds: tuple[World, World]
) -> None:
    own, _ = worlds
    PERFORM_BULK_RUNS.run(services)  # what the worlds have begun
    order_ids = [world.orders["check"] for world in worlds]
    with services.db.writing() as session:
        orders = [Order.find(session, order_id) for order_id in order_ids]
        digests = seen_digests(session, orders)
        seen = [(order.public_id, digests[order.id]) for order in orders]
        run = BulkRun.create(
            session, "cancel", {"reason": "X"}, seen, "boss@provider.test", services.now()
        )
    PERFORM_BULK_RUNS.run(services)
    path = f"/console/orders/bulk/runs/{run.public_id}"
    limited = ConsoleClient.signed_in(services, client, "operator", [own.account_id])
    assert "Undo for 1 order<" in limited.get_text(f"{path}/undo")
    assert limited.submit(f"{path}/undo", page=f"{path}/undo").status_code == 302
    PERFORM_BULK_RUNS.run(services)
    assert "Undo…" not in limited.get_text(path)
    assert limited.submit(f"{path}/undo", page=f"{path}/undo").status_code == 409
    admin = ConsoleClient.signed_in(services, app.test_client(), "admin")
    page = admin.get_text(path)
    assert "operator@provider.test has undone this for 1 of the orders." in page
    assert "Undo the others…" in page
    assert "Undo for 1 order<" in admin.get_text(f"{path}/undo")
    assert admin.submit(f"{path}/undo", page=f"{path}/undo").status_code == 302
    PERFORM_BULK_RUNS.run(services)
    assert [factories.order_status(services, id_) for id_ in order_ids] == ["pending", "pending"]
    assert "Undo the others" not in admin.get_text(path)


def settle_everything(services: Services) -> None:
    """Cancel the checks, and deliver all messages, so that the orders can be erased."""
    with services.db.writing() as session:
        for order in session.scalars(select(Order).where(Order.kind == "check")):
            order.cancel(session, "boss@provider.test", "Asked", services.now())
        session.flush()
        session.execute(update(Message).values(state=DELIVERED, settled_at=services.now()))


def test_changed_limit_counts_for_the_next_request(
    services: Services, client: FlaskClient, worlds: tuple[World, World]
) -> None:
    own, other = worlds
    ConsoleClient.signed_in(services, client, "viewer")
    path = f"/console/orders/{other.orders['check']}"
    assert client.get(path).status_code == 200
    with services.db.writing() as session:
        session.scalars(select(Staff).where(Staff.role == "viewer")).one().account_ids = [
            own.account_id
        ]
    assert client.get(path).status_code == 404


def test_limit_of_one_request_does_not_reach_another(
    services: Services, client: FlaskClient, worlds: tuple[World, World]
) -> None:
    own, other = worlds
    ConsoleClient.signed_in(services, client, "viewer", [own.account_id])
    assert client.get(f"/console/orders/{other.orders['check']}").status_code == 404
    with services.db.reading() as session:
        assert len(session.scalars(select(Account)).all()) == 2
    with services.db.writing() as session:
        client.set_cookie(
            "staff",
            complete_sign_in(session, "boss@provider.test", "127.0.0.1", services.now()),
        )
    assert client.get(f"/console/orders/{other.orders['check']}").status_code == 200


def test_limited_admin_manages_neither_staff_nor_products_nor_new_accounts() -> None:
    limited = Staff(role="admin", account_ids=[1]).permissions
    assert ROLE_PERMISSIONS["admin"] - limited == {
        Permission.CREATE_ACCOUNTS,
        Permission.EDIT_PRODUCTS,
        Permission.MANAGE_STAFF,
    }


def test_refusal_names_the_limit_where_the_role_is_not_the_cause(
    services: Services, client: FlaskClient
) -> None:
    console = ConsoleClient.signed_in(services, client, "author", [])
    page = console.get_text("/console/products/nothing/publish", 403)
    assert "sees only some accounts may not edit, import, publish or archive products." in page
    assert "Ask an admin or an owner who sees all accounts." in page
    assert "Your role may not see orders. Ask an admin or an owner." in console.get_text(
        "/console/orders/", 403
    )
