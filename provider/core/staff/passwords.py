"""Password hashes: argon2id, slow on purpose."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from provider.errors import Invalid
from provider.storage import secrets

MIN_PASSWORD_LENGTH, MAX_PASSWORD_LENGTH = 10, 1000  # characters


def hash_password(password: str) -> str:
    """Return the hash of a new password; Invalid for a short, long or unprintable password."""
    is_long_enough = MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH
    if not (is_long_enough and password.isprintable()):  # surrogates are not printable either
        raise Invalid(
            f"A password has {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} plain characters"
        )
    return _hasher().hash(password)


def verify_password(password_hash: str, password: str) -> bool:
    """Compare a password with a hash. This takes about 50 ms, also for a dummy hash."""
    try:
        return _hasher().verify(password_hash, password[: MAX_PASSWORD_LENGTH + 1])
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()  # argon2id with the RFC 9106 low-memory parameters


@cache
def dummy_hash() -> str:
    """Return a hash of no password, so that an unknown e-mail takes as long as a known one."""
    return _hasher().hash(secrets.generate_token())
