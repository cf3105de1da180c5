"""One order of a rule at each ATS with an API, from the trigger to the result, with a browser.

The candidate exists in the strict fake of the ATS. The server's own scheduled work finds the
trigger there; the test moves the clock, and calls no function of the rounds or writers.
"""

import re
from base64 import b64decode
from datetime import timedelta

from playwright.sync_api import Page, expect
from sqlalchemy import select

from provider.core.connections import SourceCursor, WebhookEvent
from tests import check_factories, factories
from tests.ats.greenhouse import test_harvest as harvest_tests
from tests.ats.jobtrain import test_jobtrain as jobtrain_tests
from tests.ats.workable import test_rest as workable_tests
from tests.conftest import LiveServer
from tests.delivery.api_world import ApiWorld
from tests.fakes.harvest import FakeHarvest
from tests.fakes.jobtrain import FakeJobtrain
from tests.fakes.pageup import FakePageUp
from tests.fakes.vendor import FakeVendor
from tests.fakes.workable_api import FakeWorkableApi
from tests.test_end_to_end import (
    complete_check,
    give_consent,
    take_reasoning_test,
    wait_for_invitation_link,
)
from tests.wait_for import wait_for

MINUTE = timedelta(minutes=1)  # longer than the interval of every work that is waited for
# Each vendor names the same test candidate in its own fields.
EMAIL, FIRST_NAME, LAST_NAME = "lakita_marrero@gmail.com", "Lakita", "Marrero"


def add_rule(world: ApiWorld, **match: str) -> None:
    """Add a rule, and wait until the server has read who matches already."""
    world.add_rule(match=match)
    world.clock.advance(MINUTE)
    wait_for(lambda: all(cursor.finished_at for cursor in _cursors(world)))


def wait_for_order(world: ApiWorld) -> str:
    (order,) = wait_for(world.order_ids)
    return order


def expect_delivered(world: ApiWorld, *topics: str) -> None:
    """Wait until each of these writers has written once, and no other has."""
    expected = {topic: ["delivered"] for topic in topics}
    wait_for(lambda: world.message_states() == expected)


def expect_report(page: Page, text: str) -> None:
    """Open the report whose address is in a text that the server wrote into the ATS."""
    match = re.search(r"http://\S+/r/\S+", text)
    assert match
    page.goto(match[0])
    for expected in ("Lakita Marrero", "100%", "Excelled"):
        expect(page.get_by_text(expected).first).to_be_visible()


def expect_no_refusals(vendor: FakeVendor) -> None:
    """Expect that the vendor refused no request, neither credentials nor above the budget."""
    codes = {line.status_code for line in vendor.request_log}
    assert codes <= {200, 201, 202, 204, 404}


def _cursors(world: ApiWorld) -> list[SourceCursor]:
    with world.services.db.reading() as session:
        return list(session.scalars(select(SourceCursor)))


def test_workable_from_stage_to_comment_and_evaluation(live_server: LiveServer, page: Page) -> None:
    with FakeWorkableApi(live_server.clock) as workable:
        world = workable_tests.create_world(live_server, live_server.clock, workable, webhooks=True)
        add_rule(world, **workable_tests.RULE)
        wait_for(lambda: len(workable.subscriptions) == 2)
        candidate = workable.add(
            job="GROOV005", stage="applied", email=EMAIL, firstname=FIRST_NAME, lastname=LAST_NAME
        )
        (delivery,) = workable.move(candidate, "assessment")
        assert delivery.answers == [200]
        world.clock.advance(MINUTE)  # the next round is not due yet: the event orders
        order = wait_for_order(world)
        with world.services.db.reading() as session:
            (event,) = session.scalars(select(WebhookEvent)).all()
        assert event.record_key == candidate

        page.goto(wait_for_invitation_link(world.services.settings.instance, "Groove Tech"))
        take_reasoning_test(page)
        expect_delivered(world, "rating", "comment")
        (comment,) = workable.written(candidate, "comments")
        body, attachment = comment["comment"]["body"], comment["comment"]["attachment"]
        assert body.startswith("Reasoning: excelled, 100 %.")
        assert attachment["name"] == f"Reasoning-{order}-1.pdf"
        assert b64decode(attachment["data"]).startswith(b"%PDF-")
        (rating,) = workable.ratings[candidate]
        assert (rating["scale"], rating["grade"]) == ("thumbs", 1)
        assert (rating["stage"], rating["comment"]) == (
            "assessment",
            f"Reasoning: excelled  [order {order}, 1]",
        )
        expect_report(page, body)
        expect_no_refusals(workable)


def test_greenhouse_from_stage_to_note_and_attachment(live_server: LiveServer, page: Page) -> None:
    with FakeHarvest(live_server.clock) as harvest:
        harvest_tests.fill(harvest)
        world = harvest_tests.create_world(live_server.services, live_server.clock, harvest)
        add_rule(world, job=str(harvest_tests.JOB), stage=str(harvest_tests.STAGE))
        application = harvest.apply(
            harvest_tests.OTHER_STAGE,
            first_name=FIRST_NAME,
            last_name=LAST_NAME,
            email_addresses=[{"value": EMAIL, "type": "personal"}],
        )
        world.clock.advance(world.interval)
        wait_for(lambda: world.cursor("stage_entries").finished_at == world.clock.now())
        assert world.orders() == []
        harvest.enter(application, harvest_tests.STAGE)
        world.clock.advance(world.interval)
        order = wait_for_order(world)

        page.goto(wait_for_invitation_link(world.services.settings.instance, "Groove Tech"))
        take_reasoning_test(page)
        expect_delivered(world, "note", "attachment")
        (note,) = harvest.records("notes")
        candidate = harvest.get("applications", application)["candidate_id"]
        assert (note["candidate_id"], note["visibility"]) == (candidate, "private")
        assert note["body"].endswith(f"[order {order}, 1]")
        (attachment,) = harvest.records("attachments")
        assert attachment["application_id"] == application
        assert attachment["filename"] == f"Reasoning-{order}-1.pdf"
        assert harvest.contents[attachment["id"]].startswith(b"%PDF-")
        expect_report(page, note["body"])
        expect_no_refusals(harvest)


def test_pageup_from_tag_to_result_tag(live_server: LiveServer, page: Page) -> None:
    with FakePageUp(live_server.clock) as pageup:
        world = ApiWorld.create(
            live_server.services,
            live_server.clock,
            ats="pageup",
            options={"base_url": pageup.base_url, "rate": 100},
            secrets={"api_key": pageup.key, "api_secret": pageup.secret},
            interval=timedelta(minutes=5),
        )
        pageup.add(1, email=EMAIL, first_name=FIRST_NAME, last_name=LAST_NAME)
        add_rule(world, tag="needs numeracy")
        assert world.orders() == []
        pageup.change(1, tags=["globetrotter", "Needs Numeracy"])
        world.clock.advance(world.interval)
        wait_for_order(world)

        page.goto(wait_for_invitation_link(world.services.settings.instance, "Groove Tech"))
        take_reasoning_test(page)
        expect_delivered(world, "tag")
        tags = ["globetrotter", "Needs Numeracy", "Reasoning: excelled"]
        assert list(pageup.candidate(1).tags.values()) == tags
        assert pageup.rejection_reasons == []
        expect_no_refusals(pageup)


def test_jobtrain_from_awaited_check_to_statuses(live_server: LiveServer, page: Page) -> None:
    with FakeJobtrain(live_server.clock) as jobtrain:
        world = jobtrain_tests.create_world(
            live_server.services, live_server.clock, jobtrain, send_outcome=True
        )
        world.product = check_factories.create_package(world.services)
        add_rule(world, check="Enhanced")
        jobtrain.add(1, email=EMAIL, first_name=FIRST_NAME, last_name=LAST_NAME)
        world.clock.advance(world.interval)
        order = wait_for_order(world)
        wait_for(lambda: world.message_states() == {"status": ["delivered"]})
        assert jobtrain_tests.statuses(jobtrain) == [{"Status": "Requested"}]

        page.goto(wait_for_invitation_link(world.services.settings.instance, "Groove Tech"))
        give_consent(page)
        wait_for(lambda: world.message_states() == {"status": ["delivered"] * 2})
        assert jobtrain_tests.statuses(jobtrain)[1:] == [{"Status": "In Progress"}]

        complete_check(live_server, page, order)
        wait_for(lambda: world.message_states() == {"status": ["delivered"] * 3})
        assert jobtrain_tests.statuses(jobtrain)[2:] == [
            {"Status": "Complete", "Result": "Consider"}
        ]
        assert factories.order_status(world.services, order) == "completed"
        sent = b"".join(line.request.body for line in jobtrain.request_log)
        assert not any(word.encode() in sent for word in check_factories.SECRET_WORDS)
        expect_no_refusals(jobtrain)
