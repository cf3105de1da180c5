"""Interviews: candidates who record at the same time, a large take, and the first frame of a take.

nginx receives the same pieces with PUT, beside the server, and its files are synced to the disk:
the server has synced each piece before it acknowledges it.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from provider.core.kinds.interview.uploads import MAX_PIECE_BYTES
from tests import factories, interview_factories
from tests.bench import servers
from tests.bench.instance import BenchmarkInstance
from tests.bench.servers import ServerProcess
from tests.bench.table import Figure
from tests.conftest import CHROMIUM_FLAGS, CHROMIUM_PATH
from tests.take_sender import PIECE_TYPE, TakeSender

PIECE_SECONDS = 1.0  # of a recording in one piece
BYTES_PER_SECOND = 125_000  # 1 Mbit/s
UPLOAD_CONNECTIONS = 4
UPLOAD_ROUNDS = 5
MEGABYTE = 1e6
TIMEOUT_SECONDS = 120
GOAL_PIECE_MS, GOAL_HEALTH_MS, GOAL_FIRST_FRAME_MS = 200, 100, 300
MAX_MEMORY_GROWTH = 1.1
MAX_UPLOAD_MEMORY_MB = 64  # beside what the server has anyway
QUESTION = {"key": "why", "text": "Why?", "answer_seconds": 1800, "takes": 10}
FIRST_FRAME_SCRIPT = """url => new Promise((resolve, reject) => {
    const video = document.createElement("video");
    const begin = performance.now();
    video.addEventListener("loadeddata", () => resolve(performance.now() - begin));
    video.addEventListener("error", () => reject(new Error("it does not play")));
    video.preload = "auto";
    video.src = url;
})"""


class PieceClient:
    """Sends pieces over one connection that stays open."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._headers = headers

    def close(self) -> None:
        self._connection.close()

    def send(self, method: str, path: str, data: bytes = b"", **headers: str) -> float:
        """Send a request; return the seconds until its answer. RuntimeError for another status."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        began_at = monotonic()
        self._connection.request(method, path, data, self._headers | named)
        response = self._connection.getresponse()
        body = response.read()
        if response.status not in (200, 201, 204):
            raise RuntimeError(f"{method} {path} was answered with {response.status}: {body!r}")
        return monotonic() - began_at

    def send_piece(self, path: str, data: bytes, start: int, **headers: str) -> float:
        checksum = b64encode(sha256(data).digest()).decode()
        return self.send(
            "PATCH",
            path,
            data,
            Content_Type=PIECE_TYPE,
            Upload_Offset=str(start),
            Upload_Checksum=f"sha256 {checksum}",
            **headers,
        )


class Recorder(PieceClient):
    """A candidate who has announced a take."""

    def __init__(self, instance: BenchmarkInstance, server: ServerProcess, number: int) -> None:
        order = interview_factories.place_interview(
            instance.services,
            number,
            account=instance.account,
            questions=[QUESTION],
        )
        base_url = f"http://127.0.0.1:{server.port}"
        path = urlsplit(factories.invitation_url(instance.services, order)).path
        sender = TakeSender(base_url, base_url + path, order)
        self.path = urlsplit(sender.announce("take-1")).path
        cookies = sender.session.cookies.items()
        headers = {name: str(value) for name, value in sender.session.headers.items()}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies)
        sender.session.close()
        super().__init__(server.port, headers)


def measure_interviews(
    instance: BenchmarkInstance, candidates: int, seconds: float, upload_bytes: int, frames: int
) -> Iterator[Figure]:
    with servers.start_provider(instance.env) as server:
        yield from _measure_recording(instance, server, candidates, seconds)
    with servers.start_provider(instance.env) as server:
        yield from _measure_upload(instance, server, upload_bytes, UPLOAD_ROUNDS)
        yield _measure_first_frame(instance, server, frames)


def _measure_recording(
    instance: BenchmarkInstance, server: ServerProcess, candidates: int, seconds: float
) -> Iterator[Figure]:
    """Let candidates record at the same time, each a piece in a second."""
    recorders = [Recorder(instance, server, number) for number in range(candidates)]
    waits: list[float] = []
    memory_mb: list[float] = []
    piece = os.urandom(int(BYTES_PER_SECOND * PIECE_SECONDS))
    pieces = max(2, round(seconds / PIECE_SECONDS))
    began_at = monotonic() + 0.5

    def record(number: int) -> None:
        recorder = recorders[number]
        for index in range(pieces):
            due_at = began_at + (index + number / candidates) * PIECE_SECONDS
            sleep(max(0.0, due_at - monotonic()))
            waits.append(recorder.send_piece(recorder.path, piece, index * len(piece)))

    threads = [threading.Thread(target=record, args=(number,)) for number in range(candidates)]
    for thread in threads:
        thread.start()
    health: list[float] = []
    probe = PieceClient(server.port, {})
    while any(thread.is_alive() for thread in threads):
        health.append(probe.send("GET", "/health"))
        memory_mb.append(_memory_mb(server))
        sleep(0.05)
    for thread in threads:
        thread.join()
    for client in (probe, *recorders):
        client.close()
    if len(waits) < candidates * pieces:
        raise RuntimeError("some pieces were not saved")
    milliseconds = sorted(wait * 1e3 for wait in waits)
    yield Figure(
        f"a piece of a take, {candidates} candidates record at 1 Mbit/s, p99",
        _percentile(milliseconds, 99),
        GOAL_PIECE_MS,
        "ms",
        is_upper_limit=True,
        note=f"p50 {median(milliseconds):.1f} ms, at most {milliseconds[-1]:.0f} ms",
    )
    health_ms = sorted(wait * 1e3 for wait in health)
    yield Figure(
        "/health beside them, p99",
        _percentile(health_ms, 99),
        GOAL_HEALTH_MS,
        "ms",
        is_upper_limit=True,
        note=f"p50 {median(health_ms):.1f} ms",
    )
    quarter = max(1, len(memory_mb) // 4)
    early, late = max(memory_mb[: 2 * quarter]), max(memory_mb[-quarter:])
    yield Figure(
        "the server's memory at the end of it, to its first half",
        late / early,
        MAX_MEMORY_GROWTH,
        is_upper_limit=True,
        note=f"{early:.0f} → {late:.0f} MB",
    )


def _measure_upload(
    instance: BenchmarkInstance, server: ServerProcess, size: int, rounds: int
) -> Iterator[Figure]:
    """Send a large take alone, and then several at once in turns with nginx.

    The files of a turn are deleted, so that all but the first use the same memory as page cache.
    """
    before_mb, peak_mb = _memory_mb(server), 0.0
    recorder = Recorder(instance, server, 1000)
    piece = os.urandom(MAX_PIECE_BYTES)
    sent = 0
    began_at = monotonic()
    while sent < size:
        data = piece[: size - sent]
        end = {"Upload_Length": str(size)} if sent + len(data) == size else {}
        slowest = recorder.send_piece(recorder.path, data, sent, **end)
        sent += len(data)
        peak_mb = max(peak_mb, _memory_mb(server))
    rate = size / (monotonic() - began_at) / MEGABYTE
    recorder.close()
    yield Figure(
        f"memory for a take of {size / MEGABYTE:.0f} MB",
        max(0.0, peak_mb - before_mb),
        MAX_UPLOAD_MEMORY_MB,
        "MB",
        is_upper_limit=True,
        note=f"{rate:.0f} MB/s; its last piece took {slowest * 1e3:.0f} ms",
    )
    ratios, rates = [], []
    share = size // UPLOAD_CONNECTIONS
    with tempfile.TemporaryDirectory(dir=instance.env["PROVIDER_INSTANCE"]) as folder:
        for number in range(rounds):
            ours = _measure_our_rate(instance, server, 1001 + number * UPLOAD_CONNECTIONS, share)
            with _nginx(Path(folder) / str(number)) as port:
                theirs = _measure_nginx_rate(port, share)
            shutil.rmtree(Path(folder) / str(number))
            ratios.append(ours / theirs)
            rates.append((ours, theirs))
    ours, theirs = map(median, zip(*rates, strict=True))
    yield Figure(
        "bytes of takes, durable, to nginx that receives them to disk",
        median(ratios),
        0.5,
        note=f"{ours:.0f} and {theirs:.0f} MB/s over {UPLOAD_CONNECTIONS} connections, in turns",
    )


def _measure_our_rate(
    instance: BenchmarkInstance, server: ServerProcess, first: int, share: int
) -> float:
    """Send a take over each connection, and delete the files; return MB/s of all."""
    recorders = [Recorder(instance, server, first + number) for number in range(UPLOAD_CONNECTIONS)]
    piece = os.urandom(MAX_PIECE_BYTES)

    def send(number: int) -> None:
        client = recorders[number]
        for start in range(0, share, len(piece)):
            data = piece[: share - start]
            end = {"Upload_Length": str(share)} if start + len(data) == share else {}
            client.send_piece(client.path, data, start, **end)

    rate = _rate(send, share)
    for client in recorders:
        client.close()
    for key, _ in list(instance.services.media.list_files()):
        instance.services.media.delete(key)
    return rate


def _measure_nginx_rate(port: int, share: int) -> float:
    piece = os.urandom(MAX_PIECE_BYTES)

    def send(number: int) -> None:
        client = PieceClient(port, {})
        for start in range(0, share, len(piece)):
            sha256(piece).digest()  # the same work of the client
            client.send("PUT", f"/{number}-{start}", piece[: share - start])
        client.close()

    return _rate(send, share)


def _rate(send: Callable[[int], None], share: int) -> float:
    """Return MB/s of all connections, until the bytes are on the disk."""
    os.sync()
    began_at = monotonic()
    with ThreadPoolExecutor(UPLOAD_CONNECTIONS) as pool:
        list(pool.map(send, range(UPLOAD_CONNECTIONS)))
    os.sync()
    return share * UPLOAD_CONNECTIONS / (monotonic() - began_at) / MEGABYTE


def _measure_first_frame(instance: BenchmarkInstance, server: ServerProcess, count: int) -> Figure:
    """Measure how long a browser takes to show the first frame of a stored answer."""
    order = interview_factories.place_interview(instance.services, 2000, account=instance.account)
    take = interview_factories.record_answer(instance.services, order, "why")
    base_url = f"http://127.0.0.1:{server.port}"
    path = urlsplit(factories.invitation_url(instance.services, order)).path
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM_PATH, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.goto(base_url + path)
        page.goto(f"{base_url}/c/o/{order}/questions/1")
        url = f"{base_url}/c/o/{order}/takes/{take}"
        page.evaluate(FIRST_FRAME_SCRIPT, url)  # the browser loads its decoder
        waits = sorted(page.evaluate(FIRST_FRAME_SCRIPT, url) for _ in range(count))
        browser.close()
    return Figure(
        "the first frame of a stored answer in a browser, p99",
        _percentile(waits, 99),
        GOAL_FIRST_FRAME_MS,
        "ms",
        is_upper_limit=True,
        note=f"p50 {median(waits):.0f} ms",
    )


@contextmanager
def _nginx(folder: Path) -> Iterator[int]:
    """Run nginx that stores what is sent to it with PUT; return its port."""
    port = servers.free_port()
    (folder / "files").mkdir(parents=True)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port}; root {folder}/files; client_max_body_size 4m;\n"
        "location / { dav_methods PUT; } }\n}\n"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            servers.wait_for_port(port, lambda: process.poll() is None)
            yield port
        finally:
            process.terminate()


def _memory_mb(server: ServerProcess) -> float:
    """Return the resident memory of the server and its children."""
    return sum(server.memory_bytes()) / MEGABYTE


def _percentile(values: list[float], percent: int) -> float:
    return values[min(len(values) - 1, len(values) * percent // 100)]
