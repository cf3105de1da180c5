"""Examples for OpenAPI, in the shapes of Greenhouse's documentation."""

from typing import Any

URL = "https://app.greenhouse.io/integrations/testing_partners/take_home_tests/12345"
TESTS = [{"partner_test_id": "12345", "partner_test_name": "Aptitude Test"}]
SENT = {"partner_interview_id": "2044922"}
SEND_TEST: dict[str, Any] = {
    "partner_test_id": "12345",
    "candidate": {
        "first_name": "Lakita",
        "last_name": "Marrero",
        "preferred_name": None,
        "phone_number": "(785)991-6256",
        "email": "lakita_marrero@gmail.com",
        "greenhouse_profile_url": "https://app.greenhouse.io/people/17?application_id=26",
    },
    "url": URL,
}
STATUS = {
    "partner_status": "complete",
    "partner_profile_url": "https://acme.com/r/2044922",
    "partner_score": 78,
    "metadata": {"Grade": "passed", "Duration": "00:12:40"},
}
ERROR = {
    "api_call": "test_status",
    "errors": ["partner_profile_url is not a valid URL"],
    "partner_interview_id": "2044922",
}
