"""An accommodation is in no report, PDF, shared link, poll or callback: canary words prove it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from provider.app import create_app
from provider.config import Settings
from provider.core.kinds.assessment import Assessment
from provider.core.orders import PDF
from provider.delivery import Dispatcher
from provider.services import Services
from tests import factories
from tests.core.orders.test_accommodation import ask_for, decide_on
from tests.core.orders.test_pauses import go_on, pause
from tests.factories import ManualClock
from tests.fake_ats import FakeAts
from tests.kind_factories import KIND_FACTORIES
from tests.web.console_client import ORDERS_PATH, ConsoleClient
from tests.web.report.test_pages import pdf_text, report_path, shared_path

ASKED_CANARY, NOTE_CANARY = "quagga", "okapi"
FORBIDDEN_WORDS = (ASKED_CANARY, NOTE_CANARY, "accommodation", "extra time", "another way", "pause")


@pytest.fixture
def services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    services = factories.build_services(replace(settings, private_callbacks=True), clock)
    yield services
    services.db.close()


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services).test_client()


def deliver(services: Services) -> None:
    dispatcher = Dispatcher(services)
    for queue in factories.queue_names(services):
        dispatcher.drain(queue)
    dispatcher.stop()


def start_and_pause(services: Services, clock: ManualClock, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())
    pause(services, order_id)
    clock.advance(timedelta(minutes=1))
    go_on(services, order_id)


@pytest.mark.parametrize("kind", ["assessment", "interview", "check"])
def test_accommodation_is_told_to_nobody_but_staff_and_candidate(
    client: FlaskClient, services: Services, clock: ManualClock, ats: FakeAts, kind: str
) -> None:
    account_id, token = factories.create_account(services)
    product = KIND_FACTORIES[kind].create_product(services)
    url = f"{ats.url}/{kind}s/1"
    order_id = factories.place_order(services, account_id, product, kind, callback_url=url)
    terms: dict[str, Any] = {"percent": 50, "pause_minutes": 5, "other_way": "live"}
    ask_for(services, order_id, **terms, text=ASKED_CANARY)
    decide_on(services, order_id, **terms, text=NOTE_CANARY)
    if kind == "assessment":
        start_and_pause(services, clock, order_id)
    KIND_FACTORIES[kind].complete(services, order_id)
    deliver(services)
    headers = {"Authorization": f"Bearer {token}"}
    poll = client.get(f"/{kind}s/{order_id}", headers=headers)
    assert poll.json
    assert poll.json["status"] == "completed"
    texts = {
        "poll": poll.text,
        "link of the ATS": client.get(f"/{kind}s/{order_id}/shared-link", headers=headers).text,
        "report": client.get(report_path(services, order_id)).text,
        "shared link": client.get(shared_path(services, order_id)).text,
        "PDF": pdf_text(client.get(report_path(services, order_id, PDF)).data),
        "callbacks": "".join(request.body.decode() for request in ats.received),
    }
    assert ats.received
    assert all("Lakita" in texts[name] for name in ("report", "shared link", "PDF"))
    console = ConsoleClient.signed_in(services, client)
    order_page = console.get_text(f"{ORDERS_PATH}{order_id}").lower()
    assert all(word in order_page for word in (ASKED_CANARY, NOTE_CANARY))
    leaks = [
        (name, word)
        for name, text in texts.items()
        for word in FORBIDDEN_WORDS
        if word in text.lower()
    ]
    assert leaks == []
