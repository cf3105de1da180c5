"""Tokens, encryption bound to a row, MACs, blind indexes, and replaced keys."""

import hmac
import secrets
from unittest.mock import Mock

import pytest

from provider.errors import Unavailable
from provider.storage.secrets import (
    SecretBox,
    generate_public_id,
    generate_token,
    sha256_digest,
)

OLD, NEW = b"o" * 32, b"n" * 32
ROW = "accounts/abc/callback_token"


@pytest.fixture
def secret_box() -> SecretBox:
    return SecretBox([OLD])


def test_tokens_and_public_ids_are_random_with_fixed_length() -> None:
    assert {len(generate_token()) for _ in range(50)} == {43}
    assert {len(generate_public_id()) for _ in range(50)} == {22}
    assert (
        len({generate_token() for _ in range(50)} | {generate_public_id() for _ in range(50)})
        == 100
    )


def test_public_id_never_begins_with_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    random_values = iter(["-would-be-an-option-22", "--", "_and-this-is-an-id-022"])
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: next(random_values))
    assert generate_public_id() == "_and-this-is-an-id-022"


def test_sha256_digest_is_stable_and_takes_any_text() -> None:
    assert sha256_digest("a") == sha256_digest("a") != sha256_digest("b")
    for odd in ("", "\x00", "\udc80", "😀" * 1000):
        assert len(sha256_digest(odd)) == 32


# Encryption


@pytest.mark.parametrize("text", ["", "secret", "Ωmega 😀", "x" * 100_000])
def test_decrypt_for_same_row_returns_text(secret_box: SecretBox, text: str) -> None:
    assert secret_box.decrypt(secret_box.encrypt(text, ROW), ROW) == text


def test_ciphertext_hides_text_and_is_unique(
    secret_box: SecretBox,
) -> None:
    ciphertext = secret_box.encrypt("a secret", ROW)
    assert b"secret" not in ciphertext
    assert ciphertext != secret_box.encrypt("a secret", ROW)


def test_decrypt_for_another_row_is_unavailable(secret_box: SecretBox) -> None:
    ciphertext = secret_box.encrypt("secret", "accounts/abc/callback_token")
    for row in ("accounts/abd/callback_token", "accounts/abc/other", ""):
        with pytest.raises(Unavailable, match="does not belong to its row"):
            secret_box.decrypt(ciphertext, row)


def test_decrypt_of_changed_byte_is_unavailable(secret_box: SecretBox) -> None:
    ciphertext = secret_box.encrypt("secret", ROW)
    for index in range(len(ciphertext)):
        forged = bytearray(ciphertext)
        forged[index] ^= 1
        with pytest.raises(Unavailable):
            secret_box.decrypt(bytes(forged), ROW)


def test_decrypt_of_truncated_ciphertext_is_unavailable(secret_box: SecretBox) -> None:
    ciphertext = secret_box.encrypt("secret", ROW)
    for length in range(len(ciphertext)):
        with pytest.raises(Unavailable, match=r"cut short|does not belong"):
            secret_box.decrypt(ciphertext[:length], ROW)


def test_decrypt_of_random_bytes_is_unavailable(secret_box: SecretBox) -> None:
    for nonsense in (b"", b"\x00", b"x" * 31, b"x" * 32, b"x" * 200):
        with pytest.raises(Unavailable):
            secret_box.decrypt(nonsense, ROW)


# Replaced keys


def test_replaced_key_decrypts_old_and_new_key_encrypts() -> None:
    ciphertext = SecretBox([OLD]).encrypt("secret", ROW)
    both = SecretBox([NEW, OLD])
    assert both.decrypt(ciphertext, ROW) == "secret"
    new_ciphertext = both.encrypt("secret", ROW)
    assert SecretBox([NEW]).decrypt(new_ciphertext, ROW) == "secret"
    with pytest.raises(Unavailable):
        SecretBox([OLD]).decrypt(new_ciphertext, ROW)


def test_missing_key_error_names_the_setting() -> None:
    old = SecretBox([OLD])
    with pytest.raises(
        Unavailable, match=r"PROVIDER_SECRET_KEY lacks the key .*: add the old key at its end"
    ):
        SecretBox([NEW]).decrypt(old.encrypt("secret", ROW), ROW)
    with pytest.raises(Unavailable, match="PROVIDER_SECRET_KEY lacks"):
        SecretBox([NEW]).is_valid_mac(old.compute_mac(b"content", "order"), b"content", "order")


def test_duplicate_key_counts_once(secret_box: SecretBox) -> None:
    twice = SecretBox([OLD, OLD])
    assert twice.decrypt(secret_box.encrypt("secret", ROW), ROW) == "secret"
    assert len(twice.derive_keys("cookies")) == 1


# MACs


def test_mac_is_valid_for_its_data_and_purpose_only(secret_box: SecretBox) -> None:
    mac = secret_box.compute_mac(b"content", "order")
    assert secret_box.is_valid_mac(mac, b"content", "order")
    assert not secret_box.is_valid_mac(mac, b"Content", "order")
    assert not secret_box.is_valid_mac(mac, b"content", "another")
    assert len(mac) <= 100  # the column


def test_mac_separates_purpose_and_data(secret_box: SecretBox) -> None:
    assert not secret_box.is_valid_mac(secret_box.compute_mac(b"bc", "a"), b"c", "ab")


def test_mac_stays_valid_after_key_replacement() -> None:
    mac = SecretBox([OLD]).compute_mac(b"content", "order")
    both = SecretBox([NEW, OLD])
    assert both.is_valid_mac(mac, b"content", "order")
    assert not both.is_valid_mac(mac, b"other", "order")
    assert both.compute_mac(b"content", "order") != mac


def test_damaged_mac_is_unavailable(secret_box: SecretBox) -> None:
    mac = secret_box.compute_mac(b"content", "order")
    key_id, _, rest = mac.partition(".")
    for damaged in (
        "",
        ".",
        "x",
        "zz.zz",
        key_id,
        f"{key_id}.",
        f"{key_id}.{rest[:-1]}",
        f".{rest}",
        mac + "0",
        mac.upper(),
        mac + "\n",
        f"{key_id}.{'é' * 64}",
        f"{key_id}.{'g' * 64}",
    ):
        with pytest.raises(Unavailable, match="stored MAC is damaged"):
            secret_box.is_valid_mac(damaged, b"content", "order")


def test_macs_are_compared_in_constant_time(
    secret_box: SecretBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Mock(wraps=hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    mac = secret_box.compute_mac(b"content", "order")
    assert secret_box.is_valid_mac(mac, b"content", "order")
    compare.assert_called_once_with(mac, mac)


# Blind indexes


def test_blind_index_ignores_case(secret_box: SecretBox) -> None:
    index = secret_box.blind_index("Lakita_Marrero@GMAIL.com", "candidate e-mail")
    assert index == secret_box.blind_index("lakita_marrero@gmail.com", "candidate e-mail")
    assert index != secret_box.blind_index("lakita.marrero@gmail.com", "candidate e-mail")
    assert index != secret_box.blind_index("lakita_marrero@gmail.com", "another purpose")
    assert len(index) == 32


def test_blind_index_is_keyed_and_takes_any_text(secret_box: SecretBox) -> None:
    assert secret_box.blind_index("a@b.example", "e") != SecretBox([NEW]).blind_index(
        "a@b.example", "e"
    )
    for odd in ("", "\x00", "\udc80", "Straße"):
        assert len(secret_box.blind_index(odd, "e")) == 32


def test_blind_indexes_include_replaced_keys() -> None:
    old, new, both = SecretBox([OLD]), SecretBox([NEW]), SecretBox([NEW, OLD])
    text = "lakita_marrero@gmail.com"
    assert both.blind_indexes(text.upper(), "e") == [
        new.blind_index(text, "e"),
        old.blind_index(text, "e"),
    ]
    assert both.blind_index(text, "e") == new.blind_index(text, "e")


def test_derived_keys_differ_by_purpose_and_key() -> None:
    both = SecretBox([NEW, OLD])
    assert both.derive_keys("cookies") == SecretBox([NEW]).derive_keys("cookies") + SecretBox(
        [OLD]
    ).derive_keys("cookies")
    assert len({*both.derive_keys("cookies"), *both.derive_keys("other"), OLD, NEW}) == 6
