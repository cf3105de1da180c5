"""One-time codes against the vectors of RFC 6238, and recovery codes; each is accepted once."""

from base64 import b32encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import pyotp
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.staff import (
    Staff,
    begin_set_up,
    confirm_set_up,
    count_recovery_codes,
    has_second_factor,
    remove_second_factor,
    renew_recovery_codes,
)
from provider.core.staff.second_factor import OneTimeSecret, use_code
from provider.errors import Conflict, Invalid
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.second_step import secret_of

pytestmark = pytest.mark.both

Result = TypeVar("Result")
STEP = timedelta(seconds=30)
# RFC 6238, appendix B: the secret of SHA-1, and (seconds since 1970, last six digits of the code).
RFC_SECRET = b"12345678901234567890"
RFC_CODES = [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")]


def run(services: Services, act: Callable[[Session, Staff], Result]) -> Result:
    with services.db.writing() as session:
        return act(session, session.scalars(select(Staff)).one())


@pytest.fixture
def secret(services: Services) -> str:
    """The secret of a person who has set the second step up."""
    factories.create_staff(services)
    box = services.secret_box
    address = run(services, lambda session, staff: begin_set_up(session, box, staff))
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert parts.path.endswith("sam%40provider.test")
    key = secret_of(address)
    code = pyotp.TOTP(key).at(services.now())
    run(services, lambda session, staff: confirm_set_up(session, box, staff, code, services.now()))
    return key


def is_accepted(services: Services, code: str) -> bool:
    return run(
        services,
        lambda session, staff: use_code(session, services.secret_box, staff, code, services.now()),
    )


@pytest.mark.parametrize(("seconds", "code"), RFC_CODES)
def test_code_of_the_rfc_is_accepted_once(services: Services, seconds: int, code: str) -> None:
    factories.create_staff(services)
    moment = datetime.fromtimestamp(seconds, UTC)
    box = services.secret_box

    def store(session: Session, staff: Staff) -> None:
        secret = b32encode(RFC_SECRET).decode()
        row = OneTimeSecret(
            staff_id=staff.id,
            secret_encrypted=box.encrypt(secret, f"staff_one_time_secrets/{staff.id}"),
            confirmed_at=moment,
        )
        session.add(row)

    run(services, store)
    accepted = [
        run(services, lambda session, staff: use_code(session, box, staff, code, moment))
        for _ in range(2)
    ]
    assert accepted == [True, False]


def test_code_of_half_a_minute_ago_is_accepted_but_not_older(
    services: Services, clock: ManualClock, secret: str
) -> None:
    clock.advance(timedelta(minutes=10))
    totp = pyotp.TOTP(secret)
    assert not is_accepted(services, totp.at(services.now() - 2 * STEP))
    assert not is_accepted(services, totp.at(services.now() + 2 * STEP))
    assert is_accepted(services, totp.at(services.now() - STEP))
    assert is_accepted(services, totp.at(services.now()))
    assert not is_accepted(services, totp.at(services.now() - STEP))  # an earlier step


def test_code_with_spaces_is_accepted_and_nonsense_is_not(
    services: Services, clock: ManualClock, secret: str
) -> None:
    clock.advance(timedelta(minutes=10))
    code = pyotp.TOTP(secret).at(services.now())
    for wrong in ("", " ", "000", "12345a", "１２３４５６", "é", "9" * 300, "\x00"):
        assert not is_accepted(services, wrong)
    assert is_accepted(services, f" {code[:3]} {code[3:]} ")


def test_same_code_at_the_same_moment_is_accepted_once(
    services: Services, clock: ManualClock, secret: str
) -> None:
    clock.advance(timedelta(minutes=10))
    code = pyotp.TOTP(secret).at(services.now())
    with ThreadPoolExecutor(4) as threads:
        accepted = list(threads.map(lambda _: is_accepted(services, code), range(8)))
    assert sum(accepted) == 1


def test_recovery_code_is_accepted_once_in_any_spelling(services: Services, secret: str) -> None:
    box = services.secret_box
    codes = run(services, lambda session, staff: renew_recovery_codes(session, box, staff))
    assert len(set(codes)) == 10
    assert is_accepted(services, codes[0].lower().replace("-", " "))
    assert not is_accepted(services, codes[0])
    assert is_accepted(services, codes[1])
    assert run(services, count_recovery_codes) == 8
    run(services, lambda session, staff: renew_recovery_codes(session, box, staff))
    assert not is_accepted(services, codes[2])


def test_unconfirmed_secret_is_not_asked_for(services: Services) -> None:
    factories.create_staff(services)
    box = services.secret_box
    address = run(services, lambda session, staff: begin_set_up(session, box, staff))
    again = run(services, lambda session, staff: begin_set_up(session, box, staff))
    assert address == again  # a second tab shows the same picture
    assert not run(services, has_second_factor)
    code = pyotp.TOTP(secret_of(address)).at(services.now())
    assert not is_accepted(services, code)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    with pytest.raises(Invalid, match="This code is not right"):
        run(services, lambda s, staff: confirm_set_up(s, box, staff, wrong, services.now()))


def test_removed_second_step_can_be_set_up_again(services: Services, secret: str) -> None:
    box = services.secret_box
    with pytest.raises(Conflict, match="is set up already"):
        run(services, lambda session, staff: begin_set_up(session, box, staff))
    run(services, remove_second_factor)
    assert (run(services, has_second_factor), run(services, count_recovery_codes)) == (False, 0)
    address = run(services, lambda session, staff: begin_set_up(session, box, staff))
    assert secret not in address
