"""How a container's command is read: as a shell would, without running any of it, and as vLLM's parser reads flags."""

import pytest

from vllm_operator.cli.importing.launch.command import Word, launched
from vllm_operator.cli.importing.launch.grammar import parse
from vllm_operator.cli.importing.launch.shell import MOST_WORDS, commands_of
from vllm_operator.cli.importing.launch.variables import Variable, Variables
from vllm_operator.cli.importing.part import Part
from vllm_operator.cli.importing.report import Origin


def variables(**values: str | None) -> Variables:
    """Variables with these values; None is one whose value is not known."""
    found = Variables()
    for name, value in values.items():
        found.add(Variable(name, Origin((0,), name), value, "" if value is not None else "secretKeyRef"))
    return found


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ("a b  c", [["a", "b", "c"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a; b && c || d | e & f\ng", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("a # b\nc#d", [["a"], ["c#d"]]),
        ("a > /dev/null 2>&1 b", [["a", "b"]]),
        ("a 2>err >>out < in", [["a"]]),
        ("a $X \"$X\" '$X' ${X} \\$X", [["a", "1", "2", "1 2", "$X", "1", "2", "$X"]]),
        ("a ${Y:-3} ${Y-4} ${X:-5} $Z $(date)", [["a", "3", "4", "1", "2", "$Z", "$(date)"]]),
        ('a "${Y:-b c}" `x y`', [["a", "b c", "`x y`"]]),
        ('a \'{"k": "v w"}\'', [["a", '{"k": "v w"}']]),
        ("(a; b) { c; }", [["a"], ["b"], ["c"]]),
        ("a 'unfinished", [["a", "unfinished"]]),
        ("", []),
    ],
)
def test_a_script_is_split_as_a_shell_does(script: str, commands: list[list[str]]) -> None:
    assert commands_of(script, variables(X="1 2", S=None)) == commands


@pytest.mark.parametrize("script", ["a ", "a\n", "a b;", "a|b\n", "A=1\n", "$X ", '"$X" b\n', "a > b\n"])
def test_a_script_is_read_to_its_limit_however_many_commands_it_has(script: str) -> None:
    found = commands_of(script * 2 * MOST_WORDS, variables(X="1 2"))
    assert sum(map(len, found)) == MOST_WORDS


def words(*texts: str) -> list[Part]:
    return [Part(text, (0, at)) for at, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("command", "arguments", "own", "found"),
    [
        ([], ["--model", "m"], True, ["--model", "m"]),
        ([], ["--model", "m"], False, None),
        ([], ["vllm", "serve", "m"], True, ["m"]),
        ([], ["serve", "m"], True, ["m"]),
        (["vllm", "serve"], ["m"], False, ["m"]),
        (["python3", "-m", "vllm.entrypoints.openai.api_server"], ["--model=m"], False, ["--model=m"]),
        (["python3", "-u", "-m", "vllm.entrypoints.cli.main", "serve"], ["m"], False, ["m"]),
        (["/usr/bin/bash", "-c"], ["exec vllm serve m --port 1"], False, ["m", "--port", "1"]),
        (["sh", "-ec", "X=2; numactl --all vllm serve m -tp $X"], [], False, ["m", "-tp", "2"]),
        (["sh", "-c", "while true; do sleep 1; done"], [], True, None),
        (["sleep", "infinity"], [], True, None),
        (["sh", "-c", "echo vllm serve m"], [], True, None),
    ],
)
def test_the_server_is_found(command: list[str], arguments: list[str], own: object, found: list[str] | None) -> None:
    result = launched(words(*command), words(*arguments), variables(), own=bool(own))
    assert (None if result.words is None else [word.text for word in result.words]) == found


def test_what_else_a_script_does_is_told() -> None:
    result = launched(words("sh", "-c", "pip install a; vllm serve m && echo b"), [], variables(), own=True)
    assert [text for text, _ in result.beside] == ["pip install a"]
    assert [text for text, _ in result.quiet] == ["echo b"]


def flags(*texts: str) -> dict[str, tuple[object, ...]]:
    line = parse([Word(part.text, part.place) for part in words(*texts)])
    return {flag.name: (*flag.values, flag.off) if flag.off else flag.values for flag in line.flags}


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["m", "--max_model_len=4k"], {"--max-model-len": ("4k",)}),
        (["m", "-tp", "2", "-pp=2", "-O3"], {
            "--tensor-parallel-size": ("2",), "--pipeline-parallel-size": ("2",), "--optimization-level": ("3",),
        }),
        (["m", "--no-enable-prefix-caching"], {"--enable-prefix-caching": (True,)}),
        (["m", "--enforce-eager", "false"], {"--enforce-eager": ("false", True)}),
        (["m", "--trust-remote-code=true"], {"--trust-remote-code": ("true",)}),
        (["m", "--served-model-name", "a", "b", "--seed", "-1"], {
            "--served-model-name": ("a", "b"), "--seed": ("-1",),
        }),
        (["m", "--speculative-config.method=ngram", "--speculative-config.num_speculative_tokens", "4"], {
            "--speculative-config": ('{"method": "ngram", "num_speculative_tokens": 4}',),
        }),
        (["m", "--no-such", "x"], {"--no-such": ("x",)}),
    ],
)  # fmt: skip
def test_flags_are_read_as_vllm_reads_them(texts: list[str], found: dict[str, tuple[object, ...]]) -> None:
    assert flags(*texts) == found


def test_kubernetes_fills_in_what_it_knows() -> None:
    known = variables(A="1", S=None)
    assert known.kubernetes("$(A) $(S) $(B) $$(A)") == "1 $(S) $(B) $(A)"
    found = known.named_by("$(S)")
    assert found
    assert found.name == "S"
    assert known.used == {"A"}
