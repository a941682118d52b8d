"""python -m cluster.demo up | down."""

import signal
import sys

from cluster.demo.steps import down, up
from cluster.host import ClusterError, say

ACTIONS = {"up": up, "down": down}


def main(arguments: list[str]) -> int:
    """Run one action and return the exit status."""
    if len(arguments) != 1 or arguments[0] not in ACTIONS:
        say(__doc__ or "")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ACTIONS[arguments[0]]()
    except ClusterError as error:
        say(f"\nerror: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted. `make demo` goes on from here, `make demo-down` removes what was started.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
