"""How a source reaches the bucket that its model is in: variables of S3's clients become `model.objectStore`."""

from ...api.storage import STORE_KEYS
from .launch.variables import Variable
from .report import Went
from .server import Server

_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "RUNAI_STREAMER_S3_ENDPOINT", "S3_ENDPOINT", "S3_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_BY_ITSELF = {
    "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "follows from model.objectStore.endpoint",
    "AWS_EC2_METADATA_DISABLED": "follows from model.objectStore",
}


def take_bucket(server: Server) -> set[str]:
    """Take the variables over that are about a bucket of S3; their names. None where the model is elsewhere."""
    if not str(server.draft.get("model.uri") or "").startswith("s3://"):
        return set()
    taken = set()
    for names, field in ((_ENDPOINTS, "endpoint"), (_REGIONS, "region")):
        for variable in _of(server, names):
            taken.add(variable.name)
            if variable.value:
                server.draft.put(f"model.objectStore.{field}", variable.value, variable.origin)
            else:
                text = f"its value is not in the source: set model.objectStore.{field}"
                server.draft.say(variable.origin, Went.LEFT, text)
    for variable in _of(server, tuple(_BY_ITSELF)):
        taken.add(variable.name)
        server.draft.say(variable.origin, Went.OPERATOR, _BY_ITSELF[variable.name])
    return taken | _keys(server)


def _of(server: Server, names: tuple[str, ...]) -> list[Variable]:
    return [one for name, one in server.variables.by_name.items() if name in names]


def _keys(server: Server) -> set[str]:
    """Keys of one Secret that are called as the variables are; others stay variables, unless objectStore is there."""
    keys = _of(server, STORE_KEYS)
    secrets = {str(one.ref.get("name")) for one in keys if one.source == "secretKeyRef"}
    alike = all(one.source == "secretKeyRef" and one.ref.get("key") == one.name for one in keys)
    if keys and alike and len(secrets) == 1:
        name = secrets.pop()
        for one in keys:
            server.draft.put("model.objectStore.credentialsSecretName", name, one.origin)
        return {one.name for one in keys}
    if keys and server.draft.get("model.objectStore"):
        for one in keys:
            text = (
                f"model.objectStore takes a Secret whose keys are called {' and '.join(STORE_KEYS[:2])}: make it, and "
                "name it in credentialsSecretName"
            )
            server.draft.say(one.origin, Went.LEFT, text)
        return {one.name for one in keys}
    return set()
