"""The trip of one check whose values are recognisable: every act of everybody, by the real pages.

The candidate, the staff, the referee and the vendors write the texts of `canary_texts`.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler
from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from provider.core.accounts import Account
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse.adverse_work import END_NOTICE_CLOCKS
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.kinds.check.tables.found_record import FoundRecord
from provider.core.kinds.check.tables.vendor_order import VendorOrder
from provider.core.kinds.check.vendors.vendor_simulator import PLAY_VENDORS
from provider.core.staff import complete_sign_in
from provider.delivery import Dispatcher
from provider.outbox import CALLBACK, CONNECTOR, EMAIL
from provider.services import Services
from tests import check_decision_factories, check_factories, factories
from tests import check_document_factories as check_documents
from tests.canary_texts import (
    CORRECTED,
    DETAILS,
    EMAILED,
    EXPLANATIONS,
    RECORD_DATE,
    REFEREE_ANSWERS,
    SCREENINGS,
    SECRETS,
    STAFF_TEXTS,
    STREET,
    TEMPLATE,
    VENDOR_RESULT,
)
from tests.check_outside_factories import (
    CONNECTOR_FORM,
    PATHS,
    read_requests,
    signed_headers,
)
from tests.check_way import open_invitation, send, walk, way
from tests.factories import ManualClock
from tests.fake_ats import Behaviour, FakeAts
from tests.web.console_client import ConsoleClient
from tests.web.report.test_pages import report_path


@dataclass
class Trip:
    """The trip of one check. `pages` are those of the staff that must not show what is private."""

    services: Services
    clock: ManualClock
    app: Flask
    ats: FakeAts
    vendor: FakeAts
    pages: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A sandbox has samples of the notices, and a simulator where a connector is missing.
        account_id, _ = factories.create_account(self.services, sandbox=True)
        check_decision_factories.set_option(self.services, "second_person", "consider")
        self.first = ConsoleClient.signed_in(self.services, self.app.test_client(), "admin")
        self.second = ConsoleClient.signed_in(self.services, self.app.test_client(), "adjudicator")
        self._create_connector()
        product = check_factories.create_package(
            self.services, screenings=SCREENINGS, legal_texts=[check_decision_factories.RIGHTS]
        )
        self.order_id = factories.place_order(
            self.services,
            account_id,
            product,
            "check",
            callback_url=f"{self.ats.url}/checks/1",
            last_name="Consider",
        )
        self.client = self.app.test_client()
        self.page = f"/console/checks/{self.order_id}/"

    def steps(self) -> Iterator[Callable[[], None]]:
        """Yield the acts in their order; minutes pass between them."""
        for step in (
            self.consent,
            self.correct_details,
            self.play_vendors,
            self.answer_as_referee,
            self.ask_and_answer,
            self.add_records,
            self.decide,
            self.read_report,
            self.begin_adverse_action,
            self.dispute,
            self.correct_outcome,
            self.send_final_notice,
            self.export,
        ):
            self.clock.advance(timedelta(minutes=2))
            yield step

    def consent(self) -> None:
        open_invitation(self.services, self.client, self.order_id)
        review = walk(self.client, self.order_id, DETAILS)
        name = EMAILED["name of the consent"]
        assert send(self.client, review, name=name, wants_copy="1").status_code == 303
        self.candidate("check/messages", messages="yes")
        check_decision_factories.set_country(self.services, self.order_id, "US")

    def correct_details(self) -> None:
        for group, values in CORRECTED.items():
            path = way(self.order_id, f"corrections/{group}")
            assert send(self.client, path, **check_factories.form_fields(values)).status_code == 303
        assert STREET in unescape(self.client.get(way(self.order_id, "corrections")).text)

    def play_vendors(self) -> None:
        """Let a vendor refuse twice, repeating the order, and answer by a callback at last."""
        refusal = f"refused: {SECRETS['identifier']}"
        unreadable = json.dumps({"id": "V-1", "state": refusal}).encode()
        self.vendor.responses += [
            repeat_order(self.vendor, 500),
            repeat_order(self.vendor, 422),
            respond_with_body(201, unreadable),
        ]
        for _ in range(2):
            deliver(self.services)
            self.clock.advance(timedelta(hours=1))
        response = self.first.submit(f"{self.page}outside/acme/again", page=f"{self.page}outside/")
        assert response.status_code == 302
        deliver(self.services)
        assert [request.json["number"] for request in self.vendor.received] == [
            SECRETS["identifier"]
        ] * 3
        assert refusal in self.first.get_text(f"{self.page}outside/")
        self.call_back()
        PLAY_VENDORS.run(self.services)
        page = self.first.get_text(f"{self.page}outside/")
        for name in ("text of the vendor", "relation of the referee"):
            assert SECRETS[name] in page
        assert "Scripted answer" in page

    def call_back(self) -> None:
        with self.services.db.reading() as session:
            connector_id = session.scalars(select(Connector.public_id)).one()
            query = select(VendorOrder).where(VendorOrder.connector_id.is_not(None))
            key = session.scalars(query).one().key
        body = json.dumps(VENDOR_RESULT).encode()
        headers = signed_headers(self.services, connector_id, body)
        path = f"/hooks/connectors/{connector_id}/{key}"
        assert self.client.post(path, data=body, headers=headers).status_code == 200

    def answer_as_referee(self) -> None:
        (request,) = read_requests(self.services, self.order_id)
        path = f"/f/{request.get_token(self.services.secret_box)}"
        browser = self.app.test_client()
        token = factories.csrf_token(browser.get(path).text)
        assert browser.post(path, data=REFEREE_ANSWERS | {"csrf_token": token}).status_code == 303
        page = self.first.get_text(f"{self.page}outside/")
        assert SECRETS["answer of the referee"] in page

    def ask_and_answer(self) -> None:
        self.screen("questions/", question=SECRETS["question to the candidate"])
        page = unescape(self.client.get(f"/c/o/{self.order_id}/questions").text)
        assert SECRETS["question to the candidate"] in page
        (target,) = re.findall(rf"/c/o/{self.order_id}/(questions/[\w-]+)", page)
        self.candidate(target, "questions", answer=SECRETS["answer of the candidate"])

    def add_records(self) -> None:
        """Add two records, correct one and remove the other; then add a screening."""
        record = {"kind": "conviction", "severity": "high", "occurred_on": RECORD_DATE}
        record["private_note"] = SECRETS["note about a record"]
        wrong = SECRETS["text of a record before its correction"]
        self.screen("records/", **record | {"public_text": wrong})
        right = record | {"public_text": SECRETS["text of a record"]}
        page = self.newest_record()
        self.screen(page, page, **right | {"reason": SECRETS["reason to correct a record"]})
        removed = record | {"public_text": SECRETS["text of a removed record"]}
        self.screen("records/", **removed)
        page = self.newest_record()
        self.screen(f"{page}remove", page, reason=SECRETS["reason to remove a record"])
        path = f"{self.page}add-screening/"
        form = {"type": "other", "name": "Social media"}
        form["reason"] = EXPLANATIONS["reason to add a screening"]
        assert self.first.submit(path, page=path, **form).status_code == 303

    def newest_record(self) -> str:
        with self.services.db.reading() as session:
            query = select(FoundRecord.public_id).order_by(FoundRecord.id.desc())
            return f"records/{session.scalars(query).first()}/"

    def decide(self) -> None:
        """Enter the outcomes, look at the details, and complete with a second person."""
        form = {"revision": self.first.read_field(self.page, "revision")}
        for key in ("jobs", "references", "acme", "simulated", "added-1"):
            form[f"seen-{key}"] = self.first.read_field(self.page, f"seen-{key}")
            form[f"status-{key}"] = "clear"
        form["status-jobs"], form["text-jobs"] = "consider", SECRETS["text in the report"]
        form["note-jobs"] = SECRETS["note about an outcome"]
        assert self.first.submit(f"{self.page}outcomes", page=self.page, **form).status_code == 302
        form = {"reason": "other", "text": STAFF_TEXTS["reason to look"], "all": "yes"}
        details = self.first.submit(f"{self.page}details", page=f"{self.page}details", **form)
        assert SECRETS["identifier"] in details.text
        self.complete()
        reason = SECRETS["reason to send back"]
        response = self.second.submit(f"{self.page}send-back", page=self.page, reason=reason)
        assert response.status_code == 302
        assert reason in self.first.get_text(self.page)
        self.complete()
        self.confirm()
        assert factories.order_status(self.services, self.order_id) == "completed"

    def complete(self) -> None:
        path = f"{self.page}complete"
        token = self.first.read_field(path, "edit_token")
        assert self.first.submit(path, page=path, edit_token=token).status_code == 302

    def confirm(self) -> None:
        assert self.second.submit(f"{self.page}confirm", page=self.page).status_code == 302

    def read_report(self) -> None:
        deliver(self.services)
        report = report_path(self.services, self.order_id)
        for path in (report, f"/c/o/{self.order_id}/"):
            assert SECRETS["text in the report"] in self.client.get(path).text
        for path in ("check/report", "check/report.pdf"):
            assert self.client.get(f"/c/o/{self.order_id}/{path}").status_code == 200

    def begin_adverse_action(self) -> None:
        """Send a notice, withdraw it, and send another one, which comes back and goes by post."""
        reason = SECRETS["reason of an adverse action"]
        form = {"jurisdiction": "us", "days": "5", "reason": reason}
        self.adverse("begin", **form)
        deliver(self.services)
        self.adverse("withdraw", reason=SECRETS["reason to withdraw it"])
        self.adverse("begin", **form)
        deliver(self.services)
        with self.services.db.writing() as session:  # the mail server says so
            check = Check.find(session, self.order_id)
            check.record_bounce(session, "", "pre_adverse", "550 5.1.1", self.services.now())
        form = {"notice": self.first.read_field(f"{self.page}adverse/", "notice")}
        form["way"] = SECRETS["other way of a notice"]
        self.adverse("other-way", **form)
        page = self.first.get_text(f"{self.page}adverse/")
        assert SECRETS["reason to withdraw it"] in page
        assert form["way"] in page

    def dispute(self) -> None:
        form = "check/disputes/jobs"
        unsent = {"reason": "", "text": SECRETS["text of an unsent dispute"]}
        picture = io.BytesIO(check_documents.jpeg())
        self.candidate(form, form, **unsent, file=(picture, SECRETS["name of a file"]))
        self.candidate(form, form, reason="not me", text=SECRETS["text of a dispute"])
        page = f"{form}/documents"
        picture = io.BytesIO(check_documents.png())
        self.candidate(page, page, file=(picture, SECRETS["name of a later file"]))
        with self.services.db.reading() as session:
            dispute = session.scalars(select(Dispute.public_id)).one()
        path = f"/console/disputes/{dispute}/"
        answer = SECRETS["answer to a dispute"]
        response = self.first.submit(path, page=path, answer=answer, outcome="corrected")
        assert response.status_code == 303, response.text
        for document in check_documents.dispute_documents(self.services, self.order_id):
            document_path = f"{self.page}documents/{document.public_id}"
            opened = self.first.submit(f"{document_path}/open", page=path, reason="dispute")
            assert opened.status_code == 303
            assert self.first.client.get(f"{document_path}/pages/1").mimetype == "image/jpeg"

    def correct_outcome(self) -> None:
        """Propose another text of the outcome, which a second person confirms."""
        path = f"{self.page}revise/jobs"
        form = {
            "seen": self.first.read_field(path, "seen"),
            "status": "consider",
            "report_text": SECRETS["text in the report after a correction"],
            "note": SECRETS["note after a correction"],
            "reason": SECRETS["reason to correct an outcome"],
        }
        assert self.first.submit(path, page=path, **form).status_code == 302
        assert form["reason"] in self.second.get_text(self.page)
        self.confirm()
        assert form["reason"] in self.first.get_text(self.page)
        deliver(self.services)

    def send_final_notice(self) -> None:
        now = self.clock.advance(timedelta(days=40))
        END_NOTICE_CLOCKS.run(self.services)
        with self.services.db.writing() as session:
            cookie = complete_sign_in(session, "admin@provider.test", "127.0.0.1", now)
        self.first.client.set_cookie("staff", cookie)
        self.adverse("final")
        deliver(self.services)

    def export(self) -> None:
        """Export and search the orders, and look at the pages of the staff's lists."""
        texts = [self.first.submit("/console/orders/export/").text]
        lists = [
            "orders/?q=canary",
            "orders/?q=quassia",
            "disputes/?state=ended",
            "screenings/",
            "audit/",
            "emails/",
            "deliveries/?state=any",
            "",
        ]
        texts += [self.first.get_text(f"/console/{path}") for path in lists]
        messages = sorted(
            set(re.findall(r'href="/console/(deliveries/[\w-]{22})"', "".join(texts)))
        )
        assert messages
        messages.append(f"orders/{self.order_id}")  # has the messages in its timeline
        self.pages["exports and lists"] = "\n".join(texts).encode()
        texts = [self.first.get_text(f"/console/{path}") for path in messages]
        self.pages["pages with messages"] = "\n".join(texts).encode()

    def candidate(self, path: str, page: str = "", **form: Any) -> None:
        """Send a form of the candidate's."""
        base = f"/c/o/{self.order_id}/"
        token = factories.csrf_token(self.client.get(base + page).text)
        data = {"csrf_token": token, **form}
        response = self.client.post(base + path, data=data, buffered=True)
        assert response.status_code in (303, 400), response.text

    def screen(self, target: str, page: str = "", **form: str) -> None:
        """Send a form from the page of the screening that staff do."""
        base = f"{self.page}screenings/jobs/"
        _require_done(self.first.submit(base + target, page=base + page, **form))

    def adverse(self, act: str, **form: str) -> None:
        path = f"{self.page}adverse/"
        _require_done(self.first.submit(path + act, page=path, **form))

    def _create_connector(self) -> None:
        with self.services.db.reading() as session:
            account = session.scalars(select(Account.public_id)).one()
        paths = {f"path-{name}": value for name, value in PATHS.items()}
        form = CONNECTOR_FORM | paths | {"url": f"{self.vendor.url}/orders"}
        form["request_template"] = json.dumps(TEMPLATE)
        path = f"/console/accounts/{account}/connectors/new"
        assert self.first.submit(path, page=path, **form).status_code == 201


def deliver(services: Services) -> None:
    dispatcher = Dispatcher(services)
    for channel in (CALLBACK, EMAIL, CONNECTOR):
        for queue in factories.queue_names(services, channel=channel):
            dispatcher.drain(queue)
    dispatcher.stop()


def repeat_order(vendor: FakeAts, code: int) -> Behaviour:
    """Return a behaviour that answers with the request in the body, as a vendor in an error may."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        respond_with_body(code, b"not an order: " + vendor.received[-1].body)(handler)

    return respond


def respond_with_body(code: int, body: bytes) -> Behaviour:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond


def _require_done(response: TestResponse) -> None:
    assert response.status_code in (302, 303), response.text
