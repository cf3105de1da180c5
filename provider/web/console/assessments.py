"""Pages of a test's order: the files that the candidate sent."""

from flask import Blueprint
from werkzeug.wrappers import Response

from provider.core.kinds.answer_files import find_file
from provider.core.kinds.assessment import Assessment
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.range_responses import serve_media

routes = Blueprint("assessments", __name__, url_prefix="/orders/<order_id>/assessment")


@routes.get("/files/<file_id>")
@requires(Permission.VIEW_RESULTS)
def answer_file(order_id: str, file_id: str) -> Response:
    """Send a file that the candidate sent, as a download: a browser must not open it."""
    with current_services().db.reading() as session:
        file = find_file(session, Assessment.find(session, order_id), file_id)
        key, mimetype = file.media_key, file.type
        name = f"{order_id}-{file.item_key}.{file.extension}"
    return serve_media(current_services().media, key, mimetype, name)
