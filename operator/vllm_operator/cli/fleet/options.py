"""The options of `status`, `logs` and `classes`, apart from the client, which takes long to import."""

import argparse


def add_status_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `status`."""
    parser.add_argument("name", nargs="?", help="one service (default: all of the namespace)")
    _add_cluster(parser)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="the services of all namespaces")
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


def add_logs_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `logs`."""
    parser.add_argument("name", help="the service")
    _add_cluster(parser)


def add_classes_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classes`."""
    _add_cluster(parser, namespace=False)
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s")


def _add_cluster(parser: argparse.ArgumentParser, *, namespace: bool = True) -> None:
    if namespace:
        parser.add_argument("-n", "--namespace", help="default: the namespace of the kubeconfig's context")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config")
    parser.add_argument("--context", help="of the kubeconfig (default: the current one)")
