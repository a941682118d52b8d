"""Who may reach the service's port, typed as in Kubernetes' NetworkPolicy, and which hosts media may come from."""

from typing import Annotated

from .base import ApiModel, Form, Limits, optional, required, rule, with_rules
from .scheduling import LabelSelector

MediaDomain = Annotated[
    str,
    Limits(max_length=253),
    Form(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", "must be the name of a host like images.example.com, without a scheme"),
]
_CIDR = Annotated[str, Limits(max_length=64)]


class IpBlock(ApiModel):
    """A range of addresses."""

    model_config = with_rules(
        rule(
            "!has(self.except) || !isCIDR(self.cidr) || self.except.all(e, !isCIDR(e)"
            " || cidr(self.cidr).containsCIDR(e) && cidr(e).prefixLength() > cidr(self.cidr).prefixLength())",
            "each range in except must be a smaller one within cidr",
        )
    )

    cidr: _CIDR = required(
        "The range.",
        "192.0.2.0/24",
        rules=[rule("isCIDR(self)", "must be a range of addresses like 192.0.2.0/24 or 2001:db8::/32")],
    )
    except_: list[_CIDR] | None = optional(
        "Ranges within it that are left out.",
        ["192.0.2.8/32"],
        alias="except",
        max_length=16,
        list_type="atomic",
        item_rules=[rule("isCIDR(self)", "must be a range of addresses like 192.0.2.8/32")],
    )


class NetworkPeer(ApiModel):
    """Who may reach the service's port."""

    model_config = with_rules(
        rule(
            "has(self.podSelector) || has(self.namespaceSelector) || has(self.ipBlock)",
            "a peer needs podSelector, namespaceSelector or ipBlock; podSelector: {} is every pod of this namespace",
        ),
        rule(
            "!has(self.ipBlock) || !(has(self.podSelector) || has(self.namespaceSelector))",
            "ipBlock stands alone: make the selectors a peer of their own",
        ),
    )

    pod_selector: LabelSelector | None = optional("Pods, by label.", {"matchLabels": {"app": "chat"}})
    namespace_selector: LabelSelector | None = optional(
        "Namespaces, by label; omitted: this one.", {"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}
    )
    ip_block: IpBlock | None = optional("A range of addresses.", {"cidr": "192.0.2.0/24"})


class NetworkPolicySettings(ApiModel):
    """Restricts who may reach the port. Include your Prometheus."""

    allow_from: list[NetworkPeer] = required(
        "Peers that may connect; an empty list lets nobody in.",
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}}],
        max_length=32,
        list_type="atomic",
    )
