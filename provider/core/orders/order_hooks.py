"""The members of an order that its kind replaces. Here they are as for a kind without the part."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.interfaces import ORMOption

from provider.core.orders.evidence import Evidence
from provider.core.orders.history import Result
from provider.core.orders.link import PDF, REPORT, SHARED
from provider.core.products.product import ProductVersion
from provider.errors import Conflict
from provider.storage.secrets import SecretBox


class OrderHooks:
    """The evidence, the pages, the times and the retakes of an order."""

    if TYPE_CHECKING:  # the order declares it

        @property
        def result_figures(self) -> dict[str, Any]: ...

    @classmethod
    def page_options(cls) -> tuple[ORMOption, ...]:
        """Return options that load what every page of a candidate needs, in the same statement."""
        return ()

    @property
    def is_receipt_sent_at_submission(self) -> bool:
        """Whether the candidate got the receipt before the staff complete the order."""
        return False

    def earlier_evidence(self, result: Result) -> Evidence:
        """Return what an earlier result rests on, as far as it is kept."""
        return Evidence.from_figures(result.figures)

    def evidence(self, secret_box: SecretBox) -> Evidence:
        """Return the evidence of the current result. Kinds override this to add theirs."""
        return Evidence.from_figures(self.result_figures)

    def partial_findings(self, secret_box: SecretBox) -> Sequence[Any]:
        """Return what the report shows before there is a result. Kinds override this."""
        return ()

    @property
    def answer_places(self) -> frozenset[str]:
        """The places that show questions and answers: of REPORT, PDF and SHARED."""
        return frozenset({REPORT, PDF, SHARED})

    @classmethod
    def unused_preferences(
        cls,
        version: ProductVersion,  # noqa: ARG003 - for the kinds
        preferences: Mapping[str, Any],  # noqa: ARG003
    ) -> tuple[str, ...]:
        """Return the keys of preferences that change nothing, for the order's timeline.

        A kind whose products can be overridden by preferences implements it.
        """
        return ()

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        """Return variables of this kind for the candidate's pages and e-mails."""
        return {}

    def fill_sample(self, secret_box: SecretBox, now: datetime) -> None:
        """Add what `kind_context` needs to an order that no database has, for a sample e-mail."""
        return

    @property
    def usual_seconds(self) -> int | None:
        """The time that every candidate gets, in seconds; None where nothing is timed."""
        return None

    @property
    def duration_seconds(self) -> int | None:
        """The time that the candidate needs, in seconds; None for an unknown time."""
        return None

    def find_start_refusal(self, secret_box: SecretBox, now: datetime) -> Any:
        """Return why a rule of the product does not let the candidate start; None if she may.

        The deadline is another matter. A kind with such a rule shows the value on its pages.
        """
        return None

    def retake_facts(self, secret_box: SecretBox) -> list[tuple[str, str]]:
        """Return labels and values about the person's other attempts; empty without any."""
        return []

    def require_retake_refused(self) -> None:
        """Raise Conflict unless `allow_retake` is possible."""
        raise Conflict("Only a test has a rule on retakes")

    def allow_retake(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Let the candidate start in spite of the product's rule, and send the invitation again."""
        self.require_retake_refused()

    def require_retakable(self) -> None:
        """Raise Conflict unless `retake` is possible."""
        raise Conflict("Only a test can be taken again: reopen this order instead")

    def retake(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Reopen a completed order with no answers; the first result and its answers are kept."""
        self.require_retakable()

    def rescore(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Make the result of a completed order anew, by corrected scoring. Kinds override this."""
        raise Conflict("Only a test can be scored again")
