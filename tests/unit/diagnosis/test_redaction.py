"""What is taken out of a log before anybody reads it, and what is not."""

import json
from functools import cache
from pathlib import Path
from time import process_time

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
        ("key 0123456789abcdef0123456789abcdef given", "key *** given", "89abcdef"),
        ("key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE9 given", "key *** given", "K7MDENG"),
        ("account 123e4567-e89b-12d3-a456-426614174000 given", "account *** given", "426614174000"),
        ("Server=db;Uid=app;Pwd=correct-horse; failed", "failed", "correct-horse"),
        ("Cookie: session=correct-horse; theme=dark", "Cookie: ***", "correct-horse"),
        ("set-cookie: id=correct-horse", "set-cookie: ***", "correct-horse"),
        ("key nvapi-abcdefgh12345678 given", "key *** given", "abcdefgh"),
        ("key npm_abcdefgh12345678 given", "key *** given", "abcdefgh"),
        ("key dckr_pat_abcdefgh12345678 given", "key *** given", "abcdefgh"),
        ("key ya29.abcdefgh-12345678 given", "key *** given", "abcdefgh"),
        ("key SG.abcdefgh12345678.abcdefgh12345678 given", "key *** given", "abcdefgh"),
        ("key cGFzc3dvcmQgb2YgbWluZQ0K0w== given", "key *** given", "cGFzc3"),
        ("redis://:correct-horse@cache:6379 failed", "redis://***@cache:6379 failed", "correct-horse"),
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
        "/cache/huggingface/hub/models--org--name/snapshots/64d255621f40b42adaf6d1f32a47e1d4534c0f14/config.json",
        "there is no revision 64d255621f40b42adaf6d1f32a47e1d4534c0f14",
        "GPU-123e4567-e89b-12d3-a456-426614174000 is lost",
        "volume pvc-123e4567-e89b-12d3-a456-426614174000 is not attached",
        "/models/claim/Qwen3/weights/part1/shard01",
        "(see https://docs.vllm.ai/en/latest/usage?)",
    ],
)
def test_what_explains_is_not_taken_for_a_credential(text: str) -> None:
    assert redact(text) == text


SECRET = "correct-horse-Battery9"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"vllm serve: error: argument --seed: invalid int value: '{SECRET}'", "argument --seed: invalid int value"),
        (
            f"vllm serve: error: argument --dtype: invalid choice: '{SECRET}' (choose from 'auto', 'half')",
            "argument --dtype: invalid choice: *** (choose from 'auto', 'half')",
        ),
        (f"vllm serve: error: unrecognized arguments: --old-flag={SECRET} {SECRET}", "arguments: --old-flag"),
        (f"ValueError: invalid literal for int() with base 10: '{SECRET}'", "invalid literal for int() with base 10"),
        (f"ValueError: could not convert string to float: '{SECRET}'", "could not convert string to float"),
        (
            f"ValueError: Invalid value '{SECRET}' for VLLM_KV_CACHE_LAYOUT. Valid options: ['NHD', 'HND'].",
            "for VLLM_KV_CACHE_LAYOUT. Valid options: ['NHD', 'HND']",
        ),
        (f"argument --pooler-config: Value {SECRET} cannot be converted to <function>.", "argument --pooler-config"),
        (f"ValueError: VLLM_PORT '{SECRET}' appears to be a URI.", "VLLM_PORT *** appears to be a URI"),
        (
            "pydantic_core.ValidationError: 1 validation error for ModelConfig\nseed\n"
            f"  Input should be a valid integer [type=int_parsing, input_value='{SECRET}', input_type=str]",
            "Input should be a valid integer",
        ),
    ],
)
def test_a_value_that_cannot_be_read_is_not_shown(text: str, kept: str) -> None:
    assert kept in redact(text)
    for shown in (redact(text), found(failed(text, code=2))[1], found(failed(text))[1]):
        assert SECRET not in shown
    assert kept in found(failed(text, code=2))[1]


def cpu_seconds(text: str) -> float:
    """What redacting takes, without what else the machine does."""

    def once() -> float:
        start = process_time()
        redact(text)
        return process_time() - start

    return min(once() for _ in range(8))


@cache
def ordinary() -> float:
    """Of 64 KiB that vLLM really wrote."""
    logs = (entry["log"] for entry in json.loads(Path(__file__).with_name("gpu_failures.json").read_text()))
    return cpu_seconds(("\n".join(logs) * 99)[:65536])


@pytest.mark.parametrize(
    "unit",
    ["http://", "x", "aB3", "token ", "secret-", "a" * 31 + "/", "Cookie", "unrecognized arguments: ", "=", "eyJa",
     "invalid choice: ", "Invalid value ", "://", "0x", "(choose from ", "basic ", "0123abcd-"],
)  # fmt: skip
@pytest.mark.parametrize("line", [1999, 65536])
def test_the_time_grows_as_the_log_does(unit: str, line: int) -> None:
    """Four times the log takes four times as long, and not sixteen times; and what vLLM writes takes about as long."""
    part, whole = (
        cpu_seconds("\n".join([(unit * line)[: min(line, size)]] * (size // min(line, size))))
        for size in (16384, 65536)
    )
    assert whole < 10 * part
    assert whole < 4 * ordinary()


def test_what_is_said_anew_each_time_is_left_out() -> None:
    assert redact("404 Client Error. (Request ID: Root=1-6;f) at 0x7f00aa11bb22") == "404 Client Error. at 0x..."


def test_what_would_steer_a_terminal_is_left_out() -> None:
    assert redact("no file \x1b[2J\x1b]0;owned\x07a\x9b31mb\x00c") == "no file ]0;owneda31mbc"
