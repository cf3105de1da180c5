"""Static files: compressed, and cached by browsers for a year under an address with their hash.

Pages are not compressed. A page may have a secret beside a text that an attacker chooses, and the
size of such a compressed page tells the secret (the BREACH attack).
"""

import gzip
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request
from werkzeug.security import safe_join

from provider.web.bootstrap_subset import keep_used_rules

YEAR_SECONDS = 365 * 24 * 3600
HASH_LENGTH = 16  # characters
MAX_KEPT_FILES = 200
BOOTSTRAP_FILE = "bootstrap.min.css"
COMPRESSED_TYPES = {"text/css", "text/javascript", "image/svg+xml", "application/json"}
_CSS_FILE = re.compile(rb'url\("([\w./-]+)"\)')

mimetypes.add_type("font/woff2", ".woff2")  # which old versions of Python do not know


@dataclass(frozen=True)
class StaticFile:
    """A file in memory; `compressed` is None for a type that gzip does not make smaller."""

    content: bytes
    compressed: bytes | None
    mimetype: str
    digest: str


def register(app: Flask) -> None:
    """Serve the static files of an app and of its blueprints by this module."""
    folders = {"static": app.static_folder} | {
        f"{name}.static": blueprint.static_folder for name, blueprint in app.blueprints.items()
    }
    for endpoint, folder in folders.items():
        if folder and endpoint in app.view_functions:
            app.view_functions[endpoint] = _view(folder)

    @app.url_defaults
    def add_hash(endpoint: str, values: dict[str, Any]) -> None:
        folder = folders.get(endpoint)
        if folder and (file := _find_file(folder, values["filename"])):
            values["v"] = file.digest


def _view(folder: str) -> Callable[[str], Response]:
    def send_static_file(filename: str) -> Response:
        file = _find_file(folder, filename)
        if file is None:
            abort(404)
        return _respond(file)

    return send_static_file


def _respond(file: StaticFile) -> Response:
    response = Response(file.content, mimetype=file.mimetype)
    tag = file.digest
    if file.compressed is not None:
        response.vary.add("Accept-Encoding")
        if request.accept_encodings.quality("gzip") > 0:
            response.set_data(file.compressed)
            response.content_encoding, tag = "gzip", f"{tag}-gzip"
    response.set_etag(tag)
    if request.args.get("v") == file.digest:
        response.cache_control.public, response.cache_control.max_age = True, YEAR_SECONDS
        response.cache_control.immutable = True
    else:
        # A module imports others without a hash. Another version of the server has other hashes.
        response.cache_control.no_cache = True
    response.make_conditional(request)
    return response


def _find_file(folder: str, filename: str) -> StaticFile | None:
    path = safe_join(folder, filename)
    try:
        return _load(path, Path(path).stat().st_mtime_ns) if path else None
    except OSError:  # there is no such file
        return None


def _add_hashes(css: bytes, folder: str) -> bytes:
    """Return a style sheet in which the addresses of files beside it have their hashes."""

    def add_hash(match: re.Match[bytes]) -> bytes:
        file = _find_file(folder, match[1].decode())
        return b'url("%s?v=%s")' % (match[1], file.digest.encode()) if file else match[0]

    return _CSS_FILE.sub(add_hash, css)


@lru_cache(MAX_KEPT_FILES)
def _load(path: str, _modified_ns: int) -> StaticFile:
    """Read a file; `_modified_ns` makes a changed file another entry of the cache."""
    content = Path(path).read_bytes()
    if path.endswith(BOOTSTRAP_FILE):
        content = keep_used_rules(content.decode()).encode()
    if path.endswith(".css"):
        content = _add_hashes(content, str(Path(path).parent))
    mimetype = mimetypes.guess_type(path)[0] or "application/octet-stream"
    compressed = gzip.compress(content, mtime=0) if mimetype in COMPRESSED_TYPES else None
    return StaticFile(content, compressed, mimetype, sha256(content).hexdigest()[:HASH_LENGTH])
