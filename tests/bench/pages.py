"""The cost of pages: a candidate's question in CPU time and bytes, and an author's editor."""

import re
from collections.abc import Callable, Iterator
from statistics import median
from time import process_time
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask import Flask, template_rendered
from flask.testing import FlaskClient
from jinja2 import Template
from werkzeug.test import EnvironBuilder, run_wsgi_app

from provider.app import ContractFlask, create_app
from tests import factories
from tests.bench.growth import sign_in, timed_request
from tests.bench.instance import BenchmarkInstance
from tests.bench.table import Figure
from tests.factories import TEST_CONTENT

MAX_CPU_RATIO = 3.0
MAX_FIRST_VISIT_KB = 100.0
MAX_EDITOR_MS = 300.0
EDITED_ITEMS, EDITED_SECTIONS = 200, 10
REQUESTS_PER_ROUND = 20
ACCEPTED_ENCODINGS = "gzip, deflate, br, zstd"
# A page loads these by itself. A browser loads a font of a style sheet only for a text in it.
_LOADED = re.compile(r'<(?:link|script|img)\b[^>]*\b(?:src|href)="([^"]+)"')
_IMPORTED = re.compile(r'^import\b[^;]*?"(\.[^"]+)";', re.MULTILINE)


def measure_pages(instance: BenchmarkInstance, rounds: int) -> Iterator[Figure]:
    """Measure a question page of a started test, and the editor of a large test."""
    app = create_app(instance.services)
    client = app.test_client()
    [order] = instance.place_orders(1, "page")
    path = _start_test(client, instance, order)
    yield _compare_cpu(app, _get(app, client, path), path, rounds)
    yield _weigh_first_visit(client, path)
    yield _measure_editor(instance, app, rounds)


def _compare_cpu(app: ContractFlask, get: Callable[[], int], path: str, rounds: int) -> Figure:
    """Return the ratio of the CPU times of the page and of rendering its template alone.

    The template gets the values that the page gave it. Both take turns.
    """
    rendered: list[tuple[Template, dict[str, Any]]] = []

    def record(_: Flask, template: Template, context: dict[str, Any], **_unused: Any) -> None:
        rendered.append((template, context))

    with template_rendered.connected_to(record, app.pages):
        size = get()  # compiles the template, too
    [(template, context)] = rendered
    with app.pages.test_request_context(path):

        def render() -> int:
            return len(template.render(context))

        pairs = [(_cpu_seconds(get), _cpu_seconds(render)) for _ in range(rounds)]
    our_ms, bare_ms = (median(times) * 1e3 for times in zip(*pairs, strict=True))
    ratio = median(own / other for own, other in pairs)
    note = f"{our_ms:.2f} ms and {bare_ms:.2f} ms of CPU, {size / 1e3:.1f} kB of HTML"
    name = "a question page ÷ its template alone, rendered by Jinja"
    return Figure(name, ratio, MAX_CPU_RATIO, is_upper_limit=True, note=note)


def _cpu_seconds(get: Callable[[], int]) -> float:
    started_at = process_time()
    for _ in range(REQUESTS_PER_ROUND):
        get()
    return (process_time() - started_at) / REQUESTS_PER_ROUND


def _weigh_first_visit(client: FlaskClient, path: str) -> Figure:
    """Return the bytes of bodies and headers that a browser without a cache gets."""
    sizes: dict[str, int] = {}
    waiting = [path]
    while waiting:
        address = waiting.pop()
        if address in sizes:
            continue
        response = client.get(address, headers={"Accept-Encoding": ACCEPTED_ENCODINGS})
        if response.status_code != 200:
            raise RuntimeError(f"{address} answered {response.status_code}")
        head = f"HTTP/1.1 {response.status}\r\n{response.headers}"
        sizes[address] = len(head.encode()) + len(response.data)
        plain = client.get(address).text  # without an accepted encoding
        pattern = _LOADED if address == path else _IMPORTED
        if address == path or address.partition("?")[0].endswith(".js"):
            targets = [urljoin(address, target) for target in pattern.findall(plain)]
            waiting += [target for target in targets if not urlsplit(target).netloc]
    largest = max(sizes, key=lambda address: sizes[address]).partition("?")[0].rpartition("/")[2]
    note = f"{len(sizes)} files; the largest is {largest}, {max(sizes.values()) / 1e3:.0f} kB"
    kilobytes = sum(sizes.values()) / 1e3
    name = "a question page on a first visit, over the wire"
    return Figure(name, kilobytes, MAX_FIRST_VISIT_KB, "kB", is_upper_limit=True, note=note)


def _measure_editor(instance: BenchmarkInstance, app: Flask, rounds: int) -> Figure:
    product_id = factories.create_test(
        instance.services, "Large", "large", sections=_large_sections(), grades=None
    )
    headers = {"Cookie": f"staff={sign_in(instance)}"}
    path = f"/console/products/{product_id}/edit"
    seconds = [timed_request(app, path, headers=headers) for _ in range(rounds + 1)]
    note = f"the first {seconds[0] * 1e3:.0f} ms, the slowest other {max(seconds[1:]) * 1e3:.0f} ms"
    name = f"the editor of a test with {EDITED_ITEMS} items opens"
    value = median(seconds[1:]) * 1e3
    return Figure(name, value, MAX_EDITOR_MS, "ms", is_upper_limit=True, note=note)


def _large_sections() -> list[dict[str, Any]]:
    """Return sections whose items are those of the sample test, again and again."""
    samples = [item for section in TEST_CONTENT["sections"] for item in section["items"]]
    size = EDITED_ITEMS // EDITED_SECTIONS
    return [
        {
            "key": f"section-{section}",
            "title": f"Section {section}",
            "items": [
                samples[number % len(samples)] | {"key": f"item-{section}-{number}"}
                for number in range(size)
            ],
        }
        for section in range(EDITED_SECTIONS)
    ]


def _start_test(client: FlaskClient, instance: BenchmarkInstance, order: str) -> str:
    """Start a test as a browser does; return the path of its first question."""
    client.get(urlsplit(factories.invitation_url(instance.services, order)).path)
    token = factories.csrf_token(client.get(f"/c/o/{order}/").text)
    client.post(f"/c/o/{order}/start", data={"csrf_token": token})
    return f"/c/o/{order}/items/1"


def _get(app: ContractFlask, client: FlaskClient, path: str) -> Callable[[], int]:
    """Return a function that requests a page with the client's cookies, without its overhead."""
    cookies = client.get(path).request.headers["Cookie"]
    environ = EnvironBuilder(path, headers=[("Cookie", cookies)]).get_environ()

    def get() -> int:
        body, status, _ = run_wsgi_app(app.wsgi_app, environ | {}, buffered=True)
        if status != "200 OK":
            raise RuntimeError(f"{path} answered {status}")
        return sum(map(len, body))

    return get
