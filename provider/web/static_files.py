"""Static files: compressed, and cached by browsers for a year under an address with their hash.

Pages are not compressed. A page may have a secret beside a text that an attacker chooses, and the
size of such a compressed page tells the secret (the BREACH attack).
"""

import gzip
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, request
from werkzeug.security import safe_join

from provider.web.bootstrap_subset import keep_used_rules

YEAR_SECONDS = 365 * 24 * 3600
HASH_LENGTH = 16  # characters
MAX_KEPT_FILES = 200
BOOTSTRAP_FILE = "bootstrap.min.css"
COMPRESSED_TYPES = {
    *("text/css", "text/javascript", "image/svg+xml", "application/json", "font/ttf"),
}
# The files that come from an installed package: the name of the file here, the package, the name
# there. The package is not imported.
PACKAGED_FILES = {
    "fonts/STIXTwoMath-Regular.ttf": ("ziamath", "fonts/STIXTwoMath-Regular.ttf"),
}


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
    path = _find_packaged(filename) or safe_join(folder, filename)
    try:
        return _load(path, Path(path).stat().st_mtime_ns) if path else None
    except OSError:  # there is no such file
        return None


@cache
def _find_packaged(filename: str) -> str | None:
    """Return the path of a file that comes from a package; None for another file."""
    if filename not in PACKAGED_FILES:
        return None
    package, name = PACKAGED_FILES[filename]
    spec = find_spec(package)
    return str(Path(spec.origin).parent / name) if spec and spec.origin else None


def _add_hashes(css: bytes) -> bytes:
    """Return a style sheet in which the addresses of packaged files have their hashes."""
    for filename in PACKAGED_FILES:
        address = f'url("{filename}"'.encode()
        if address in css and (file := _find_file("", filename)):
            css = css.replace(address, f'url("{filename}?v={file.digest}"'.encode())
    return css


@lru_cache(MAX_KEPT_FILES)
def _load(path: str, _modified_ns: int) -> StaticFile:
    """Read a file; `_modified_ns` makes a changed file another entry of the cache."""
    content = Path(path).read_bytes()
    if path.endswith(BOOTSTRAP_FILE):
        content = keep_used_rules(content.decode()).encode()
    if path.endswith(".css"):
        content = _add_hashes(content)
    mimetype = mimetypes.guess_type(path)[0] or "application/octet-stream"
    compressed = gzip.compress(content, mtime=0) if mimetype in COMPRESSED_TYPES else None
    return StaticFile(content, compressed, mimetype, sha256(content).hexdigest()[:HASH_LENGTH])
