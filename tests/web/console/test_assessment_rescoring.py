"""The console's page that scores earlier attempts by a version with corrected keys."""

from copy import deepcopy

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.orders.bulk_runner import PERFORM_BULK_RUNS
from provider.services import Services
from tests import factories
from tests.core.kinds.assessment.test_rescoring import WRONG_CONTENT, publish, scores
from tests.factories import TEST_CONTENT
from tests.web.console.test_products import LIST
from tests.web.console_client import ConsoleClient

REASON = "The key of the sum was wrong"


def wrong_test(services: Services) -> tuple[str, str]:
    """Return a test whose second version corrects the first, and the page to score again."""
    product_id = factories.create_product(
        services, "assessment", WRONG_CONTENT, "reasoning", "Reasoning"
    )
    publish(services, product_id, TEST_CONTENT)
    return product_id, f"{LIST}{product_id}/versions/2/rescore/"


def complete_wrong_order(services: Services) -> str:
    """Return an order that the wrong key has scored, and the page to score it again."""
    account_id, _ = factories.create_account(services)
    product_id = factories.create_product(
        services, "assessment", WRONG_CONTENT, "reasoning", "Reasoning"
    )
    order_id = factories.place_order(services, account_id, product_id)
    factories.finish_test(services, order_id)
    publish(services, product_id, TEST_CONTENT)
    return f"{order_id} {LIST}{product_id}/versions/2/rescore/"


def test_author_previews_and_scores_again_and_the_ats_reads_the_new_score(
    services: Services, client: FlaskClient
) -> None:
    order_id, path = complete_wrong_order(services).split()
    with services.db.writing() as session:
        token = session.scalars(select(Account)).one().issue_token(services.now())
    console = ConsoleClient.signed_in(services, client, "author")
    product_page = console.get_text(path.partition("versions")[0].rstrip("/"))
    assert f'href="{path}"' in product_page
    page = console.get_text(path)
    for text in ("What is 17 + 25?", "52 (1 point)", "42 (1 point)", "1 attempt at versions with"):
        assert text in page
    assert "Score 1 attempt again" not in page
    page = console.get_text(f"{path}?preview=yes")
    for text in ("1 attempt of 1 gets another result", "75%", "100%", "Excelled", order_id):
        assert text in page
    assert "Lakita" not in page  # an author does not see who took the test
    response = console.submit(path, page=f"{path}?preview=yes", reason=REASON)
    assert response.location == path
    page = console.get_text(path)
    assert "0 of 1 attempts" in page
    assert f'data-refresh-url="{path}progress"' in page
    assert console.submit(path, page=path, reason=REASON).status_code == 409
    PERFORM_BULK_RUNS.run(services)
    assert "1 of 1 attempts have another result" in console.get_text(f"{path}progress")
    assert [score for _, score, _ in scores(services, order_id)] == [75, 100]
    assert "Answers to this version are scored by" in console.get_text(
        f"{path.partition('versions')[0].rstrip('/')}?version=1"
    )
    # The callback has the document of a poll.
    headers = {"Authorization": f"Bearer {token}"}
    body = client.get(f"/assessments/{order_id}", headers=headers).json
    assert body
    assert (body["assessment"]["score"], body["assessment"]["grade"]) == ("100", "excelled")


def test_preview_names_candidates_to_those_who_see_results(
    services: Services, client: FlaskClient
) -> None:
    order_id, path = complete_wrong_order(services).split()
    page = ConsoleClient.signed_in(services, client, "operator").get_text(f"{path}?preview=yes")
    assert "Lakita Marrero" in page
    assert f"/console/orders/{order_id}" in page


def test_rescoring_needs_a_reason_and_a_version_of_a_test(
    services: Services, client: FlaskClient
) -> None:
    order_id, path = complete_wrong_order(services).split()
    console = ConsoleClient.signed_in(services, client, "author")
    response = console.submit(path, page=path, reason=" ")
    assert response.status_code == 400
    assert "Give a reason of 3 to 500 characters" in response.text
    assert [score for _, score, _ in scores(services, order_id)] == [75]
    console.get_text(path.replace("versions/2", "versions/9"), 404)
    interview = factories.create_interview(services)
    console.get_text(f"{LIST}{interview}/versions/1/rescore/", 404)


def test_version_without_others_says_what_must_be_the_same(
    services: Services, client: FlaskClient
) -> None:
    product_id = factories.create_test(services)
    reworded = deepcopy(TEST_CONTENT)
    reworded["sections"][0]["items"][0]["prompt"] = "How much is 17 + 25?"
    publish(services, product_id, reworded)
    page = ConsoleClient.signed_in(services, client, "author").get_text(
        f"{LIST}{product_id}/versions/2/rescore/"
    )
    assert "No other version has the same questions" in page
    assert "Preview what changes" not in page


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_product_page_offers_rescoring_to_authors_only(
    services: Services, client: FlaskClient, role: str
) -> None:
    product_id, path = wrong_test(services)
    console = ConsoleClient.signed_in(services, client, role)
    assert path not in console.get_text(f"{LIST}{product_id}")


def test_preview_of_a_test_shows_its_scales_and_norm_groups(
    services: Services, client: FlaskClient
) -> None:
    product_id = factories.create_test(
        services,
        scales=[{"key": "all", "name": "Reasoning skill", "items": ["sum", "half"], "weight": 2}],
        norms=[
            {
                "key": "adults",
                "name": "Adults",
                "n": 1200,
                "source": "Invented",
                "scales": {"all": {"mean": 1, "sd": 0.5}},
            }
        ],
        grades={"on": {"scale": "all", "measure": "T"}, "passed": 45},
    )
    page = ConsoleClient.signed_in(services, client, "author").get_text(f"{LIST}{product_id}")
    for text in ("Reasoning skill", "Sum, 0.0 to 2.0", "Counted as 0", "1,200", "from T 45 on"):
        assert text in page
