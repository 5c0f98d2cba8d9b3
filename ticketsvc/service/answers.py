"""What the service says when it does not do what was asked: a status and one line of JSON."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from pydantic_core import to_json

MAX_BODY_BYTES = 64 * 1024
RETRY_AFTER_S = 1
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}

# What may be wrong with a request before anybody has looked at what it wants.
_FAULTS: Mapping[int, tuple[str, str]] = {
    404: ("path_not_found", "no such path"),
    405: ("method_not_allowed", "this method is not allowed here"),
    408: ("request_timeout", "the request did not arrive in time"),
    413: ("too_large", f"the body is larger than {MAX_BODY_BYTES} bytes"),
    417: ("expectation_failed", "the only expectation that can be met is 100-continue"),
}


class ErrorResponse(web.Response):
    """An answer that says why not; *error_code* is what a client may switch on."""

    error_code: str


def error_answer(status: int, message: str, code: str) -> ErrorResponse:
    """Make the answer."""
    response = ErrorResponse(
        status=status,
        body=error_line(message, code),
        headers=JSON_HEADERS,
    )
    response.error_code = code
    return response


def error_line(message: str, code: str) -> bytes:
    """Write what such an answer says."""
    return to_json({"success": False, "error": message, "code": code})


def protocol_answer(problem: web.HTTPException) -> ErrorResponse:
    """Say in our terms what aiohttp refuses."""
    code, message = _FAULTS.get(problem.status, ("http_error", problem.reason))
    if problem.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        code, message = "unsupported_media_type", problem.text or ""
    answer = error_answer(problem.status, message, code)
    if "Allow" in problem.headers:
        answer.headers["Allow"] = problem.headers["Allow"]
    return answer
