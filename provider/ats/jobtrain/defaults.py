"""The settings of a Jobtrain account, and their defaults.

Jobtrain gives each partner its paths and field names under an agreement; they are not public. So
every default here is an assumption, and each customer's documentation replaces it.
"""

from provider.ats.settings import Address, Choice, Duration, Number, Setting, Table, Text, YesNo

AUTH_HEADERS = {"client_id": "ClientID", "api_key": "APIKey", "api_password": "APIPassword"}
PARAMETERS = {"page": "PageNo", "size": "PageSize"}
FIELDS = {
    "application_id": "ApplicationID",
    "candidate_id": "CandidateID",
    "first_name": "FirstName",
    "last_name": "Surname",
    "email": "EmailAddress",
    "phone": "MobileNumber",
    "job_title": "JobTitle",
    "job_reference": "JobReference",
    "check": "CheckType",
    "status": "Status",
    "stage": "Stage",
    "result": "Result",
}
LABELS = {
    "invited": "Requested",
    "started": "In Progress",
    "completed": "Complete",
    "declined": "Withdrawn",
    "expired": "Expired",
    "cancelled": "Cancelled",
}
OUTCOMES = {"clear": "Clear", "consider": "Consider"}

SETTINGS: tuple[Setting, ...] = (
    Address("base_url", "the address of the customer's Jobtrain API, of the test or live system"),
    Choice("auth", "how requests sign in", "headers", ("headers", "oauth")),
    Table("auth_headers", "the names of the three headers", AUTH_HEADERS),
    Text("token_path", "the path of the token endpoint, for oauth", "/token"),
    Choice(
        "grant", "the grant, for oauth", "client_credentials", ("client_credentials", "password")
    ),
    Choice("client_auth", "where a token's request has the client", "basic", ("basic", "body")),
    Text("username", "the system user, for the grant password"),
    Text("awaiting_path", "the list of candidates who await a check", "/DBS/Awaiting"),
    Text("check_path", "one check; none if there is no such page", "/DBS/{application_id}"),
    Text("status_path", "where a status is returned", "/DBS/{application_id}/Status"),
    Choice("status_method", "the method of that request", "PUT", ("PUT", "POST", "PATCH")),
    Table("parameters", "the names of the parameters of lists", PARAMETERS),
    Text("list_key", "the key of the list; none takes the first list of the answer"),
    Text("total_key", "the key of the number of all records", "total"),
    Table("fields", "the names of the fields", FIELDS),
    Table("labels", "Jobtrain's names of our statuses", LABELS),
    Table(
        "stages",
        "Jobtrain's names of the stages that go with our statuses; none sends no stage",
        names=tuple(LABELS),
    ),
    Table("outcomes", "Jobtrain's names of our outcomes", OUTCOMES),
    YesNo("send_outcome", "send the outcome of a check with the status"),
    Duration("poll_every", "how often the list is read", 600),
    Number("page_size", "candidates on a page", 100, minimum=1, maximum=100),
    Number("rate", "requests per second; none for no limit", minimum=0.1, maximum=100),
)
