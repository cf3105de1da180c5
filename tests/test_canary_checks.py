"""The data of a check is in clear nowhere where the program writes; after the erasure nowhere.

One check goes its whole way, in `canary_trip`. Then its values are searched byte for byte, and
after the erasure their ciphertexts, too. Another check is declined.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.maintenance import erase_order
from provider.services import Services
from tests import check_document_factories as check_documents
from tests import check_factories, factories
from tests.canary_search import (
    DATABASE_FILES,
    DatabaseFiles,
    ciphertexts,
    find_leaks,
    written_places,
)
from tests.canary_texts import DETAILS, EMAILED, EXPLANATIONS, SCREENINGS, SECRETS, STAFF_TEXTS
from tests.canary_trip import Trip, deliver
from tests.check_way import open_invitation, walk
from tests.factories import ManualClock
from tests.fake_ats import FakeAts

pytestmark = pytest.mark.both

PAGES_WITH_MESSAGES = "pages with messages"
ACTOR = "sam@provider.test"


@pytest.fixture
def services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    services = factories.build_services(replace(settings, private_callbacks=True), clock)
    yield services
    services.db.close()


@pytest.fixture
def vendor() -> Iterator[FakeAts]:
    with FakeAts() as server:
        yield server


def test_data_of_a_check_is_nowhere_in_clear_and_gone_after_erasure(
    services: Services,
    clock: ManualClock,
    ats: FakeAts,
    vendor: FakeAts,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("backups")
    files = DatabaseFiles(services)
    stored = set()
    with capture_logs() as entries:
        trip = Trip(services, clock, create_app(services), ats, vendor)
        for step in trip.steps():
            step()
            stored |= ciphertexts(services)
        places = written_places(services, folder / "first", files)
        assert not any(text.startswith(b"\xff\xd8\xff") for text in stored)
        erase_order(
            services.db,
            services.media,
            services.secret_box,
            trip.order_id,
            actor=ACTOR,
            now=services.now(),
        )
    places |= sent_places(entries, capfd, ats) | trip.pages
    assert b"completed" in places["callbacks"]
    assert find_leaks(SECRETS, places) == []
    emailed = find_leaks(EMAILED, places)
    assert {name for name, place in emailed if place == "messages"} == set(EMAILED)
    assert [leak for leak in emailed if not is_of_emails(leak[1])] == []
    shown = find_leaks(STAFF_TEXTS, places)
    assert {name for name, place in shown if place == "rows"} == set(STAFF_TEXTS)
    assert [leak for leak in shown if not is_of_rows(leak[1])] == []
    explained = find_leaks(EXPLANATIONS, places)
    assert {"rows", "messages"} <= {place for _, place in explained}
    assert [
        leak for leak in explained if not is_of_rows(leak[1]) and not is_of_emails(leak[1])
    ] == []

    rest = written_places(services, folder / "second", files)
    assert find_leaks(SECRETS, rest) == []
    rest = without_database_files(rest)
    assert find_leaks(STAFF_TEXTS, rest) == []
    sent = [leak for leak in find_leaks(EMAILED | EXPLANATIONS, rest) if "mail/" not in leak[1]]
    assert sent == []  # without a mail server the e-mails lie in a folder
    assert find_remains(stored, rest) == []
    assert ciphertexts(services) == set()


def sent_places(
    entries: Iterable[Any], capfd: pytest.CaptureFixture[str], ats: FakeAts
) -> dict[str, bytes]:
    output = capfd.readouterr()
    return {
        "logs": str(entries).encode(),
        "output": (output.out + output.err).encode(),
        "callbacks": b"\n".join(request.body for request in ats.received),
    }


def find_remains(texts: Iterable[bytes], places: Mapping[str, bytes]) -> list[str]:
    return [place for place, content in places.items() for text in texts if text in content]


def without_database_files(places: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave the files of PostgreSQL out: it overwrites deleted rows later."""
    return {place: content for place, content in places.items() if place not in DATABASE_FILES}


def is_of_emails(place: str) -> bool:
    return "mail/" in place or place in ("messages", PAGES_WITH_MESSAGES)


def is_of_rows(place: str) -> bool:
    """Whether a place has the rows, or what the staff's pages show of them."""
    return "provider.db" in place or place in (
        *DATABASE_FILES,
        "rows",
        PAGES_WITH_MESSAGES,
    )


def test_data_given_before_a_refusal_is_nowhere_after_it(
    services: Services,
    ats: FakeAts,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, files = tmp_path_factory.mktemp("backups"), DatabaseFiles(services)
    account_id, _ = factories.create_account(services)
    entries_of_package = [entry | {"documents": ["identity"]} for entry in SCREENINGS[:1]]
    product = check_factories.create_package(services, screenings=entries_of_package)
    order_id = factories.place_order(
        services, account_id, product, "check", callback_url=f"{ats.url}/checks/1"
    )
    client = create_app(services).test_client()
    with capture_logs() as entries:
        open_invitation(services, client, order_id)
        walk(client, order_id, DETAILS)
        check_documents.send_document(services, order_id)
        texts = ciphertexts(services)
        page = client.get(f"/c/o/{order_id}/decline").text
        assert "the documents that you have sent will be deleted" in page
        token = factories.csrf_token(page)
        form = {"csrf_token": token, "reason": "I have another job"}
        for _ in range(2):  # the second time changes nothing
            assert client.post(f"/c/o/{order_id}/decline", data=form).status_code == 303
        deliver(services)
        places = written_places(services, folder / "only", files)
    places |= sent_places(entries, capfd, ats)
    assert b"rejected" in places["callbacks"]
    assert find_leaks(SECRETS, places) == []
    gone = texts - ciphertexts(services)  # the messages stay
    assert len(gone) == len(SCREENINGS[0]["asks"]) + 2  # two pictures of the page
    assert find_remains(gone, without_database_files(places)) == []
