"""A customer's trial: an order over HTTP, scripted steps, a callback, the report."""

from datetime import timedelta

import requests

from provider.core.orders import Order
from tests import factories
from tests.conftest import LiveServer
from tests.fake_ats import FakeAts
from tests.test_end_to_end import LAKITA, Workable
from tests.wait_for import wait_for


def test_sandbox_order_gets_its_result_without_a_candidate(
    live_server: LiveServer, ats: FakeAts
) -> None:
    services = live_server.services
    _, token = factories.create_account(services, sandbox=True)
    test_id = factories.create_test(services)
    workable = Workable(live_server.url, token)
    body = {
        "test_id": test_id,
        "candidate": LAKITA | {"email": "pass@groove-tech.example"},
        "callback_url": ats.url,
        "job_title": "Operations Manager",
    }
    order_id = workable.post("/assessments", body).json()["assessment_id"]

    def has_happened(event: str) -> bool:
        with services.db.reading() as session:
            return event in [row.type for row in Order.find(session, order_id).events]

    for event in ("opened", "started", "completed"):
        live_server.clock.advance(timedelta(seconds=5))
        wait_for(lambda event=event: has_happened(event))  # type: ignore[misc]
    (callback,) = ats.wait_for(1)
    assert callback.json["status"] == "completed"
    assert callback.json["assessment"]["score"] == "100"
    assert workable.get(f"/assessments/{order_id}").json() == callback.json
    assert requests.get(callback.json["results_url"], timeout=10).status_code == 200
    assert not list((services.settings.instance / "mail").glob("*.eml"))
