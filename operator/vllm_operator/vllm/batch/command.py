"""The commands `check`, `run` and `merge`, and what they leave as the last words of their container."""

import argparse
import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, NoReturn

from .context import ModelLimits, TokenizerName
from .engine import Engine, OpenEngine, open_vllm, run_loop
from .faults import AGAIN, BAD_INPUT, DONE, OURS, STOPPED, BatchError, EngineDiedError, InputError
from .journal import Journal, history
from .lines import input_files
from .merging import FENCE, merged, output_names
from .outbox import Outbox
from .pages import PROGRESS, Pages
from .survey import known_survey, parts_folder, survey
from .work import Share, Worker

LAST_WORDS = Path("/dev/termination-log")
# Ending vLLM takes seconds; a process of it that hangs must not keep the pod.
_CLOSE_SECONDS = 15.0


def main(arguments: Sequence[str] | None = None, open_engine: OpenEngine = open_vllm) -> int:
    """Runs a command, and returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    split = words.index("--") if "--" in words else len(words)
    options = _parser().parse_args(words[:split])
    try:
        if options.command == "check":
            return _check(options)
        if options.command == "merge":
            totals = merged(options.input, options.output, options.uid, options.count)
            Outbox(options.push).push()
            _last_words(json.dumps(totals))
            return DONE
        return run_loop(_run(options, words[split + 1 :], open_engine))
    except BatchError as error:
        # Of an engine, the end of the log tells more: Kubernetes takes it where there is no message.
        _last_words(f"{OURS}{error}", message=not isinstance(error, EngineDiedError))
        return error.status
    except Exception as error:
        traceback.print_exc()
        _last_words(f"{OURS}{type(error).__name__}: {error}", message=False)
        return AGAIN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vllm-batch", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    check, run, merge = (commands.add_parser(name, allow_abbrev=False) for name in ("check", "run", "merge"))
    for command in (check, run, merge):
        command.add_argument("--input", type=Path, required=True, help="a file of requests, or a folder of *.jsonl")
        command.add_argument("--output", type=Path, required=True, help="the folder of the results")
        command.add_argument("--uid", required=True, help="of the batch: names what it leaves in the output folder")
        command.add_argument(
            "--push", type=Path, help="where the container is asked that copies the output to a bucket"
        )
    check.add_argument("--on-invalid", choices=("fail", "skip"), default="fail")
    check.add_argument("--served-model-name", action="append", default=[], help="may be repeated")
    check.add_argument("--max-model-len", type=int, help="tokens of the context")
    check.add_argument("--tokenizer", help="counts tokens: a folder, or a name on the hub")
    check.add_argument("--tokenizer-revision", help="of the hub")
    check.add_argument("--not-of-chats", action="store_true", help="the chat template is not the tokenizer's own")
    run.add_argument("--index", type=int, required=True, help="which share of the requests")
    run.add_argument("--count", type=int, required=True, help="shares")
    run.add_argument("--max-retries", type=int, default=2, help="of one request, for errors that may pass")
    run.add_argument("--max-inflight", type=int, default=0, help="requests at once; 0: twice vLLM's --max-num-seqs")
    run.add_argument("--grace", type=float, default=20.0, help="seconds for requests in flight after SIGTERM")
    run.add_argument("--port", type=int, default=8000, help=f"of /health, /metrics and {PROGRESS}")
    merge.add_argument("--count", type=int, required=True, help="shares")
    return parser


def _check(options: argparse.Namespace) -> int:
    for path in input_files(options.input):
        if path.name.startswith("."):
            raise InputError(f"the name of {path.name} begins with a dot, as that of what is being written: rename it")
        if any(_is_same(path, options.output / name) for name in output_names(path.name)):
            raise InputError(f"the output would overwrite {path.name} of the input: write another folder for it")
    counts = TokenizerName(options.tokenizer, options.tokenizer_revision, chats=not options.not_of_chats)
    limits = ModelLimits(options.served_model_name, options.max_model_len, counts if options.tokenizer else None)
    _, report = survey(options.input, parts_folder(options.output, options.uid), limits)
    Outbox(options.push).push()
    _last_words(json.dumps(report, ensure_ascii=False))
    if not report["total"]:
        raise InputError("the input has no requests")
    wrong = report["invalid"] + report["duplicates"]
    return BAD_INPUT if options.on_invalid == "fail" and wrong else DONE


def _is_same(path: Path, target: Path) -> bool:
    return target.exists() and target.samefile(path)


async def _run(options: argparse.Namespace, engine_arguments: list[str], open_engine: OpenEngine) -> int:
    # While vLLM is being loaded, nothing else gets a turn in this thread.
    signal.signal(signal.SIGTERM, _end)
    parts = parts_folder(options.output, options.uid)
    if (parts / FENCE).exists():
        _last_words(f"{OURS}the batch is merged already")
        return DONE
    share = Share(
        source=options.input,
        parts=parts,
        uid=options.uid,
        index=options.index,
        count=options.count,
        retries=options.max_retries,
        inflight=options.max_inflight,
        grace_seconds=options.grace,
    )
    folder = parts / str(options.index)
    known = history(folder, options.count)
    worker = Worker(share, known_survey(options.input, parts), known, Journal(folder, _pod(), Outbox(options.push)))
    pages = Pages(options.port, worker.progress)
    try:
        done = worker.finished() or await _work(worker, pages, open_engine(engine_arguments))
    finally:
        pages.close()
    _last_words(json.dumps(worker.progress()))
    return DONE if done else STOPPED


async def _work(worker: Worker, pages: Pages, opened: AbstractAsyncContextManager[Engine]) -> bool:
    engine = await opened.__aenter__()
    pages.metrics = engine.metrics
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    try:
        return await worker.work(engine)
    finally:
        with suppress(Exception):  # the engine may be dead
            await asyncio.wait_for(opened.__aexit__(None, None, None), _CLOSE_SECONDS)


def _pod() -> str:
    return os.environ.get("POD_UID") or f"process-{os.getpid()}"


def _end(*_: Any) -> NoReturn:
    _last_words(f"{OURS}stopped before the engine was loaded")
    os._exit(STOPPED)


def _last_words(text: str, *, message: bool = True) -> None:
    print(text, flush=True)  # noqa: T201 - the Job's log
    if message and LAST_WORDS.exists():
        with suppress(OSError):
            LAST_WORDS.write_text(text)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # The exit handlers of an engine that died may hang for ever.
    os._exit(status)
