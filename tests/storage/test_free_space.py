"""The floor of free disk space."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from provider.errors import Unavailable
from provider.storage.free_space import require_free_space

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("total", "free", "min_free", "is_enough"),
    [
        (100 * GB, 1 * GB, None, True),
        (100 * GB, 1 * GB - 1, None, False),
        (10 * GB, GB // 2, None, True),  # 5 % of a small disk
        (10 * GB, GB // 2 - 1, None, False),
        (100 * GB, 2 * GB - 1, 2 * GB, False),
        (10 * GB, 0, 0, True),
    ],
)
def test_require_free_space_compares_with_its_floor(
    total: int,
    free: int,
    min_free: int | None,
    is_enough: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=total, free=free))
    if is_enough:
        require_free_space(tmp_path, min_free)
        return
    with pytest.raises(Unavailable) as raised, capture_logs() as logs:
        require_free_space(tmp_path, min_free)
    assert raised.value.retry_headers() == {"Retry-After": "300"}
    assert logs[0]["event"] == "disk_almost_full"
