"""Scorecards, notes at a time and captions are exported, copied and erased with their order."""

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select

from provider.core.accounts import Account
from provider.core.kinds.interview import Interview, Rating, Scorecard
from provider.core.kinds.interview.answers import Caption, TimeNote
from provider.core.kinds.interview.captions import request_captions
from provider.maintenance.erasure import erase_order
from provider.maintenance.person_export import export_person
from provider.outbox import Message
from provider.services import Services
from tests.web.report.test_reviewed_report import ANN, BEN, WORDS, reviewed_interview

TABLES = (Scorecard, Rating, TimeNote, Caption)


@pytest.fixture
def interview(services: Services) -> str:
    interview, recording = reviewed_interview(services)
    with services.db.writing() as session:
        order = Interview.find(session, interview)
        take = order.find_recording(recording)
        note = TimeNote(seconds=1, text="A figure", actor=ANN, created_at=services.now())
        take.time_notes.append(note)
        request_captions(session, take, ANN, services.now())
    return interview


def count_rows(services: Services) -> list[int]:
    with services.db.reading() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]


@pytest.mark.both
def test_export_of_a_person_has_reviews_and_captions_once(
    services: Services, interview: str, tmp_path: Path
) -> None:
    with services.db.reading() as session:
        order = Interview.find(session, interview)
        account = session.get_one(Account, order.account_id)
        email = order.candidate.email
        export_person(
            session, services.media, services.secret_box, account, email, tmp_path / "export"
        )
    (document,) = json.loads((tmp_path / "export" / "data.json").read_text())["orders"]
    tables = document["tables"]
    assert sorted(row["reviewer"] for row in tables["scorecards"]) == [ANN, BEN]
    assert len(tables["ratings"]) == 6
    assert [row["text"] for row in tables["time_notes"]] == ["A figure"]
    (caption,) = tables["captions"]
    assert WORDS in caption["text"]


@pytest.mark.both
def test_erasure_deletes_reviews_and_captions(services: Services, interview: str) -> None:
    assert count_rows(services) == [2, 6, 1, 1]
    erase_order(
        services.db,
        services.media,
        services.secret_box,
        interview,
        actor="sam@provider.test",
        now=services.now(),
        give_up_deliveries=True,
    )
    assert count_rows(services) == [0, 0, 0, 0]
    with services.db.reading() as session:
        assert session.scalars(select(Message).where(Message.topic == "transcribe")).all() == []
