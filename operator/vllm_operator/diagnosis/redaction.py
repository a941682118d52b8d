"""Takes out of a text what must not stand in a status: credentials, values that could not be read, and what differs
each time it is said.

Works line by line, on 2,000 characters of each, and every pattern takes time in proportion to them: a log is written by
whoever's code runs in the pod. A secret that looks like a word cannot be told from one.
"""

import re

LINE_MAX = 2000
WORDS_MAX = 500
# What a terminal would act on. kubectl prints a status as it is.
_CONTROL = re.compile(r"\x1b\[[0-?]{0,64}[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# What Python, argparse, pydantic and vLLM say of a value that they cannot read. It takes the rest of the line, or
# ends where the second expression is found last. It may have come from a Secret; the name of the argument or variable
# tells enough.
_VALUES: tuple[tuple[re.Pattern[str], re.Pattern[str] | None], ...] = (
    (re.compile(r"\b(invalid choice: )(.*)"), re.compile(r" \(choose from ")),
    (re.compile(r"\b(invalid choice: (?!\*\*\*))(.*)"), None),
    (re.compile(r"\b(invalid (?!choice)[\w<>.]{1,40} value: )(.*)"), None),
    (re.compile(r"\b(invalid literal for \w{1,20}\(\) with base \d{1,2}: )(.*)"), None),
    (re.compile(r"\b(could not convert string to \w{1,20}: )(.*)"), None),
    (re.compile(r"\b(Invalid value )(.*)"), re.compile(r" (?:for|in) [A-Z][A-Z0-9_]{1,60}\b")),
    (re.compile(r"\b(Value )(.*)"), re.compile(r" cannot be converted to ")),
    (re.compile(r"\b(VLLM_PORT )(.*)"), re.compile(r" (?:appears to be a URI|must be a valid integer)")),
    (re.compile(r"( \[type=\w{1,60}, input_value=)(.*)"), re.compile(r", input_type=")),
)
_UNRECOGNIZED = re.compile(r"\bunrecognized arguments: (.*)")
_URL = re.compile(r"https?://[^\s'\"<>]+")
KNOWN_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}|sk-[\w-]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|glpat-[\w-]{8,}"
    r"|github_pat_\w{8,}|A[KS]IA[A-Z0-9]{12,}|xox[a-z]-[\w-]{8,}|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w.-]+"
    r"|nvapi-[\w-]{8,}|npm_[A-Za-z0-9]{8,}|dckr_[po]at_[\w-]{8,}|ya29\.[\w-]{8,}|SG\.[\w-]{8,}\.[\w-]{8,})"
)
"""Tokens that are known by how they begin: Hugging Face, OpenAI-like keys, GitHub, GitLab, AWS, Slack, Google, JWT,
NVIDIA, npm, Docker, SendGrid."""
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (re.compile(r"(?<=://)[^/\s@]+@"), "***@"),
    (re.compile(r"(?i)\b((?:set-)?cookie['\"]?\s{0,8}[:=]).*"), r"\1 ***"),
    (re.compile(r"(?i)\b(bearer|basic)\s{1,8}[\w.~+/=-]{8,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)((?:token(?!i)|secret|passw(?:or)?d|passphrase|pwd|api[_-]?key|access[_-]?key|authorization"
            r"|credential)[\w-]{0,40}['\"]?\s{0,8}[:=]\s{0,8}['\"]?)(?!\*\*\*|\d+\b)[^\s'\",;)}\]]{4,}"
        ),
        r"\1***",
    ),
    (KNOWN_TOKENS, "***"),
    # A commit of a model and the digest of an image are no secrets, and neither is what drivers call a GPU or a volume.
    (
        re.compile(
            r"(?i)\b(?<!sha256:)(?<!snapshots/)(?<!revision[ =])(?<!commit[ =])[0-9a-f]{32,}\b"
            r"|\b(?<!GPU-)(?<!MIG-)(?<!pvc-)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
        ),
        "***",
    ),
    # A secret key of AWS, and base64 that shows by its end.
    (
        re.compile(
            r"(?<![\w/+.-])(?!/)(?=[a-z0-9/+]{0,39}[A-Z])(?=[A-Z0-9/+]{0,39}[a-z])(?=[A-Za-z/+]{0,39}\d)"
            r"[A-Za-z0-9/+]{40}(?![\w/+.-])|(?<![\w/+.-])[A-Za-z0-9+/]{22,}={1,2}(?![\w=])"
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


def redact(text: str) -> str:
    """The text without credentials, without values that could not be read, and without what changes each time."""
    return "\n".join(_line(line[:LINE_MAX]) for line in text.split("\n"))


def _line(text: str) -> str:
    text = _CONTROL.sub("", text)
    for says, after in _VALUES:
        if found := says.search(text):
            text = text[: found.end(1)] + _without_value(found[2], after)
    text = _UNRECOGNIZED.sub(_names, text)
    text = _URL.sub(_without_query, text)
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return _VARIES.sub(lambda match: "" if match[0].startswith(" (") else "...", text)


def _without_value(rest: str, after: re.Pattern[str] | None) -> str:
    """The rest of a line that begins with a value; as it is where it is no such line after all."""
    if after is None:
        return "***"
    ends = [found.start() for found in after.finditer(rest)]
    return f"***{rest[ends[-1] :]}" if ends else rest


def _names(found: re.Match[str]) -> str:
    """Of arguments that nobody knows, the names alone."""
    names = [word.partition("=")[0] for word in found[1].split() if word.startswith("--")]
    return "unrecognized arguments" + (f": {' '.join(names)}" if names else "")


def _without_query(found: re.Match[str]) -> str:
    """A signed URL has its signature in the query."""
    address, asked, query = found[0].partition("?")
    closing = ")" if query.endswith(")") else ""
    return f"{address}?***{closing}" if asked and query.rstrip(")") else found[0]


def shorten(text: str, limit: int = WORDS_MAX) -> str:
    """The text on one line, at most `limit` characters long."""
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."
