"""The scanners: each is installed in a folder of its own, and returns the problems found."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.conftest import CHROMIUM_PATH
from tests.scan.server import ScannedPage, ScannedServer, is_signed_in

FOLDER = Path(".venv-scan").absolute()
NGINX_FILE = Path("provider/samples/deployment/nginx.conf")
WAPITI_CRAWL_SECONDS = 120
WAPITI_MODULE_SECONDS = 60  # each of its modules attacks this long
# Its usual modules but `ssl` and `ssrf`, which ask a server on the internet.
WAPITI_MODULES = (
    *("cookieflags", "csp", "exec", "file", "http_headers", "permanentxss"),
    *("redirect", "sql", "upload", "xss"),
)
# The console has many pages that differ only by the language of an e-mail.
EXCLUDED_PATHS = (
    "/console/sign-out",
    *(f"/console/accounts/*/emails/*/{language}*" for language in ("ar", "de", "es", "fr")),
)
MEDIUM_LEVEL = 2  # of wapiti's levels 0 to 4
# Lighthouse's scores of 100 on its slow phone.
MIN_SCORES = {"performance": 95, "accessibility": 100, "best-practices": 100}
MAX_FIRST_CONTENT_MS = 1500


@dataclass(frozen=True)
class Scanner:
    """`install` returns False where it is impossible; `scan` returns sentences about problems."""

    name: str
    install: Callable[[], bool]
    scan: Callable[[ScannedServer, Path], list[str]]


def install_from_pypi(package: str) -> bool:
    folder = FOLDER / package
    if not (folder / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = subprocess.run([folder / "bin/pip", "install", "--quiet", package])
    return pip.returncode == 0


def install_lighthouse() -> bool:
    if not shutil.which("npm"):
        return False
    command = ["npm", "install", "--silent", "--prefix", f"{FOLDER}/lighthouse", "lighthouse"]
    return subprocess.run(command).returncode == 0


def scan_with_gixy(_: ScannedServer, work: Path) -> list[str]:
    file = work / "nginx.conf"
    file.write_text(f"events {{}}\nhttp {{\n{NGINX_FILE.read_text('utf-8')}\n}}\n")
    gixy = subprocess.run([FOLDER / "gixy-ng/bin/gixy", file])
    return ["gixy: see its report above"] if gixy.returncode else []


def scan_with_wapiti(server: ScannedServer, work: Path) -> list[str]:
    report = work / "wapiti.json"
    cookies = {page.cookie for page in server.candidate_pages} | {server.staff_cookie}
    start_urls = [page.url for page in server.candidate_pages] + [f"{server.url}/console/"]
    subprocess.run(
        [
            FOLDER / "wapiti3/bin/wapiti",
            *("-u", f"{server.url}/", "--scope", "folder"),
            *(part for url in start_urls for part in ("-s", url)),
            *(part for path in EXCLUDED_PATHS for part in ("-x", f"{server.url}{path}")),
            *("-H", f"Cookie: {join_cookies(cookies)}", "--skip", "csrf_token"),
            *("--module", ",".join(WAPITI_MODULES)),
            *("--max-scan-time", str(WAPITI_CRAWL_SECONDS)),
            *("--max-attack-time", str(WAPITI_MODULE_SECONDS)),
            *("--store-session", work / "wapiti", "--flush-session", "--no-bugreport"),
            *("--format", "json", "--output", report),
        ],
        check=True,
    )
    problems = list(wapiti_problems(json.loads(report.read_text("utf-8"))))
    if not is_signed_in(server):
        problems.append("wapiti: its session ended, so it did not reach the console until the end")
    return problems


def join_cookies(cookies: set[str]) -> str:
    return "; ".join(sorted(filter(None, cookies)))


def wapiti_problems(report: dict[str, Any]) -> Iterator[str]:
    """Yield the findings of medium level or above."""
    for section in ("vulnerabilities", "anomalies"):
        for category, findings in report[section].items():
            for finding in findings:
                if finding["level"] >= MEDIUM_LEVEL:
                    place = f"{finding['method']} {finding['path']}"
                    yield f"wapiti: {category}: {place}: {finding['info']}"


def scan_with_lighthouse(server: ScannedServer, work: Path) -> list[str]:
    return [
        problem
        for page in server.candidate_pages
        for problem in lighthouse_problems(page.name, run_lighthouse(page, work))
    ]


def run_lighthouse(page: ScannedPage, work: Path) -> dict[str, Any]:
    """Return Lighthouse's report of a page on its slow phone."""
    report = work / "lighthouse.json"
    headers = ["--extra-headers", json.dumps({"Cookie": page.cookie})] if page.cookie else []
    subprocess.run(
        [
            FOLDER / "lighthouse/node_modules/.bin/lighthouse",
            *(page.url, *headers, "--quiet"),
            *("--chrome-flags=--headless --no-sandbox", "--output=json"),
            *(f"--output-path={report}", f"--only-categories={','.join(MIN_SCORES)}"),
        ],
        env=os.environ | {"CHROME_PATH": CHROMIUM_PATH},
        check=True,
    )
    content: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return content


def lighthouse_problems(page: str, report: dict[str, Any]) -> Iterator[str]:
    scores = {name: round(100 * (report["categories"][name]["score"] or 0)) for name in MIN_SCORES}
    first_content_ms = report["audits"]["first-contentful-paint"]["numericValue"]
    figures = ", ".join(f"{name} {score}" for name, score in scores.items())
    print(f"{page}: {figures}, first content after {first_content_ms / 1000:.1f} s", flush=True)
    if first_content_ms > MAX_FIRST_CONTENT_MS:
        yield f"Lighthouse: {page}: first content after {first_content_ms:.0f} ms"
    for name, minimum in MIN_SCORES.items():
        if scores[name] < minimum:
            failed = [
                audit["id"]
                for reference in report["categories"][name]["auditRefs"]
                if (audit := report["audits"][reference["id"]])["score"] not in (None, 1)
            ]
            yield f"Lighthouse: {page}: {name} {scores[name]} of {minimum}: {', '.join(failed)}"


# wapiti is the last: it sends the forms of the pages, and may end the orders behind them.
SCANNERS = (
    Scanner("gixy", partial(install_from_pypi, "gixy-ng"), scan_with_gixy),
    Scanner("Lighthouse", install_lighthouse, scan_with_lighthouse),
    Scanner("wapiti", partial(install_from_pypi, "wapiti3"), scan_with_wapiti),
)
