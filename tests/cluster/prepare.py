"""Everything slow that a cluster needs, at once: compiling waits for the processor, downloading for the network."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from cluster.host import IMAGE_PROGRAMS, NODE_PROGRAMS, end_running, require, step
from cluster.images import build
from cluster.tools import tool


def prepare(tools: Iterable[str] = ("kubernetes", "helm"), images: Iterable[str] = ()) -> dict[str, tuple[str, Path]]:
    """Install packages, build tools and images side by side; return each image's reference and archive."""
    names = list(images)
    require([*NODE_PROGRAMS, *(IMAGE_PROGRAMS if names else ()), "openssl"])
    built: dict[str, tuple[str, Path]] = {}

    def build_tools() -> None:
        for name in (*tools, "pause"):
            tool(name)

    def build_images() -> None:
        for name in names:
            built[name] = build(name)

    with step("preparing tools and images", every=600), ThreadPoolExecutor() as pool:
        lanes: list[Callable[[], None]] = [build_tools, build_images]
        try:
            for lane in as_completed([pool.submit(lane) for lane in lanes]):
                lane.result()
        except BaseException:
            end_running()  # or leaving the pool would wait for them
            raise
    return built
