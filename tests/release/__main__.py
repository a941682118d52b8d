"""python -m release --registry REGISTRY --version VERSION: `make release` says what it makes."""

import argparse
import sys
from pathlib import Path

from cluster.host import REPOSITORY, ClusterError, end_running, say
from release.parameters import IMAGES, USUAL, Release
from release.plugin.archive import PLATFORMS
from release.steps import make, source_commit


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="release", description=__doc__)
    parser.add_argument("--registry", default="", help="where to push, as in registry.example.com/team")
    parser.add_argument("--version", default="", help="as in 1.2.3")
    parser.add_argument("--url", default="", help="where the files will lie for download, for krew's manifest")
    parser.add_argument("--images", nargs="+", default=USUAL, metavar="IMAGE", help=f"some of {', '.join(IMAGES)}")
    names = [one.name for one in PLATFORMS]
    parser.add_argument("--platforms", nargs="+", default=names, choices=names, help="of the kubectl plugin")
    parser.add_argument("--output", type=Path, help="the folder to write; default: build/release/VERSION")
    return parser.parse_args()


def main() -> int:
    """Make one release and say how to install from it; returns the exit status."""
    given = arguments()
    release = Release(given.registry.rstrip("/"), given.version, tuple(given.images), given.url, source_commit())
    target = given.output or REPOSITORY / "build" / "release" / given.version
    try:
        address = make(release, target, [one for one in PLATFORMS if one.name in given.platforms])
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        end_running()
        say("interrupted; the same command begins again")
        return 130
    print(*(f"  {file.name}" for file in sorted(target.iterdir())), sep="\n")
    print(f"""These lie in {target}. Install with either of
  helm upgrade --install vllm-operator {address} --version {release.version} \\
    -n vllm-operator-system --create-namespace
  helm upgrade --install vllm-operator {target}/vllm-operator-{release.version}.tgz \\
    -n vllm-operator-system --create-namespace
and the plugin with
  kubectl krew install --manifest={target}/krew-vllm.yaml{_archive(release, target)}""")
    if not release.commit:
        print("The images name no commit: files differ from what is committed, or this is no git repository.")
    return 0


def _archive(release: Release, target: Path) -> str:
    return "" if release.url else f" --archive={target}/kubectl-vllm-{release.version}-OS-ARCH.tar.gz"


if __name__ == "__main__":
    sys.exit(main())
