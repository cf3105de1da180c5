"""Labels and tones of stored values."""

from provider.core import labels
from provider.core.kinds import KINDS
from provider.core.labels import label_for, tone
from provider.core.orders import STATUSES, WAITING_FOR
from provider.outbox import DELIVERED, PARKED, SUPERSEDED, WAITING


def test_labels_cover_every_stored_value() -> None:
    for family, values in (
        ("status", STATUSES),
        ("waiting_for", WAITING_FOR),
        ("kind", KINDS),
        ("product", KINDS),
        ("delivery", (WAITING, DELIVERED, PARKED, SUPERSEDED)),
    ):
        assert set(values) <= set(labels.LABELS[family])


def test_label_for_unknown_value_is_readable() -> None:
    assert label_for("event", "identity_checked") == "Identity checked"
    assert label_for("nothing", "some-thing") == "Some thing"
    assert label_for("grade", None) == ""


def test_tone_differs_for_good_bad_and_open_values() -> None:
    tones = [tone(value) for value in ("passed", "excelled", "failed", "consider", "pending")]
    assert tones == ["good", "best", "bad", "warn", "wait"]
    assert tone("anything") == tone(None) == "quiet"
