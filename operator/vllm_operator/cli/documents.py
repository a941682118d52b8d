"""Prints manifests as YAML that people can read."""

import sys

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts out in full: anchors would make the CRD unreadable."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's own parameter
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Source code line by line, as kubectl shows it."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, "|" if text.count("\n") > 1 else None)


_Dumper.add_representer(str, _text)


def print_yaml(*documents: object) -> None:
    """Print documents to stdout, in the order of their keys as made."""
    yaml.dump_all(documents, sys.stdout, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
