"""As much of a Kubernetes client as starting a cluster takes, with nothing but the standard library."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.host import ClusterError


class Api:
    """Requests to one API server as its admin."""

    def __init__(self, server: str, certificates: Path) -> None:
        self.server = server
        self._address = urllib.parse.urlsplit(server).netloc
        self.context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        self.context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")

    def request(
        self, verb: str, path: str, body: Mapping[str, Any] | None = None, kind: str = "application/json"
    ) -> tuple[int, str]:
        """Send one request and return status and body; status 0 means that nobody answered."""
        connection = http.client.HTTPSConnection(self._address, context=self.context, timeout=10)
        try:
            headers = {"Content-Type": kind, "User-Agent": "cluster-setup"}
            connection.request(verb, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        return self.request("GET", "/readyz")[0] == 200

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a path, or None where there is none."""
        status, body = self.request("GET", path)
        return self._object(status, body, path) if status != 404 else None

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Create an object, unless it is there already."""
        status, answer = self.request("POST", path, body)
        if status != 409:
            self._object(status, answer, path)

    def delete(self, path: str) -> None:
        """Delete the object at a path, which is there."""
        self._object(*self.request("DELETE", path), path)

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge into the object at a path."""
        return self._object(*self.request("PATCH", path, body, "application/merge-patch+json"), path)

    def _object(self, status: int, body: str, path: str) -> dict[str, Any]:
        if not 200 <= status < 300:
            raise ClusterError(f"{self.server}{path} answered {status}: {body[:500]}")
        parsed: dict[str, Any] = json.loads(body)
        return parsed
