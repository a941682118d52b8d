"""vLLM's own parser, for all tests here."""

from collections.abc import Iterator

import pytest

from support.real_vllm.environment import Parser


@pytest.fixture(scope="session")
def vllm() -> Iterator[Parser]:
    """The parser of the pinned vLLM, installed on first use."""
    parser = Parser()
    yield parser
    parser.close()
