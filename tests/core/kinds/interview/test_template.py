"""The content of interview templates: ways to answer, media, errors, and preferences."""

from typing import Any

import pytest
from hypothesis import given, settings

from provider.core.kinds import KINDS, document_warnings
from provider.core.kinds.document_check import check_content
from provider.core.kinds.interview import Interview, content
from provider.core.kinds.interview.content import OVERRIDES, InterviewContent
from provider.core.kinds.interview.preferences import apply_preferences
from provider.core.kinds.interview.question_media import Media, find_file_slots
from provider.core.kinds.interview.questions import ANSWERS
from provider.core.products.documents import Document, content_digest, parse_documents, to_yaml
from provider.core.products.samples import load_sample_documents
from provider.errors import Invalid
from provider.services import Services
from tests import factories
from tests.interview_documents import generated_templates

Json = dict[str, Any]


def template(*questions: Json, **more: Any) -> Json:
    asked = [
        {"key": f"q{number}", "text": "Why?"} | question
        for number, question in enumerate(questions)
    ]
    return {"name": "Talk", "questions": asked} | more


CHOICE = {"answer": "choice", "options": ["Yes", "No"]}


@settings(deadline=None)
@given(document=generated_templates())
def test_export_and_import_of_any_template_is_the_identity(document: Document) -> None:
    assert check_content(KINDS["interview"], document.content).errors == []
    [imported] = parse_documents(to_yaml(document), "a.yaml")
    assert imported == document
    assert content_digest(imported.content) == content_digest(document.content)
    assert content.parse(imported.content) == content.parse(document.content)


def test_answers_have_their_own_defaults() -> None:
    parsed = content.parse(template({}, {"answer": "text"}, {"answer": "file"}, CHOICE))
    video, text, file, choice = parsed.questions
    assert (video.answer, video.think_seconds, video.takes) == ("video", 30, 1)
    assert (text.max_characters, text.max_words) == (5000, None)
    assert file.accepted_files.content_types[0] == "application/pdf"
    assert choice.options == ("Yes", "No")
    assert [question.is_recorded for question in parsed.questions] == [True, False, False, False]
    assert parsed.max_duration_seconds == 150 + 300 + 300 + 60
    assert not parsed.has_fixed_duration
    assert parsed.may_be_paused


def test_time_to_think_may_be_unlimited() -> None:
    parsed = content.parse(template({"think_seconds": None}, {}))
    assert parsed.questions[0].think_seconds is None
    assert (parsed.max_duration_seconds, parsed.has_fixed_duration) == (120 + 150, False)


def test_time_limit_bounds_the_durations() -> None:
    parsed = content.parse(template({"takes": 3}, {}, time_limit=4))
    assert (parsed.max_duration_seconds, parsed.longest_duration_seconds) == (240, 240)


def test_files_are_found_in_questions_and_messages() -> None:
    video, picture = {"video": "a.mp4"}, {"picture": "b.png", "alt": "B"}
    document = template(
        {"media": video},
        {},
        introduction={"text": "Hello", "media": picture},
        practice={"text": "Try", "media": video},
    )
    parsed = content.parse(document)
    assert parsed.questions[0].media == Media(video="a.mp4")
    assert [slot.path for slot in find_file_slots(document)] == [
        "introduction.media.picture",
        "practice.media.video",
        "questions[0].media.video",
    ]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"questions": None, "introduction": "Hello"},
        {"questions": ["Why?", {"media": "a.mp4"}, {"media": {"video": 5}}]},
    ],
)
def test_incomplete_draft_names_no_files(document: Json) -> None:
    assert list(find_file_slots(document)) == []


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (template({"answer": "song"}), "questions[0].answer: should be one of video, audio, text"),
        (
            template({"answer": "text", "takes": 2}),
            "questions[0].takes: is for an answer by video or audio only; remove it",
        ),
        (
            template({"options": ["Yes", "No"]}),
            "questions[0].options: is for an answer by choice only; remove it",
        ),
        (template({"answer": "choice"}), "questions[0].options: should be provided"),
        (
            template({"answer": "choice", "options": ["Yes", "Yes"]}),
            "questions[0].options[1]: is already used above",
        ),
        (template({"answer": "choice", "options": ["Yes"]}), "questions[0].options: should have"),
        (
            template({"answer": "file", "types": ["pdf", "pdf"]}),
            "questions[0].types: should name each type once",
        ),
        (template({"think_seconds": 601}), "questions[0].think_seconds: should be between 0 and"),
        (
            template({"media": {"video": "a.mp4", "picture": "b.png", "alt": "B"}}),
            "questions[0].media.video: should have either a video or a picture",
        ),
        (template({"media": {}}), "questions[0].media.video: should have either a video or"),
        (
            template({"media": {"picture": "b.png"}}),
            "questions[0].media.alt: should say what the picture shows",
        ),
        (template({}, may_be_paused=False), "may_be_paused: should be true without a time_limit"),
        (template({}, practice={"text": "?", "answer": "text"}), "practice.answer: should be one"),
        (template({}, preferences=["name"]), "preferences[0]: should be one of think_seconds"),
        (template({}, introduction={"media": {"video": "a.mp4"}}), "introduction.text: should be"),
    ],
)
def test_template_error_names_the_path(document: Json, expected: str) -> None:
    with pytest.raises(Invalid) as caught:
        content.parse(document)
    assert str(caught.value).startswith(expected)


def parsed_with(*allowed: str, **more: Any) -> InterviewContent:
    return content.parse(
        template(
            {}, {"answer": "text"}, practice={"text": "Try"}, preferences=list(allowed), **more
        )
    )


def test_preferences_override_what_the_template_allows() -> None:
    preferences = {
        "think_seconds": None,
        "answer_seconds": " 60 ",
        "takes": 4,
        "time_limit": "90",
        "may_be_paused": "False",
        "practice": False,
    }
    changed, unused = apply_preferences(parsed_with(*OVERRIDES), preferences)
    assert unused == ()
    video, text = changed.questions
    assert (video.think_seconds, video.answer_seconds, video.takes) == (None, 60, 4)
    assert (text.think_seconds, text.takes) == (30, 1)
    assert (changed.time_limit, changed.may_be_paused, changed.practice) == (90, False, None)


@pytest.mark.parametrize(
    "preferences",
    [
        {"think_seconds": 601},
        {"think_seconds": "soon"},
        {"think_seconds": True},
        {"think_seconds": 1.5},
        {"think_seconds": "²"},
        {"think_seconds": "9" * 5000},
        {"answer_seconds": None},
        {"answer_seconds": 9},
        {"takes": 0},
        {"time_limit": 1441},
        {"may_be_paused": "maybe"},
        {"may_be_paused": False},  # without a time limit
        {"practice": ["no"]},
        {"key": "value"},
    ],
)
def test_unusable_preference_is_named_and_changes_nothing(preferences: Json) -> None:
    parsed = parsed_with(*OVERRIDES)
    assert apply_preferences(parsed, preferences) == (parsed, tuple(preferences))


def test_preference_that_the_template_does_not_name_changes_nothing() -> None:
    parsed = parsed_with("takes")
    changed, unused = apply_preferences(parsed, {"takes": 2, "think_seconds": 5})
    assert changed.questions[0].takes == 2
    assert (changed.questions[0].think_seconds, unused) == (30, ("think_seconds",))


def test_order_with_preferences_follows_them_and_notes_the_others(services: Services) -> None:
    account_id, _ = factories.create_account(services)
    document = template({}, preferences=["takes", "answer_seconds"])
    product_id = factories.create_product(services, "interview", document, "talk", "Talk")
    preferences = {"takes": "3", "answer_seconds": 5, "key": "value", "odd\nkey": 1}
    public_id = factories.place_order(
        services, account_id, product_id, "interview", preferences=preferences
    )
    with services.db.reading() as session:
        order = Interview.find(session, public_id)
        assert order.preferences == preferences
        [question] = order.questions
        assert (question.takes, question.answer_seconds) == (3, 120)
        [placed] = order.events
        assert placed.note == "Preferences without an effect: key, odd key, answer_seconds"


@pytest.mark.parametrize("document", load_sample_documents(), ids=lambda document: document.key)
def test_sample_is_imported_without_a_warning(document: Document) -> None:
    # A package says that its texts are samples.
    assert all(".sample: is a sample" in warning for warning in document_warnings(document))


def test_samples_show_every_way_to_answer() -> None:
    samples = [row for row in load_sample_documents() if row.kind == "interview"]
    answers = {
        question.get("answer", "video")
        for document in samples
        for question in document.content["questions"]
    }
    assert answers == set(ANSWERS)
