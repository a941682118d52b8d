"""What an account asked of the API server, as the audit log has it, against what RBAC grants it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple


class Right(NamedTuple):
    """One verb on one resource (with its subresource) of one API group."""

    verb: str
    group: str
    resource: str


def now() -> str:
    """This moment, as the audit log has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def requests(audit_log: Path, user: str, offset: int = 0) -> Iterator[dict[str, Any]]:
    """The account's requests, in order; those that are in the log from an offset (bytes) on."""
    with audit_log.open("rb") as log:
        log.seek(offset)
        whole = takewhile(lambda line: line.endswith(b"\n"), log)  # the last may be under way
        for line in map(bytes.decode, whole):
            if user in line and (event := json.loads(line))["user"]["username"] == user:
                yield event


def used(audit_log: Path, user: str) -> set[Right]:
    """The rights that the account has used. What made an object needs `create` beside `patch` or `update`."""
    found = set()
    for event in requests(audit_log, user):
        where = event.get("objectRef")
        if not where or "resource" not in where:
            continue  # discovery, which every account may
        resource = "/".join(filter(None, (where["resource"], where.get("subresource"))))
        found.add(Right(event["verb"], where.get("apiGroup", ""), resource))
        if event["verb"] in ("patch", "update") and event.get("responseStatus", {}).get("code") == 201:
            found.add(Right("create", where.get("apiGroup", ""), resource))
    return found


def granted(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    """The rights that the rules of a ClusterRole grant."""
    return {
        Right(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


WRITES = ("create", "update", "patch", "delete", "deletecollection")


def writes(audit_log: Path, user: str, since: str = "", offset: int = 0) -> list[str]:
    """The account's writes since a time (RFC 3339), as `verb resource/subresource namespace/name code`; those that are
    in the log from an offset (bytes) on.

    Without those of its Lease, which is renewed all the time.
    """
    found = []
    for event in requests(audit_log, user, offset):
        where = event.get("objectRef", {})
        if event["verb"] in WRITES and event["requestReceivedTimestamp"] >= since and where["resource"] != "leases":
            resource = "/".join(filter(None, (where["resource"], where.get("subresource"))))
            name = f"{where.get('namespace')}/{where.get('name')}"
            found.append(f"{event['verb']} {resource} {name} {event.get('responseStatus', {}).get('code')}")
    return found
