"""What an import of a folder must bring in, counted from the files by other means than the product's.

    count_cloudtrail.py FOLDER USER

Prints one JSON object: the distinct CloudTrail records with a readable time (`records`), the items without one
(`without_time`), the other distinct JSON objects, which are events in their own right (`others`), the files that hold
no JSON (`no_json`), and how many records were made by USER (`by_user`).
"""

import gzip
import json
import pathlib
import re
import sys

DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
GUID = re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


def read(path):
    """The objects in a file, or None when it holds no JSON."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    text = data.decode("utf-8-sig").strip()
    if text[:1] not in ("{", "["):
        return None
    try:
        whole = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(whole, dict):
        whole = whole.get("Records", whole.get("Events", [whole]))
    return whole


def record_of(item):
    """The CloudTrail record in an item, or None."""
    if "CloudTrailEvent" in item:
        return json.loads(item["CloudTrailEvent"])
    if "detail-type" in item:
        item = item["detail"]
    return item if "eventVersion" in item and "awsRegion" in item else None


def has_time(item, record):
    written = [record.get("eventTime"), record.get("@timestamp"), item.get("time"), item.get("EventTime")]
    return any(DATE.match(str(time)) for time in written if time)


def id_of(record):
    given = str(record.get("eventID"))
    return given.lower() if GUID.fullmatch(given) else json.dumps(record, sort_keys=True)


def name_of(record):
    """What a person would call who did it, where CloudTrail says it plainly."""
    identity = record.get("userIdentity") or {}
    if identity.get("type") in ("AssumedRole", "FederatedUser"):
        return identity.get("arn", "").rsplit("/", 1)[-1]
    return "root" if identity.get("type") == "Root" else identity.get("userName")


def main(folder, user):
    records, others, without_time, no_json = {}, set(), 0, 0
    for path in sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file()):
        items = read(path)
        if items is None:
            no_json += 1
            continue
        for item in items:
            record = record_of(item)
            if record is None:
                others.add(json.dumps(item, sort_keys=True))
            elif has_time(item, record):
                records.setdefault(id_of(record), record)
            else:
                without_time += 1
    by_user = sum(name_of(record) == user for record in records.values())
    counts = {"records": len(records), "others": len(others), "without_time": without_time}
    print(json.dumps({**counts, "no_json": no_json, "by_user": by_user}))


if __name__ == "__main__":
    main(*sys.argv[1:])
