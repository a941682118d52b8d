"""The command line: python -m cluster build IMAGE | tool NAME."""

import sys

from cluster.host import ClusterError, say
from cluster.images import build
from cluster.tools import tool


def main(arguments: list[str]) -> int:
    """Run one command and return the exit status."""
    try:
        match arguments:
            case ["build", name]:
                print(*build(name))
            case ["tool", name]:
                print(tool(name))
            case _:
                say(__doc__ or "")
                return 2
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
