"""What the hub's answers mean for who wrote the service: one reason and one sentence for each. Asks nothing itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from httpx2 import HTTPError
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    SafetensorsParsingError,
)

from ..api.reasons import Reason
from .report import InspectionError


@contextmanager
def hub_trouble(repository: str, revision: str | None, token: str | None) -> Iterator[None]:
    """Raises InspectionError in place of what the hub's client raises about this repository."""
    where = f"hf://{repository}" + (f" at {revision}" if revision else "")
    try:
        yield
    except GatedRepoError as error:
        what = "the token's account has no access to it" if token else "model.tokenSecretRef is not set"
        message = f"{where} is gated and {what}: accept its terms on the hub, and name a Secret with a token"
        raise InspectionError(Reason.MODEL_GATED, message) from error
    except DisabledRepoError as error:
        raise InspectionError(Reason.MODEL_NOT_FOUND, f"the hub has disabled {where}") from error
    except RevisionNotFoundError as error:
        message = f"hf://{repository} has no revision {revision}: check model.revision"
        raise InspectionError(Reason.REVISION_NOT_FOUND, message) from error
    except RepositoryNotFoundError as error:
        secret = "the token may not read it" if token else "it is private and model.tokenSecretRef is not set"
        message = f"there is no model {where}, or {secret}: check model.uri"
        raise InspectionError(Reason.MODEL_NOT_FOUND, message) from error
    except LocalEntryNotFoundError as error:  # the library's word for a connection that broke off
        raise _unreachable(error) from error
    except EntryNotFoundError as error:
        message = f"{where} has no config.json: it is no model in the format of transformers"
        raise InspectionError(Reason.NO_CONFIG, message) from error
    except HfHubHTTPError as error:
        raise _http_trouble(where, error.response.status_code) from error
    except SafetensorsParsingError as error:
        raise InspectionError(Reason.UNREADABLE, f"{where}: {error}") from error
    except (HTTPError, OSError) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> InspectionError:
    message = f"the hub cannot be reached ({type(error).__name__}): check the network, the proxy and hubEndpoint"
    return InspectionError(Reason.HUB_UNREACHABLE, message)


def _http_trouble(where: str, status: int) -> InspectionError:
    match status:
        case 401 | 403:
            message = f"the hub refuses the token ({status}) for {where}: put a valid one into model.tokenSecretRef"
            return InspectionError(Reason.HUB_TOKEN_REFUSED, message)
        case 429:
            message = "the hub limits the rate of requests (429): it is tried again; a token raises the limit"
            return InspectionError(Reason.HUB_RATE_LIMITED, message)
        case _:
            message = f"the hub answered {status} for {where}: it is tried again"
            return InspectionError(Reason.HUB_UNREACHABLE, message)
