"""The files of a running test: what a question is about, and what the candidate has sent."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.file_answers import find_own_file
from provider.services import current_services
from provider.web.candidate.session import order_for_read
from provider.web.range_responses import serve_media

DOWNLOAD_NAME = "answer"  # of a file that the candidate has sent

routes = Blueprint("files", __name__)


@routes.get("/files/<name>")
def stimulus_file(public_id: str, name: str) -> ResponseReturnValue:
    """Send a picture or a sound of a question, while the candidate may see the questions."""
    with order_for_read(public_id, Assessment) as candidate_request:
        candidate_request.order.require_clock_running(candidate_request.now)
        file = candidate_request.order.version.find_file(name)
        key, mimetype = file.media_key, file.type
    return serve_media(current_services().media, key, mimetype)


@routes.get("/answer-files/<file_id>")
def answer_file(public_id: str, file_id: str) -> ResponseReturnValue:
    """Send the candidate a file that she has sent, as a download."""
    with order_for_read(public_id, Assessment) as candidate_request:
        candidate_request.order.require_clock_running(candidate_request.now)
        file = find_own_file(candidate_request.session, candidate_request.order, file_id)
        key, mimetype = file.media_key, file.type
    return serve_media(current_services().media, key, mimetype, DOWNLOAD_NAME)
