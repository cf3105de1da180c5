"""The files that a candidate sent as answers of an interview, for the staff."""

from flask import Blueprint
from werkzeug.wrappers import Response

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.given_answers import find_answer_file
from provider.core.orders import COMPLETED, PENDING
from provider.core.orders.states import SUBMITTED
from provider.core.staff import Permission
from provider.errors import Conflict
from provider.services import current_services
from provider.web.console.authentication import requires
from provider.web.range_responses import serve_media

routes = Blueprint("files", __name__)


@routes.get("/files/<file_id>")
@requires(Permission.VIEW_RESULTS)
def answer_file(order_id: str, file_id: str) -> Response:
    """Send a file that the candidate sent, as a download: a browser must not open it."""
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        if interview.progress != SUBMITTED or interview.status not in (PENDING, COMPLETED):
            raise Conflict("The answers can be seen after the candidate submits the interview")
        file = find_answer_file(session, interview, interview.given_answers, file_id)
        key, mimetype = file.media_key, file.type
        name = f"{order_id}-{file.item_key}.{file.extension}"
    return serve_media(current_services().media, key, mimetype, name)
