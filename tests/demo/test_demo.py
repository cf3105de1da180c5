"""The demo, as somebody runs it who has never seen the project."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from provider.demo.ats import DemoAts, PlacedOrder, ReceivedCallback
from provider.demo.candidate import Candidate
from provider.demo.console_output import ConsoleOutput
from provider.demo.forms import parse_page
from provider.demo.scenario import CallbackChecker
from provider.demo.server import MARKER_FILE, DemoServer
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


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo's programs run without the tests' coverage: they start half as fast with it."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, found) for each in [child, *children(child)]]


def test_played_automatically_it_ends_with_0_after_every_status(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--auto", "--folder", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"status": "rejected"') == 1
    assert done.stdout.count('"status": "consented"') == 1
    assert done.stdout.count('"status": "pending"') == 1
    assert done.stdout.count('"status": "completed"') == 4
    assert '"overall_status": "consider"' in done.stdout
    assert '"grade": "excelled"' in done.stdout
    assert "All arrived, in order" in done.stdout


def test_played_by_hand_it_shows_links_and_what_lands_and_ends_clean(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--folder", str(tmp_path / "demo")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert demo.stdout
        shown: list[str] = []
        while "Ctrl-C ends" not in (line := demo.stdout.readline()):
            assert line, shown
            shown.append(line)
        links = [line.strip() for line in shown if "/c/" in line]
        assert len(links) == 3
        console = next(line.strip() for line in shown if "/console/" in line)
        assert requests.get(console, timeout=20).ok
        Candidate(links[1]).decline("I have taken another job.")
        while '"status": "rejected"' not in (line := demo.stdout.readline()):
            assert line
        others = children(demo.pid)
        assert others
        os.killpg(demo.pid, signal.SIGINT)
        rest, _ = demo.communicate(timeout=90)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.communicate()
    assert demo.returncode == 0, rest
    assert "The demo has ended" in rest
    assert not any(Path(f"/proc/{each}").exists() for each in others)


def test_it_empties_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="an empty folder"), DemoServer(tmp_path, ConsoleOutput()):
        raise AssertionError("unreachable")
    assert (tmp_path / "thesis.txt").exists()


def test_it_begins_afresh_in_its_own_folder(tmp_path: Path) -> None:
    with DemoServer(tmp_path / "new", ConsoleOutput()):
        (tmp_path / "new" / "mail").mkdir()
        (tmp_path / "new" / "provider.db").write_text("old")
    with DemoServer(tmp_path / "new", ConsoleOutput()):
        assert [each.name for each in (tmp_path / "new").iterdir()] == [MARKER_FILE]


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / MARKER_FILE).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(Conflict, match="A demo is running"),
            DemoServer(tmp_path, ConsoleOutput()),
        ):
            raise AssertionError("unreachable")


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    with (
        DemoServer(tmp_path, ConsoleOutput()) as stage,
        pytest.raises(ProviderError, match="provider init"),
    ):
        stage.run_command("seed")


def test_the_receiver_refuses_a_callback_without_the_accounts_token() -> None:
    with DemoAts() as ats:
        url = f"{ats.url}/callbacks/1"
        for token in ("", "Bearer nonsense", "Bearer ä"):
            headers = {"Authorization": token.encode()}
            assert requests.put(url, json={}, headers=headers, timeout=10).status_code == 401
        right = {"Authorization": f"Bearer {ats.callback_token}", "X-Provider-Sequence": "3"}
        assert requests.put(url, json={"status": "x"}, headers=right, timeout=10).ok
        assert ats.callbacks.get_nowait() == ReceivedCallback("/callbacks/1", 3, {"status": "x"})
        assert ats.unauthorized_paths == ["/callbacks/1"] * 3
        with pytest.raises(ProviderError, match="token"):
            CallbackChecker(ats, ConsoleOutput()).require_no_more()


class Deaf(DemoAts):
    """An ATS that polls what it is told to hear."""

    def __init__(self, *puts: ReceivedCallback, polled: str = "rejected") -> None:
        super().__init__()
        self.orders[ORDER.path] = ORDER
        self.polled = polled
        for put in puts:
            self.callbacks.put(put)

    def poll(self, placed: PlacedOrder) -> dict[str, str]:
        return {"status": self.polled}


@pytest.mark.parametrize(
    ("puts", "polled", "problem"),
    [
        ([], "rejected", "No callback said “rejected”"),
        (
            [ReceivedCallback(ORDER.path, 1, {"status": "expired"})],
            "expired",
            "Expected “rejected”",
        ),
        ([ReceivedCallback(ORDER.path, 0, {"status": "rejected"})], "rejected", "out of order"),
        ([ReceivedCallback(ORDER.path, 1, {"status": "rejected"})], "pending", "otherwise"),
    ],
)
def test_whatever_is_heard_wrongly_is_told(
    puts: list[ReceivedCallback], polled: str, problem: str
) -> None:
    with Deaf(*puts, polled=polled) as ats, pytest.raises(ProviderError, match=problem):
        CallbackChecker(ats, ConsoleOutput(), timeout_seconds=0.01)(ORDER, "rejected")


def test_a_callback_too_many_is_told() -> None:
    put = ReceivedCallback(ORDER.path, 1, {"status": "rejected"})
    with Deaf(put, put) as ats:
        hear = CallbackChecker(ats, ConsoleOutput())
        hear(ORDER, "rejected")
        with pytest.raises(ProviderError, match="too many"):
            hear.require_no_more()


def test_a_form_is_read_as_a_browser_without_scripts_reads_it() -> None:
    page = parse_page(PAGE, "http://provider.test/c/o/1/items/1")
    assert page.links == ["../decline"]
    form = page.form("/items/")
    assert form
    assert [each.label for each in form.questions()["answer"]] == ["Q1", "Q2"]
    kept = [("csrf_token", "proof"), ("answer", "a"), ("reason", "so & so"), ("go", "next")]
    assert form.form_data({}) == kept
    assert ("answer", "b") in form.form_data({"answer": ["b"]})
    assert ("answer", "a") not in form.form_data({"answer": ["b"]})
    assert page.form("/search") is None
