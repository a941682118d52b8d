"""Pins image references by the digest that their registry answers with.

`python -m cluster.digests REFERENCE...` prints each as name:tag@sha256:..., for `images` in the operator's settings, a
ServingClass or the chart. `make digests` does so for the images that Dockerfiles are built from, and writes them there.
A digest is only ever what a registry said: where none answers, the reference stays as it is, and the command fails.
Protocol: https://distribution.github.io/distribution/spec/api/ and its spec/auth/token.
"""

import argparse
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.client import HTTPMessage
from pathlib import Path

from cluster.host import REPOSITORY, ClusterError

MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.v2",
    )
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
BASE = re.compile(r"(?m)^(ARG (?:BASE|VLLM)=)(\S+)$")
TIMEOUT_SECONDS = 20


def parts(reference: str) -> tuple[str, str, str]:
    """Registry, repository and tag, as docker reads a reference. Raises ClusterError."""
    name, _, tag = reference.rpartition(":")
    if not name or "/" in tag:
        raise ClusterError(f"{reference} has no tag: write name:tag")
    first, _, rest = name.partition("/")
    if rest and (first == "localhost" or "." in first or ":" in first):
        return first, rest, tag
    return "registry-1.docker.io", name if rest else f"library/{name}", tag


def pinned(reference: str, scheme: str = "https") -> str:
    """The reference with its digest; as it is where it has one. Raises ClusterError where no registry tells one."""
    if "@" in reference:
        return reference
    registry, repository, tag = parts(reference)
    url = f"{scheme}://{registry}/v2/{repository}/manifests/{tag}"
    try:
        headers = _head(url)
    except (OSError, ValueError, KeyError) as error:  # URLError and HTTPError are OSErrors
        raise ClusterError(f"{reference}: its registry tells no digest ({error})") from error
    digest = headers.get("Docker-Content-Digest", "")
    if not DIGEST.fullmatch(digest):
        raise ClusterError(f"{reference}: its registry answers without a digest")
    return f"{reference}@{digest}"


def _head(url: str, token: str = "") -> HTTPMessage:
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFESTS, **authorization})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.headers  # type: ignore[no-any-return]
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 401 or token:
                raise
            return _head(url, _token(error.headers.get("WWW-Authenticate", "")))


def _token(challenge: str) -> str:
    """A token for anybody, from the service that the registry names. Raises KeyError where it names none."""
    asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
    with urllib.request.urlopen(f"{asked['realm']}?{query}", timeout=TIMEOUT_SECONDS) as answer:
        said = json.load(answer)
    return str(said.get("token") or said["access_token"])


def pin_bases(files: Sequence[Path], scheme: str = "https") -> list[str]:
    """Writes digests into the `ARG BASE=` or `ARG VLLM=` of Dockerfiles; returns what could not be had."""
    failed: list[str] = []
    for file in files:
        text = file.read_text()
        for prefix, reference in BASE.findall(text):
            tag = reference.partition("@")[0]  # a tag may have moved: asked again
            try:
                text = text.replace(f"{prefix}{reference}\n", f"{prefix}{pinned(tag, scheme)}\n")
            except ClusterError as error:
                failed.append(f"{file.name} of {file.parent.name}: {error}")
        file.write_text(text)
    return failed


def main() -> int:
    """Prints references with digests, or writes them into this repository's Dockerfiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", nargs="*", help="name:tag; none: the bases of images/*/Dockerfile, written there")
    references = parser.parse_args().references
    failed: list[str] = []
    for reference in references:
        try:
            print(pinned(reference))
        except ClusterError as error:
            failed.append(str(error))
    if not references:
        failed = pin_bases(sorted(REPOSITORY.glob("images/*/Dockerfile")))
    print(*failed, sep="\n", end="\n" if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
