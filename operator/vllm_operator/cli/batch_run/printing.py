"""The program of the pod that prints a file of the output, packed, so that a log holds it and shows if it is whole.

It runs in vLLM's image by its text, so it imports Python's standard library (3.10) alone.
"""

import base64
import sys
import zlib

TOO_LARGE, NOT_THERE = 3, 4
GZIP = 31
_CHUNK, _LINE = 1 << 16, 57


def printed(path: str, most_file: int, most_printed: int) -> int:
    """Prints a file as lines of base64 of gzip; returns the exit status. Of a file over a limit a part is printed."""
    packer = zlib.compressobj(wbits=GZIP)
    read = written = 0
    rest = b""
    try:
        with open(path, "rb") as file:
            while True:
                chunk = file.read(_CHUNK)
                read += len(chunk)
                rest += packer.compress(chunk) if chunk else packer.flush()
                whole = len(rest) - len(rest) % _LINE if chunk else len(rest)
                text = base64.encodebytes(rest[:whole])
                rest = rest[whole:]
                written += len(text)
                if read > most_file or written > most_printed:
                    return TOO_LARGE
                sys.stdout.write(text.decode())
                if not chunk:
                    return 0
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NOT_THERE


if __name__ == "__main__":
    sys.exit(printed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
