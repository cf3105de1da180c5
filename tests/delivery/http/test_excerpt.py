"""The excerpt of a response that an attempt stores."""

from base64 import b64encode

import pytest

from provider.delivery.http.excerpt import create_excerpt


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "X-Api-Key", "X-Auth", "X-Signature", "x-access-TOKEN"]
)
@pytest.mark.parametrize("value", ["Bearer secret-1", "secret-1"])
def test_create_excerpt_hides_each_kind_of_credentials(name: str, value: str) -> None:
    headers = {name: value, "Content-Type": "application/json"}
    excerpt = create_excerpt(b"application/json secret-1 secret-", headers, 100)
    assert excerpt == "application/json ******** secret-"


def test_create_excerpt_hides_the_longer_of_two_secrets_first() -> None:
    headers = {"Authorization": "Bearer abc", "X-Api-Key": "abcdef", "Cookie": ""}
    assert create_excerpt(b"abcdef abc", headers, 100) == "****** ***"


def test_create_excerpt_hides_both_parts_of_basic_credentials() -> None:
    headers = {"Authorization": f"Basic {b64encode(b'user-1:pass:word').decode()}"}
    excerpt = create_excerpt(b"user-1 may not pass:word, pass", headers, 100)
    assert excerpt == "****** may not *********, pass"


def test_create_excerpt_hides_basic_credentials_that_are_not_base64() -> None:
    assert create_excerpt(b"it is x!!", {"Authorization": "Basic x!!"}, 100) == "it is ***"


def test_create_excerpt_hides_other_secrets_as_written_in_json() -> None:
    assert create_excerpt(rb'{"t": "a\"b"}', {}, 100, ['a"b']) == '{"t": "****"}'


@pytest.mark.parametrize("position", range(20))
def test_create_excerpt_hides_a_secret_at_the_boundary(position: int) -> None:
    body = b"x" * position + b"secret" + b"y" * 20
    excerpt = create_excerpt(body, {"Authorization": "secret"}, 16)
    assert excerpt == (b"x" * position + b"******" + b"y" * 20)[:16].decode()
