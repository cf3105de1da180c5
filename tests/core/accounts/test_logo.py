"""Logos: which pictures are taken, and how they are stored."""

import pytest

from provider.core.accounts import Account, AccountLogo
from provider.core.accounts.logo import find_logo, remove_logo, set_logo
from provider.core.accounts.picture import read_picture
from provider.errors import Invalid, NotFound
from provider.services import Services
from tests import factories
from tests.pictures import make_jpeg, make_png


@pytest.mark.parametrize(
    ("content", "expected"),
    [(make_png(300, 80), ("png", 300, 80)), (make_jpeg(640, 480), ("jpg", 640, 480))],
)
def test_picture_has_its_type_and_size(content: bytes, expected: tuple[str, int, int]) -> None:
    picture = read_picture(content)
    assert (picture.suffix, picture.width, picture.height) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a",
        b"",
        make_png()[:-1],
        make_png()[:30],
        make_png() + b"<script>",
        make_png().replace(b"IDAT", b"JDAT"),
        make_png()[:8] + make_png()[33:],
        make_png()[:8],
        make_jpeg()[:-1],
        make_jpeg()[:12],
        make_jpeg() + b"<script>",
        make_jpeg().replace(b"\xff\xc0", b"\xff\xe1"),
        b"\xff\xd8\xff",
    ],
)
def test_picture_that_is_no_whole_png_or_jpeg_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid, match="PNG or JPEG"):
        read_picture(content)


@pytest.mark.both
def test_logo_is_replaced_found_by_its_name_and_removed(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    names = []
    for content in (make_png(), make_png(), make_jpeg()):
        with services.db.writing() as session:
            account = session.get_one(Account, account_id)
            set_logo(session, account, content, services.now())
            names.append(account.branding["logo"])
    assert names[0] == names[1] != names[2]
    with services.db.reading() as session:
        logo = find_logo(session, names[2])
        assert (logo.content, logo.content_type) == (make_jpeg(), "image/jpeg")
        for name in (names[0], "nothing.png", "\x00.png"):
            with pytest.raises(NotFound):
                find_logo(session, name)
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        remove_logo(session, account)
        session.flush()
        assert session.get(AccountLogo, account_id) is None
        assert account.branding == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Choose a file"),
        (b"a" * 200_001, "at most 200 kB"),
        (make_png(1001, 10), "at most 1000 pixels wide and high, and not 1001 × 10"),
        (make_jpeg(10, 1001), "and not 10 × 1001"),
        (make_jpeg(0, 10), "and not 0 × 10"),
    ],
)
def test_logo_of_a_wrong_size_is_refused(services: Services, content: bytes, words: str) -> None:
    account_id, _ = factories.create_account(services)
    with services.db.writing() as session:
        account = session.get_one(Account, account_id)
        with pytest.raises(Invalid, match=words):
            set_logo(session, account, content, services.now())
        assert account.branding == {}
