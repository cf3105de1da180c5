"""The pages of the demo's ATS: what they show of callbacks and e-mails, and what they refuse."""

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from provider.demo.ats import DemoAts, PlacedOrder
from provider.demo.ats.records import AtsRecords
from provider.demo.mailbox import Mailbox
from provider.demo.ports import reserve_ports
from provider.errors import NotFound

MOMENT = datetime(2026, 11, 29, 10, tzinfo=UTC)
PATH = "/callbacks/1"
ORDER = PlacedOrder(
    "check", "id", "Screening", "Yusuf Demir", "yusuf.demir@candidate.test", PATH, placed_at=MOMENT
)
COMPLETED: dict[str, object] = {
    "status": "completed",
    "results_url": "http://127.0.0.1:1/r/1",
    "check": {"overall_status": "consider", "result": [{"name": "Identity", "status": "clear"}]},
    "attachments": [],
}


@pytest.fixture
def ats(tmp_path: Path) -> Iterator[DemoAts]:
    """Return an ATS with one order, whose server does not answer."""
    with reserve_ports() as listener, socket.socket() as unused, DemoAts(tmp_path, listener) as ats:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        ats.connect(f"http://127.0.0.1:{unused.getsockname()[1]}", "token")
        ats.records.add_order(ORDER)
        yield ats


def send_callback(ats: DemoAts, sequence: int, body: dict[str, object]) -> None:
    headers = {
        "Authorization": f"Bearer {ats.callback_token}",
        "X-Provider-Sequence": str(sequence),
    }
    assert requests.put(ats.url + PATH, json=body, headers=headers, timeout=10).status_code == 200


def card_of_yusuf(ats: DemoAts) -> str:
    """Return the words of the card of Yusuf's order."""
    text = requests.get(f"{ats.url}/candidates/yusuf-demir", timeout=10).text
    card = text[text.index("<article") : text.index("</article>")]
    return " ".join(re.sub(r"<pre>.*?</pre>|<[^>]+>", " ", card, flags=re.DOTALL).split())


def write_email(folder: Path, name: str, text: str, html: str) -> None:
    message = EmailMessage()
    message["To"], message["Subject"] = ORDER.email, "Your check"
    message["Date"] = "Sun, 29 Nov 2026 10:00:00 +0000"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    (folder / "mail").mkdir(exist_ok=True)
    (folder / "mail" / f"{name}.eml").write_bytes(message.as_bytes())


def test_card_without_callback_waits_for_the_candidate(ats: DemoAts) -> None:
    assert "Waiting for Yusuf Demir: the invitation is in the inbox" in card_of_yusuf(ats)


def test_card_shows_callbacks_in_the_order_of_their_sequence(ats: DemoAts) -> None:
    send_callback(ats, 2, COMPLETED)
    send_callback(ats, 1, {"status": "consented"})
    card = card_of_yusuf(ats)
    assert card.startswith("Background check Screening Completed Consider Identity Clear")
    assert re.search("Ordered by the recruiter .* Consented .* Completed", card)
    assert "Open the report" in card


def test_card_of_reopened_order_hides_the_result(ats: DemoAts) -> None:
    send_callback(ats, 1, COMPLETED)
    send_callback(ats, 2, {"status": "pending"})
    card = card_of_yusuf(ats)
    assert card.startswith("Background check Screening Waiting for the candidate")
    assert "Open the report" not in card


def test_records_are_the_same_after_loading(ats: DemoAts, tmp_path: Path) -> None:
    send_callback(ats, 1, {"status": "consented"})
    records = AtsRecords(tmp_path)
    assert records.find_order(PATH) == ORDER
    assert records.list_callbacks(ORDER) == ats.records.list_callbacks(ORDER)
    assert records.list_callbacks(ORDER)[0].received_at


def test_order_page_without_server_says_so(ats: DemoAts) -> None:
    response = requests.get(f"{ats.url}/candidates/yusuf-demir/order/check", timeout=10)
    assert response.status_code == 502
    assert "The provider’s server does not answer" in response.text


@pytest.mark.parametrize(
    "path",
    ["/jobs/x", "/candidates/x", "/candidates/yusuf-demir/order/x", "/inbox/x", "/shared-links/x"],
)
def test_page_with_unknown_id_answers_404(ats: DemoAts, path: str) -> None:
    response = requests.get(ats.url + path, timeout=10)
    assert response.status_code == 404
    assert "This did not work" in response.text


@pytest.mark.parametrize("origin", ["http://other.test", "null"])
def test_form_of_another_site_is_refused(ats: DemoAts, origin: str) -> None:
    url = f"{ats.url}/candidates/yusuf-demir/order/check"
    assert requests.post(url, headers={"Origin": origin}, timeout=10).status_code == 403
    assert requests.post(url, headers={"Origin": ats.url}, timeout=10).status_code == 502


def test_page_under_another_host_is_refused(ats: DemoAts) -> None:
    response = requests.get(ats.url, headers={"Host": "other.test"}, timeout=10)
    assert response.status_code == 400


def test_email_runs_no_script(ats: DemoAts, tmp_path: Path, page: Page) -> None:
    script = "<script>document.querySelector('p').textContent = 'changed'</script>"
    write_email(tmp_path, "1", "Hello", f"<html><head></head><body><p>Hello</p>{script}</body>")
    for path in ("/inbox/1", "/inbox/1/body"):
        page.goto(ats.url + path)  # until the scripts have run
        place = page.frame_locator("iframe") if path == "/inbox/1" else page
        expect(place.get_by_role("paragraph").first).to_have_text("Hello")


def test_mailbox_lists_emails_of_one_address(tmp_path: Path) -> None:
    write_email(tmp_path, "1", "See http://provider.test/c/1 soon", "")
    mailbox = Mailbox(tmp_path / "mail")
    (email,) = mailbox.list_emails(ORDER.email)
    assert email.find_link("http://provider.test/c/") == "http://provider.test/c/1"
    assert mailbox.list_emails("other@candidate.test") == []
    with pytest.raises(NotFound):
        mailbox.find("../mail/1")
