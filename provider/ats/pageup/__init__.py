"""PageUp Recruitment Marketing, once Clinch: a tag orders a test, and a tag tells its result."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any

from provider.ats.api import (
    ApiRequest,
    AtsApi,
    CheckLine,
    CheckReport,
    CheckSteps,
    Connection,
    UnreadableAnswer,
    budget_of_rate,
)
from provider.ats.base import AtsAdapter
from provider.ats.pageup.signing import SignatureForm, sign
from provider.ats.pageup.source import AllCandidates, ChangedCandidates, get
from provider.ats.pageup.writers import ReportFile, ResultTag, UsedTag
from provider.ats.settings import Address, Choice, Duration, Number, TimeZone, YesNo
from provider.core.connections import Budget

CANONICALS, CONTENT_HASHES = ("with_method", "without"), ("md5", "sha256", "none")
DATE_HEADERS, DIGESTS = ("x-hmac-date", "date"), ("sha1", "sha256")


class PageUpApi(AtsApi):
    """PageUp's API: JSON:API, signed requests, no webhooks."""

    secrets = {  # noqa: RUF012
        "api_key": "the access id of the API key, from PageUp",
        "api_secret": "the secret of the API key",
    }
    required_settings = ("base_url",)
    required_secrets = ("api_key", "api_secret")
    rule_facts = {"tag": "a tag of the candidate"}  # noqa: RUF012
    required_facts = ("tag",)
    sources = (ChangedCandidates(), AllCandidates())
    writers = (ResultTag(), ReportFile(), UsedTag())

    def base_url(self, settings: Mapping[str, Any]) -> str:
        return str(settings["base_url"])

    def sign(self, request: ApiRequest, connection: Connection, now: datetime) -> ApiRequest:
        """Sign by the account's key, in the form that its settings name."""
        form = SignatureForm.from_settings(connection.settings)
        return sign(
            request, connection.secret("api_key"), connection.secret("api_secret"), form, now
        )

    def budget(self, connection: Connection) -> Budget:
        """Return the setting `rate`: PageUp documents no limit."""
        client = connection.client_digest("pageup", connection.secret("api_key"))
        return budget_of_rate(client, float(connection.settings["rate"]))

    def check(self, connection: Connection) -> CheckSteps:
        """Ask for one candidate in every form of the signature until one is accepted."""
        own = SignatureForm.from_settings(connection.settings)
        forms = [own]
        # A request without a body has no digest, so `content_hash` cannot be tried.
        for canonical, date_header, digest in product(CANONICALS, DATE_HEADERS, DIGESTS):
            form = replace(own, canonical=canonical, date_header=date_header, digest=digest)
            if form not in forms:
                forms.append(form)
        base_url = connection.settings["base_url"]
        other_version = base_url[:-1] + {"1": "2", "2": "1"}.get(base_url[-1], base_url[-1])
        problems: dict[str, str] = {}  # the last one of each address
        for address in dict.fromkeys((base_url, other_version)):
            for form in forms:
                settings = {**connection.settings, **vars(form), "base_url": address}
                trial = replace(connection, settings=settings)
                try:
                    response = yield trial, get(f"{address}/candidates?page=1&per_page=1")
                except UnreadableAnswer as error:
                    problems[address] = str(error)
                    break
                problems[address] = _refused_text(response.status_code)
                if response.is_success:
                    changes = {
                        name: settings[name]
                        for name in ("canonical", "date_header", "digest", "base_url")
                        if settings[name] != connection.settings[name]
                    }
                    return CheckReport((_found_line(changes),), changes)
                if response.status_code != 401:
                    break
        return CheckReport((CheckLine(False, problems[base_url]),))


class PageUp(AtsAdapter):
    """PageUp's adapter: candidates are read by rounds, and results are written as tags."""

    name = "pageup"
    title = "PageUp"
    has_endpoints = False
    api = PageUpApi()
    settings = (
        Address(
            "base_url",
            "the address of PageUp's API for the region of the key",
            "https://api.clinchtalent.com/v2",
        ),
        Duration("poll_every", "how often changed candidates are read", 300),
        Duration("full_sweep_every", "how often all candidates are read", 86_400),
        Number("page_size", "candidates on a page", 100, minimum=1, maximum=1000),
        Number("rate", "requests per second", 2, minimum=0.1, maximum=100),
        TimeZone("clock_zone", "the time zone of PageUp's filters", "UTC"),
        Choice("result_tags", "what result tags tell", "outcome", ("outcome", "completed", "none")),
        YesNo("consume_tag", "delete the tag of a rule when the order is placed"),
        YesNo("pdf_as_file", "send the report as a file; PageUp may take it for a résumé"),
        YesNo("tag_needs_email", "send the candidate's e-mail address with each tag"),
        Choice("canonical", "whether the method is signed", "with_method", CANONICALS),
        Choice("content_hash", "the digest of a body", "md5", CONTENT_HASHES),
        Choice("date_header", "the header of the date", "x-hmac-date", DATE_HEADERS),
        Choice("digest", "the digest of the signature", "sha1", DIGESTS),
    )


def _found_line(found: Mapping[str, Any]) -> CheckLine:
    if not found:
        return CheckLine(True, "PageUp accepts the key")
    changes = ", ".join(f"{name}={value}" for name, value in found.items())
    return CheckLine(True, f"PageUp accepts the key with other settings, now kept: {changes}")


def _refused_text(code: int) -> str:
    if code == 401:
        return (
            "PageUp refuses the key in every form: check the key, the secret, and the region of "
            "base_url"
        )
    return f"PageUp answers {code}: check base_url"
