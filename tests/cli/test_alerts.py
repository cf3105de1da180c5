"""`provider alert`: the open alerts about failed deliveries."""

from datetime import timedelta

from provider.core.alerts import WATCH_DELIVERIES
from provider.core.audit import Action
from provider.core.scheduled import run_if_due
from provider.services import Services
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run
from tests.factories import ManualClock
from tests.web.console.test_alerts import open_alert


def test_alert_is_listed_snoozed_and_acknowledged(
    run: Run, services: Services, clock: ManualClock
) -> None:
    assert parse_json(run("alert", "list", "--json")) == []
    alert_id = open_alert(services)
    opened_at = clock.now()

    def state() -> tuple[str, str]:
        (record,) = parse_json(run("alert", "list", "--json"))
        return record["state"], record["acknowledged_by"]

    listed = run("alert", "list").stdout
    for text in (alert_id, "Groove Tech: x.workable.com", "open", "2", f"{opened_at:%H:%M} UTC"):
        assert text in listed
    until = opened_at + timedelta(hours=1)
    assert f"until {until:%Y-%m-%d %H:%M} UTC" in run("alert", "snooze", alert_id, "1h").stdout
    assert state() == ("snoozed", "")
    clock.advance(timedelta(hours=1))
    run_if_due(services, WATCH_DELIVERIES)
    assert state() == ("open", "")
    run("alert", "acknowledge", alert_id)
    state_name, actor = state()
    assert state_name == "acknowledged"
    for words in (("acknowledge", alert_id), ("snooze", alert_id, "8h")):
        message = error_message(run("alert", *words, code=1))
        assert message == f"{actor} has acknowledged this alert already"
    (first, second) = parse_json(run("audit", "--subject", f"alert:{alert_id}", "--json"))
    cause = {"cause": "Groove Tech: x.workable.com"}
    assert first["action"] == Action.ALERT_SNOOZED
    assert first["after"] == cause | {"snoozed_until": until.isoformat()}
    assert (second["action"], second["after"]) == (Action.ALERT_ACKNOWLEDGED, cause)
    assert second["actor"] == actor


def test_alert_command_with_bad_input_prints_one_line(run: Run, services: Services) -> None:
    assert "no such alert" in error_message(run("alert", "acknowledge", "x" * 50, code=1))
    assert "'1h', '8h', 'monday'" in error_message(run("alert", "snooze", "x", "2h", code=2))
