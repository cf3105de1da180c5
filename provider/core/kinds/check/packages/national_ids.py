"""National identity and insurance numbers, checked by the rules of their country."""

import re
from collections.abc import Mapping
from importlib import import_module

from provider.core.kinds.check.packages.detail_parts import Row
from provider.texts import LazyText
from provider.texts import lazy_gettext as _

# Country → the modules of python-stdnum of which one must accept the number.
_MODULES: Mapping[str, tuple[str, ...]] = {
    "AT": ("at.vnr",),
    "AU": ("au.tfn",),
    "BE": ("be.nn", "be.bis"),
    "BG": ("bg.egn",),
    "BR": ("br.cpf",),
    "CA": ("ca.sin",),
    "CH": ("ch.ssn",),
    "CN": ("cn.ric",),
    "CZ": ("cz.rc",),
    "DE": ("de.idnr",),
    "DK": ("dk.cpr",),
    "EE": ("ee.ik",),
    "ES": ("es.dni", "es.nie"),
    "FI": ("fi.hetu",),
    "FR": ("fr.nir",),
    "GR": ("gr.amka",),
    "HR": ("hr.oib",),
    "IE": ("ie.pps",),
    "IL": ("il.idnr",),
    "IN": ("in_.aadhaar", "in_.pan"),
    "IT": ("it.codicefiscale",),
    "KR": ("kr.rrn",),
    "LT": ("lt.asmens",),
    "MX": ("mx.curp",),
    "NL": ("nl.bsn",),
    "NO": ("no.fodselsnummer",),
    "PL": ("pl.pesel",),
    "PT": ("pt.cc",),
    "RO": ("ro.cnp",),
    "SE": ("se.personnummer",),
    "TR": ("tr.tckimlik",),
    "US": ("us.ssn", "us.itin"),
    "ZA": ("za.idnr",),
}
# The UK National Insurance number: HMRC gives out no numbers with the prefixes that are left out.
_NATIONAL_INSURANCE = re.compile(
    "(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][0-9]{6}[A-D]"
)


def is_national_id(country: str, number: str) -> bool:
    """Return False for a number that cannot be one; True for a country without rules here."""
    if country == "GB":
        compact = re.sub(r"[\s.-]", "", number).upper()
        return _NATIONAL_INSURANCE.fullmatch(compact) is not None
    modules = _MODULES.get(country, ())
    # Late: each country is a module of its own, and most are never needed.
    return not modules or any(import_module(f"stdnum.{name}").is_valid(number) for name in modules)


def find_number_problem(row: Row) -> LazyText | None:
    country, number = row.get("country", ""), row.get("number", "")
    if not number or is_national_id(country, number):
        return None
    return _("This number has a typing error, or it is not one of this country")
