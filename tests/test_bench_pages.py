"""The benchmark with a million orders knows every call and page; it runs outside of `make test`."""

from provider.app import ContractFlask
from tests.bench.million import require_all_measured


def test_benchmark_measures_or_excludes_every_page(app: ContractFlask) -> None:
    require_all_measured(app)
