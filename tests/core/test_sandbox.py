"""A sandbox: the candidate's address decides what happens, by the functions of real candidates."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from provider.ats.account_settings import InvalidSettings, change_settings
from provider.core.accounts import Account
from provider.core.accounts.sandbox_outcomes import OUTCOMES
from provider.core.kinds import KINDS
from provider.core.kinds.assessment.items import (
    Item,
    Likert,
    MultipleChoice,
    Numeric,
    Option,
    ShortText,
    SingleChoice,
    TrueFalse,
)
from provider.core.kinds.assessment.scripted import _choose_form
from provider.core.orders import Candidate, Order
from provider.core.products import Product
from provider.core.sandbox import PLAY_SANDBOX, SCRIPTS, Script, find_script, has_due_steps
from provider.core.scheduled import run_if_due
from provider.delivery.dispatcher import Dispatcher
from provider.outbox import Message, history
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.kind_factories import KIND_FACTORIES

STEP = timedelta(seconds=5)
MAX_STEPS = 10  # more than any kind needs


def place(services: Services, email: str, kind: str = "assessment", *, sandbox: bool = True) -> str:
    account_id, _ = factories.create_account(services, sandbox=sandbox)
    product = KIND_FACTORIES[kind].create_product(services)
    return factories.place_order(services, account_id, product, kind, email=email)


def play(services: Services, steps: int = MAX_STEPS, delay: timedelta = STEP) -> None:
    """Run the scheduled work, and what processes recordings, as often as `steps` says."""
    assert isinstance(services.clock, ManualClock)
    dispatcher = Dispatcher(services)
    for _ in range(steps):
        services.clock.advance(delay)
        run_if_due(services, PLAY_SANDBOX)
        dispatcher.drain("1/media")
    dispatcher.stop()


def events(services: Services, order_id: str) -> list[str]:
    with services.db.reading() as session:
        return [event.type for event in Order.find(session, order_id).events]


def result_of(services: Services, order_id: str) -> tuple[float | None, str | None, str]:
    """Return the score, the grade and the overall status of a check."""
    with services.db.reading() as session:
        result = Order.find(session, order_id).result
        assert result
        return result.score, result.grade, result.figures.get("overall_status", "")


@pytest.mark.both
@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("assessment", "pass", (100, "excelled", "")),
        ("assessment", "fail", (0, "failed", "")),
        ("interview", "pass", (100, None, "")),
        ("interview", "fail", (0, None, "")),
        ("check", "pass", (None, None, "clear")),
        ("check", "fail", (None, None, "consider")),
    ],
)
def test_order_of_each_kind_ends_with_the_scripted_result(
    services: Services, kind: str, name: str, expected: tuple[float | None, str | None, str]
) -> None:
    order_id = place(services, f"{name.capitalize()}+7@example.com", kind)
    play(services)
    assert result_of(services, order_id) == expected
    assert factories.order_status(services, order_id) == "completed"
    happened = events(services, order_id)
    start = "consented" if kind == "check" else "started"
    assert [happened.index(event) for event in ("placed", "opened", start)] == [0, 1, 2]
    with services.db.reading() as session:
        topics = [message.topic for message in history(session, order_id)]
    assert topics.count("status") == (2 if kind == "check" else 1)


@pytest.mark.parametrize(("name", "status"), [("decline", "declined"), ("expire", "expired")])
def test_order_without_a_result_ends_with_the_scripted_status(
    services: Services, name: str, status: str
) -> None:
    order_id = place(services, f"{name}@example.com")
    play(services, 3)
    assert factories.order_status(services, order_id) == status
    assert ("opened" in events(services, order_id)) == (name == "decline")


def test_slow_candidate_takes_ten_minutes_for_each_step(services: Services) -> None:
    order_id = place(services, "slow@example.com")
    play(services, 1, timedelta(minutes=9))
    assert events(services, order_id) == ["placed"]
    play(services, 1, timedelta(minutes=1))
    play(services, 1, timedelta(minutes=1))
    assert events(services, order_id) == ["placed", "opened"]
    play(services, 2, timedelta(minutes=10))
    assert factories.order_status(services, order_id) == "completed"


def test_scripted_candidate_gets_no_real_email(services: Services) -> None:
    place(services, "pass@example.com")
    play(services)
    factories.deliver_emails(services)
    assert not list((services.settings.instance / "mail").glob("*.eml"))
    with services.db.reading() as session:
        messages = session.scalars(select(Message).where(Message.queue == "1/email")).all()
        topics = [(message.topic, message.state) for message in messages]
        assert topics == [("invitation", "delivered"), ("completion", "delivered")]
        (attempt,) = messages[0].attempt_history
        assert "nothing was sent" in attempt.response_excerpt
        body = messages[0].get_body(services.secret_box)
        assert body
        assert b"To: pass@example.com" in body


def test_bounced_invitation_is_recorded_and_the_order_stays_open(services: Services) -> None:
    order_id = place(services, "bounce@example.com")
    factories.deliver_emails(services)
    play(services, 3)
    with services.db.reading() as session:
        order = Order.find(session, order_id)
        assert order.bounced_at
        assert (order.status, order.progress) == ("pending", "invited")
    assert events(services, order_id) == ["placed", "invitation bounced"]


@pytest.mark.parametrize(
    ("email", "sandbox"), [("pass@example.com", False), ("passport@example.com", True)]
)
def test_other_candidates_are_left_alone(services: Services, email: str, sandbox: bool) -> None:
    order_id = place(services, email, sandbox=sandbox)
    play(services, 3)
    assert events(services, order_id) == ["placed"]
    factories.deliver_emails(services)
    assert len(list((services.settings.instance / "mail").glob("*.eml"))) == 1


@pytest.mark.both
def test_order_that_fails_does_not_stop_the_others(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = place(services, "expire@example.com")
    with services.db.reading() as session:
        account_id = Order.find(session, broken).account_id
    other = factories.place_order(
        services,
        account_id,
        factories.create_test(services, key="other"),
        callback_url="https://groove-tech.workable.com/assessments/2",
        email="expire@example.com",
    )
    expire = Order.expire

    def fail_for_one(order: Order, *args: object) -> None:
        if order.public_id == broken:
            raise RuntimeError("broken")
        expire(order, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Order, "expire", fail_for_one)
    play(services, 1)
    assert factories.order_status(services, broken) == "pending"
    assert factories.order_status(services, other) == "expired"


@pytest.mark.both
def test_work_is_needed_only_while_a_step_is_due(services: Services, clock: ManualClock) -> None:
    def is_needed() -> bool:
        with services.db.reading() as session:
            return has_due_steps(session, services.now())

    place(services, "expire@example.com")
    assert not is_needed()
    clock.advance(STEP)
    assert is_needed()
    with services.db.writing() as session:
        session.execute(update(Account).values(sandbox=False))
    assert not is_needed()


def test_every_kind_takes_part() -> None:
    assert [name for name, kind in KINDS.items() if kind.play_step is None] == []


def test_find_script_reads_the_name_before_the_plus() -> None:
    account = Account(sandbox=True, options={})
    assert script_of(account, "FAIL+x@a.example") == SCRIPTS["fail"]
    assert script_of(account, "fail.x@a.example") is None
    assert script_of(Account(sandbox=False), "fail@a.example") is None


def script_of(account: Account, email: str) -> Script | None:
    product = Product(kind="assessment", key="reasoning")
    return find_script(Order(account=account, candidate=Candidate(email=email), product=product))


# Outcomes by product


def set_outcomes(services: Services, text: str) -> None:
    with services.db.writing() as session:
        account = session.scalars(select(Account)).one()
        change_settings(
            session,
            services.secret_box,
            account,
            {"sandbox_outcomes": text},
            actor="sam@provider.test",
            now=services.now(),
        )


def outcomes_of(services: Services) -> object:
    with services.db.reading() as session:
        return session.scalars(select(Account)).one().options.get("sandbox_outcomes")


def test_outcomes_of_products_are_those_of_addresses() -> None:
    assert set(OUTCOMES) == set(SCRIPTS)


@pytest.mark.both
def test_product_decides_where_the_address_does_not(services: Services) -> None:
    orders = {
        "product": place(services, "ana@example.com"),
        "address": place_another(services, "expire@example.com", 2),
        "silent address": place_another(services, "bounce@example.com", 3),
    }
    other_product = factories.create_test(services, key="other")
    orders["other product"] = place_another(services, "ana@example.com", 4, other_product)
    set_outcomes(services, "reasoning=fail")
    play(services)
    factories.deliver_emails(services)
    assert {name: factories.order_status(services, id_) for name, id_ in orders.items()} == {
        "product": "completed",
        "address": "expired",
        "silent address": "pending",
        "other product": "pending",
    }
    assert result_of(services, orders["product"])[:2] == (0, "failed")
    mails = list((services.settings.instance / "mail").glob("*.eml"))
    assert len(mails) == 1  # the invitation to the other product


def place_another(services: Services, email: str, number: int, product_id: str = "") -> str:
    with services.db.reading() as session:
        account_id = session.scalars(select(Account.id)).one()
        product_id = product_id or session.scalars(select(Product.public_id)).one()
    url = f"https://groove-tech.workable.com/assessments/{number}"
    return factories.place_order(services, account_id, product_id, callback_url=url, email=email)


def test_outcome_of_a_product_has_no_effect_outside_of_a_sandbox(services: Services) -> None:
    order_id = place(services, "ana@example.com")
    set_outcomes(services, "reasoning=expire")
    with services.db.writing() as session:
        session.execute(update(Account).values(sandbox=False))
    play(services, 2)
    factories.deliver_emails(services)
    assert events(services, order_id) == ["placed"]
    assert len(list((services.settings.instance / "mail").glob("*.eml"))) == 1


def test_products_of_outcomes_are_stored_with_their_kind(services: Services) -> None:
    place(services, "ana@example.com")
    set_outcomes(services, "reasoning=Fail")
    assert outcomes_of(services) == {"assessment/reasoning": "fail"}
    set_outcomes(services, "none")
    assert outcomes_of(services) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("unknown=pass", "sandbox_outcomes: There is no product “unknown”"),
        ("check/reasoning=pass", "There is no product “check/reasoning”"),
        ("reasoning=pass, assessment/reasoning=fail", "names “assessment/reasoning” twice"),
    ],
)
def test_outcome_of_an_unknown_product_is_refused(
    services: Services, text: str, problem: str
) -> None:
    place(services, "ana@example.com")
    with pytest.raises(InvalidSettings, match=problem):
        set_outcomes(services, text)
    assert outcomes_of(services) is None


def test_outcomes_of_a_real_account_are_refused(services: Services) -> None:
    place(services, "ana@example.com", sandbox=False)
    with pytest.raises(InvalidSettings, match="is for a sandbox: switch"):
        set_outcomes(services, "reasoning=pass")
    set_outcomes(services, "none")


OPTIONS = (Option("a", "A"), Option("b", "B", correct=True), Option("c", "C", correct=True))


@pytest.mark.parametrize(
    ("item", "best", "worst"),
    [
        (SingleChoice(key="k", prompt="p", options=OPTIONS[:2]), ["b"], ["a"]),
        (MultipleChoice(key="k", prompt="p", options=OPTIONS), ["b", "c"], ["a"]),
        (TrueFalse(key="k", prompt="p", answer=False), ["false"], ["true"]),
        (Numeric(key="k", prompt="p", answer=3, tolerance=2), ["3"], ["6"]),  # type: ignore[arg-type]
        (ShortText(key="k", prompt="p", accepted=("Rome",)), ["Rome"], ["A scripted answer"]),
        (Likert(key="k", prompt="p", labels=("no", "yes"), reversed=True), ["1"], ["2"]),
    ],
)
def test_scripted_answers_are_the_best_and_the_worst(
    item: Item, best: list[str], worst: list[str]
) -> None:
    assert _choose_form(item, is_good=True) == {"answer": best}
    assert _choose_form(item, is_good=False) == {"answer": worst}
