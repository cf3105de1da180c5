"""`provider rule …` and `provider account secret`, with the dummy ATS."""

from collections.abc import Iterator

import pytest

from provider.core.accounts import Account
from provider.core.connections import get_secrets
from provider.services import Services
from tests.cli.test_commands import Run, error_message, parse_json
from tests.cli.test_commands import run as run
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import KEY, Dummy, FakeDummy, registered_dummy
from tests.factories import ManualClock


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


@pytest.fixture
def world(
    services: Services,
    clock: ManualClock,
    fake: FakeDummy,
    run: Run,  # it removes the variables of the environment
    monkeypatch: pytest.MonkeyPatch,
) -> ApiWorld:
    monkeypatch.setenv("PROVIDER_PRIVATE_CALLBACKS", "allow")
    return ApiWorld.of_dummy(services, clock, fake)


def add_rule(run: Run, *words: str) -> str:
    arguments = ("--when", "stage=Test", "--product", "reasoning", *words)
    return run("rule", "add", "Groove Tech", *arguments).stdout


def test_rule_is_added_listed_and_removed(world: ApiWorld, run: Run) -> None:
    expected = "Rule 1: when stage = Test, order assessment/reasoning.\n"
    assert add_rule(run) == expected
    (record,) = parse_json(run("rule", "list", "Groove Tech", "--json"))
    assert (record["when"], record["repeat"]) == ("stage = Test", False)
    run("rule", "remove", "Groove Tech", "1")
    assert parse_json(run("rule", "list", "Groove Tech", "--json")) == []
    message = error_message(run("rule", "remove", "Groove Tech", "1", code=1))
    assert message == "Account Groove Tech has no rule 1: see `provider rule list Groove Tech`"


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("stage", "A condition should look like FACT=VALUE"),
        ("stage=", "A condition should look like FACT=VALUE"),
        ("tag=a", "There is no fact “tag”: there are stage"),
    ],
)
def test_wrong_condition_is_refused(world: ApiWorld, run: Run, when: str, message: str) -> None:
    words = ("rule", "add", "Groove Tech", "--when", when, "--product", "reasoning")
    assert error_message(run(*words, code=1)) == message


def test_account_whose_ats_has_no_api_needs_no_rules(
    world: ApiWorld, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dummy, "api", None)
    words = ("rule", "add", "Groove Tech", "--when", "stage=Test", "--product", "reasoning")
    assert "orders by itself" in error_message(run(*words, code=1))


def test_preview_shows_who_matches_and_orders_nothing(
    world: ApiWorld, fake: FakeDummy, run: Run
) -> None:
    fake.lazy_people = 4
    fake.add(1, email="")
    fake.add(2, stage="Interview")
    records = parse_json(run("rule", "preview", "Groove Tech", "--when", "stage=test", "--json"))
    assert len(records) == 5
    assert records[0]["problem"] == "The candidate has no e-mail address in the ATS"
    text = run("rule", "preview", "Groove Tech", "--when", "stage=test").stdout
    assert "5 candidates match; --backfill would order for each of them." in text
    assert world.orders() == []


def test_preview_with_a_wrong_key_says_so(world: ApiWorld, fake: FakeDummy, run: Run) -> None:
    fake.key = "another"
    words = ("rule", "preview", "Groove Tech", "--when", "stage=Test")
    assert "refuses the account's credentials with 401" in error_message(run(*words, code=1))


def test_arrivals_show_orders_and_refusals(world: ApiWorld, fake: FakeDummy, run: Run) -> None:
    add_rule(run, "--backfill")
    fake.add(1)
    fake.add(2, email="")
    world.read()
    records = parse_json(run("rule", "arrivals", "Groove Tech", "--json"))
    assert [record["outcome"] for record in records] == ["refused", "ordered"]
    assert records[1]["order"] == world.order_ids()[0]
    (refused,) = parse_json(run("rule", "arrivals", "Groove Tech", "--refused", "--json"))
    assert refused["reason"] == "The candidate has no e-mail address in the ATS"


def test_resume_without_a_stopped_round_changes_nothing(world: ApiWorld, run: Run) -> None:
    assert run("rule", "resume", "Groove Tech").stdout == "No rule of this account has stopped.\n"


def test_secret_is_read_from_stdin_and_never_shown(world: ApiWorld, run: Run) -> None:
    output = run("account", "secret", "Groove Tech", "key", stdin="new-secret\n").stdout
    assert output == "Stored key of Groove Tech.\n"
    with world.services.db.reading() as session:
        account = session.get_one(Account, world.account_id)
        assert get_secrets(session, world.services.secret_box, account) == {"key": "new-secret"}
    assert "new-secret" not in run("account", "show", "Groove Tech", "--json").stdout
    assert "new-secret" not in run("audit", "--json").stdout


@pytest.mark.parametrize("text", ["", "two\x07bells", "é"])
def test_secret_that_is_no_plain_line_is_refused(world: ApiWorld, run: Run, text: str) -> None:
    result = run("account", "secret", "Groove Tech", "key", stdin=f"{text}\n", code=1)
    assert "A secret is one line" in error_message(result)


def test_unknown_secret_names_the_known_ones(world: ApiWorld, run: Run) -> None:
    result = run("account", "secret", "Groove Tech", "password", stdin="x\n", code=1)
    message = "An account of dummy has no secret “password”: there are key"
    assert error_message(result) == message


def test_check_tries_the_credentials(world: ApiWorld, fake: FakeDummy, run: Run) -> None:
    add_rule(run)
    world.read()
    assert "ok       Dummy accepts the key" in run("account", "check", "Groove Tech").stdout
    fake.key = "another"
    findings = parse_json(run("account", "check", "Groove Tech", "--json", code=1))
    assert [finding["text"] for finding in findings if not finding["ok"]] == ["Dummy answers 401"]
    assert KEY not in str(findings)


def test_check_of_a_new_account_says_what_is_missing(world: ApiWorld, run: Run) -> None:
    world.set_secret("key", None)
    findings = parse_json(run("account", "check", "Groove Tech", "--json", code=1))
    missing = [finding["text"] for finding in findings if not finding["ok"]]
    assert missing == [
        "No rule orders anything: `provider rule add 'Groove Tech'`",
        "Not set yet: key",
    ]


def test_account_without_endpoints_is_created_without_a_token(run: Run) -> None:
    output = run("account", "create", "Groove Tech", "--ats", "pageup").stdout
    assert "provider account secret 'Groove Tech' api_key" in output
    assert "Token" not in output
    shown = parse_json(run("account", "show", "Groove Tech", "--json"))
    assert (shown["tokens"], shown["urls"]) == ([], {})
    record = parse_json(run("account", "create", "Other", "--ats", "pageup", "--json"))
    assert record["token"] is None
