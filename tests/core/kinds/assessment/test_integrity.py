"""What the signals of an attempt come to, and which of them are stored."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from provider.core.kinds.assessment import Assessment, content
from provider.core.kinds.assessment.integrity_signals import (
    CONNECTION,
    COPIED,
    FAST,
    LATE_ARRIVAL,
    LEFT,
    MAX_CONNECTIONS,
    MAX_SIGNALS,
    PASTED,
    IntegritySignal,
    PageEvent,
    attempt_of,
    list_signals,
    record_connection,
    record_events,
)
from provider.core.kinds.assessment.integrity_summary import (
    MANY,
    NONE,
    SOME,
    IntegritySummary,
    reading_ms,
    summarise,
)
from provider.core.orders.given_time import to_milliseconds
from provider.errors import Invalid
from provider.services import Services
from tests import factories
from tests.core.orders.test_accommodation import decide_on
from tests.factories import ManualClock

RECORDED = {"integrity": {"record": True}}


def signals(name: str, *lengths: int) -> list[IntegritySignal]:
    return [
        IntegritySignal(type=name, number=number, length=length)
        for number, length in enumerate(lengths)
    ]


def connections(*pairs: tuple[bytes, str]) -> list[IntegritySignal]:
    return [
        IntegritySignal(type=CONNECTION, number=number, network_digest=network, browser=browser)
        for number, (network, browser) in enumerate(pairs)
    ]


CHROME, PHONE = "Chrome on Windows", "Safari on iPhone"


@pytest.mark.parametrize(
    ("found", "level"),
    [
        ([], NONE),
        (connections((b"a", CHROME)), NONE),
        (signals(LEFT, 3000), SOME),
        (signals(LEFT, *[3000] * 4), SOME),
        (signals(LEFT, *[3000] * 5), MANY),
        (signals(LEFT, 119_999), SOME),
        (signals(LEFT, 120_000), MANY),
        (signals(PASTED, 10, 20), SOME),
        (signals(PASTED, 10, 20, 30), MANY),
        (signals(COPIED, 10, 20, 30), MANY),
        (connections((b"a", CHROME), (b"b", CHROME)), SOME),
        (connections(*((bytes([number]), CHROME) for number in range(4))), MANY),
        (connections((b"a", CHROME), (b"a", PHONE)), SOME),
        (connections((b"a", CHROME), (b"a", PHONE), (b"a", "")), MANY),
        (signals(FAST, 500, 500), NONE),
        (signals(FAST, 500, 500, 500), SOME),
        (signals(FAST, *[500] * 4), SOME),
        (signals(FAST, *[500] * 5), MANY),
        (signals(LEFT, 3000) + signals(PASTED, 1, 2, 3), MANY),
    ],
)
def test_summarise_at_each_threshold_returns_level(
    found: Sequence[IntegritySignal], level: str
) -> None:
    summary = summarise(found, 20, judges_speed=True)
    assert summary.level == level
    assert bool(summary.lines) == (level != NONE)


def test_summarise_five_fast_of_many_questions_is_some() -> None:
    assert summarise(signals(FAST, *[500] * 5), 21, judges_speed=True).level == SOME


def test_summarise_names_counts_and_lengths() -> None:
    found = signals(LEFT, 61_000, 4000) + signals(PASTED, 300) + connections((b"a", CHROME))
    summary = summarise(found, 4, judges_speed=True)
    assert summary.lines == (
        (
            "Left the tab or the window",
            "2 times, 1 minute 5 seconds in total, at most 1 minute 1 second at once",
        ),
        ("Pasted text", "1 time, at most 300 characters at once"),
    )
    assert [(signal.label, signal.length) for signal in summary.signals[-2:]] == [
        ("Pasted text", "300 characters"),
        ("Device and network", CHROME),
    ]


def test_summarise_without_speed_leaves_no_trace_of_fast_answers() -> None:
    found = signals(FAST, *[100] * 20)
    assert summarise(found, 20, judges_speed=False) == IntegritySummary(NONE)


def test_reading_ms_grows_with_text() -> None:
    assert reading_ms("Why?") == 1000
    assert reading_ms("x" * 300) == 5100


@pytest.mark.parametrize("text", ["", "left", "typed:1:1", "left:-1:1", "left:1:1:1", "left:1:x"])
def test_page_event_of_other_text_is_none(text: str) -> None:
    assert PageEvent.parse(text) is None


def test_page_event_reads_type_number_and_length() -> None:
    assert PageEvent.parse("left:1767225600000:2500") == PageEvent("left", 1767225600000, 2500)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"integrity": {"record": "yes"}}, "integrity.record: should be true or false"),
        ({"integrity": {}}, "integrity.record: should be provided"),
        ({"retakes": {"counts": "mean"}}, "retakes.counts"),
        ({"retakes": {"allowed": False, "after_days": 3}}, "retakes.after_days: should be left"),
        ({"feedback_grade": True}, "feedback_grade: needs feedback"),
    ],
)
def test_parse_document_with_wrong_option_names_it(
    options: dict[str, object], problem: str
) -> None:
    with pytest.raises(Invalid, match=problem):
        content.parse(factories.TEST_CONTENT | {"name": "Reasoning"} | options)


def place(services: Services, **options: Any) -> str:
    account_id, _ = factories.create_account(services)
    product = factories.create_test(services, **RECORDED | options)
    return factories.place_order(services, account_id, product)


def start(services: Services, order_id: str) -> None:
    with services.db.writing() as session:
        Assessment.find(session, order_id).start(session, services.now())


def record(services: Services, order_id: str, *events: PageEvent) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        record_events(session, order, events, services.now())


def connect(services: Services, order_id: str, network: str, browser: str = CHROME) -> None:
    with services.db.writing() as session:
        order = Assessment.find(session, order_id, lock=True)
        record_connection(session, services.secret_box, order, network, browser, services.now())


def stored(services: Services, order_id: str) -> list[IntegritySignal]:
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        assert order.started_at
        found = list_signals(session, order, attempt_of(order.started_at))
        session.expunge_all()
        return list(found)


def read_summary(services: Services, order_id: str) -> IntegritySummary:
    with services.db.reading() as session:
        summary = Assessment.find(session, order_id).evidence(services.secret_box).integrity
        assert summary
        return summary


def at(moment: datetime, name: str = LEFT, length: int = 3000) -> PageEvent:
    return PageEvent(name, to_milliseconds(moment), length)


@pytest.mark.both
def test_record_events_again_stores_each_once(services: Services, clock: ManualClock) -> None:
    order_id = place(services)
    start(services, order_id)
    clock.advance(timedelta(minutes=1))
    event = at(clock.now())
    record(services, order_id, event, event)
    record(services, order_id, event, at(clock.now(), PASTED, 7))
    assert [(signal.type, signal.length) for signal in stored(services, order_id)] == [
        (LEFT, 3000),
        (PASTED, 7),
    ]


def test_record_events_of_other_times_stores_none(services: Services, clock: ManualClock) -> None:
    order_id = place(services)
    record(services, order_id, at(clock.now()))  # before the start
    clock.advance(timedelta(minutes=1))
    start(services, order_id)
    record(services, order_id, at(clock.now() - timedelta(seconds=1)))
    record(services, order_id, at(clock.now() + timedelta(minutes=1)))
    assert stored(services, order_id) == []


def test_record_events_stops_at_the_maximum(services: Services, clock: ManualClock) -> None:
    order_id = place(services)
    start(services, order_id)
    clock.advance(timedelta(minutes=1))
    first = to_milliseconds(clock.now()) - MAX_SIGNALS
    record(services, order_id, *(PageEvent(LEFT, first + n, 2000) for n in range(MAX_SIGNALS + 9)))
    assert len(stored(services, order_id)) == MAX_SIGNALS
    assert ("Limit", "Only the first 500 signals were stored") in read_summary(
        services, order_id
    ).lines


def test_record_events_late_belong_to_the_attempt(services: Services, clock: ManualClock) -> None:
    order_id = place(services)
    factories.finish_test(services, order_id)
    clock.advance(LATE_ARRIVAL)
    record(services, order_id, at(clock.now() - LATE_ARRIVAL))
    clock.advance(timedelta(seconds=1))
    record(services, order_id, at(clock.now()))
    assert len(stored(services, order_id)) == 1
    assert read_summary(services, order_id).level == SOME


@pytest.mark.both
def test_record_connection_stores_digest_of_each_pair_once(
    services: Services, clock: ManualClock
) -> None:
    order_id = place(services)
    start(services, order_id)
    for network in ("192.0.2.7", "192.0.2.7", "198.51.100.4", "192.0.2.7"):
        connect(services, order_id, network)
    connect(services, order_id, "192.0.2.7", PHONE)
    rows = stored(services, order_id)
    assert [row.browser for row in rows] == [CHROME, CHROME, PHONE]
    assert len({row.network_digest for row in rows}) == 2
    assert all(b"192" not in (row.network_digest or b"") for row in rows)
    assert read_summary(services, order_id).lines == (
        ("Networks", "2"),
        ("Devices or browsers", f"{CHROME}; {PHONE}"),
    )


def test_record_connection_stops_at_the_maximum(services: Services) -> None:
    order_id = place(services)
    start(services, order_id)
    for number in range(MAX_CONNECTIONS + 2):
        connect(services, order_id, f"192.0.2.{number}")
    assert len(stored(services, order_id)) == MAX_CONNECTIONS


def test_evidence_of_accommodated_candidate_ignores_speed(
    services: Services, clock: ManualClock
) -> None:
    order_id = place(services)
    decide_on(services, order_id, text="A quiet room")  # without extra time
    start(services, order_id)
    record(
        services,
        order_id,
        *(PageEvent(FAST, to_milliseconds(clock.now()) + n, 9) for n in range(9)),
    )
    assert len(stored(services, order_id)) == 9
    assert read_summary(services, order_id) == IntegritySummary(NONE)


def test_evidence_of_each_attempt_has_its_signals(services: Services, clock: ManualClock) -> None:
    order_id = place(services)
    start(services, order_id)
    record(services, order_id, at(clock.now()))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.submit(session, services.secret_box, services.now())
    clock.advance(timedelta(hours=1))
    with services.db.writing() as session:
        order = Assessment.find(session, order_id)
        order.retake(session, services.secret_box, "sam@provider.test", "Noise", services.now())
    factories.finish_test(services, order_id)
    assert read_summary(services, order_id).level == NONE
    with services.db.reading() as session:
        order = Assessment.find(session, order_id)
        earlier = order.earlier_evidence(order.earlier_results[0])
    assert earlier.integrity.level == SOME  # type: ignore[attr-defined]


def test_evidence_of_test_without_the_switch_has_no_integrity(services: Services) -> None:
    order_id = place(services, integrity={"record": False})
    factories.finish_test(services, order_id)
    with services.db.reading() as session:
        assert Assessment.find(session, order_id).evidence(services.secret_box).integrity is None
