"""The second step of a member of staff, set up without a browser."""

from urllib.parse import parse_qs, urlsplit

import pyotp

from provider.core.staff import Staff, begin_set_up, confirm_set_up
from provider.services import Services


def secret_of(address: str) -> str:
    """Return the secret of an address `otpauth://…`."""
    return parse_qs(urlsplit(address).query)["secret"][0]


def set_up_second_step(services: Services, email: str) -> list[str]:
    """Return the recovery codes."""
    with services.db.writing() as session:
        staff = Staff.get_by_email(session, email)
        address = begin_set_up(session, services.secret_box, staff)
        code = pyotp.TOTP(secret_of(address)).at(services.now())
        return confirm_set_up(session, services.secret_box, staff, code, services.now())
