"""How many objects of a list are asked for at once. Whoever may write large ones takes no more memory for it."""

import aiohttp

from ..api.limits import MIB

# What a part may take while it is read; its objects are made one at a time. Several kinds are listed at once.
MOST_BYTES = 10 * MIB
# Of usual objects, up to 25 KB each.
CHUNK = 400


class Answer(aiohttp.ClientResponse):
    """An answer of the API server that is read as far as it is not too large."""

    async def fits(self, most: int) -> bool:
        """Whether the body has at most so many bytes, unpacked. It is known then, and the connection closed otherwise.

        Raises aiohttp.ClientError where the connection breaks.
        """
        found, size = list[bytes](), 0
        async for some in self.content.iter_any():
            found.append(some)
            size += len(some)
            if size > most:
                self.close()
                return False
        self._body = b"".join(found)
        return True


class Parts:
    """A middleware of aiohttp's, for lists that are asked for in parts: a part that is too large is asked for anew."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        # By path: how many objects come next, where they are not as many as usual.
        self._next: dict[str, int] = {}

    async def __call__(self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """The answer, read; that of watches and others as it comes. Raises aiohttp.ClientError."""
        if "limit" not in request.url.query:
            return await send(request)
        path = request.url.path
        while True:
            wanted = self._next.get(path, CHUNK)
            request.url = request.url.update_query(limit=str(wanted))
            answer = await send(request)
            if not isinstance(answer, Answer) or answer.status != 200:
                return answer
            if await answer.fits(self._most):
                self._note(path, wanted, len(await answer.read()))
                return answer
            if wanted == 1:
                raise aiohttp.ClientPayloadError(f"an object of {path} is larger than {self._most:,} bytes")
            self._next[path] = max(1, wanted // 4)

    def _note(self, path: str, wanted: int, size: int) -> None:
        if wanted < CHUNK and 2 * size < self._most:
            self._next[path] = min(CHUNK, 2 * wanted)
