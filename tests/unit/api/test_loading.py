"""The table of load formats is what the fields, extraArgs and the documents say."""

from documents.load_formats import PAGE, page
from vllm_operator.api.flags import EXTRA_CHOICE_FLAGS
from vllm_operator.api.loading import ALLOWED, LOAD_FORMATS, REFUSED


def test_the_table_in_the_page_is_fresh() -> None:
    text = PAGE.read_text()
    assert text == page(text), "docs/weights.md is stale: run `make docs`"


def test_every_format_is_served_or_says_what_to_do() -> None:
    assert {*ALLOWED, *REFUSED} == set(LOAD_FORMATS)
    assert {"pt", "tensorizer", "modelexpress", "ipc_cache"} <= set(REFUSED)
    assert all(": " in instead or "use " in instead for instead in REFUSED.values())


def test_extra_args_pass_no_format_that_is_refused_but_mistrals_which_has_a_field() -> None:
    assert set(EXTRA_CHOICE_FLAGS["--load-format"]) & set(REFUSED) == {"mistral"}
