"""Why the program ends, as exit statuses that the Job's podFailurePolicy tells apart, and as last words."""

import errno

DONE, AGAIN, BAD_INPUT, BAD_OUTPUT, STOPPED = 0, 1, 3, 4, 143
OURS = "vllm-batch: "
"""How a sentence of our programs begins; other last words may be anybody's."""


class BatchError(Exception):
    """The program cannot go on. Its text is a sentence for the user."""

    status = AGAIN


class EngineDiedError(BatchError):
    """The engine ended, or hangs: what was in flight is suspected of it."""


class InputError(BatchError):
    """The input is not what it should be: trying again does not help."""

    status = BAD_INPUT


class OutputError(BatchError):
    """The output cannot be written: trying again does not help."""

    status = BAD_OUTPUT


_FULL = (errno.ENOSPC, errno.EDQUOT)
# What another try would find the same. All else may be one node's, or be mended: a volume is enlarged.
_LASTING = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


def input_error(error: OSError, where: object) -> BatchError:
    """What to say when a file of the input cannot be read."""
    kind = InputError if error.errno in (*_LASTING, errno.ENOENT) else BatchError
    return kind(f"cannot read {where}: {error.strerror or error}")


def output_error(error: OSError, where: object) -> BatchError:
    """What to say when a file of the output cannot be written."""
    if error.errno in _FULL:
        return BatchError(f"the output's volume is full ({where}): make it larger; what is answered is kept")
    kind = OutputError if error.errno in _LASTING else BatchError
    return kind(f"cannot write {where}: {error.strerror or error}; the output must be a volume that takes writes")
