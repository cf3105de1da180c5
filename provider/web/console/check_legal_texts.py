"""The legal text with a digest, which the consent of a candidate records."""

from flask import Blueprint, render_template

from provider.core.kinds import find_texts
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import requires

routes = Blueprint("legal_texts", __name__, url_prefix="/legal-texts")


@routes.get("/<digest>")
@requires(Permission.VIEW_PRODUCTS)
def detail(digest: str) -> str:
    with current_services().db.reading() as session:
        texts = find_texts(session, digest)
    return render_template("console/check/legal_text.html", texts=texts, digest=digest)
