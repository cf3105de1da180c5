"""The same endpoints the usual way: FastAPI, pydantic, a sync SQLAlchemy session, uvicorn.

A request does the same work as ours (token, idempotency, candidate, order, link, event, search
index, message; one durable commit), written as these libraries' guides recommend. Encryption, MACs
and the look at erased orders are left out. The module lives in an environment of its own and uses
none of our code.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, HttpUrl
from sqlalchemy import JSON, ForeignKey, UniqueConstraint, create_engine, event, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

TOKEN = "usual-token"
engine = create_engine(f"sqlite:///{os.environ['USUAL_DATABASE']}", connect_args={"timeout": 30})


@event.listens_for(engine, "connect")
def durable(connection: Any, record: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def new_id() -> str:
    return secrets.token_urlsafe(16)


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    callback_host: Mapped[str]
    expire_days: Mapped[int] = mapped_column(default=7)


class Token(Base):
    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    account: Mapped[Account] = relationship()


class Test(Base):
    __tablename__ = "tests"
    __test__ = False
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=new_id)
    name: Mapped[str]
    published: Mapped[bool] = mapped_column(default=True)


class Candidate(Base):
    __tablename__ = "candidates"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(index=True)
    first_name: Mapped[str] = mapped_column(default="")
    last_name: Mapped[str] = mapped_column(default="")
    phone: Mapped[str] = mapped_column(default="")


class Assessment(Base):
    __tablename__ = "assessments"
    __table_args__ = (UniqueConstraint("account_id", "callback_url"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True, default=new_id)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    test_id: Mapped[int] = mapped_column(ForeignKey("tests.id"), index=True)
    candidate_id: Mapped[int] = mapped_column(ForeignKey("candidates.id"), index=True)
    callback_url: Mapped[str]
    job_title: Mapped[str] = mapped_column(default="")
    request_hash: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    placed_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    candidate: Mapped[Candidate] = relationship()
    links: Mapped[list["Link"]] = relationship(back_populates="assessment")
    events: Mapped[list["Event"]] = relationship(back_populates="assessment")


class Link(Base):
    __tablename__ = "links"
    id: Mapped[int] = mapped_column(primary_key=True)
    assessment_id: Mapped[int] = mapped_column(ForeignKey("assessments.id"), index=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    assessment: Mapped[Assessment] = relationship(back_populates="links")


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    assessment_id: Mapped[int] = mapped_column(ForeignKey("assessments.id"), index=True)
    occurred_at: Mapped[datetime]
    type: Mapped[str]
    assessment: Mapped[Assessment] = relationship(back_populates="events")


class AssessmentSearch(Base):
    __tablename__ = "assessment_search"
    assessment_id: Mapped[int] = mapped_column(ForeignKey("assessments.id"), primary_key=True)
    words: Mapped[str]
    assessment: Mapped[Assessment] = relationship()


# A full-text index over another table, as SQLite's manual has it.
SEARCH_INDEX = (
    """
    CREATE VIRTUAL TABLE IF NOT EXISTS assessment_search_index USING fts5(
        words, content='assessment_search', content_rowid='assessment_id', detail=none,
        columnsize=0, prefix='2 3'
    )
    """,
    """
    CREATE TRIGGER IF NOT EXISTS assessment_search_added AFTER INSERT ON assessment_search BEGIN
        INSERT INTO assessment_search_index (rowid, words) VALUES (new.assessment_id, new.words);
    END
    """,
)


class Message(Base):
    __tablename__ = "messages"
    id: Mapped[int] = mapped_column(primary_key=True)
    topic: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(default="waiting", index=True)
    due_at: Mapped[datetime]


class TestOut(BaseModel):
    __test__ = False
    model_config = ConfigDict(from_attributes=True)
    id: str = Field(validation_alias="public_id")
    name: str


class TestsOut(BaseModel):
    __test__ = False
    tests: list[TestOut]


class CandidateIn(BaseModel):
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)
    first_name: str = Field("", max_length=200)
    last_name: str = Field("", max_length=200)
    phone: str = Field("", max_length=100)


class AssessmentIn(BaseModel):
    test_id: str
    job_title: str = Field("", max_length=500)
    callback_url: HttpUrl
    candidate: CandidateIn


class AssessmentCreated(BaseModel):
    assessment_id: str


class AssessmentStatus(BaseModel):
    status: str
    assessment: dict[str, Any] | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> Any:
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for statement in SEARCH_INDEX:
            session.execute(text(statement))
        account = Account(name="Groove Tech", callback_host="groove-tech.workable.com")
        session.add(Token(token_hash=hashlib.sha256(TOKEN.encode()).hexdigest(), account=account))
        session.add_all(Test(name=f"Test {n:02}") for n in range(20))
        session.commit()
    yield


app = FastAPI(lifespan=lifespan)
bearer = HTTPBearer()


def get_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


Db = Annotated[Session, Depends(get_session)]


def get_account(
    session: Db, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]
) -> Account:
    token_hash = hashlib.sha256(credentials.credentials.encode()).hexdigest()
    token = session.scalar(select(Token).where(Token.token_hash == token_hash))
    if token is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Invalid Token")
    return token.account


Caller = Annotated[Account, Depends(get_account)]


@app.get("/tests", response_model=TestsOut)
def list_tests(session: Db, account: Caller) -> Any:
    tests = session.scalars(select(Test).where(Test.published).order_by(Test.name)).all()
    return {"tests": tests}


@app.post("/assessments", status_code=201)
def create_assessment(body: AssessmentIn, session: Db, account: Caller) -> AssessmentCreated:
    if body.callback_url.host != account.callback_host:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "This host is not allowed")
    content = json.dumps(body.model_dump(mode="json"), sort_keys=True)
    request_hash = hashlib.sha256(content.encode()).hexdigest()
    existing = session.scalar(
        select(Assessment).where(
            Assessment.account_id == account.id, Assessment.callback_url == str(body.callback_url)
        )
    )
    if existing is not None:
        if existing.request_hash != request_hash:
            raise HTTPException(status.HTTP_409_CONFLICT, "Entity is already updated")
        return AssessmentCreated(assessment_id=existing.public_id)
    test = session.scalar(select(Test).where(Test.public_id == body.test_id, Test.published))
    if test is None:
        raise HTTPException(422, "Unknown test")
    assessment = Assessment(
        public_id=new_id(),
        account_id=account.id,
        test_id=test.id,
        candidate=Candidate(**body.candidate.model_dump()),
        callback_url=str(body.callback_url),
        job_title=body.job_title,
        request_hash=request_hash,
        placed_at=now(),
        expires_at=now() + timedelta(days=account.expire_days),
    )
    token = secrets.token_urlsafe(32)
    assessment.links.append(Link(token_hash=hashlib.sha256(token.encode()).hexdigest()))
    assessment.events.append(Event(occurred_at=now(), type="placed"))
    invitation = Message(topic="invitation", payload={"order": assessment.public_id}, due_at=now())
    candidate = body.candidate
    texts = [candidate.email, candidate.first_name, candidate.last_name, body.job_title]
    texts += [assessment.public_id, assessment.callback_url]
    words = sorted(set(re.findall(r"[^\W_]+", " ".join(texts).casefold())))
    search = AssessmentSearch(assessment=assessment, words=" ".join(words))
    session.add_all([assessment, invitation, search])
    session.commit()
    return AssessmentCreated(assessment_id=assessment.public_id)


@app.get("/assessments/{assessment_id}", response_model_exclude_none=True)
def get_assessment(assessment_id: str, session: Db, account: Caller) -> AssessmentStatus:
    assessment = session.scalar(
        select(Assessment).where(
            Assessment.public_id == assessment_id, Assessment.account_id == account.id
        )
    )
    if assessment is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such assessment")
    return AssessmentStatus(status=assessment.status, assessment=assessment.result)
