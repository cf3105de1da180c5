"""The data of a check is in clear nowhere where the program writes; after the erasure nowhere.

One check goes its whole way: consent, a question, records, outcomes, report, dispute with
documents, answer. Then its values are searched byte for byte, and after the erasure their
ciphertexts, too. Another check is declined.
"""

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from provider.app import create_app
from provider.config import Settings
from provider.core.kinds.check import CandidateDetail, Check, Finding
from provider.core.kinds.check.questions import ask
from provider.core.kinds.check.tables.check_document import list_documents
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.kinds.check.tables.found_record import FoundRecord
from provider.core.kinds.check.tables.information_request import InformationRequest
from provider.delivery import Dispatcher
from provider.maintenance import create_backup, erase_order
from provider.outbox import CALLBACK, EMAIL
from provider.services import Services
from provider.storage.database import Base
from tests import check_document_factories as check_documents
from tests import check_factories, factories
from tests.check_status_factories import add_record, set_case
from tests.check_way import open_invitation
from tests.factories import ManualClock
from tests.fake_ats import FakeAts
from tests.test_canary_secrets import find_leaks, message_contents
from tests.web.console_client import ConsoleClient
from tests.web.report.test_pages import report_path

pytestmark = pytest.mark.both

ACTOR = "sam@provider.test"
BIRTHDAY = "1931-07-19"  # no other date of a test
SECRETS = {
    "identifier": "QQ 77 19 31 ZX",
    "birth date": BIRTHDAY,
    "address": "77 Canary Wharf “Ωmega”\nQuillfeather QF9 3ZX",
    "employer": "Zyxquass Bakery, Canaryville",
    "question to the candidate": "canary question “7707”: which oven?",
    "answer of the candidate": "canary reply “2207”: the stone one",
    "text of a record": "Canary court, quassia theft 7719",
    "note about a record": "canary record note “6602”",
    "note about an outcome": "canary outcome note “4402”",
    "text in the report": "canary reason “5503”",
    "text of a dispute": "canary dispute “8804”: it was my brother",
    "answer to a dispute": "canary answer “9905”: we asked again",
    "text of an unsent dispute": "canary unsent “1106”",
    "name of a file": "canary letter.jpg",
    "name of a later file": "canary court.png",
    "metadata of a file": check_documents.CANARY.decode(),
}
TYPED_REASON = "canary reason to look 3307"
DETAILS = {
    "national_id": SECRETS["identifier"],
    "date_of_birth": BIRTHDAY,
    "address": SECRETS["address"],
    "employers": SECRETS["employer"],
}
SCREENINGS: list[dict[str, Any]] = [
    {"key": "jobs", "name": "Employment history", "asks": [*DETAILS], "type": "employment"}
]


@pytest.fixture
def services(settings: Settings, clock: ManualClock) -> Iterator[Services]:
    services = factories.build_services(replace(settings, private_callbacks=True), clock)
    yield services
    services.db.close()


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services).test_client()


@dataclass
class Trip:
    """The way of one check. `pages` are what only staff with the permission may see."""

    services: Services
    client: FlaskClient
    order_id: str
    exports: bytes = b""

    def candidate(self, path: str, page: str = "", **form: Any) -> str:
        base = f"/c/o/{self.order_id}/"
        token = factories.csrf_token(self.client.get(base + page).text)
        data = {"csrf_token": token, **form}
        response = self.client.post(base + path, data=data, buffered=True)
        assert response.status_code in (303, 400), response.text
        return response.text

    def consent(self) -> None:
        path = urlsplit(factories.invitation_url(self.services, self.order_id)).path
        self.client.get(path, follow_redirects=True)
        check_factories.give_consent(self.services, self.order_id, "Lakita Marrero", **DETAILS)
        self.candidate("check/messages", messages="yes")
        set_case(self.services, self.order_id, country="US")

    def answer_question(self) -> None:
        box, now = self.services.secret_box, self.services.now()
        with self.services.db.writing() as session:
            check = Check.find(session, self.order_id, lock=True)
            text = SECRETS["question to the candidate"]
            question_id = ask(session, box, check, "jobs", text, (), ACTOR, now).public_id
        assert SECRETS["question to the candidate"] in self.read("questions")
        answer = SECRETS["answer of the candidate"]
        self.candidate(f"questions/{question_id}", "questions", answer=answer)

    def read(self, path: str) -> str:
        return unescape(self.client.get(f"/c/o/{self.order_id}/{path}").text)

    def work(self, console: ConsoleClient) -> None:
        page = f"/console/checks/{self.order_id}/"
        text, note = SECRETS["text of a record"], SECRETS["note about a record"]
        add_record(self.services, self.order_id, text=text, note=note)
        revision, seen = (console.read_field(page, name) for name in ("revision", "seen-jobs"))
        response = console.submit(
            f"{page}outcomes",
            page=page,
            **{
                "revision": revision,
                "seen-jobs": seen,
                "status-jobs": "consider",
                "text-jobs": SECRETS["text in the report"],
                "note-jobs": SECRETS["note about an outcome"],
            },
        )
        assert response.status_code == 302, response.text
        details = f"{page}details"
        shown = console.submit(
            details, page=details, reason="other", text=TYPED_REASON, all="yes"
        ).text
        assert SECRETS["identifier"] in shown
        token = console.read_field(f"{page}complete", "edit_token")
        response = console.submit(f"{page}complete", page=f"{page}complete", edit_token=token)
        assert response.status_code == 302, response.text

    def read_report(self) -> None:
        for path in (report_path(self.services, self.order_id), f"/c/o/{self.order_id}/"):
            assert SECRETS["text in the report"] in self.client.get(path).text
        for path in ("check/report", "check/report.pdf"):
            assert self.client.get(f"/c/o/{self.order_id}/{path}").status_code == 200

    def dispute(self, console: ConsoleClient) -> None:
        form = "check/disputes/jobs"
        unsent = {"reason": "", "text": SECRETS["text of an unsent dispute"]}
        picture = io.BytesIO(check_documents.jpeg())
        self.candidate(form, form, **unsent, file=(picture, "canary letter.jpg"))
        self.candidate(form, form, reason="not me", text=SECRETS["text of a dispute"])
        page = f"{form}/documents"
        self.candidate(page, page, file=(io.BytesIO(check_documents.png()), "canary court.png"))
        with self.services.db.reading() as session:
            dispute = session.scalars(select(Dispute.public_id)).one()
        path = f"/console/disputes/{dispute}/"
        answer = SECRETS["answer to a dispute"]
        response = console.submit(path, page=path, answer=answer, outcome="upheld")
        assert response.status_code == 303, response.text
        for document in check_documents.dispute_documents(self.services, self.order_id):
            document_path = f"/console/checks/{self.order_id}/documents/{document.public_id}"
            opened = console.submit(f"{document_path}/open", page=path, reason="dispute")
            assert opened.status_code == 303
            assert self.client.get(f"{document_path}/pages/1").mimetype == "image/jpeg"

    def export(self, console: ConsoleClient) -> None:
        """Export and search the orders, and look at the pages of the staff's lists."""
        texts = [console.submit("/console/orders/export/").text]
        for path in (
            "orders/?q=canary",
            "orders/?q=quassia",
            f"orders/{self.order_id}",
            "disputes/?state=ended",
            "audit/",
            "emails/",
            "deliveries/?state=any",
            "",
        ):
            texts.append(self.client.get(f"/console/{path}").text)
        self.exports = "\n".join(texts).encode()


def deliver(services: Services) -> None:
    dispatcher = Dispatcher(services)
    for channel in (CALLBACK, EMAIL):
        for queue in factories.queue_names(services, channel=channel):
            dispatcher.drain(queue)
    dispatcher.stop()


def table_bytes(services: Services) -> bytes:
    """Return the values of all rows, the binary ones as they are stored."""
    parts = []
    with services.db.reading() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)):
                parts += [
                    value if isinstance(value, bytes) else str(value).encode() for value in row
                ]
    return b"\n".join(parts)


def folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            is_packed = content[:2] == b"\x1f\x8b"
            yield path.name, gzip.decompress(content) if is_packed else content


def written_places(services: Services, backup: Path) -> dict[str, bytes]:
    """Return what the program has written: rows, files, e-mails, messages, a new backup."""

    def report_nothing(*_: object) -> None: ...

    settings, now = services.settings, services.now()
    create_backup(
        services.db, services.media, settings, backup, now, report_nothing, with_key=False
    )
    places = {"rows": table_bytes(services), "messages": message_contents(services)}
    places |= dict(folder_files(Path(settings.instance)))
    return places | {f"backup {name}": content for name, content in folder_files(backup)}


def ciphertexts(services: Services) -> list[bytes]:
    columns = (
        CandidateDetail.value_encrypted,
        Finding.note,
        Finding.report_text,
        FoundRecord.public_text,
        FoundRecord.private_note,
        FoundRecord.facts_encrypted,
        Dispute.reason_encrypted,
        Dispute.text,
        Dispute.answer,
        InformationRequest.question,
        InformationRequest.answer,
    )
    keys = check_documents.stored_keys(services)
    pages = [b"".join(services.media.read_range(key, 0, services.media.size(key))) for key in keys]
    with services.db.reading() as session:
        values = [value for column in columns for value in session.scalars(select(column)) if value]
    return values + pages


def test_data_of_a_check_is_nowhere_in_clear_and_gone_after_erasure(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("backups")
    account_id, _ = factories.create_account(services)
    product = check_factories.create_package(services, screenings=SCREENINGS)
    order_id = factories.place_order(
        services, account_id, product, "check", callback_url=f"{ats.url}/checks/1"
    )
    trip = Trip(services, client, order_id)
    console = ConsoleClient.signed_in(services, client, "admin")
    with capture_logs() as entries:
        trip.consent()
        trip.answer_question()
        deliver(services)
        trip.work(console)
        trip.read_report()
        trip.dispute(console)
        deliver(services)
        trip.export(console)
        places = written_places(services, folder / "first")
        for fact in (b"conviction", b"2017-03-01", b"not me"):
            assert [name for name, content in places.items() if fact in content] == []
        erased_texts = ciphertexts(services)
        assert len(erased_texts) == len(DETAILS) + 10 + 4  # 2 pages of documents, also small ones
        assert not any(text.startswith(b"\xff\xd8\xff") for text in erased_texts)
        erase_order(
            services.db,
            services.media,
            services.secret_box,
            order_id,
            actor=ACTOR,
            now=services.now(),
        )
    output = capfd.readouterr()
    places |= {
        "exports and lists": trip.exports,
        "logs": str(entries).encode(),
        "output": (output.out + output.err).encode(),
        "callbacks": b"\n".join(request.body for request in ats.received),
    }
    assert b"completed" in places["callbacks"]
    assert TYPED_REASON.encode() in places["rows"]  # an event of the order has it
    assert find_leaks(SECRETS, places) == []

    rest = written_places(services, folder / "second")
    assert find_leaks(SECRETS | {"reason of staff": TYPED_REASON}, rest) == []
    remains = [name for name, content in rest.items() for text in erased_texts if text in content]
    assert remains == []
    assert ciphertexts(services) == []


def test_data_given_before_a_refusal_is_nowhere_after_it(
    services: Services,
    client: FlaskClient,
    ats: FakeAts,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("backups")
    account_id, _ = factories.create_account(services)
    entry = SCREENINGS[0] | {"documents": ["identity"]}
    product = check_factories.create_package(services, screenings=[entry])
    order_id = factories.place_order(
        services, account_id, product, "check", callback_url=f"{ats.url}/checks/1"
    )
    with capture_logs() as entries:
        open_invitation(services, client, order_id)
        with services.db.writing() as session:
            check = Check.find(session, order_id)
            check.own_case.country = "US"
            check.save_details(services.secret_box, DETAILS)
        check_documents.send_document(services, order_id)
        texts = ciphertexts(services)
        assert len(texts) == len(DETAILS) + 2
        page = client.get(f"/c/o/{order_id}/decline").text
        assert "the documents that you have sent will be deleted" in page
        token = factories.csrf_token(page)
        form = {"csrf_token": token, "reason": "I have another job"}
        for _ in range(2):  # the second time changes nothing
            assert client.post(f"/c/o/{order_id}/decline", data=form).status_code == 303
        deliver(services)
        places = written_places(services, folder / "only")
    output = capfd.readouterr()
    places |= {
        "logs": str(entries).encode(),
        "output": (output.out + output.err).encode(),
        "callbacks": b"\n".join(request.body for request in ats.received),
    }
    assert b"rejected" in places["callbacks"]
    assert find_leaks(SECRETS, places) == []
    remains = [name for name, content in places.items() for text in texts if text in content]
    assert remains == []
    assert check_documents.stored_keys(services) == []
    with services.db.reading() as session:
        check = Check.find(session, order_id)
        assert (check.status, check.candidate_details, check.case) == ("declined", [], None)
        assert list_documents(session, check) == []
        events = [(event.type, event.note) for event in check.events[-2:]]
    assert events == [("declined", "I have another job"), ("declined data deleted", "")]
