"""The recruiter's own videos: import, the limited reader, copies and posters, export, pieces."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import av
import pytest
from flask.testing import FlaskClient

from provider.core import kinds
from provider.core.kinds.interview.template_video import prepare_video
from provider.core.products import file_pieces
from provider.core.products.documents import Document
from provider.core.products.file_pieces import FOLDER
from provider.core.products.files import VIDEO as VIDEO_FIELD
from provider.core.products.files import media_key, playable_key, poster_key
from provider.core.sample_video import webm
from provider.errors import Conflict, Invalid, NotFound
from provider.maintenance.media_copy import list_media_references
from provider.services import Services
from provider.storage.secrets import generate_public_id
from tests import factories
from tests.cli.test_commands import Run
from tests.cli.test_commands import run as run
from tests.pictures import make_png
from tests.web.candidate.test_interview_answers import token
from tests.web.candidate.test_interview_course import start
from tests.web.candidate.test_pages import open_invitation, submit_form

VIDEO = webm()
FILES = {"anna.webm": VIDEO, "shop.png": make_png()}
MEDIA = {"media": {"video": "anna.webm", "transcript": "*Hello*"}}


def import_template(services: Services, files: dict[str, bytes] = FILES, **content: Any) -> str:
    document = Document("interview", "talk", "Talk", {"name": "Talk"} | content, source="a.yaml")
    document = kinds.store_files(document, files.__getitem__, services.media)
    with services.db.writing() as session:
        product, _ = kinds.import_document(session, document, services.now())
        product.publish(services.now())
        return product.public_id


def question(**more: Any) -> list[dict[str, Any]]:
    return [{"key": "why", "text": "Why?"} | more]


def test_video_gets_a_copy_with_an_index_and_a_poster(services: Services, tmp_path: Path) -> None:
    import_template(services, questions=question(**MEDIA))
    digest = sha256(VIDEO).hexdigest()
    with services.db.reading() as session:
        keys = [reference.key for reference in list_media_references(session)]
    assert keys == [media_key(digest), playable_key(digest), poster_key(digest)]
    for key in keys:
        services.media.fetch(key, tmp_path / key.rpartition("/")[2])
    with av.open(tmp_path / f"{digest}-playable") as copy:
        assert copy.duration
    assert (tmp_path / f"{digest}-poster.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert {key for key, _ in services.media.list_files()} == set(keys)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x1a\x45\xdf\xa3" + b"junk" * 50, "cannot be shown as a video: The recording cannot be"),
        (make_png(), "should be a MP4 or WebM file"),
    ],
)
def test_file_that_is_no_video_is_refused_with_its_path(
    services: Services, content: bytes, problem: str
) -> None:
    with pytest.raises(Invalid, match=r"questions\[0\].media.video: " + problem):
        import_template(services, {"anna.webm": content}, questions=question(**MEDIA))


def test_candidate_sees_the_video_when_the_question_is_shown(
    client: FlaskClient, services: Services
) -> None:
    template = import_template(
        services,
        questions=question(**MEDIA),
        introduction={"text": "Hello", "media": {"picture": "shop.png", "alt": "The shop"}},
    )
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(services, account_id, template, "interview")
    landing = f"/c/o/{public_id}"
    video, poster = (f"{landing}/interview-media/{name}/anna.webm" for name in ("files", "posters"))
    open_invitation(client, services, public_id)
    page = client.get(f"{landing}/introduction").text
    picture = f"{landing}/interview-media/files/shop.png"
    assert f'src="{picture}" alt="The shop"' in page
    assert client.get(picture).data == FILES["shop.png"]
    assert client.get(video).status_code == 404
    submit_form(client, page, f"{landing}/interview", seen="introduction")
    assert client.get(video).status_code == 404
    form = {"csrf_token": token(client, public_id)}
    shown = client.post(f"{landing}/questions/1/show", data=form).json
    assert shown
    assert f'src="{video}" poster="{poster}"' in shown["question"]
    assert "<em>Hello</em>" in shown["question"]
    part = client.get(video, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.data, part.mimetype) == (206, VIDEO[:4], "video/webm")
    assert client.get(poster).mimetype == "image/jpeg"
    assert client.get(picture).status_code == 404


def test_closing_has_its_own_files(client: FlaskClient, services: Services) -> None:
    questions = question(answer="choice", options=["Yes", "No"])
    template = import_template(services, questions=questions, closing={"text": "Bye"} | MEDIA)
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(services, account_id, template, "interview")
    landing = f"/c/o/{public_id}"
    video = f"{landing}/interview-media/files/anna.webm"
    start(client, services, public_id)
    assert client.get(video).status_code == 404
    form = {"csrf_token": token(client, public_id), "answer": "Yes"}
    client.post(f"{landing}/questions/1/answer", data=form)
    client.post(f"{landing}/send", data=form)
    assert f'src="{video}"' in client.get(f"{landing}/").text
    assert client.get(video).status_code == 200


def test_command_exports_a_video_and_imports_it_unchanged(
    services: Services, run: Run, tmp_path: Path
) -> None:
    import_template(services, questions=question(**MEDIA))
    file = tmp_path / "talk.yaml"
    run("product", "export", "talk", "--to", str(file))
    assert (tmp_path / "anna.webm").read_bytes() == VIDEO
    assert "unchanged" in run("product", "import", str(file)).stdout


# Pieces


def pieces(services: Services, content: bytes, size: int = 1000) -> str:
    upload_id = generate_public_id()
    for start_byte in range(0, len(content), size):
        piece = content[start_byte : start_byte + size]
        file_pieces.add_piece(services.media, upload_id, VIDEO_FIELD, start_byte, piece)
    return upload_id


def test_pieces_become_one_video(services: Services) -> None:
    upload_id = pieces(services, VIDEO)
    file_pieces.add_piece(services.media, upload_id, VIDEO_FIELD, 0, VIDEO[:1000])  # sent again
    file = file_pieces.join_pieces(
        services.media, upload_id, VIDEO_FIELD, "anna.webm", len(VIDEO), prepare_video
    )
    digest = sha256(VIDEO).hexdigest()
    assert (file.sha256, file.size, file.type) == (digest, len(VIDEO), "video/webm")
    assert b"".join(services.media.read_range(file_key := media_key(digest), 0, file.size)) == VIDEO
    assert file_key in dict(services.media.list_files())
    assert list(services.media.list_files(folder=FOLDER)) == []


def test_missing_piece_and_wrong_file_are_refused(services: Services) -> None:
    with pytest.raises(Conflict, match="choose the file again"):
        file_pieces.join_pieces(
            services.media,
            pieces(services, VIDEO[:2000]),
            VIDEO_FIELD,
            "a",
            len(VIDEO),
            prepare_video,
        )
    upload_id = generate_public_id()
    file_pieces.add_piece(services.media, upload_id, VIDEO_FIELD, 1000, b"later")
    with pytest.raises(Conflict):
        file_pieces.join_pieces(services.media, upload_id, VIDEO_FIELD, "a", 1005, prepare_video)
    for content in (b"text" * 10, VIDEO[:400]):
        with pytest.raises(Invalid):
            file_pieces.join_pieces(
                services.media,
                pieces(services, content),
                VIDEO_FIELD,
                "a",
                len(content),
                prepare_video,
            )
    assert [key for key, _ in services.media.list_files(folder="product-files")] == []


@pytest.mark.parametrize(
    ("start_byte", "content"), [(0, b""), (0, b"x" * 1_048_577), (100_000_000, b"x")]
)
def test_piece_outside_the_limits_is_refused(
    services: Services, start_byte: int, content: bytes
) -> None:
    with pytest.raises(Invalid, match="at most 100 MB"):
        file_pieces.add_piece(
            services.media, generate_public_id(), VIDEO_FIELD, start_byte, content
        )
    with pytest.raises(NotFound):
        file_pieces.add_piece(services.media, "../../x", VIDEO_FIELD, 0, b"x")


def test_pieces_of_an_abandoned_video_are_deleted(
    services: Services, clock: factories.ManualClock
) -> None:
    pieces(services, VIDEO)
    clock.current_time = factories.present()  # files have the time of the machine
    file_pieces.discard_abandoned(services.media, services.now())
    assert list(services.media.list_files(folder=FOLDER)) != []
    clock.advance(timedelta(days=1, minutes=1))
    file_pieces.discard_abandoned(services.media, services.now())
    assert list(services.media.list_files(folder=FOLDER)) == []
