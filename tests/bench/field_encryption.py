"""How much the encryption of each field adds to a candidate's save, in CPU time."""

from collections.abc import Iterator
from time import process_time

from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.detail_samples import SAMPLE_DETAILS
from provider.core.kinds.check.packages.detail_value import DetailValue
from provider.storage.secrets import SecretBox
from tests.bench.table import Figure

MAX_MS = 1
ROWS = 10  # of each detail that may have several: more than most candidates give


def measure_field_encryption(save_count: int) -> Iterator[Figure]:
    """Read and encrypt every detail of a check, as one save does at most."""
    secret_box = SecretBox([b"k" * 32])
    texts = {name: _sample_text(name) for name in DETAIL_FIELDS}
    stored = {name: secret_box.encrypt(text, f"orders/one/{name}") for name, text in texts.items()}
    started_at = process_time()
    for _ in range(save_count):
        for name, text in texts.items():
            secret_box.decrypt(stored[name], f"orders/one/{name}")
            secret_box.encrypt(text, f"orders/one/{name}")
    milliseconds = (process_time() - started_at) / save_count * 1e3
    yield Figure(
        "encryption of every detail in a candidate's save",
        milliseconds,
        MAX_MS,
        "ms",
        is_upper_limit=True,
        note=f"{len(texts)} details, {sum(map(len, texts.values())):,} characters",
    )


def _sample_text(name: str) -> str:
    data = SAMPLE_DETAILS[name]
    if isinstance(data, list):
        data = data * ROWS
    return DetailValue.from_data(data).to_text(has_rows=DETAIL_FIELDS[name].has_rows)
