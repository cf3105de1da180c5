"""Password hashes: argon2id, slow on purpose. Easy passwords are refused."""

import re
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from provider.errors import Invalid
from provider.storage import secrets

MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 10, 1000  # characters
MAX_RATED_LENGTH = 72  # characters; zxcvbn refuses to rate more
MIN_STRENGTH = 3  # of zxcvbn's 0 to 4: more than 10^8 guesses
MIN_FORBIDDEN_LENGTH = 3  # characters of a word; shorter ones are in many passwords
PRODUCT_WORDS = ("provider", "console")


def hash_password(password: str, email: str) -> str:
    """Return the hash of a new password of the person with an e-mail address.

    Raises Invalid for a short, long, unprintable or easy password.
    """
    is_long_enough = MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH
    if not (is_long_enough and password.isprintable()):  # surrogates are not printable either
        raise Invalid(
            f"A password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} plain characters"
        )
    if _strength(password, email) < MIN_STRENGTH:
        raise Invalid(
            "This password is easy to guess: take four words that have nothing to do with each "
            "other or with you"
        )
    return _hasher().hash(password)


def verify_password(password_hash: str, password: str) -> bool:
    """Compare a password with a hash. This takes about 50 ms, also for a dummy hash."""
    try:
        return _hasher().verify(password_hash, password[: MAX_PASSWORD_LENGTH + 1])
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


def _strength(password: str, email: str) -> int:
    """Rate a password from 0 to 4; words of the person and of the product count nothing."""
    from zxcvbn import zxcvbn  # late: only a new password needs its word lists

    parts = re.split(r"[\W_]+", email.casefold())
    words = [word for word in (*parts, *PRODUCT_WORDS) if len(word) >= MIN_FORBIDDEN_LENGTH]
    rest = re.sub("|".join(map(re.escape, words)), "", password, flags=re.IGNORECASE)
    if not rest:
        return 0
    return int(zxcvbn(rest[:MAX_RATED_LENGTH], user_inputs=[email, *words])["score"])


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id with the RFC 9106 low-memory parameters


@cache
def dummy_hash() -> str:
    """Return a hash of no password, so that an unknown e-mail takes as long as a known one."""
    return _hasher().hash(secrets.generate_token())
