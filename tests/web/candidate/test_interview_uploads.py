"""Takes in pieces: admission, each wrong piece, two tabs, the quota, and abandoned uploads."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

import provider
from provider.app import create_app
from provider.config import Settings
from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.questions import Question
from provider.core.kinds.interview.uploads import (
    ABANDONED_AFTER,
    AGREED_BYTES_PER_SECOND,
    DISCARD_ABANDONED_UPLOADS,
    MAX_PIECE_BYTES,
    Upload,
    UploadPiece,
    quota_bytes,
)
from provider.core.scheduled import run_if_due
from provider.services import Services
from tests import factories, interview_factories
from tests.factories import ManualClock
from tests.web.candidate.test_interview import (
    BYTES,
    WEBM,
    announce,
    csrf_token,
    metadata,
    saved_takes,
    send_piece,
    stored_files,
    upload,
)
from tests.web.candidate.test_interview import invited as invited
from tests.web.candidate.test_interview import started as started
from tests.web.candidate.test_pages import open_invitation

DATA = bytes(range(250)) * 12
HALF = 1000  # bytes of the first piece


@pytest.fixture
def half_sent(client: FlaskClient, started: str) -> str:
    """Return the URL of an upload of DATA of which HALF bytes have arrived."""
    url = announce(client, started, data=DATA).headers["Location"]
    assert send_piece(client, url, DATA[:HALF], 0).status_code == 204
    return url


def offset(client: FlaskClient, url: str) -> int:
    response = client.head(url)
    assert response.headers["Cache-Control"] == "no-store"
    return int(response.headers["Upload-Offset"])


def original_bytes(services: Services, recording_id: str) -> bytes:
    key = f"recordings/{recording_id}/original"
    return b"".join(services.media.read_range(key, 0, services.media.size(key)))


def count_rows(services: Services) -> int:
    with services.db.reading() as session:
        return len(session.scalars(select(Upload)).all()) + len(
            session.scalars(select(UploadPiece)).all()
        )


def test_take_in_pieces_is_saved_whole(
    client: FlaskClient, services: Services, started: str
) -> None:
    data = bytes(range(256)) * 10_000
    response = upload(client, started, data=data)
    assert response.status_code == 201
    saved = response.json["saved"]  # type: ignore[index]
    assert response.json["takes_left"] == 1  # type: ignore[index]
    assert response.headers["Upload-Offset"] == str(len(data))
    assert original_bytes(services, saved) == data
    assert stored_files(services) == {f"recordings/{saved}/original"}
    assert count_rows(services) == 0


def test_announcing_again_tells_where_to_go_on(
    client: FlaskClient, services: Services, started: str, half_sent: str
) -> None:
    again = announce(client, started, data=DATA)
    assert (again.headers["Location"], again.headers["Upload-Offset"]) == (half_sent, str(HALF))
    assert offset(client, half_sent) == HALF
    last = send_piece(client, half_sent, DATA[HALF:], HALF)
    assert last.status_code == 201
    assert original_bytes(services, last.json["saved"]) == DATA  # type: ignore[index]
    assert client.head(half_sent).status_code == 404
    assert announce(client, started, data=DATA).json == last.json


@pytest.mark.parametrize(
    ("changes", "status_code", "error"),
    [
        ({"Upload_Metadata": None}, 415, "This is not a recording that can be saved"),
        ({"Upload_Metadata": metadata(filetype="text/html")}, 415, "This is not a recording"),
        ({"Upload_Metadata": metadata(filetype="video/webm<script>")}, 415, "This is not"),
        ({"Upload_Metadata": metadata(filetype=f"{WEBM};{'x' * 100}")}, 415, "This is not"),
        ({"Upload_Metadata": "filetype %%%,sha256"}, 415, "This is not a recording"),
        ({"Upload_Metadata": metadata(sha256="nonsense")}, 400, "The recording is empty, or came"),
        ({"Upload_Length": None}, 400, "The recording is empty, or came without its length"),
        ({"Upload_Length": "0"}, 400, "The recording is empty"),
        ({"Upload_Length": "-1"}, 400, "The recording is empty"),
        ({"Upload_Length": "9" * 5000}, 400, "The recording is empty"),
        ({"Upload_Length": "9" * 11}, 409, "The recordings of this interview are larger"),
        ({"X_CSRFToken": None}, 400, None),
    ],
)
def test_wrong_announcement_has_one_clear_answer(
    client: FlaskClient,
    services: Services,
    started: str,
    changes: dict[str, str | None],
    status_code: int,
    error: str | None,
) -> None:
    response = announce(client, started, 1, BYTES, **changes)
    assert response.status_code == status_code
    assert response.json
    assert str(response.json.get("error")).startswith(str(error))
    assert (count_rows(services), stored_files(services)) == (0, set())


def test_full_disk_refuses_an_announcement_and_a_piece(
    client: FlaskClient,
    services: Services,
    started: str,
    half_sent: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = (count_rows(services), stored_files(services))
    usage = SimpleNamespace(total=100_000_000_000, free=999_999_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with capture_logs():
        refusals = [
            announce(client, started, 2, BYTES),
            send_piece(client, half_sent, DATA[HALF:], HALF),
        ]
    assert [response.status_code for response in refusals] == [503, 503]
    assert all("Retry-After" in response.headers for response in refusals)
    assert (count_rows(services), stored_files(services)) == before


@pytest.mark.parametrize(("min_free_bytes", "status_code"), [(5_000, 201), (5_001, 503)])
def test_free_space_of_the_settings_decides_about_an_upload(
    settings: Settings,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    min_free_bytes: int,
    status_code: int,
) -> None:
    services = factories.build_services(replace(settings, min_free_bytes=min_free_bytes), clock)
    interview = interview_factories.place_interview(services)
    client = create_app(services).test_client()
    open_invitation(client, services, interview)
    usage = SimpleNamespace(total=100_000_000_000, free=5_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with capture_logs():
        assert announce(client, interview).status_code == status_code
    services.db.close()


@pytest.mark.parametrize(
    ("start", "data", "changes", "status_code", "error"),
    [
        (0, DATA[:HALF], {}, 409, "The piece begins at another place than expected"),
        (0, DATA, {}, 409, "The piece begins at another place than expected"),
        (2000, DATA[2000:], {}, 409, "The piece begins at another place than expected"),
        (HALF, DATA[HALF:] + b"x", {}, 400, "The piece goes beyond the announced length"),
        (HALF, b"", {}, 400, "The piece is empty"),
        (HALF, bytes(MAX_PIECE_BYTES + 1), {}, 413, "A piece of a recording should have at most"),
        (HALF, DATA[HALF:], {"Content_Type": WEBM}, 415, "A piece of a recording should be"),
        (HALF, DATA[HALF:], {"Content_Type": None}, 415, "A piece of a recording should be"),
        (HALF, DATA[HALF:], {"Upload_Offset": None}, 400, "The piece came without its Upload-Off"),
        (HALF, DATA[HALF:], {"Upload_Offset": "-1"}, 400, "The piece came without its Upload-Off"),
        (HALF, DATA[HALF:-9], {"Content_Length": "2000"}, 400, "The piece did not arrive whole"),
        (HALF, DATA[HALF:], {"X_CSRFToken": None}, 400, None),
    ],
)
def test_wrong_piece_has_one_clear_answer_and_loses_nothing(
    client: FlaskClient,
    services: Services,
    half_sent: str,
    start: int,
    data: bytes,
    changes: dict[str, str | None],
    status_code: int,
    error: str | None,
) -> None:
    response = send_piece(client, half_sent, data, start, **changes)
    assert response.status_code == status_code
    assert response.json
    assert str(response.json.get("error")).startswith(str(error))
    assert response.headers.get("Upload-Offset") == (str(HALF) if status_code == 409 else None)
    assert offset(client, half_sent) == HALF
    assert len(stored_files(services)) == 1
    last = send_piece(client, half_sent, DATA[HALF:], HALF)
    assert original_bytes(services, last.json["saved"]) == DATA  # type: ignore[index]


def cancel(services: Services, order: str) -> None:
    with services.db.writing() as session:
        Interview.find(session, order).cancel(session, "sam", "Filled", services.now())


def submit(services: Services, order: str) -> None:
    with services.db.writing() as session:
        Interview.find(session, order).submit(session, services.now(), actor="system")


def complete(services: Services, order: str) -> None:
    submit(services, order)
    with services.db.writing() as session:
        interview = Interview.find(session, order)
        interview.conclude(session, services.secret_box, "", "sam", services.now())


def expire(services: Services, order: str) -> None:
    assert isinstance(services.clock, ManualClock)
    services.clock.advance(timedelta(days=8))


def fill_quota(services: Services, order: str) -> None:
    """Let another take have received almost all bytes that are allowed."""
    with services.db.writing() as session:
        interview = Interview.find(session, order)
        allowed = quota_bytes(interview.questions)
        now = services.now()
        size = allowed - len(DATA) + 1
        other = Upload(order_id=interview.id, question="when", mime=WEBM, size=size)
        other.sha256, other.received, other.created_at, other.received_at = "0" * 64, size, now, now
        session.add(other)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (cancel, "This invitation is no longer open"),
        (complete, "This invitation is no longer open"),
        (expire, "The time for this interview is over"),
        (submit, "This interview has already been submitted"),
        (fill_quota, "The recordings of this interview are larger than it allows"),
    ],
)
def test_upload_to_an_interview_that_takes_no_more_is_refused(
    client: FlaskClient,
    services: Services,
    started: str,
    half_sent: str,
    end: Callable[[Services, str], None],
    error: str,
) -> None:
    token = csrf_token(client, started)
    before = stored_files(services)
    end(services, started)
    for response in (
        send_piece(client, half_sent, DATA[HALF:-1], HALF, X_CSRFToken=token),
        send_piece(client, half_sent, DATA[HALF:], HALF, X_CSRFToken=token),
        announce(client, started, data=DATA, X_CSRFToken=token),
        announce(client, started, data=BYTES * 4, X_CSRFToken=token),
    ):
        assert response.status_code == 409
        assert response.json == {"error": error, "next": f"/c/o/{started}/"}
    assert stored_files(services) == before
    assert saved_takes(services, started) == []


def test_piece_refused_while_it_is_stored_leaves_no_file(
    client: FlaskClient, services: Services, started: str, half_sent: str
) -> None:
    put = services.media.put
    before = stored_files(services)

    def put_and_cancel(key: str, chunks: list[bytes]) -> object:
        stored = put(key, chunks)
        cancel(services, started)
        return stored

    token = csrf_token(client, started)
    services.media.put = put_and_cancel  # type: ignore[method-assign, assignment]
    assert send_piece(client, half_sent, b"x", HALF, X_CSRFToken=token).status_code == 409
    assert stored_files(services) == before


def test_two_tabs_that_send_one_take_save_it_once(
    client: FlaskClient, services: Services, started: str, half_sent: str
) -> None:
    put = services.media.put
    statuses = []

    def put_beside_another_tab(key: str, chunks: list[bytes]) -> object:
        services.media.put = put  # type: ignore[method-assign]
        statuses.append(send_piece(client, half_sent, DATA[HALF:2500], HALF).status_code)
        return put(key, chunks)

    services.media.put = put_beside_another_tab  # type: ignore[method-assign, assignment]
    late = send_piece(client, half_sent, DATA[HALF:2000], HALF)
    assert statuses == [204]
    assert (late.status_code, late.headers["Upload-Offset"]) == (409, "2500")
    assert len(stored_files(services)) == 2
    last = send_piece(client, half_sent, DATA[2500:], 2500)
    assert original_bytes(services, last.json["saved"]) == DATA  # type: ignore[index]
    assert send_piece(client, half_sent, DATA[2500:], 2500).status_code == 404
    assert len(stored_files(services)) == 1


def test_take_whose_pieces_are_gone_begins_anew(
    client: FlaskClient, services: Services, started: str, half_sent: str
) -> None:
    services.media.delete_folder("uploads")
    last = send_piece(client, half_sent, DATA[HALF:], HALF)
    assert (last.status_code, last.json) == (
        400,
        {"error": "The recording did not arrive whole. Please send it again"},
    )
    assert (count_rows(services), stored_files(services)) == (0, set())
    assert upload(client, started, data=DATA).status_code == 201


def test_upload_of_another_candidate_is_not_found(
    app: Flask, services: Services, half_sent: str
) -> None:
    account_id, _ = factories.create_account(services, "Other")
    other = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    stranger = app.test_client()
    open_invitation(stranger, services, other)
    url = f"/c/o/{other}/uploads/{half_sent.rpartition('/')[2]}"
    assert stranger.head(url).status_code == 404
    assert send_piece(stranger, url, DATA[HALF:], HALF).status_code == 404
    assert stranger.head(half_sent).status_code == 403


def test_quota_is_twice_all_takes_at_the_agreed_rate() -> None:
    questions = (
        Question("why", "Why?", answer_seconds=90, takes=2),
        Question("when", "When?", answer_seconds=30),
    )
    script = Path(provider.__file__).parent / "web" / "static" / "interview-camera.js"
    rates = re.findall(r"BitsPerSecond: ([\d_]+)", script.read_text("utf-8"))
    assert sum(map(int, rates)) == AGREED_BYTES_PER_SECOND * 8
    assert quota_bytes(questions) == 2 * 210 * 108_000


def test_abandoned_upload_is_discarded_after_a_day(
    client: FlaskClient, services: Services, half_sent: str, clock: ManualClock
) -> None:
    clock.advance(ABANDONED_AFTER - timedelta(minutes=1))
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert (count_rows(services), len(stored_files(services))) == (2, 1)
    clock.advance(timedelta(hours=1))
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert (count_rows(services), stored_files(services)) == (0, set())


def test_upload_of_an_ended_interview_is_discarded_at_once(
    services: Services, started: str, half_sent: str
) -> None:
    cancel(services, started)
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert (count_rows(services), stored_files(services)) == (0, set())


@pytest.mark.machine_time  # stores date their files by the machine's clock
def test_piece_without_a_row_is_deleted_after_a_day(
    client: FlaskClient, services: Services, half_sent: str, clock: ManualClock
) -> None:
    orphan = f"uploads/{'o' * 22}/{'p' * 22}"
    services.media.put(orphan, [b"piece"])
    run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert services.media.exists(orphan)
    clock.advance(ABANDONED_AFTER - timedelta(minutes=1))
    assert send_piece(client, half_sent, DATA[HALF:2000], HALF).status_code == 204
    clock.advance(timedelta(minutes=2))
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert not services.media.exists(orphan)
    assert len(stored_files(services)) == 2
