"""Certificates and kubeconfigs of one control plane, made with openssl and good for as long as the cluster lives."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from cluster.host import command

DAYS = "365"
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS)
# Identities as Kubernetes' own set-up tools give them; the API server's default roles know these names.
CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    # With masters' rights: its own service accounts' roles would have to be waited for at each start.
    "controller-manager": "/O=system:masters/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
    "front-proxy": "/CN=front-proxy-client",
}


def create(directory: Path, addresses: list[str]) -> None:
    """Write ca, apiserver, one pair per client, and the key that signs service-account tokens."""
    directory.mkdir(parents=True, mode=0o700)
    authority: list[str | Path] = ["-keyout", directory / "ca.key", "-out", directory / "ca.crt"]
    usages = ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]
    command(["openssl", "req", "-x509", *KEY, *authority, "-subj", "/CN=vllm-operator test cluster", *usages])
    command(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", directory / "accounts.key"])
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    alternative = ",".join([*(f"DNS:{n}" for n in names), *(f"IP:{a}" for a in addresses)])
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(_sign, directory, name, subject) for name, subject in CLIENTS.items()]
        made.append(pool.submit(_sign, directory, "apiserver", "/CN=kube-apiserver", alternative))
    for future in made:
        future.result()


def kubelet(directory: Path, node: str) -> str:
    """Write a pair for a node's kubelet, which may touch that node and its pods only; return the client's name."""
    client = f"kubelet-{node}"
    _sign(directory, client, f"/O=system:nodes/CN=system:node:{node}")
    return client


def _sign(directory: Path, name: str, subject: str, alternative: str = "") -> None:
    own: list[str | Path] = ["-keyout", directory / f"{name}.key", "-out", directory / f"{name}.crt", "-subj", subject]
    usage = f"extendedKeyUsage={'serverAuth' if alternative else 'clientAuth'}"
    more = ["-addext", usage, *(["-addext", f"subjectAltName={alternative}"] if alternative else [])]
    authority: list[str | Path] = ["-CA", directory / "ca.crt", "-CAkey", directory / "ca.key"]
    command(["openssl", "req", "-x509", *KEY, *own, *more, "-addext", "basicConstraints=critical,CA:FALSE", *authority])


def kubeconfig(path: Path, directory: Path, client: str, server: str, cluster: str) -> Path:
    """Write a kubeconfig for one client, that only its owner may read."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"server": server, "certificate-authority": str(directory / "ca.crt")}}
        ],
        "users": [
            {
                "name": client,
                "user": {
                    "client-certificate": str(directory / f"{client}.crt"),
                    "client-key": str(directory / f"{client}.key"),
                },
            }
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": client}}],
        "current-context": cluster,
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
