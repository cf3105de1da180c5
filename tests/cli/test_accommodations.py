"""`provider order accommodation`: a candidate's request, and the decision about it."""

from provider.core.orders import Order
from provider.services import Services
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run
from tests.core.orders.test_accommodation import ask_for, place_order


def test_request_is_shown_granted_and_refused(run: Run, services: Services) -> None:
    order_id = place_order(services)
    command = ("order", "accommodation", order_id)
    assert parse_json(run(*command, "--json"))["state"] is None
    ask_for(services, order_id, percent=50, pause_minutes=10, text="I have dyslexia")
    shown = run(*command).stdout
    for text in (
        "asked",
        "Extra time: 50%",
        "Pauses: up to 10 minutes in total",
        "I have dyslexia",
    ):
        assert text in shown
    words = ("--grant", "--percent", "50", "--pause", "10", "--note", "Good luck", "--json")
    granted = parse_json(run(*command, *words))
    assert granted == {"id": order_id, "granted": True, "extra_time_seconds": 600}
    record = parse_json(run(*command, "--json"))
    assert (record["state"], record["decided"]["text"]) == ("granted", "Good luck")
    assert record["decided_by"] == "command"
    assert "Refused" in run(*command, "--refuse", "--note", "Not for this test").stdout
    record = parse_json(run(*command, "--json"))
    assert (record["state"], record["extra_time_seconds"]) == ("refused", 0)
    entries = parse_json(run("audit", "--subject", f"order:{order_id}", "--json"))
    assert [(entry["before"], entry["after"]) for entry in entries] == [
        ({"extra_time_seconds": 0}, {"extra_time_seconds": 600, "granted": True}),
        ({"extra_time_seconds": 600}, {"extra_time_seconds": 0, "granted": False}),
    ]
    with services.db.reading() as session:
        assert Order.find(session, order_id).waiting_for == "candidate"


def test_grant_is_shown_for_the_next_order_of_the_person(run: Run, services: Services) -> None:
    first = place_order(services, "interview")
    run("order", "accommodation", first, "--grant", "--minutes", "15", "--way", "telephone")
    second = place_order(services, number=2)
    shown = run("order", "accommodation", second).stdout
    assert "Extra time: 15 minutes" in shown
    assert "granted for another order" in shown


def test_decision_with_bad_options_says_what_to_give(run: Run, services: Services) -> None:
    order_id = place_order(services)

    def problem(*words: str, code: int = 2) -> str:
        return error_message(run("order", "accommodation", order_id, *words, code=code))

    for option in (("--percent", "25"), ("--note", "Good luck")):
        assert "Give --grant or --refuse" in problem(*option)
    assert "not both" in problem("--grant", "--percent", "25", "--minutes", "5")
    assert "'25', '50', '100'" in problem("--grant", "--percent", "30")
    assert "write why the request is refused" in problem("--refuse")
    assert "--note alone" in problem("--refuse", "--note", "No", "--pause", "5")
    assert "Choose what the candidate gets" in problem("--grant", code=1)
    assert "This kind of order has no other way" in problem("--grant", "--way", "live", code=1)


def test_decision_that_the_order_does_not_offer_is_refused(run: Run, services: Services) -> None:
    check = ("order", "accommodation", place_order(services, "check"), "--grant")
    message = error_message(run(*check, "--minutes", "5", "--note", "Good luck", code=1))
    assert message.startswith("This order has no time limit")
    interview = ("order", "accommodation", place_order(services, "interview", 2), "--grant")
    message = error_message(run(*interview, "--way", "post", code=1))
    assert message == "There is no way 'post': choose one of writing, telephone, live"
