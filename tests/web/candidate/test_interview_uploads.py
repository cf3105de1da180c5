"""Takes in pieces: admission, each wrong piece, two tabs, the quota, and abandoned uploads."""

import hashlib
import re
import shutil
from base64 import b64encode
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
from werkzeug.http import parse_date
from werkzeug.test import TestResponse

import provider
from provider.app import create_app
from provider.config import Settings
from provider.core.kinds.interview import BROKEN, DELETED, READY, Interview, Recording
from provider.core.kinds.interview.questions import Question
from provider.core.kinds.interview.upload_cleanup import (
    DISCARD_ABANDONED_UPLOADS,
    UNREFERENCED_AFTER,
)
from provider.core.kinds.interview.uploads import (
    AGREED_BYTES_PER_SECOND,
    MAX_PIECE_BYTES,
    Upload,
    UploadPiece,
    quota_bytes,
)
from provider.core.scheduled import run_if_due
from provider.services import Services
from provider.storage.growing_file import GrowingFile
from provider.web.candidate import tus
from provider.web.candidate.tus import PieceHeaders
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
    response = client.head(url, headers={"Tus-Resumable": "1.0.0"})
    assert response.headers["Cache-Control"] == "no-store"
    return int(response.headers["Upload-Offset"])


def original_bytes(services: Services, recording_id: str) -> bytes:
    key = f"recordings/{recording_id}/original"
    return b"".join(services.media.read_range(key, 0, services.media.size(key)))


def count_rows(services: Services) -> int:
    """Return how many takes are not saved, with their pieces."""
    with services.db.reading() as session:
        unfinished = select(Upload).where(
            Upload.recording_id.is_(None), Upload.missing_since.is_(None)
        )
        return len(session.scalars(unfinished).all()) + len(
            session.scalars(select(UploadPiece)).all()
        )


def saved_id(client: FlaskClient, url: str) -> str:
    """Return the recording of an upload whose last piece was acknowledged."""
    state = client.get(url).json
    assert state
    assert state["state"] == "saved"
    recording_id: str = state["saved"]
    return recording_id


def test_take_in_pieces_is_saved_whole(
    client: FlaskClient, services: Services, started: str
) -> None:
    data = bytes(range(256)) * 10_000
    response = upload(client, started, data=data)
    assert response.status_code == 200
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
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(DATA)))
    assert original_bytes(services, saved_id(client, half_sent)) == DATA
    assert offset(client, half_sent) == len(DATA)
    again = announce(client, started, data=DATA)
    assert (again.headers["Location"], again.headers["Upload-Offset"]) == (
        half_sent,
        str(len(DATA)),
    )


@pytest.mark.parametrize(
    ("changes", "status_code", "error"),
    [
        ({"Upload_Metadata": None}, 415, "This is not a recording that can be saved"),
        ({"Upload_Metadata": metadata(filetype="text/html")}, 415, "This is not a recording"),
        ({"Upload_Metadata": metadata(filetype="video/webm<script>")}, 415, "This is not"),
        ({"Upload_Metadata": metadata(filetype=f"{WEBM};{'x' * 100}")}, 415, "This is not"),
        ({"Upload_Metadata": "filetype %%%,sha256"}, 415, "This is not a recording"),
        ({"Upload_Metadata": metadata(sha256="nonsense")}, 400, "The recording came with a wrong"),
        ({"Upload_Metadata": metadata(take="no name")}, 400, "The recording came with a wrong"),
        ({"Upload_Metadata": metadata(take="x" * 65)}, 400, "The recording came with a wrong"),
        ({"Upload_Defer_Length": "1"}, 400, "The recording is empty, or came without its length"),
        ({"Tus_Resumable": None}, 412, "The recording was sent in an unknown way"),
        ({"Tus_Resumable": "0.2.2"}, 412, "The recording was sent in an unknown way"),
        ({"Upload_Length": None}, 400, "The recording is empty, or came without its length"),
        ({"Upload_Length": "0"}, 400, "The recording is empty"),
        ({"Upload_Length": "-1"}, 400, "The recording is empty"),
        ({"Upload_Length": "9" * 5000}, 400, "The recording is empty"),
        ({"Upload_Length": "9" * 11}, 413, "The recordings of this interview are larger"),
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
        (HALF, DATA[HALF:], {"Upload_Length": "0"}, 400, "The recording is empty, or came"),
        (HALF, DATA[HALF:], {"Upload_Length": "3001"}, 400, "This recording was announced with"),
        (HALF, DATA[HALF:], {"Upload_Checksum": "md5 AAAA"}, 400, "The piece came with an unknown"),
        (HALF, DATA[HALF:], {"Upload_Checksum": "sha1 %"}, 400, "The piece came with an unknown"),
        (
            HALF,
            DATA[HALF:],
            {"Upload_Checksum": f"sha256 {'A' * 44}"},
            460,
            "The piece was damaged",
        ),
        (
            HALF,
            DATA[HALF:],
            {"Repr_Digest": "sha-512=:AAAA:"},
            400,
            "The recording came with a wrong",
        ),
        (HALF, DATA[HALF:], {"Tus_Resumable": None}, 412, "The recording was sent in an unknown"),
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
    send_piece(client, half_sent, DATA[HALF:], HALF)
    assert original_bytes(services, saved_id(client, half_sent)) == DATA


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
        other = Upload(order_id=interview.id, question="when", take="other", mime=WEBM, size=size)
        other.received, other.created_at, other.received_at = size, now, now
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
        assert response.json
        assert response.json["error"] == error
        assert response.status_code == (413 if end is fill_quota else 409)
        assert response.json.get("next") == (None if end is fill_quota else f"/c/o/{started}/")
    assert stored_files(services) == before
    assert saved_takes(services, started) == []


def test_piece_refused_while_it_is_stored_is_not_counted(
    client: FlaskClient,
    services: Services,
    started: str,
    half_sent: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = GrowingFile.write

    def write_and_cancel(file: GrowingFile, start: int, data: bytes) -> None:
        write(file, start, data)
        cancel(services, started)

    token = csrf_token(client, started)
    monkeypatch.setattr(GrowingFile, "write", write_and_cancel)
    assert send_piece(client, half_sent, b"x", HALF, X_CSRFToken=token).status_code == 409
    assert offset(client, half_sent) == HALF


def test_two_tabs_that_send_one_take_save_it_once(
    client: FlaskClient,
    services: Services,
    started: str,
    half_sent: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_piece = tus.read_piece
    statuses = []

    def read_beside_another_tab(headers: PieceHeaders) -> bytes | memoryview:
        monkeypatch.setattr(tus, "read_piece", read_piece)
        data = read_piece(headers)
        statuses.append(send_piece(client, half_sent, DATA[HALF:2500], HALF).status_code)
        return data

    monkeypatch.setattr(tus, "read_piece", read_beside_another_tab)
    late = send_piece(client, half_sent, b"other bytes", HALF)
    assert statuses == [204]
    assert (late.status_code, late.headers["Upload-Offset"]) == (409, "2500")
    assert send_piece(client, half_sent, DATA[2500:], 2500).status_code == 204
    assert original_bytes(services, saved_id(client, half_sent)) == DATA
    again = send_piece(client, half_sent, DATA[2500:], 2500)
    assert (again.status_code, again.headers["Upload-Offset"]) == (409, str(len(DATA)))
    assert len(stored_files(services)) == 1


def test_take_whose_bytes_are_gone_begins_anew(
    client: FlaskClient, services: Services, started: str, half_sent: str
) -> None:
    services.media.delete_folder("uploads")
    last = send_piece(client, half_sent, DATA[HALF:], HALF)
    assert (last.status_code, last.headers["Upload-Offset"]) == (409, "0")
    assert stored_files(services) == set()
    assert upload(client, started, data=DATA).status_code == 200


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
    assert stranger.head(url, headers={"Tus-Resumable": "1.0.0"}).status_code == 404
    assert stranger.get(url).status_code == 404
    assert send_piece(stranger, url, DATA[HALF:], HALF).status_code == 404
    assert stranger.get(half_sent).status_code == 403


def test_quota_is_twice_all_takes_at_the_agreed_rate() -> None:
    questions = (
        Question("why", "Why?", answer_seconds=90, takes=2),
        Question("when", "When?", answer_seconds=30),
    )
    script = Path(provider.__file__).parent / "web" / "static" / "interview-line.js"
    rates = re.findall(r"const (?:MAX_PICTURE|SOUND)_BITS = ([\d_]+)", script.read_text("utf-8"))
    assert sum(map(int, rates)) == AGREED_BYTES_PER_SECOND * 8
    assert quota_bytes(questions) == 2 * 210 * 108_000


def test_upload_goes_on_until_the_interview_ends(
    client: FlaskClient, services: Services, started: str, half_sent: str, clock: ManualClock
) -> None:
    with services.db.reading() as session:
        closes_at = Interview.find(session, started).closes_at
    assert closes_at
    expires = client.get(half_sent).headers["Upload-Expires"]
    assert parse_date(expires) == closes_at.replace(microsecond=0)
    clock.current_time = closes_at - timedelta(seconds=1)
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert offset(client, half_sent) == HALF
    clock.advance(timedelta(hours=2))
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert (count_rows(services), stored_files(services)) == (0, set())
    assert client.get(half_sent).status_code == 404
    with services.db.reading() as session:
        assert session.scalars(select(Upload)).one().missing_since == clock.current_time


def test_upload_of_an_ended_interview_is_discarded_at_once(
    services: Services, started: str, half_sent: str
) -> None:
    cancel(services, started)
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert (count_rows(services), stored_files(services)) == (0, set())


@pytest.mark.machine_time  # stores date their files by the machine's clock
def test_file_without_a_row_is_deleted_after_a_day(
    client: FlaskClient, services: Services, half_sent: str, clock: ManualClock
) -> None:
    orphan = f"uploads/{'o' * 22}/{'p' * 22}"
    services.media.put(orphan, [b"piece"])
    run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert services.media.exists(orphan)
    clock.advance(UNREFERENCED_AFTER + timedelta(minutes=1))
    assert run_if_due(services, DISCARD_ABANDONED_UPLOADS)
    assert not services.media.exists(orphan)
    assert len(stored_files(services)) == 1


def announce_recording(
    client: FlaskClient, public_id: str, take: str = "take-1", **headers: str | None
) -> TestResponse:
    """Announce a take whose recording begins now."""
    changes: dict[str, str | None] = {
        "X_CSRFToken": csrf_token(client, public_id) if "X_CSRFToken" not in headers else None,
        "Upload_Length": None,
        "Upload_Defer_Length": "1",
        "Upload_Metadata": metadata(sha256="", take=take),
    }
    return announce(client, public_id, 1, DATA, **changes | headers)


def repr_digest(data: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"


def test_take_is_sent_while_it_is_recorded(
    client: FlaskClient, services: Services, started: str
) -> None:
    announced = announce_recording(client, started)
    url = announced.headers["Location"]
    assert announced.status_code == 201
    assert announced.headers["Tus-Resumable"] == "1.0.0"
    assert announced.headers["Upload-Defer-Length"] == "1"
    for start in range(0, len(DATA), HALF):
        checksum = b64encode(hashlib.sha256(DATA[start : start + HALF]).digest()).decode()
        piece = send_piece(
            client, url, DATA[start : start + HALF], start, Upload_Checksum=f"sha256 {checksum}"
        )
        assert (piece.status_code, piece.headers["Upload-Offset"]) == (204, str(start + HALF))
    again = announce_recording(client, started)
    assert (again.headers["Location"], again.headers["Upload-Offset"]) == (url, str(len(DATA)))
    assert client.get(url).json == {
        "state": "receiving",
        "offset": len(DATA),
        "saved": None,
        "takes_left": 2,
        "error": None,
    }
    length = {"Upload_Length": str(len(DATA)), "Repr_Digest": repr_digest(DATA)}
    last = send_piece(client, url, b"", len(DATA), **length)
    assert last.status_code == 204
    assert original_bytes(services, saved_id(client, url)) == DATA
    assert send_piece(client, url, b"", len(DATA), **length).status_code == 204
    assert len(saved_takes(services, started)) == 1


def test_take_with_a_wrong_digest_is_not_kept_and_begins_anew(
    client: FlaskClient, services: Services, started: str
) -> None:
    url = announce_recording(client, started).headers["Location"]
    damaged = b"x" + DATA[1:]
    length = {"Upload_Length": str(len(DATA)), "Repr_Digest": repr_digest(DATA)}
    last = send_piece(client, url, damaged, 0, **length)
    assert (last.status_code, last.json) == (
        460,
        {"error": "The recording did not arrive whole. Please send it again"},
    )
    assert (offset(client, url), stored_files(services)) == (0, set())
    assert send_piece(client, url, DATA, 0, **length).status_code == 204
    assert original_bytes(services, saved_id(client, url)) == DATA


def test_terminated_upload_is_gone_and_a_saved_take_is_not(
    client: FlaskClient, services: Services, started: str
) -> None:
    url = announce_recording(client, started).headers["Location"]
    assert send_piece(client, url, DATA[:HALF], 0).status_code == 204
    headers = {"Tus-Resumable": "1.0.0", "X-CSRFToken": csrf_token(client, started)}
    assert client.delete(url).status_code == 400
    assert client.delete(url, headers=headers).status_code == 204
    assert client.get(url).status_code == 404
    assert (count_rows(services), stored_files(services)) == (0, set())
    upload(client, started, data=DATA)
    saved_url = announce(client, started, data=DATA).headers["Location"]
    json_headers = headers | {"Accept": "application/json"}
    assert client.delete(saved_url, headers=json_headers).status_code == 409
    assert saved_id(client, saved_url)


def test_growing_take_is_stopped_where_the_quota_ends(
    client: FlaskClient, services: Services, started: str
) -> None:
    url = announce_recording(client, started).headers["Location"]
    fill_quota(services, started)
    assert send_piece(client, url, DATA[:-1], 0).status_code == 204
    assert send_piece(client, url, b"xx", len(DATA) - 1).status_code == 413
    assert offset(client, url) == len(DATA) - 1


def test_take_begun_before_the_deadline_may_end_after_it(
    client: FlaskClient, services: Services, started: str, clock: ManualClock
) -> None:
    token = csrf_token(client, started)
    with services.db.reading() as session:
        ends = Interview.find(session, started).attempt_ends_at
    assert ends
    clock.current_time = ends - timedelta(seconds=1)
    url = announce_recording(client, started, X_CSRFToken=token).headers["Location"]
    clock.current_time = ends + timedelta(seconds=80)
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    late = announce_recording(client, started, "take-2", X_CSRFToken=token)
    assert late.status_code == 409
    length = {"Upload_Length": str(len(DATA))}
    last = send_piece(client, url, DATA, 0, X_CSRFToken=token, **length)
    assert last.status_code == 204
    assert original_bytes(services, saved_id(client, url)) == DATA


def test_options_tell_what_the_server_can_do(client: FlaskClient, started: str) -> None:
    for path in ("questions/1/takes", "uploads/unknown"):
        response = client.options(f"/c/o/{started}/{path}")
        assert response.status_code == 204
        assert response.headers["Tus-Version"] == "1.0.0"
        assert response.headers["Tus-Extension"] == (
            "creation,creation-defer-length,checksum,termination,expiration"
        )
        assert response.headers["Tus-Checksum-Algorithm"] == "sha256,sha1"
        assert int(response.headers["Tus-Max-Size"]) == 2**31 - 1


@pytest.mark.parametrize(
    ("recording_state", "state"), [(READY, "checked"), (BROKEN, "broken"), (DELETED, "saved")]
)
def test_state_says_what_became_of_a_take(
    client: FlaskClient, services: Services, started: str, recording_state: str, state: str
) -> None:
    upload(client, started, data=DATA)
    url = announce(client, started, data=DATA).headers["Location"]
    with services.db.writing() as session:
        session.scalars(select(Recording)).one().state = recording_state
    answer = client.get(url).json
    assert answer
    assert answer["state"] == state
    assert (answer["error"] is None) == (state != "broken")
    assert answer["takes_left"] == (2 if state == "broken" else 1)
