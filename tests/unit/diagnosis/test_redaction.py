"""What is taken out of a log before anybody reads it, and what is not."""

import pytest

from support.pod_status import failed, found, waiting
from vllm_operator.diagnosis.redaction import redact


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("token hf_abcdefghijklmnop is invalid", "is invalid", "abcdefgh"),
        ("GET https://user:pass@hub.example/x", "hub.example/x", "pass"),
        ("url https://s3.example/w?X-Amz-Signature=abc123 failed", "https://s3.example/w?*** failed", "abc123"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization", "abcdefgh"),
        ("api_key='s3cr3tvalue' given", "given", "s3cr3t"),
        ("env AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI set", "set", "wJalr"),
        ("sk-proj-abcdefgh1234", "***", "abcdefgh"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.abc", "***", "hbGci"),
        ("key AbCdEfGhIjKlMnOpQrStUvWxYz0123456789", "key ***", "AbCdEf"),
    ],
)
def test_credentials_are_taken_out(text: str, kept: str, gone: str) -> None:
    assert kept in redact(text)
    assert gone not in redact(text)
    assert gone not in found(failed(f"ValueError: {text}"))[1]
    assert gone not in found(waiting("ErrImagePull", f"something odd: {text}"))[1]


@pytest.mark.parametrize(
    "text",
    [
        "max_num_batched_tokens (8192) must be at least max_num_seqs=16",
        "max_num_batched_tokens=8192 is too small",
        "tokenizer: /models/org/tiny is missing",
        "DeepSeek-R1-Distill-Qwen-32B-AWQ-quantized-by-somebody",
        "image@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ],
)
def test_what_explains_is_not_taken_for_a_credential(text: str) -> None:
    assert redact(text) == text


def test_what_is_said_anew_each_time_is_left_out() -> None:
    assert redact("404 Client Error. (Request ID: Root=1-6;f) at 0x7f00aa11bb22") == "404 Client Error. at 0x..."
