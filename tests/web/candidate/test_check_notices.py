"""The candidate's page after a notice: the letters, the report, and the time to answer."""

from datetime import UTC, datetime
from html import unescape

import pytest
from flask.testing import FlaskClient

from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.services import Services
from tests import check_decision_factories
from tests.check_way import open_invitation
from tests.factories import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2027, 2, 1, 12, tzinfo=UTC))


def test_candidate_reads_the_notice_and_the_report_after_one_only(
    services: Services, client: FlaskClient
) -> None:
    # There the candidate gets no copy of the report without a letter.
    check_id = check_decision_factories.consider_check(services, country="DE")
    open_invitation(services, client, check_id)
    landing, path = f"/c/o/{check_id}/", f"/c/o/{check_id}/consent/notices/"
    assert "Letters to you" not in client.get(landing).text
    assert client.get(path + "report.pdf").status_code == 404
    with services.db.writing() as session:
        check = Check.find(session, check_id)
        acts.begin(session, services.secret_box, check, "us", 5, "Why", "a@x.test", services.now())
        notice = check.find_notice("pre_adverse")
        assert notice
        notice_id = notice.public_id
    page = unescape(client.get(landing).text)
    assert "write to your contact there" not in " ".join(page.split())
    assert page.index("Letters to you") < page.index("What was checked")
    assert "Notice before a decision" in page
    assert "You can answer until" in page
    assert "9 February 2027, 00:00 Athens time" in page
    # The report is linked once: as the candidate's copy.
    assert path + f"{notice_id}.pdf" in page
    assert path + "report.pdf" not in page
    assert f'href="/c/o/{check_id}/check/report"' in page
    for name in (f"{notice_id}.pdf", "report.pdf"):
        response = client.get(path + name)
        assert (response.status_code, response.mimetype) == (200, "application/pdf")
    assert client.get(path + "unknown.pdf").status_code == 404


def test_notice_of_another_candidate_is_not_shown(services: Services, client: FlaskClient) -> None:
    check_id = check_decision_factories.consider_check(services)
    assert client.get(f"/c/o/{check_id}/consent/notices/report.pdf").status_code == 403
