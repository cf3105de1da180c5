"""Pieces of a take that a proxy changes on their way: the saved take is the recorded one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route

from tests.conftest import LiveServer
from tests.web.candidate.test_interview_faults_browser import (
    UPLOAD_URLS,
    expect_whole_take,
)
from tests.web.recording import (
    LONG_QUESTION,
    RecordedTakes,
    expect_saved,
    order_interview,
    press,
    start_interview,
    start_recording,
    wait_for_chunks,
)

CHANGED_PIECE = 2  # neither the first nor the last one


@pytest.fixture
def takes(page: Page) -> RecordedTakes:
    return RecordedTakes(page.context)


@pytest.fixture
def invited(live_server: LiveServer) -> str:
    return order_interview(live_server.services, [LONG_QUESTION])


def replay(route: Route, body: bytes) -> int:
    """Let a piece arrive twice; the page gets the answer to the second one."""
    assert route.fetch().status == 204
    answer = route.fetch()
    route.fulfill(response=answer)
    return answer.status


def reorder(route: Route, body: bytes) -> int:
    """Let the bytes behind a piece arrive first."""
    headers = route.request.headers
    later = str(int(headers["upload-offset"]) + len(body))
    answer = route.fetch(headers=headers | {"upload-offset": later})
    route.fulfill(response=answer)
    return answer.status


def shorten(route: Route, body: bytes) -> int:
    """Let a half of a piece arrive."""
    answer = route.fetch(post_data=body[: len(body) // 2])
    route.fulfill(response=answer)
    return answer.status


def replace(route: Route, body: bytes) -> int:
    """Let other bytes arrive instead of a piece."""
    answer = route.fetch(post_data=bytes(len(body)))
    route.fulfill(response=answer)
    return answer.status


@pytest.mark.parametrize(
    ("change", "status"), [(replay, 409), (reorder, 409), (shorten, 460), (replace, 460)]
)
def test_changed_piece_in_the_middle_changes_no_take(
    live_server: LiveServer,
    page: Page,
    invited: str,
    takes: RecordedTakes,
    tmp_path: Path,
    change: Callable[[Route, bytes], int],
    status: int,
) -> None:
    sizes: list[int] = []
    statuses: list[int] = []

    def send(route: Route) -> None:
        body = route.request.post_data_buffer
        if route.request.method == "PATCH" and body:
            sizes.append(len(body))
            if len(sizes) == CHANGED_PIECE:
                statuses.append(change(route, body))
                return
        route.continue_()

    start_interview(page, live_server.services, invited)
    page.route(UPLOAD_URLS, send)
    start_recording(page)
    for _ in range(50):
        page.wait_for_timeout(200)
        if statuses:
            break
    wait_for_chunks(page, 1)
    press(page, "Stop and save")
    expect_saved(page)
    assert statuses == [status]
    assert len(sizes) > CHANGED_PIECE
    expect_whole_take(live_server, page, invited, takes, tmp_path)
