"""Workable's documented examples, for OpenAPI; a test compares them with tests/contract/."""

from typing import Any

PRODUCT_NAMES = {
    "assessment": "Aptitude Test",
    "interview": "Java Interview",
    "check": "Criminal Pro",
}
CANDIDATE = {
    "first_name": "Lakita",
    "last_name": "Marrero",
    "phone": "(785)991-6256",
    "email": "lakita_marrero@gmail.com",
}
SCORED_RESULT = {
    "score": "78",
    "grade": "excelled",
    "summary": "This candidate is an excellent prospect.",
    "details": {
        "behavior": {"Influence": 97, "conscientiousness": 76},
        "mental_skills": {"Problem Solving": 82, "Aptitude": 91},
    },
    "duration": "01:01:17",
}
CHECK_RESULT = {
    "overall_status": "consider",
    "result": [
        {"name": "motor_vehicle_report", "status": "clear"},
        {"name": "education_verification", "status": "consider"},
    ],
}


RESULTS = {"assessment": SCORED_RESULT, "interview": SCORED_RESULT, "check": CHECK_RESULT}


def order_body(product_id_key: str, orders_path: str, **extra: Any) -> dict[str, Any]:
    return {
        product_id_key: "12345",
        "job_title": "Operations Manager",
        "callback_url": f"https://groove-tech.workable.com{orders_path}/8823119",
        "candidate": CANDIDATE,
        **extra,
    }


def completed_status(kind: str, noun: str, orders_path: str) -> dict[str, Any]:
    results = f"https://acme.com{orders_path}/2044922"
    return {
        "results_url": results,
        "status": "completed",
        kind: RESULTS[kind],
        "attachments": [{"description": f"{noun} Report", "url": f"{results}/report.pdf"}],
    }


def shared_link(orders_path: str) -> dict[str, Any]:
    url = f"https://acme.com{orders_path}/2044922/link"
    return {"url": url, "ttl": "120", "ttl_units": "minutes"}
