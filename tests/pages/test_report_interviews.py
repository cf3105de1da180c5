"""The report of an interview: the answer first, then each answer on video, for nobody else."""

import io
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page
from pypdf import PdfReader

from provider.house import House
from provider.kinds.interview import SENT, Interview
from provider.orders import PDF, REPORT, Order
from tests import cast, film
from tests.cast import HandClock
from tests.conftest import Served
from tests.pages.eye import DESK, Eye
from tests.pages.test_results import paper, path, press, shared, words
from tests.test_report import tags


def reopen(house: House, interview: str) -> None:
    with house.db.writing() as session:
        found = Interview.find(session, interview)
        found.reopen(session, house.vault, "sam@provider.test", "the line broke", house.now())


def revoke(house: House, order: str) -> None:
    with house.db.writing() as session:
        for link in Order.find(session, order).links:
            link.revoked_at = house.now()


def code(client: FlaskClient, address: str) -> int:
    return client.get(address).status_code


# The page


def test_the_answer_comes_first_then_each_question_with_its_rating(
    client: FlaskClient, house: House
) -> None:
    interview, _ = film.completed(house)
    said = words(client.get(path(house, interview)).text)
    order = [
        "Lakita Marrero", "75%", "Passed", "The answers show what the job asks for.",
        "Question 1", "Why this job?", "5 of 5, Excellent", "Clear and to the point.",
        "Answer: 2 seconds", "What are you proud of?", "4 of 5, Good", "3 of 5, Fair",
    ]  # fmt: skip
    places = [said.rindex(each) if each == "Question 1" else said.index(each) for each in order]
    assert places == sorted(places)
    assert "Questions answered 3 of 3" in said
    assert "Time taken 6 seconds" in said


def test_a_question_without_an_answer_says_so(client: FlaskClient, house: House) -> None:
    interview = film.half(house, 1, account=cast.account(house)[0])
    film.rate(house, interview, 4)
    film.conclude(house, interview)
    page = client.get(path(house, interview)).text
    assert page.count("No answer") == 2
    assert page.count("<video") == 1
    assert "Questions answered 1 of 3" in words(page)


def test_only_the_take_that_was_sent_in_is_in_the_report(client: FlaskClient, house: House) -> None:
    interview, recordings = film.completed(house)
    address = path(house, interview)
    page = client.get(address).text
    assert recordings[0] not in page
    assert code(client, f"{address}/takes/{recordings[0]}") == 404
    assert code(client, f"{address}/posters/{recordings[0]}") == 404
    assert code(client, f"{address}/takes/{recordings[1]}") == 200


# The films


def test_an_answer_is_watched_from_the_report_whole_or_in_part(
    client: FlaskClient, house: House
) -> None:
    interview, recordings = film.completed(house)
    address = f"{path(house, interview)}/takes/{recordings[1]}"
    whole = client.get(address)
    assert whole.data == film.prepared(11)[0]
    assert whole.mimetype == "video/webm"
    part = client.get(address, headers={"Range": "bytes=100-"})
    assert (part.status_code, part.data) == (206, whole.data[100:])
    poster = client.get(f"{path(house, interview)}/posters/{recordings[1]}")
    assert (poster.mimetype, poster.data) == ("image/jpeg", film.prepared(11)[1])


def test_a_film_goes_out_without_a_name_and_is_kept_by_nobody(
    client: FlaskClient, house: House
) -> None:
    interview, recordings = film.completed(house)
    for what in ("takes", "posters"):
        headers = client.get(f"{path(house, interview)}/{what}/{recordings[1]}").headers
        assert "filename" not in headers["Content-Disposition"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in headers["X-Robots-Tag"]


def test_no_other_orders_token_opens_a_film(client: FlaskClient, house: House) -> None:
    interview, recordings = film.completed(house)
    account = film.account_of(house, interview)
    other, others = film.completed(house, 2, account=account)
    test = cast.order(
        house, account, cast.test(house), callback_url="https://groove-tech.workable.com/test/1"
    )
    cast.finish(house, test)
    for order in (other, test):
        for door in (path(house, order), shared(house, order)):
            for what in ("takes", "posters"):
                assert code(client, f"{door}/{what}/{recordings[1]}") == 404
    assert code(client, f"{path(house, other)}/takes/{others[1]}") == 200


def test_a_film_opens_by_no_link_that_was_made_for_something_else(
    client: FlaskClient, house: House
) -> None:
    interview, recordings = film.completed(house)
    report = path(house, interview).split("/")[2]
    pdf = path(house, interview, PDF).split("/")[2]
    public = shared(house, interview).split("/")[2]
    invitation = cast.invitation(house, interview).rsplit("/", 1)[1]
    doors = [f"/r/{pdf}", f"/r/{public}", f"/r/{invitation}", f"/s/{report}", f"/s/{pdf}"]
    doors += [f"/s/{invitation}", "/r/nobody", "/s/nobody", f"/r/{'x' * 5000}", "/r/%00"]
    for door in doors:
        for what in ("takes", "posters"):
            assert code(client, f"{door}/{what}/{recordings[1]}") == 404, door
    for missing in ("nobody", "x" * 5000, "%00", "..%2Foriginal"):
        assert code(client, f"/r/{report}/takes/{missing}") == 404


def test_a_candidate_who_is_in_sees_no_film_of_somebody_else(
    client: FlaskClient, house: House
) -> None:
    interview, recordings = film.completed(house)
    other = film.order(house, 2, account=film.account_of(house, interview))
    client.get(cast.invitation(house, other))
    token = cast.invitation(house, other).rsplit("/", 1)[1]
    assert code(client, f"/r/{token}/takes/{recordings[1]}") == 404
    assert code(client, f"/console/orders/{interview}/interview/takes/{recordings[1]}") == 302


def test_a_revoked_link_opens_no_film(client: FlaskClient, house: House) -> None:
    interview, recordings = film.completed(house)
    doors = [path(house, interview), shared(house, interview)]
    revoke(house, interview)
    assert [code(client, f"{door}/takes/{recordings[1]}") for door in doors] == [404, 404]


@pytest.mark.parametrize("what", ["takes", "posters"])
def test_a_shared_link_that_is_over_opens_no_film(
    client: FlaskClient, house: House, clock: HandClock, what: str
) -> None:
    interview, recordings = film.completed(house)
    door = shared(house, interview, 30, "minutes")
    assert code(client, f"{door}/{what}/{recordings[1]}") == 200
    clock.pass_(timedelta(minutes=30))
    assert code(client, f"{door}/{what}/{recordings[1]}") == 410


def test_a_link_with_views_opens_a_film_only_behind_its_door(
    client: FlaskClient, house: House, clock: HandClock
) -> None:
    interview, recordings = film.completed(house)
    door = shared(house, interview, 1, "views")
    address = f"{door}/takes/{recordings[1]}"
    before = client.get(address)
    assert (before.status_code, before.headers["Location"]) == (303, door)
    assert press(client, door) == 303
    page = client.get(door).text
    assert address in page
    assert "/r/" not in page
    assert code(client, address) == 200
    assert client.get(address, headers={"Range": "bytes=0-9"}).status_code == 206
    assert client.application.test_client().get(address).status_code == 410
    clock.pass_(timedelta(minutes=30))
    assert code(client, address) == 410


def test_a_reopened_interview_shows_no_film(client: FlaskClient, house: House) -> None:
    interview, recordings = film.completed(house)
    doors = [path(house, interview), shared(house, interview)]
    reopen(house, interview)
    for door in doors:
        assert "being redone" in client.get(door).text
        assert code(client, f"{door}/takes/{recordings[1]}") == 409


def test_an_answer_still_being_prepared_can_be_watched_without_a_picture(
    client: FlaskClient, house: House
) -> None:
    interview, recordings = film.completed(house)
    with house.db.writing() as session:
        found = Interview.find(session, interview).recording(recordings[1])
        found.state, found.seconds = SENT, None
    address = path(house, interview)
    page = client.get(address).text
    assert f"/takes/{recordings[1]}" in page
    assert f"/posters/{recordings[1]}" not in page
    assert client.get(f"{address}/takes/{recordings[1]}").data == film.webm(tint=11)
    assert client.get(path(house, interview, PDF)).data.startswith(b"%PDF")


# The PDF


def figures(document: bytes) -> list[Any]:
    return [tag["/Alt"] for tag in tags(document) if tag["/S"] == "/Figure"]


def test_the_pdf_shows_the_posters_and_says_what_they_show(
    client: FlaskClient, house: House
) -> None:
    interview, _ = film.completed(house)
    document = client.get(path(house, interview, PDF)).data
    assert figures(document)[1:] == [
        f"Lakita Marrero, answering question {number} on video" for number in (1, 2, 3)
    ]
    reader = PdfReader(io.BytesIO(document))
    assert sum(len(page.images) for page in reader.pages) == 3
    root: Any = reader.root_object
    metadata = root["/Metadata"].get_object().get_data().decode()
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata
    said = " ".join(paper(document).split())
    for word in ("75%", "Passed", "5 of 5, Excellent", "Clear and to the point.", "2 seconds"):
        assert word in said


def test_a_poster_that_is_lost_or_no_picture_costs_no_report(
    client: FlaskClient, house: House
) -> None:
    interview, recordings = film.completed(house)
    house.media.drop(f"recordings/{recordings[1]}/poster.jpg")
    lost = client.get(path(house, interview, PDF)).data
    assert len(figures(lost)) == 3
    other, others = film.completed(house, 2, account=film.account_of(house, interview))
    house.media.keep(f"recordings/{others[1]}/poster.jpg", [b"not a picture"])
    answer = client.get(path(house, other, PDF))
    assert answer.status_code == 200
    assert "5 of 5, Excellent" in paper(answer.data)


# How it looks


def test_the_report_is_fit_for_everybody(page: Page, served: Served) -> None:
    interview, _ = film.completed(served.house)
    half = film.half(served.house, 2, account=film.account_of(served.house, interview))
    film.rate(served.house, half, 2)
    film.conclude(served.house, half)
    eye = Eye(page, DESK)
    for order in (interview, half):
        page.goto(served.url + path(served.house, order, REPORT))
        eye.look()
    assert eye.found == []


def test_an_answer_plays_in_the_report_by_the_keyboard(page: Page, served: Served) -> None:
    interview, _ = film.completed(served.house)
    page.goto(served.url + shared(served.house, interview))
    video = page.get_by_label("The answer to question 1")
    video.focus()
    page.keyboard.press("Space")
    video.evaluate(film.REACHES, 0.1)
    video.evaluate("film => { film.currentTime = 1.5; }")
    video.evaluate(film.REACHES, 1.5)


def test_the_report_prints_its_posters(page: Page, served: Served) -> None:
    interview, _ = film.completed(served.house)
    page.goto(served.url + path(served.house, interview))
    page.emulate_media(media="print")
    assert not page.locator("video").first.is_visible()
    assert page.get_by_alt_text("Lakita Marrero, answering question 1 on video").is_visible()
