"""Captions as WebVTT: what is accepted, what is stored, and who may not replace them."""

import pytest

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.captions import (
    STAFF,
    Cue,
    normalise,
    read_cues,
    save_captions,
    write_cues,
)
from provider.core.kinds.interview.scorecards import NewerSave
from provider.core.kinds.interview.time_notes import format_time, parse_time
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import interview_factories

VTT = """WEBVTT - a title

STYLE
::cue { color: red }

NOTE a comment

intro
00:01.000 --> 00:04.500 align:start
Good <b>morning</b>
everybody &amp; all

01:00:05.000 --> 01:00:06.000
<v Lakita>Bye
"""


def test_read_cues_takes_times_and_plain_text_only() -> None:
    assert read_cues(VTT) == [
        Cue(1, 4.5, "Good morning\neverybody & all"),
        Cue(3605, 3606, "Bye"),
    ]


def test_normalise_is_stable() -> None:
    text = normalise(VTT)
    assert text == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:04.500\nGood morning\neverybody &amp; all\n\n"
        "01:00:05.000 --> 01:00:06.000\nBye\n"
    )
    assert normalise(text) == text
    assert normalise("\ufeff" + text.replace("\n", "\r\n")) == text


@pytest.mark.parametrize(
    "text",
    [
        "one\n\n00:00:02.000 --> 00:00:03.000\ninjected",
        "00:00:02.000 --> 00:00:03.000",
        "a --> b",
        "<script>alert(1)</script>",
        "&lt;b&gt; &amp; <i>",
        "STYLE\n::cue { }",
        "NOTE hidden",
    ],
)
def test_cue_cannot_inject_another_cue_or_markup(text: str) -> None:
    written = write_cues([Cue(0, 1, text), Cue(1, 2, "after")])
    cues = read_cues(written)
    assert len(cues) == 2
    assert cues[0].text == "\n".join(filter(None, text.split("\n")))
    assert written.count("-->") == 2
    assert "<" not in written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line is WEBVTT"),
        ("1\n00:00:01,000 --> 00:00:02,000\nAn SRT file", "first line is WEBVTT"),
        ("WEBVTT", "no cue"),
        ("WEBVTT\n\n00:05.000 --> 00:05.000\nx", "Cue 1 of the captions should end after"),
        ("WEBVTT\n\n00:05.000 --> 00:04.000\nx", "should end after"),
        ("WEBVTT\n\n00:61.000 --> 00:62.000\nx", "not valid WebVTT"),
        ("WEBVTT\n\n00:05.000 -> 00:06.000\nx", "not valid WebVTT|no cue"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n<b></b>", "Cue 1 of the captions has no text"),
        ("WEBVTT\n\n" + "x" * 500_001, "Shorten"),
    ],
)
def test_bad_captions_are_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        normalise(text)


def test_older_save_of_captions_is_refused(services: Services) -> None:
    interview, (recording, *_) = interview_factories.submitted_interview(services)
    now = services.now()
    with services.db.writing() as session:
        take = Interview.find(session, interview).find_recording(recording)
        assert save_captions(take, VTT, "en", STAFF, "sam", now, 0).save_number == 1
        with pytest.raises(NewerSave):
            save_captions(take, VTT.replace("Bye", "Hi"), "en", STAFF, "sam", now, 0)
        with pytest.raises(Invalid, match="tag"):
            save_captions(take, VTT, "English!", STAFF, "sam", now, 1)
        take.state = "deleted"
        with pytest.raises(Conflict, match="deleted"):
            save_captions(take, VTT, "en", STAFF, "sam", now, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1:05", 65), ("65", 65), ("0:00", 0), ("1:00:05.5", 3605.5), (" 2:3,25 ", 123.25)],
)
def test_parse_time_reads_minutes_and_seconds(text: str, seconds: float) -> None:
    assert parse_time(text, None) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2:3:4", "1e3", "²", "9:99999", "inf"])
def test_parse_time_refuses_other_texts(text: str) -> None:
    with pytest.raises(Invalid):
        parse_time(text, 60)


def test_format_time_is_that_of_players() -> None:
    assert [format_time(seconds) for seconds in (0, 65.9, 3605)] == ["0:00", "1:05", "1:00:05"]
