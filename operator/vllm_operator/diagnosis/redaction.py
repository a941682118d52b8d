"""Takes out of a text what must not stand in a status: credentials, and what differs each time it is said."""

import re

_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host, and the query of a signed URL
    (re.compile(r"(?<=://)[^/\s@]+@"), "***@"),
    (re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>)]+"), r"\1?***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)((?:token(?!i)|secret|passw(?:or)?d|api[_-]?key|access[_-]?key|authorization|credential)[\w-]{0,40}"
            r"['\"]?\s*[:=]\s*['\"]?)(?!\*\*\*|\d+\b)[^\s'\",;)}\]]{4,}"
        ),
        r"\1***",
    ),
    # Tokens that are known by how they begin: Hugging Face, OpenAI-like keys, GitHub, GitLab, AWS, Slack, Google, JWT.
    (
        re.compile(
            r"\b(?:hf_[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}|sk-[\w-]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|glpat-[\w-]{8,}"
            r"|github_pat_\w{8,}|A[KS]IA[A-Z0-9]{12,}|xox[a-z]-[\w-]{8,}|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w.-]+)"
        ),
        "***",
    ),
    # Anything long that mixes digits with letters of both cases is a key rather than a word.
    (re.compile(r"\b(?=\w*\d)(?=\w*[A-Z])(?=\w*[a-z])[A-Za-z0-9_]{32,}\b"), "***"),
)
# Said anew at each restart, and so a write of the status each time, for nothing that helps.
_VARIES = re.compile(
    r" \((?:Request ID|Amzn Trace ID|Amz CF ID): [^)]*\)|(?<=\b0x)[0-9a-f]{6,}\b|(?<=\bpid[= ])\d+"
    r"|(?<=/tmp/)tmp\w+|(?<=Retry after )\d+"
)
WORDS_MAX = 500


def redact(text: str) -> str:
    """The text without credentials and without what changes each time."""
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return _VARIES.sub(lambda match: "" if match[0].startswith(" (") else "...", text)


def shorten(text: str, limit: int = WORDS_MAX) -> str:
    """The text on one line, at most `limit` characters long."""
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."
