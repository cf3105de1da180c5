"""Checks as Workable sees them: every status in order, and no byte of what was found or entered."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from pypdf import PdfReader

from provider.courier.courier import Courier
from provider.house import House
from provider.orders import PDF, REPORT, Link, Order
from tests import cast, screened
from tests.ats.side import CHECKS, Asker, callbacks
from tests.conftest import Served
from tests.fake_ats import FakeAts

RESULT = {
    "overall_status": "consider",
    "result": [
        {"name": "Identity", "status": "clear"},
        {"name": "Employment history", "status": "consider"},
        {"name": "Criminal record", "status": "clear"},
    ],
}


@pytest.fixture
def order_id(house: House, groove: Asker) -> str:
    return groove.order(CHECKS, CHECKS.wish(screened.package(house)))


def token(house: House, order_id: str, purpose: str) -> str:
    with house.db.reading() as session:
        link = Link.of(session, Order.find(session, order_id), purpose)
        assert link
        return link.token(house.vault)


def finish(house: House, order_id: str) -> None:
    screened.consent(house, order_id)
    screened.find_out(house, order_id)
    screened.conclude(house, order_id)


def silent(data: bytes | str) -> bool:
    """Say whether none of the secrets is in what left."""
    raw = data.encode() if isinstance(data, str) else data
    return not any(secret.encode() in raw for secret in (*screened.SECRETS, screened.NAME))


def test_polling_follows_a_check_through_its_statuses(
    house: House, groove: Asker, order_id: str
) -> None:
    assert groove.poll(CHECKS, order_id) == {"status": "pending"}
    screened.consent(house, order_id)
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    screened.find_out(house, order_id)
    assert groove.poll(CHECKS, order_id) == {"status": "consented"}
    screened.conclude(house, order_id)
    said = groove.poll(CHECKS, order_id)
    assert (said["status"], said["check"]) == ("completed", RESULT)
    assert callbacks(house, order_id) == [{"status": "consented"}, said]


def test_a_cancelled_consent_is_expired_on_the_wire(
    house: House, groove: Asker, order_id: str
) -> None:
    screened.consent(house, order_id)
    with house.db.writing() as session:
        Order.find(session, order_id).cancel(session, "sam", "Withdrawn", house.now())
    assert groove.poll(CHECKS, order_id) == {"status": "expired"}


def test_a_reopened_check_is_pending_until_it_is_agreed_to_anew(
    house: House, groove: Asker, order_id: str
) -> None:
    finish(house, order_id)
    with house.db.writing() as session:
        Order.find(session, order_id).reopen(session, house.vault, "sam", "Mix-up", house.now())
    assert groove.poll(CHECKS, order_id) == {"status": "pending"}
    finish(house, order_id)
    statuses = [each["status"] for each in callbacks(house, order_id)]
    assert statuses == ["consented", "completed", "pending", "consented", "completed"]


def test_only_sandboxes_may_order_a_package_whose_text_is_a_sample(
    house: House, groove: Asker, client: FlaskClient
) -> None:
    sample = screened.CONTENT["disclosure"] | {"sample": True, "key": "sample"}
    product = screened.package(house, disclosure=sample)
    assert groove.get("/packages").get_json() == {"packages": []}
    answer = groove.post("/checks", CHECKS.wish(product))
    assert answer.status_code == 422
    assert "Unknown package" in answer.text
    trial = Asker(client, cast.account(house, "Trial", sandbox=True)[1])
    (listed,) = trial.get("/packages").get_json()["packages"]
    assert listed == {"id": product, "name": "Full screening"}
    assert trial.order(CHECKS, CHECKS.wish(product))


def test_no_byte_that_leaves_tells_what_was_found_or_entered(
    house: House, groove: Asker, client: FlaskClient, order_id: str
) -> None:
    finish(house, order_id)
    said = groove.get(f"/checks/{order_id}")
    shared = groove.get(f"/checks/{order_id}/shared-link").get_json()["url"]
    page = client.get(f"/r/{token(house, order_id, REPORT)}")
    shown = client.get(shared.removeprefix("http://provider.test"))
    pdf = client.get(f"/r/{token(house, order_id, PDF)}/report.pdf")
    text = "\n".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(pdf.data)).pages)
    for answer in (said, page, shown, pdf):
        assert answer.status_code == 200
        assert silent(answer.data)
    assert silent(text)
    for read in (page.text, shown.text, text):
        for name in ("Identity", "Employment history", "Criminal record", "To consider", "Clear"):
            assert name in read
        assert "1 of 3 screenings to consider." in read
    assert all(silent(str(body)) for body in callbacks(house, order_id))


def test_what_the_ats_receives_is_the_status_and_the_outcomes_alone(
    served: Served, ats: FakeAts
) -> None:
    account_id, _ = cast.account(served.house)
    public_id = cast.order(
        served.house, account_id, screened.package(served.house), "check",
        callback_url=f"{ats.url}/checks/1",
    )  # fmt: skip
    screened.consent(served.house, public_id)
    Courier(served.house).drain(*cast.lanes(served.house))
    ats.wait_for(1)
    screened.find_out(served.house, public_id)
    screened.conclude(served.house, public_id)
    Courier(served.house).drain(*cast.lanes(served.house))
    first, last = ats.wait_for(2)
    assert first.json == {"status": "consented"}
    body: dict[str, Any] = last.json
    assert set(body) == {"status", "check", "results_url", "attachments"}
    assert (body["status"], body["check"]) == ("completed", RESULT)
    for put in (first, last):
        assert silent(put.body)
        assert silent(str(put.headers))


def test_the_letters_tell_nothing_of_it_but_the_name_that_was_typed(
    house: House, groove: Asker, order_id: str
) -> None:
    finish(house, order_id)
    Courier(house).drain("1/mail")
    letters = [path.read_bytes() for path in (house.settings.instance / "mail").glob("*.eml")]
    assert len(letters) == 2
    for secret in screened.SECRETS:
        assert not any(secret.encode() in letter for letter in letters)
