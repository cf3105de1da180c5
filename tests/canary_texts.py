"""The recognisable texts of a check: what everybody writes into each field that takes a text.

`SECRETS` may be stored encrypted only, and nothing that is sent has them.
"""

from typing import Any

from tests import check_document_factories as check_documents
from tests import check_factories

BIRTHDAY, RECORD_DATE = "1931-07-19", "1957-03-04"  # no other dates of a test
STREET, WRONG_STREET = "77 Canary Wharf “Ωmega”", "78 Canary Wharf “Ωmega” typo"
SECRETS = {
    "identifier": "QQ 77 19 31 ZX",
    "birth date": BIRTHDAY,
    "typed name": "Canary Fullname-5521",
    "address": STREET,
    "address before the correction": WRONG_STREET,
    "town": "Quillfeather QF9 3ZX",
    "employer": "Zyxquass Bakery, Canaryville",
    "employer before the correction": "Zyxquas Bakery, Canaryvile",
    "relation of the referee": "canary manager 4416",
    "phone of the referee": "+441632771931",
    "answer of the referee": "canary reference “3306”: late each Monday",
    "question to the candidate": "canary question “7707”: which oven?",
    "answer of the candidate": "canary reply “2207”: the stone one",
    "date of a record": RECORD_DATE,
    "text of a record": "Canary court, quassia theft 7719",
    "note about a record": "canary record note “6602”",
    "text of a record before its correction": "Canary court, quassia thefd 7718",
    "reason to correct a record": "canary reason to correct “6603”",
    "reason to remove a record": "canary reason to remove “6604”",
    "text of a removed record": "canary removed record “6605”",
    "text of the vendor": "canary vendor report “5571”",
    "record of the vendor": "canary vendor record “5572”",
    "note about an outcome": "canary outcome note “4402”",
    "text in the report": "canary reason “5503”",
    "reason to send back": "canary sent back “4471”",
    "other way of a notice": "By post to canary cellar “4475”",
    "reason of an adverse action": "canary adverse reason “4473”",
    "reason to withdraw it": "canary withdrawal “4474”",
    "reason to correct an outcome": "canary revision reason “4476”",
    "text in the report after a correction": "canary revised reason “4477”",
    "note after a correction": "canary revised note “4478”",
    "text of a dispute": "canary dispute “8804”: it was my brother",
    "answer to a dispute": "canary answer “9905”: we asked again",
    "text of an unsent dispute": "canary unsent “1106”",
    "name of a file": "canary letter.jpg",
    "name of a later file": "canary court.png",
    "metadata of a file": check_documents.CANARY.decode(),
}
# Those that somebody must get by e-mail: the referee and the candidate.
EMAILED = {
    "name of the referee": "Canary Referee-6116",
    "address of the referee": "canary.referee@former.example",
    "name of the consent": "Canary Ωmega Signature",
}
# Texts of the staff that rows have in clear.
STAFF_TEXTS = {
    "reason to look": "canary reason to look 3307",
}
# A text of the staff that the candidate gets by e-mail, and that rows have in clear.
EXPLANATIONS = {"reason to add a screening": "canary reason to add 3308"}


def employer(name: str) -> dict[str, str]:
    values: dict[str, str] = check_factories.FORM_VALUES["employers"][0] | {"name": name}
    return values


def address(street: str) -> dict[str, str]:
    town = {"postal_code": "69001", "city": SECRETS["town"], "country": "FR", "from": "2001-05"}
    return {"street_address": f"{street}\nStaircase 2"} | town


DETAILS: dict[str, Any] = {
    "full_name": {"given": "Lakita", "family": SECRETS["typed name"]},
    "date_of_birth": {"date": BIRTHDAY},
    "address": address(WRONG_STREET),
    "national_id": {"country": "NZ", "number": SECRETS["identifier"]},
    "employers": [employer(SECRETS["employer before the correction"])],
    "referees": [
        {
            "name": EMAILED["name of the referee"],
            "relation": SECRETS["relation of the referee"],
            "email": EMAILED["address of the referee"],
            "phone": SECRETS["phone of the referee"],
        }
    ],
}
CORRECTED: dict[str, dict[str, Any]] = {
    "addresses": {"address": address(STREET)},
    "employers": {"employers": [employer(SECRETS["employer"])]},
}
PERSON = ["full_name", "date_of_birth", "national_id"]
SCREENINGS: list[dict[str, Any]] = [
    {"key": "jobs", "name": "Employment history", "asks": ["address", "employers"]},
    {"key": "references", "name": "References", "type": "references", "asks": ["referees"]},
    *(
        {"key": key, "name": name, "performer": "connector", "connector": key, "asks": PERSON}
        for key, name in (("acme", "Criminal record"), ("simulated", "Sanctions"))
    ),
]
TEMPLATE = {
    "who": "{{ candidate.full_name }}",
    "born": "{{ candidate.date_of_birth }}",
    "number": "{{ candidate.national_id.number }}",
}
VENDOR_RESULT = {
    "id": "V-1",
    "state": "hit",
    "report": {
        "summary": SECRETS["text of the vendor"],
        "records": [{"type": "Conviction", "label": SECRETS["record of the vendor"]}],
    },
}
REFEREE_ANSWERS = {
    "knows": "Since 2015",
    "work": "Bread",
    "strengths": SECRETS["answer of the referee"],
    "improve": "Nothing",
    "again": "no",
}
