"""Takes that are being sent while the server is killed with SIGKILL and started again."""

import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import av
import pytest

from provider.clock import Clock
from provider.core.kinds.interview import READY, Interview
from provider.services import Services
from tests import factories, interview_factories
from tests.core.kinds.interview.recordings import FRAME_RATE, recorded
from tests.endurance.server import Instance
from tests.take_sender import TakeSender

SEED = 20261129
SECONDS = 8  # of each take
TAKES = 3  # at the same time, each of another candidate
KILLS = 3
PIECE_BYTES = 100
KILL_AFTER_BYTES = (1_000, 3_000)

pytestmark = pytest.mark.machine_time


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    (tmp_path / "instance").mkdir()
    return Instance(tmp_path / "instance")


def count_frames(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def test_takes_survive_kills_of_the_server(instance: Instance, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    data = recorded(tmp_path, "webm", seconds=SECONDS).read_bytes()
    with instance.open_services(Clock()) as services:
        account, _ = factories.create_account(services)
        orders = [
            interview_factories.place_interview(services, number, account=account)
            for number in range(TAKES)
        ]
        url = services.settings.base_url
        server = instance.start_server().wait_until_ready()
        senders = [
            TakeSender(url, factories.invitation_url(services, order), order) for order in orders
        ]
        uploads = [sender.announce("take-1") for sender in senders]
        threads = [
            threading.Thread(target=sender.send, args=(upload, data, PIECE_BYTES))
            for sender, upload in zip(senders, uploads, strict=True)
        ]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            goal = senders[0].state(uploads[0])["offset"] + rng.randint(*KILL_AFTER_BYTES)
            senders[0].wait_for(uploads[0], partial(is_beyond, goal, len(data)))
            server.kill()
            server = instance.start_server().wait_until_ready()
        for thread in threads:
            thread.join()
        instance.expire_leases()  # of a dead server that has begun to read a recording
        for sender, upload in zip(senders, uploads, strict=True):
            assert sender.state(upload)["state"] in ("saved", "checked")
            sender.wait_for(upload, lambda state: state["state"] == "checked")
            sender.session.close()
        server.stop()
        for order in orders:
            assert_plays_whole(services, order, data, tmp_path)


def is_beyond(goal: int, size: int, state: dict[str, Any]) -> bool:
    return bool(state["offset"] >= min(goal, size))


def assert_plays_whole(services: Services, order: str, data: bytes, folder: Path) -> None:
    """The only recording of an interview has all bytes, and its copy has all frames."""
    with services.db.reading() as session:
        (recording,) = Interview.find(session, order).recordings
        assert recording.state == READY
        assert recording.seconds == pytest.approx(SECONDS, abs=0.2)
    services.media.fetch(recording.original_key, folder / "original")
    assert (folder / "original").read_bytes() == data
    services.media.fetch(recording.copy_key, folder / "copy")
    assert count_frames(folder / "copy") == SECONDS * FRAME_RATE
