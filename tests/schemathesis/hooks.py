"""What JSON Schema can't say: how texts are made that are searches, lists of fields, or moments to come."""

import os
import re
from datetime import datetime

import schemathesis
from hypothesis import strategies as st

WORD = st.text("abcdefghijklmnop", min_size=1, max_size=8)
FIELDS = ["event_id", "time", "event_type", "actor.id", "severity", "details", "details.amount"]
DIMENSIONS = ["event_type", "action", "outcome", "severity", "actor.id", "details.team"]
FILTERS = ["event_type=user.login", "outcome=failure", "min_severity=WARNING", "details.amount=5", "from=2026-01-01"]
NETWORKS = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]
OPERATORS = ["", "[gt]", "[gte]", "[lt]", "[lte]", "[prefix]"]
TAGS = re.compile(r'^(\*|"[!#-~]*")\Z')


def list_of(names, most, separator=","):
    return st.lists(st.sampled_from(names), min_size=1, max_size=most, unique=True).map(separator.join)


MOMENTS = st.datetimes(min_value=datetime(2025, 6, 1), max_value=datetime(2026, 1, 1))
schemathesis.openapi.format("date-time", MOMENTS.map(lambda at: at.isoformat() + "Z"))
schemathesis.openapi.format("moment", MOMENTS.map(lambda at: at.isoformat() + "Z"))
schemathesis.openapi.format("ip-or-network", st.one_of(st.ip_addresses().map(str), st.sampled_from(NETWORKS)))
schemathesis.openapi.format("detail", st.builds("details.{}{}{}".format, WORD, st.sampled_from(OPERATORS), st.sampled_from(["", "!"])))
schemathesis.openapi.format("filter-with-operator", st.sampled_from(["user_id!", "user_id[prefix]", "tag!", "request_id[prefix]"]))
schemathesis.openapi.format("search-words", st.lists(WORD, min_size=1, max_size=4).map(" ".join))
schemathesis.openapi.format("fields", list_of(FIELDS, 5))
schemathesis.openapi.format("dimensions", list_of(DIMENSIONS, 3))
schemathesis.openapi.format("url-query", list_of(FILTERS, 3, "&"))
# A cursor is what a page gave; an empty one is the beginning.
schemathesis.openapi.format("cursor", st.just(""))


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """What is taken beside what the document shows, and what is refused by a rule that it says in words: generators of
    clients need shapes that are plain."""
    schemas, logs = raw_schema["components"]["schemas"], raw_schema["paths"]["/api/v1/logs"]["post"]
    bulk = raw_schema["paths"]["/api/v1/logs/bulk"]["post"]["requestBody"]["content"]
    event, cloud = [{"$ref": f"#/components/schemas/{name}"} for name in ("EventToWrite", "CloudEvent")]
    several = schemas["EventsToWrite"]
    under = [
        {"type": "object", "properties": {name: several}, "required": [name], "additionalProperties": False}
        for name in ("logs", "events")
    ]
    no_list = {"properties": {name: {"not": {"type": "array"}} for name in ("logs", "events")}}
    bulk["application/json"]["schema"] = {"anyOf": [several, *under, {"allOf": [event, no_list]}]}
    # What has no `specversion` is read as any other event.
    schemas["CloudEvent"]["properties"]["specversion"] = {"enum": ["1.0", None]}
    any_event = {"type": "object", "minProperties": 1, "propertyNames": {"pattern": "^[^\\u0000]*$"}}
    no_cloud = {**any_event, "not": {"required": ["specversion"]}}
    logs["requestBody"]["content"]["application/cloudevents+json"]["schema"] = {"anyOf": [cloud, no_cloud]}
    # Each is taken or refused by itself.
    batch = {"type": "array", "items": {"anyOf": [cloud, {}]}, "maxItems": 100000}
    bulk["application/cloudevents-batch+json"]["schema"] = batch
    # Its lines are not made up; tests/it/spine.rs has some.
    del bulk["application/x-ndjson"]
    # A password is changed alone.
    schemas["UserPatch"]["anyOf"] = [{"not": {"required": ["password"]}}, {"maxProperties": 1}]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Mends what is right by the document, and wrong all the same; what is meant to be wrong stays as it is."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    query, body, headers = case.query or {}, case.body, case.headers or {}
    # What it makes up for this header is not always what the pattern says.
    if not TAGS.match(headers.get("If-Match", "*")):
        headers.pop("If-Match")
    for begin, end in [("from", "to"), ("received_from", "received_to")]:
        if query.get(begin, "") > query.get(end, "Z"):
            query.pop(end)
    if "group_by" not in query:
        query.pop("top", None)
    if query.get("format") == "parquet":
        query.pop("compression", None)
    # A part of a JSON file is no JSON.
    headers.pop("Range", None)
    # Nobody saved it; and what stands in an event is not known.
    query.pop("saved", None)
    query.pop("field", None)
    if isinstance(body, dict):
        mend(case.operation.definition.raw.get("operationId"), body)


def mend(operation, body):
    if isinstance(body.get("expires_at"), str):
        body["expires_at"] = "2999" + body["expires_at"][4:]
    if operation == "createUser" and body.get("password") is None:
        body["password"] = "come by a password"
    if operation == "createExport" and body.get("format") == "parquet":
        body.pop("compression", None)
    if operation == "writeEvent":
        # From before a clean-up, or of years to come, it is refused.
        if body.get("time") not in (None, ""):
            body["time"] = "2026-01-01T09:00:00Z"
        # A name that stands in the details as well is refused.
        if isinstance(body.get("details"), dict):
            body["details"] = {name: value for name, value in body["details"].items() if name not in body}
        if not any(body.values()):
            body["action"] = "VIEW"


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    """Whoever asks does not end its own session, and does not close the tenant it lives in."""
    own = {"default", os.environ.get("TRAILHOUSE_SELF")}
    return not path_parameters or path_parameters.get("id") not in own
