"""Checks in the core: texts that stand, consents, what is kept secret, outcomes, the end."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from provider import kinds, outbox
from provider.accounts import Account, Caller
from provider.errors import Conflict, Invalid, NotFound, Unready
from provider.house import House
from provider.kinds.check import Check, Consent, Entered, Finding, Incomplete, Package
from provider.kinds.check.consent import Disclosure
from provider.kinds.check.particulars import LONGEST, PARTICULARS
from provider.kinds.document import read, read_file
from provider.orders import Order, Placement, Product, listed, place
from tests import cast, screened
from tests.cast import HandClock

FILE = """\
kind: check
key: {key}
name: {key}
screenings:
  - key: identity
    name: Identity
disclosure:
  key: terms
  version: "{version}"
  sample: {sample}
  text: {text}
"""


def kept(house: House, text: str = "One text", **more: str) -> Product:
    told = {"key": "one", "version": "1", "sample": "false"} | more
    (document,) = read(FILE.format(text=text, **told), "packages.yaml")
    with house.db.writing() as session:
        product, _ = kinds.keep(session, document, house.now())
        product.publish(house.now())
        session.flush()
        return product


def find(house: House, public_id: str) -> Check:
    with house.db.reading() as session:
        check = Check.find(session, public_id)
        _ = check.consents, check.entered, check.findings, check.events, check.version
        return check


def words(house: House, public_id: str) -> list[str]:
    with house.db.reading() as session:
        return [event.word for event in Order.find(session, public_id).events]


def news(house: House, public_id: str) -> list[str]:
    """Return what was put into the outbox for an order, in its order."""
    with house.db.reading() as session:
        story = outbox.story(session, public_id)
        return [message.payload.get("status") or message.topic for message in story]


# The texts


def test_another_package_may_use_the_same_text_under_its_version(house: House) -> None:
    kept(house)
    kept(house, key="two")
    with house.db.reading() as session:
        (standing,) = session.scalars(select(Disclosure))
        assert (standing.key, standing.version, standing.text) == ("terms", "1", "One text")
        assert standing.digest == hashlib.sha256(b"One text").hexdigest()


@pytest.mark.parametrize("key", ["one", "two"])
def test_another_text_under_the_same_version_is_refused_with_its_line(
    house: House, key: str
) -> None:
    kept(house)
    with pytest.raises(Invalid) as refused:
        kept(house, "Another text", key=key)
    assert str(refused.value) == (
        "packages.yaml line 9, disclosure.version: terms 1 already stands with another text; "
        "give the changed one a new version"
    )
    kept(house, "Another text", key=key, version="2")


def test_a_sample_does_not_turn_real_by_itself(house: House) -> None:
    kept(house, sample="true")
    with pytest.raises(Invalid, match="already stands with another `sample`"):
        kept(house, sample="false")


def test_a_refused_text_leaves_no_version_behind(house: House) -> None:
    kept(house)
    with pytest.raises(Invalid):
        kept(house, "Another text", key="two")
    with house.db.reading() as session:
        assert session.scalars(select(Product.key)).all() == ["one"]


# Samples


def caller(house: House, name: str, *, sandbox: bool) -> Caller:
    account_id, _ = cast.account(house, name, sandbox=sandbox)
    with house.db.reading() as session:
        return Caller.of(session.get_one(Account, account_id))


def test_a_package_with_a_sample_text_is_seen_and_ordered_by_sandboxes_alone(
    house: House,
) -> None:
    product = kept(house, sample="true")
    real = caller(house, "Real", sandbox=False)
    trial = caller(house, "Trial", sandbox=True)
    wish = Placement(product=product.public_id, origin="https://a.test/1", email="a@example.com")
    with house.db.writing() as session:
        assert [row.name for row in listed(session, "check", trial)] == ["one"]
        assert listed(session, "check", real) == []
        assert place(session, house.vault, "check", wish, real, house.now()) is None
        assert place(session, house.vault, "check", wish, trial, house.now())


def test_a_real_text_makes_a_package_of_samples_one_for_everybody(house: House) -> None:
    kept(house, sample="true")
    product = kept(house, version="2")
    assert not product.sandbox_only
    real = caller(house, "Real", sandbox=False)
    with house.db.reading() as session:
        assert [row.name for row in listed(session, "check", real)] == ["one"]


def test_the_sample_package_is_marked_and_asks_for_what_its_screenings_need() -> None:
    (document,) = read_file(
        Path(kinds.__file__).parents[1] / "samples" / "employment-screening.yaml"
    )
    content = Package.parse(document.content)
    assert content.disclosure.sample
    assert content.asked == [
        "full_name", "former_names", "date_of_birth", "address", "education", "employers",
    ]  # fmt: skip


# Consent


def test_the_form_asks_only_what_the_screenings_need(house: House) -> None:
    check = find(house, screened.placed(house))
    assert check.content.asked == ["full_name", "date_of_birth", "employers"]


def test_a_consent_keeps_who_when_where_and_the_hash_of_the_exact_text(
    house: House, clock: HandClock
) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id, name="  Lakita \r\n J.\tMarrero ")
    check = find(house, public_id)
    (consent,) = check.consents
    text = screened.CONTENT["disclosure"]["text"]
    assert consent.disclosure == hashlib.sha256(text.encode()).hexdigest()
    assert (consent.disclosure_version, consent.address) == ("jobs 3", "192.0.2.7")
    assert (consent.agent, consent.given_at) == ("A browser/1.0", clock.now())
    agreed = check.agreed(house.vault)
    assert agreed
    assert (agreed.name, agreed.text, agreed.sample) == (screened.NAME, text, False)
    assert (check.status, check.progress) == ("consented", "submitted")
    assert news(house, public_id) == ["invitation", "consented", "consent"]


def test_lines_stay_lines_and_one_line_stays_one(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(
        house,
        public_id,
        full_name=" Lakita\r\nJane\x00 Marrero ",
        employers=" one \r\n\r\ntwo\rthree ",
    )
    kept = find(house, public_id).particulars(house.vault)
    assert kept["full_name"] == "Lakita Jane Marrero"
    assert kept["employers"] == "one\n\ntwo\nthree"


def test_what_the_form_does_not_ask_is_not_kept(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id, national_id="123", former_names="Smith")
    assert set(find(house, public_id).particulars(house.vault)) == set(screened.FILLED)


def test_all_that_is_missing_is_said_at_once_and_nothing_is_kept(house: House) -> None:
    public_id = screened.placed(house)
    with pytest.raises(Incomplete) as error:
        screened.consent(house, public_id, " \n ", full_name="", date_of_birth="yesterday")
    assert list(error.value.fields) == ["name", "full_name", "date_of_birth"]
    check = find(house, public_id)
    assert (check.status, check.consents, check.entered) == ("pending", [], [])
    assert news(house, public_id) == ["invitation"]


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("date_of_birth", "28.02.1990", "year-month-day, such as 1990-02-28"),
        ("date_of_birth", "1990-02-31", "year-month-day"),
        ("date_of_birth", "{today}", "check the year"),
        ("date_of_birth", "1890-01-01", "check the year"),
        ("employers", "x" * (LONGEST + 1), "at most 1000 characters"),
        ("address", " \r\n ", "Please fill in: Home address"),
    ],
)
def test_each_particular_says_what_it_wants(
    house: House, field: str, typed: str, said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        PARTICULARS[field].read(typed.format(today=house.now().date()), house.now())


@pytest.mark.parametrize("name", PARTICULARS)
def test_every_particular_takes_what_people_write(house: House, name: str) -> None:
    typed = "1990-02-28" if PARTICULARS[name].kind == "date" else "Łukasz Żółć, 東京"
    assert PARTICULARS[name].read(typed, house.now()) == typed


def test_a_second_consent_is_refused(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    with pytest.raises(Conflict):
        screened.consent(house, public_id)
    assert len(find(house, public_id).consents) == 1


def test_an_overdue_check_cannot_be_consented_to(house: House, clock: HandClock) -> None:
    public_id = screened.placed(house)
    clock.pass_(timedelta(days=8))
    with pytest.raises(Conflict):
        screened.consent(house, public_id)


def test_what_is_consented_to_never_expires(house: House, clock: HandClock) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    at = clock.pass_(timedelta(days=400))
    with house.db.writing() as session:
        assert not kinds.something_due(session, at)
        assert kinds.pass_time(session, house.vault, at) == 0
    assert cast.status(house, public_id) == "consented"


# Secrets


@pytest.mark.sqlite  # the other keeps its files where it likes
def test_the_database_holds_nothing_of_it_in_the_clear(house: House, tmp_path: Path) -> None:
    public_id = screened.done(house)
    with house.db.writing() as session:
        assert session.scalar(text("select count(*) from particulars")) == 3
    house.db.close()
    files = [path.read_bytes() for path in tmp_path.glob("provider.db*")]
    assert any(public_id.encode() in data for data in files)
    for secret in (*screened.SECRETS, screened.NAME):
        assert not any(secret.encode() in data for data in files), secret


@pytest.mark.parametrize(
    ("swap", "read"),
    [
        (Entered.sealed, lambda check, vault: check.particulars(vault)),
        (Consent.name, lambda check, vault: check.agreed(vault)),
        (Finding.note, lambda check, vault: [check.note(vault, x) for x in check.findings]),
    ],
)
def test_what_was_sealed_for_another_order_does_not_open(
    house: House, swap: Any, read: Callable[[Check, Any], object]
) -> None:
    product_id = screened.package(house)
    account_id, _ = cast.account(house)
    ids = []
    for number in (1, 2):
        url = f"https://groove-tech.workable.com/checks/{number}"
        ids.append(cast.order(house, account_id, product_id, "check", callback_url=url))
        screened.consent(house, ids[-1])
        screened.find_out(house, ids[-1], {"jobs": "consider"})
    assert read(find(house, ids[0]), house.vault)
    with house.db.writing() as session:
        first, second = (Check.find(session, each).id for each in ids)
        owner = swap.class_
        theirs = select(swap).where(owner.order_id == second).limit(1).scalar_subquery()
        session.execute(update(owner).where(owner.order_id == first).values({swap: theirs}))
    with pytest.raises(Unready):
        read(find(house, ids[0]), house.vault)


def test_the_time_of_a_consent_cannot_be_moved(house: House, clock: HandClock) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    with house.db.writing() as session:
        session.execute(update(Consent).values(given_at=clock.now() - timedelta(days=1)))
    with pytest.raises(Unready):
        find(house, public_id).agreed(house.vault)


def test_one_field_does_not_open_as_another(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    check = find(house, public_id)
    name, born = check.entered[0], check.entered[1]
    name.sealed, born.sealed = born.sealed, name.sealed
    with pytest.raises(Unready):
        check.particulars(house.vault)


# Outcomes


def test_one_screening_to_consider_makes_it_all_to_consider(house: House) -> None:
    public_id = screened.done(house)
    with house.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.result
        assert check.result.figures == {
            "overall_status": "consider",
            "findings": [
                {"name": "Identity", "status": "clear"},
                {"name": "Employment history", "status": "consider"},
                {"name": "Criminal record", "status": "clear"},
            ],
        }
        assert check.evidence().sentence == "1 of 3 screenings to consider."
    assert news(house, public_id) == ["invitation", "consented", "consent", "completed"]


def test_all_clear_is_clear(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    screened.find_out(house, public_id, dict.fromkeys(screened.OUTCOMES, "clear"))
    screened.conclude(house, public_id)
    with house.db.reading() as session:
        check = Check.find(session, public_id)
        assert check.overall == "clear"
        assert check.evidence().sentence == "Nothing to consider in any screening."


def test_without_a_result_nothing_is_said_of_it(house: House) -> None:
    public_id = screened.placed(house)
    with house.db.reading() as session:
        assert Check.find(session, public_id).evidence().sentence == ""


def test_an_outcome_is_changed_in_its_place_and_told_without_its_note(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    screened.find_out(house, public_id, {"jobs": "consider"})
    screened.find_out(house, public_id, {"jobs": "consider"})
    screened.find_out(house, public_id, {"jobs": "clear"})
    check = find(house, public_id)
    (finding,) = check.findings
    assert (finding.status, finding.actor, finding.note) == ("clear", "sam@provider.test", None)
    told = [(each.word, each.note) for each in check.events if each.word == "outcome entered"]
    assert told == [
        ("outcome entered", "Employment history: to consider"),
        ("outcome entered", "Employment history: clear"),
    ]


def test_a_note_keeps_its_lines(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    screened.find_out(house, public_id, {"jobs": "consider"})
    check = find(house, public_id)
    assert check.note(house.vault, check.findings[0]) == screened.NOTE


@pytest.mark.parametrize(
    ("outcome", "note", "error"),
    [("", "", Invalid), ("failed", "", Invalid), ("clear", "x" * 5001, Invalid)],
)
def test_an_outcome_that_is_none_is_refused(
    house: House, outcome: str, note: str, error: type[Exception]
) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    with house.db.writing() as session:
        check = Check.find(session, public_id)
        with pytest.raises(error):
            check.find_out(session, house.vault, "jobs", outcome, note, "sam", house.now())


def test_a_screening_that_is_not_in_the_package_is_not_found(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    with pytest.raises(NotFound):
        screened.find_out(house, public_id, {"credit": "clear"})


def test_nothing_is_entered_before_the_consent_or_after_the_end(house: House) -> None:
    public_id = screened.placed(house)
    with pytest.raises(Conflict, match="once the candidate has agreed"):
        screened.find_out(house, public_id)
    with pytest.raises(Conflict):
        screened.conclude(house, public_id)
    screened.consent(house, public_id)
    screened.find_out(house, public_id)
    screened.conclude(house, public_id)
    with pytest.raises(Conflict):
        screened.find_out(house, public_id, {"jobs": "clear"})


def test_a_check_is_not_completed_while_an_outcome_is_missing(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    screened.find_out(house, public_id, {"identity": "clear"})
    with pytest.raises(Conflict, match="no outcome yet for: Employment history, Criminal record"):
        screened.conclude(house, public_id)


# The end, and another beginning


def reopen(house: House, public_id: str) -> None:
    with house.db.writing() as session:
        Order.find(session, public_id).reopen(
            session, house.vault, "sam@provider.test", "A mix-up", house.now()
        )


def test_a_reopened_check_asks_anew_and_keeps_only_the_consent_on_record(
    house: House, clock: HandClock
) -> None:
    public_id = screened.done(house)
    reopen(house, public_id)
    check = find(house, public_id)
    assert (check.status, check.entered, check.findings) == ("pending", [], [])
    assert len(check.consents) == 1
    with house.db.reading() as session:
        assert session.scalar(select(func.count(Finding.id))) == 0
    with pytest.raises(Conflict):
        screened.find_out(house, public_id)
    clock.pass_(timedelta(hours=1))
    screened.consent(house, public_id, name="Lakita M")
    screened.find_out(house, public_id, dict.fromkeys(screened.OUTCOMES, "clear"))
    screened.conclude(house, public_id)
    check = find(house, public_id)
    agreed = check.agreed(house.vault)
    assert agreed
    assert (len(check.consents), agreed.name, agreed.at) == (2, "Lakita M", clock.now())
    assert news(house, public_id)[-5:] == [
        "pending", "invitation", "consented", "consent", "completed",
    ]  # fmt: skip


def test_an_open_check_cannot_be_reopened_and_loses_nothing(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    with pytest.raises(Conflict):
        reopen(house, public_id)
    assert len(find(house, public_id).entered) == 3


def test_staff_can_take_a_check_back_after_the_consent(house: House) -> None:
    public_id = screened.placed(house)
    screened.consent(house, public_id)
    with house.db.writing() as session:
        Order.find(session, public_id).cancel(session, "sam", "Withdrawn", house.now())
    assert cast.status(house, public_id) == "cancelled"
    assert words(house, public_id)[-1] == "cancelled"
