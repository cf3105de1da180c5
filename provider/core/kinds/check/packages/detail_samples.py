"""Made-up details, one of each, for the scripted candidate of a sandbox."""

from collections.abc import Mapping
from typing import Any

BIRTHDAY = "1990-02-28"
NAME = "Scripted Candidate"

SAMPLE_DETAILS: Mapping[str, Any] = {
    "full_name": {"given": "Scripted", "family": "Candidate"},
    "former_names": [],
    "date_of_birth": {"date": BIRTHDAY},
    "address": {
        "country": "GB",
        "street_address": "1 Sample Street",
        "city": "London",
        "postal_code": "EC1Y 8SY",
        "from": "2010-01",
    },
    "former_addresses": [],
    "national_id": {"country": "GB", "number": "AB123456C"},
    "driving_licence": {"country": "GB", "number": "CANDI 902280 S99AB"},
    "professional_licence": {
        "profession": "Nurse",
        "number": "00A0000E",
        "register": "Sample register",
    },
    "education": [
        {"school": "Sample University", "country": "GB", "degree": "BSc", "year": "2012"}
    ],
    "employers": [
        {
            "name": "Sample Ltd",
            "town": "London",
            "country": "GB",
            "role": "Clerk",
            "from": "2015-03",
            "until": "2019-05",
            "may_ask": "yes",
        }
    ],
    "referees": [{"name": "Alex Sample", "relation": "Manager", "email": "referee@example.com"}],
}
