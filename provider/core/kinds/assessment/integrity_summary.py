"""The summary of an attempt's signals for people: none, some or many, and which.

The level is no score. docs/product-documents.md states the thresholds; change both together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from provider.core.formats import format_duration
from provider.core.kinds.assessment.integrity_signals import (
    CONNECTION,
    COPIED,
    FAST,
    LEFT,
    MAX_SIGNALS,
    PASTED,
    IntegritySignal,
)
from provider.texts import gettext, ngettext

# The levels. The words are unique among the values of all labels, which share their tones.
NONE, SOME, MANY = LEVELS = ("no signals", "some signals", "many signals")
MAX_SHOWN_SIGNALS = 100
# From how many signals on there are some, and many.
LEFT_THRESHOLDS = (1, 5)
PASTED_THRESHOLDS = COPIED_THRESHOLDS = (1, 3)
NETWORK_THRESHOLDS = (1, 3)  # of changes
BROWSER_THRESHOLDS = (1, 2)  # of changes
FAST_THRESHOLDS = (3, 5)
MANY_SECONDS_AWAY = 120  # in total, however often
MANY_FAST_SHARE = 0.25  # of the questions; fewer fast answers are never many
# Nobody reads 60 characters in a second. Most people read about 20.
MIN_READING_MS = 1000
READING_MS_PER_CHARACTER = 17


@dataclass(frozen=True)
class ShownSignal:
    """One signal as text. `length` is empty for one without."""

    happened_at: datetime
    label: str
    length: str


@dataclass(frozen=True)
class IntegritySummary:
    """The level, the evidence as (label, value), and the first of the signals one by one."""

    level: str
    lines: tuple[tuple[str, str], ...] = ()
    signals: tuple[ShownSignal, ...] = ()
    is_shared: bool = False  # whether shared links show it, too

    @property
    def caveat(self) -> str:
        return gettext(
            "These are signals, not proof: a message, a call or a change of network leaves the same"
            " traces, and many remain unseen. They changed neither score nor grade. Ask the"
            " candidate before you conclude anything."
        )


def reading_ms(text: str) -> int:
    """Return the milliseconds below which an answer came too fast to have read the question."""
    return max(MIN_READING_MS, READING_MS_PER_CHARACTER * len(text))


def summarise(
    signals: Sequence[IntegritySignal],
    item_count: int,
    *,
    judges_speed: bool,
    is_shared: bool = False,
) -> IntegritySummary:
    """Return the summary of one attempt. Without `judges_speed`, fast answers are left out."""
    if not judges_speed:
        signals = [signal for signal in signals if signal.type != FAST]
    by_type = {
        name: [signal for signal in signals if signal.type == name]
        for name in (LEFT, FAST, PASTED, COPIED, CONNECTION)
    }
    rows = [
        *_away_rows(by_type[LEFT]),
        *_text_rows(by_type[PASTED], by_type[COPIED]),
        *_connection_rows(by_type[CONNECTION]),
        *_fast_rows(by_type[FAST], item_count),
    ]
    lines = [line for _, line in rows]
    if len(signals) - len(by_type[CONNECTION]) >= MAX_SIGNALS:
        number = gettext("Only the first %(number)d signals were stored", number=MAX_SIGNALS)
        lines.append((gettext("Limit"), number))
    return IntegritySummary(
        level=max((level for level, _ in rows), key=LEVELS.index, default=NONE),
        lines=tuple(lines),
        signals=tuple(_show(signal) for signal in signals[:MAX_SHOWN_SIGNALS]),
        is_shared=is_shared,
    )


_Row = tuple[str, tuple[str, str]]  # the level, and a line


def _away_rows(signals: Sequence[IntegritySignal]) -> list[_Row]:
    if not signals:
        return []
    lengths = [(signal.length or 0) / 1000 for signal in signals]
    value = ngettext(
        "%(num)d time, %(total)s in total, at most %(longest)s at once",
        "%(num)d times, %(total)s in total, at most %(longest)s at once",
        len(signals),
        total=_format_seconds(sum(lengths)),
        longest=_format_seconds(max(lengths)),
    )
    is_long = sum(lengths) >= MANY_SECONDS_AWAY
    level = MANY if is_long else _level(len(signals), LEFT_THRESHOLDS)
    return [(level, (gettext("Left the tab or the window"), value))]


def _text_rows(pasted: Sequence[IntegritySignal], copied: Sequence[IntegritySignal]) -> list[_Row]:
    return [
        (
            _level(len(signals), thresholds),
            (
                label,
                ngettext(
                    "%(num)d time, at most %(longest)d characters at once",
                    "%(num)d times, at most %(longest)d characters at once",
                    len(signals),
                    longest=max(signal.length or 0 for signal in signals),
                ),
            ),
        )
        for signals, label, thresholds in (
            (pasted, gettext("Pasted text"), PASTED_THRESHOLDS),
            (copied, gettext("Copied text"), COPIED_THRESHOLDS),
        )
        if signals
    ]


def _connection_rows(signals: Sequence[IntegritySignal]) -> list[_Row]:
    networks = {signal.network_digest for signal in signals}
    browsers = list(dict.fromkeys(signal.browser or "" for signal in signals))
    rows = []
    if len(networks) > 1:
        level = _level(len(networks) - 1, NETWORK_THRESHOLDS)
        rows.append((level, (gettext("Networks"), str(len(networks)))))
    if len(browsers) > 1:
        names = "; ".join(name or gettext("unknown") for name in browsers)
        level = _level(len(browsers) - 1, BROWSER_THRESHOLDS)
        rows.append((level, (gettext("Devices or browsers"), names)))
    return rows


def _fast_rows(signals: Sequence[IntegritySignal], item_count: int) -> list[_Row]:
    level = _level(len(signals), FAST_THRESHOLDS)
    if level == NONE:
        return []
    if len(signals) < MANY_FAST_SHARE * item_count:
        level = SOME
    value = gettext("%(number)d of %(total)d", number=len(signals), total=item_count)
    return [(level, (gettext("Answered faster than the question can be read"), value))]


def _level(count: int, thresholds: tuple[int, int]) -> str:
    some_from, many_from = thresholds
    return MANY if count >= many_from else SOME if count >= some_from else NONE


def _show(signal: IntegritySignal) -> ShownSignal:
    happened_at = datetime.fromtimestamp(signal.number / 1000, UTC)
    length = signal.length or 0
    if signal.type == CONNECTION:
        return ShownSignal(happened_at, gettext("Device and network"), signal.browser or "")
    if signal.type in (LEFT, FAST):
        label = gettext("Left the page") if signal.type == LEFT else gettext("Fast answer")
        return ShownSignal(happened_at, label, _format_seconds(length / 1000))
    label = gettext("Pasted text") if signal.type == PASTED else gettext("Copied text")
    characters = ngettext("%(num)d character", "%(num)d characters", length)
    return ShownSignal(happened_at, label, characters)


def _format_seconds(seconds: float) -> str:
    return format_duration(max(1, round(seconds)))
