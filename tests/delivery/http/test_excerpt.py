"""The excerpt of a response that an attempt stores."""

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


@pytest.mark.parametrize("position", range(20))
def test_create_excerpt_hides_a_secret_at_the_boundary(position: int) -> None:
    body = b"x" * position + b"secret" + b"y" * 20
    excerpt = create_excerpt(body, {"Authorization": "secret"}, 16)
    assert excerpt == (b"x" * position + b"******" + b"y" * 20)[:16].decode()
