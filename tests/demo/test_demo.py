"""`provider demo`, and its parts."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from provider.demo.ats import DemoAts, PlacedOrder, ReceivedCallback
from provider.demo.candidate import Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.forms import parse_page
from provider.demo.jobtrain import DemoJobtrain
from provider.demo.pageup import DemoPageUp
from provider.demo.scenario import CallbackChecker
from provider.demo.server import MARKER_FILE, DemoServer
from provider.demo.vendor import DemoVendor
from provider.demo.workable_rule import DemoWorkableApi
from provider.errors import Conflict, ProviderError

DEMO = [sys.executable, "-m", "provider.cli", "demo"]
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


def children(pid: int) -> list[int]:
    """Return the pids of all descendants of a process."""
    pids = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [descendant for pid in pids for descendant in [pid, *children(pid)]]


def run_automatically(tmp_path: Path, *options: str) -> str:
    """Run the automatic demo, which must succeed, and return its output."""
    command = [*DEMO, *options, "--auto", "--folder", str(tmp_path / "demo")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_automatic_demo_gets_every_status_and_exits_with_0(tmp_path: Path) -> None:
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


def test_automatic_greenhouse_demo_reads_the_score_and_exits_with_0(tmp_path: Path) -> None:
    output = run_automatically(tmp_path, "--ats", "greenhouse")
    assert output.count('"partner_status": "complete"') == 1
    assert output.count('"partner_status": "declined"') == 1
    assert '"partner_score": 90' in output
    assert "One PATCH came, with Greenhouse's own key" in output


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


def test_interactive_demo_prints_callbacks_and_ends_on_sigint(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--folder", str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert demo.stdout
        lines: list[str] = []
        while "Press Ctrl-C" not in (line := demo.stdout.readline()):
            assert line, lines
            lines.append(line)
        links = [line.strip() for line in lines if "/c/" in line]
        assert len(links) == 3
        console = next(line.strip() for line in lines if "/console/" in line)
        assert requests.get(console, timeout=20).ok
        Candidate(links[1]).decline("I have taken another job.")
        while '"status": "rejected"' not in (line := demo.stdout.readline()):
            assert line
        descendants = children(demo.pid)
        assert descendants
        os.killpg(demo.pid, signal.SIGINT)
        output, _ = demo.communicate(timeout=90)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.communicate()
    assert demo.returncode == 0, output
    assert "The demo has ended" in output
    assert not any(Path(f"/proc/{pid}").exists() for pid in descendants)


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


def test_receiver_refuses_callback_without_account_token() -> None:
    with DemoAts() as ats:
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

    def __init__(self, *callbacks: ReceivedCallback, polled: str = "rejected") -> None:
        super().__init__()
        self.orders[ORDER.path] = ORDER
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
    callbacks: list[ReceivedCallback], polled: str, problem: str
) -> None:
    with ScriptedAts(*callbacks, polled=polled) as ats:
        checker = CallbackChecker(ats, ConsoleOutput(), timeout_seconds=0.01)
        with pytest.raises(ProviderError, match=problem):
            checker.expect(ORDER, "rejected")


def test_checker_raises_for_extra_callback() -> None:
    callback = ReceivedCallback(ORDER.path, 1, {"status": "rejected"})
    with ScriptedAts(callback, callback) as ats:
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
