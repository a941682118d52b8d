"""What `vllm-operator transfer` does with its options, and the exit status that the Job goes by."""

import argparse
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

from ..vllm.batch import CHECK
from ..vllm.batch.faults import AGAIN, BAD_INPUT, BAD_OUTPUT, DONE, OURS, STOPPED
from .bucket import BucketError, Place
from .fetch import Order, WrongInputError, fetch_input, fetch_parts
from .push import push

# What passes is tried again after so many seconds. Not by the check: its Job tries again, and its words are shown.
RETRY_SECONDS = (5.0, 10.0, 30.0, 60.0, 120.0, 240.0)


def run(arguments: argparse.Namespace) -> int:
    """The exit status."""
    order = _order(arguments)
    if arguments.action == "push":
        assert order.output is not None
        ending = Event()
        signal.signal(signal.SIGTERM, lambda *_: ending.set())
        return push(order, order.output, ending)
    # The first process of a container has to say so. What the client does holds signals up, so it does it elsewhere.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED))
    with ThreadPoolExecutor(1) as beside:
        fetching = beside.submit(_fetch, order, arguments.message)
        # A signal that comes as a wait begins is seen when it ends.
        while wait([fetching], timeout=1).not_done:
            pass
        return fetching.result()


def _fetch(order: Order, message: Path) -> int:
    for pause in (*(() if order.step == CHECK else RETRY_SECONDS), None):
        status, why, passes = _fetched(order)
        if why:
            _say(message, f"{OURS}{why}")
        if not passes or pause is None:
            break
        time.sleep(pause)
    return status


def _fetched(order: Order) -> tuple[int, str, bool]:
    """The exit status, what is wrong, and whether it may pass.

    Only a check gives a batch up for what lasts: later it has work to lose, and its Jobs try again.
    """
    try:
        status = BAD_INPUT
        fetch_input(order)
        status = BAD_OUTPUT
        fetch_parts(order)
    except BucketError as error:
        lasts = order.step == CHECK and not error.passes
        return status if lasts else AGAIN, str(error), error.passes
    except WrongInputError as error:
        return BAD_INPUT, str(error), False
    except OSError as error:
        return AGAIN, f"cannot write {error.filename or 'a file'} of the pod: {error.strerror or error}", False
    return DONE, "", False


def _order(arguments: argparse.Namespace) -> Order:
    given = vars(arguments)

    def place(field: str) -> Place | None:
        uri = given[f"{field}_uri"]
        return Place(field, uri, given[f"{field}_endpoint"], given[f"{field}_region"]) if uri else None

    folders = (arguments.input, arguments.output, arguments.push)
    return Order(arguments.step, arguments.uid, arguments.index, place("input"), place("output"), *folders)


def _say(path: Path, text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the container's log
    path.write_text(text)
