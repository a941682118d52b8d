"""A store for all tests of a module, and an order with folders of its own."""

from collections.abc import Iterator

import obstore
import pytest

from support.object_store import KEYS, ObjectStore, serving


@pytest.fixture(scope="session")
def _shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with serving(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def store(_shared_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty store, and the keys to it in the environment."""
    if there := _shared_store.keys():
        obstore.delete(_shared_store.client(), there)
    for field in ("INPUT", "OUTPUT"):
        for name, value in KEYS.items():
            monkeypatch.setenv(f"{field}_{name}", value)
    return _shared_store
