"""Times as Kubernetes writes them. Pure: the time is given."""

from datetime import UTC, datetime


def written(moment: datetime) -> str:
    """A time in RFC 3339, in seconds, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
