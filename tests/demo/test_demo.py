"""`provider demo`, and its parts."""

import fcntl
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from provider.cli import main
from provider.demo.ats import DemoAts, PlacedOrder, ReceivedCallback
from provider.demo.browser import Browser
from provider.demo.candidate import Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.forms import parse_page
from provider.demo.jobtrain import DemoJobtrain
from provider.demo.pageup import DemoPageUp
from provider.demo.ports import reserve_ports
from provider.demo.saved_demo import SavedDemo
from provider.demo.scenario import CallbackChecker
from provider.demo.server import MARKER_FILE, DemoServer
from provider.demo.vendor import DemoVendor
from provider.demo.workable_rule import DemoWorkableApi
from provider.errors import Conflict, NotFound, ProviderError
from tests.demo.running_demo import DEMO, running_demo, visit_all

ORDER = PlacedOrder("check", "id", "Screening", "Yusuf Demir", "y@candidate.test", "/callbacks/1")
PAGE = """
<a href="../decline">No thanks</a>
<form method="get" action="/search"><input name="q"></form>
<form method="post" action="/c/o/1/items/1">
  <input type="hidden" name="csrf_token" value="proof">
  <input type="checkbox" name="answer" value="a" id="one" checked><label for="one">Q1 </label>
  <label><input type="checkbox" name="answer" value="b" id="two"><b>Q</b>2</label>
  <textarea name="reason">so &amp; so</textarea>
  <button name="go" value="next">Next</button><button name="go" value="previous">Back</button>
  <input type="submit">
</form>
"""


def run_automatically(tmp_path: Path, *options: str) -> str:
    """Run the automatic demo, which must succeed, and return its output."""
    command = [*DEMO, *options, "--auto", "--folder", str(tmp_path / "demo")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def wait_for_page(url: str, text: str) -> None:
    """Load a page until it contains a text."""
    deadline = time.monotonic() + 30
    while text not in requests.get(url, timeout=20).text:
        assert time.monotonic() < deadline, f"{text} is missing"


def test_automatic_demo_gets_every_status_and_opens_again(tmp_path: Path) -> None:
    output = run_automatically(tmp_path)
    assert output.count('"status": "rejected"') == 1
    assert output.count('"status": "consented"') == 1
    assert output.count('"status": "pending"') == 1
    assert output.count('"status": "completed"') == 4
    assert '"overall_status": "consider"' in output
    assert '"grade": "excelled"' in output
    assert "All callbacks arrived in order" in output
    assert output.count("The rule has ordered numerical-reasoning for Nadia Petrova") == 1
    assert output.count("comments on Nadia Petrova: Numerical Reasoning: excelled") == 1
    assert "The comment with the report, and the evaluation, are in Workable" in output
    reports = re.findall(r"^Report: (\S+)", output, re.MULTILINE)
    assert len(reports) == 4
    assert f"provider demo --show {tmp_path / 'demo'}" in output
    with running_demo("--show", str(tmp_path / "demo")) as demo:
        statuses = visit_all(demo.address("The ATS"))
        assert set(reports) <= set(statuses)
        unavailable = [url for url, status in statuses.items() if status != 200]
        # The e-mail of an invitation that a second one has replaced.
        assert len(unavailable) == 1
        assert "/c/" in unavailable[0]
        assert f"demo --show {tmp_path / 'demo'}" in demo.stop()


def test_automatic_greenhouse_demo_reads_the_score_and_opens_again(tmp_path: Path) -> None:
    output = run_automatically(tmp_path, "--ats", "greenhouse")
    assert output.count('"partner_status": "complete"') == 1
    assert output.count('"partner_status": "declined"') == 1
    assert '"partner_score": 90' in output
    assert "One PATCH came, with Greenhouse's own key" in output
    reports = re.findall(r"^Report: (\S+)", output, re.MULTILINE)
    assert reports
    with running_demo("--show", str(tmp_path / "demo")) as demo:
        assert [requests.get(report, timeout=20).status_code for report in reports] == [200]
        assert requests.get(demo.address("The console"), timeout=20).ok


def test_automatic_pageup_demo_adds_the_result_tag_and_exits_with_0(tmp_path: Path) -> None:
    output = run_automatically(tmp_path, "--ats", "pageup")
    assert "reads the candidates who changed since" in output
    assert output.count("The rule has ordered numerical-reasoning") == 1
    assert output.count("gives Lakita Marrero the tag “Numerical Reasoning: excelled”") == 1
    assert "each request was signed" in output


def test_automatic_jobtrain_demo_returns_each_status_and_exits_with_0(tmp_path: Path) -> None:
    output = run_automatically(tmp_path, "--ats", "jobtrain")
    lines = [line for line in output.splitlines() if "returns the status" in line]
    assert [line.rpartition(": ")[2] for line in lines] == ["Requested", "In Progress", "Complete"]
    assert "reads who awaits a check: Yusuf Demir (Enhanced)" in output
    assert "Jobtrain has each status once" in output


def test_interactive_demo_continues_after_sigint(tmp_path: Path) -> None:
    folder = str(tmp_path / "demo")
    with running_demo("--folder", folder) as demo:
        assert len(demo.lines) < 12
        recruiter = Browser("the recruiter", f"{demo.address('The ATS')}candidates/mei-lindqvist")
        recruiter.follow("/order/check")
        form = recruiter.form("/order/check")
        recruiter.submit(form, {"product": [form.fields[0].value]})
        assert "Waiting for Mei Lindqvist" in recruiter.page.text
        demo.stop()
    with running_demo("--show", folder) as demo:
        recruiter.visit(demo.address("The inbox"))
        recruiter.follow("/inbox/")
        link = next(link for link in recruiter.page.links if "/c/" in link)
        Candidate(link).decline("I have taken another job.")
        wait_for_page(f"{demo.address('The ATS')}candidates/mei-lindqvist", "Declined")


def test_demo_does_not_empty_other_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="an empty folder"), DemoServer(tmp_path, ConsoleOutput()):
        raise AssertionError("unreachable")
    assert (tmp_path / "thesis.txt").exists()


def test_demo_empties_its_own_folder(tmp_path: Path) -> None:
    with DemoServer(tmp_path / "new", ConsoleOutput()):
        (tmp_path / "new" / "mail").mkdir()
        (tmp_path / "new" / "provider.db").write_text("old")
    with DemoServer(tmp_path / "new", ConsoleOutput()):
        assert [path.name for path in (tmp_path / "new").iterdir()] == [MARKER_FILE]


def test_second_demo_in_folder_is_refused(tmp_path: Path) -> None:
    with (tmp_path / MARKER_FILE).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(Conflict, match="A demo is running"),
            DemoServer(tmp_path, ConsoleOutput()),
        ):
            raise AssertionError("unreachable")


def test_failing_command_raises_its_error(tmp_path: Path) -> None:
    with (
        DemoServer(tmp_path, ConsoleOutput()) as server,
        pytest.raises(ProviderError, match="provider init"),
    ):
        server.run_command("seed")


def test_show_of_folder_without_demo_raises(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no demo to show"):
        SavedDemo.read(tmp_path)


def test_show_with_auto_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["demo", "--show", str(tmp_path), "--auto"])
    assert result.exit_code == 2
    assert "--show plays nothing" in result.output


def test_reserved_ports_are_refused_to_a_second_demo(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(Conflict, match="in use"):
        reserve_ports(port)
    with reserve_ports() as other:
        assert other.getsockname()[1] != port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Return a socket on the port of an ATS."""
    with reserve_ports() as listener:
        yield listener


def test_receiver_refuses_callback_without_account_token(
    tmp_path: Path, listener: socket.socket
) -> None:
    with DemoAts(tmp_path, listener) as ats:
        url = f"{ats.url}/callbacks/1"
        for token in ("", "Bearer nonsense", "Bearer ä"):
            wrong = {"Authorization": token.encode()}
            assert requests.put(url, json={}, headers=wrong, timeout=10).status_code == 401
        headers = {"Authorization": f"Bearer {ats.callback_token}", "X-Provider-Sequence": "3"}
        assert requests.put(url, json={"status": "x"}, headers=headers, timeout=10).ok
        assert ats.callbacks.get_nowait() == ReceivedCallback("/callbacks/1", 3, {"status": "x"})
        assert ats.unauthorized_paths == ["/callbacks/1"] * 3
        with pytest.raises(ProviderError, match="token"):
            CallbackChecker(ats, ConsoleOutput()).require_no_more()


@pytest.mark.parametrize(
    ("vendor_class", "path", "headers"),
    [
        (DemoPageUp, "/v2/candidates?page=1", {"Authorization": "APIAuth key:ä".encode()}),
        (DemoWorkableApi, "/spi/v3/candidates?stage=x", {"Authorization": "Bearer ä".encode()}),
        (DemoJobtrain, "/DBS/Awaiting?PageNo=1", {"ClientID": "1", "APIKey": "2"}),
    ],
)
def test_vendor_refuses_request_with_wrong_credentials(
    vendor_class: Callable[[], DemoVendor], path: str, headers: dict[str, str | bytes]
) -> None:
    with vendor_class() as vendor:
        response = requests.get(vendor.url + path, headers=headers, timeout=10)
        assert response.status_code == 401
        with pytest.raises(ProviderError, match="is wrong"):
            vendor.require_no_refusals()


def test_missing_result_of_vendor_raises(tmp_path: Path) -> None:
    output = ConsoleOutput()
    with (
        DemoJobtrain() as vendor,
        DemoServer(tmp_path, output) as server,
        pytest.raises(ProviderError, match="No status came within"),
    ):
        vendor.wait_for(server, output, lambda: vendor.statuses, "No status came", 0.01)


class ScriptedAts(DemoAts):
    """An ATS with given callbacks and a given answer to polling."""

    def __init__(
        self,
        folder: Path,
        listener: socket.socket,
        *callbacks: ReceivedCallback,
        polled: str = "rejected",
    ) -> None:
        super().__init__(folder, listener)
        self.records.add_order(ORDER)
        self.polled = polled
        for callback in callbacks:
            self.callbacks.put(callback)

    def poll(self, order: PlacedOrder) -> dict[str, str]:
        return {"status": self.polled}


@pytest.mark.parametrize(
    ("callbacks", "polled", "problem"),
    [
        ([], "rejected", "No callback with “rejected”"),
        (
            [ReceivedCallback(ORDER.path, 1, {"status": "expired"})],
            "expired",
            "Expected “rejected”",
        ),
        ([ReceivedCallback(ORDER.path, 0, {"status": "rejected"})], "rejected", "out of order"),
        ([ReceivedCallback(ORDER.path, 1, {"status": "rejected"})], "pending", "differs"),
    ],
)
def test_checker_raises_for_wrong_callback(
    callbacks: list[ReceivedCallback],
    polled: str,
    problem: str,
    tmp_path: Path,
    listener: socket.socket,
) -> None:
    with ScriptedAts(tmp_path, listener, *callbacks, polled=polled) as ats:
        checker = CallbackChecker(ats, ConsoleOutput(), timeout_seconds=0.01)
        with pytest.raises(ProviderError, match=problem):
            checker.expect(ORDER, "rejected")


def test_checker_raises_for_extra_callback(tmp_path: Path, listener: socket.socket) -> None:
    callback = ReceivedCallback(ORDER.path, 1, {"status": "rejected"})
    with ScriptedAts(tmp_path, listener, callback, callback) as ats:
        checker = CallbackChecker(ats, ConsoleOutput())
        checker.expect(ORDER, "rejected")
        with pytest.raises(ProviderError, match="Unexpected callback"):
            checker.require_no_more()


def test_parse_page_reads_links_forms_and_labels() -> None:
    page = parse_page(PAGE, "http://provider.test/c/o/1/items/1")
    assert page.links == ["../decline"]
    form = page.form("/items/")
    assert form
    assert [field.label for field in form.questions()["answer"]] == ["Q1", "Q2"]
    data = [("csrf_token", "proof"), ("answer", "a"), ("reason", "so & so"), ("go", "next")]
    assert form.form_data({}) == data
    assert ("answer", "b") in form.form_data({"answer": ["b"]})
    assert ("answer", "a") not in form.form_data({"answer": ["b"]})
    assert page.form("/search") is None
