"""Template variables of the pages that show an accommodation."""

from typing import Any

from sqlalchemy.orm import Session

from provider.core.orders import Accommodation, Order
from provider.core.orders.accommodation import Terms, find_earlier_grant, propose_terms
from provider.services import current_services


def accommodation_context(session: Session, order: Order) -> dict[str, Any]:
    """Return the accommodation of an order, and what the person was granted for another order.

    `proposed` fills the form of a decision: with the request, the present decision, or the earlier
    grant. The candidate's words are not proposed as the note to the candidate.
    """
    secret_box = current_services().secret_box
    accommodation = Accommodation.of(session, order)
    asked = accommodation.asked(secret_box) if accommodation else None
    decided = accommodation.decided(secret_box) if accommodation else None
    earlier = find_earlier_grant(session, secret_box, order)
    earlier_terms = earlier.decided(secret_box) if earlier else None
    proposed = decided or propose_terms(session, secret_box, order) or Terms()
    if asked and (order.accommodation_asked_at or not decided):
        proposed = asked.without_text()
    return {
        "accommodation": accommodation,
        "asked": asked,
        "decided": decided,
        "earlier": earlier,
        "earlier_terms": earlier_terms,
        "proposed": proposed.fit(order).to_form(),
    }
