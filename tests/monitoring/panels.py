"""The kinds of panels that the dashboards have, and what their queries are made of."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
# One of many, and the one that is looked at.
SERVICE = "namespace, inferenceservice"
BATCH, BATCH_NAME = "namespace, inferencebatch", "{{namespace}}/{{inferencebatch}}"
NAME = "{{namespace}}/{{inferenceservice}}"
ONE = 'namespace="$namespace", inferenceservice="$service"'
RATE = "[$__rate_interval]"
# What clients ask of vLLM's server, whatever its path: not what probes ask, nor what is not there.
ASKED = 'handler!~"none|/(health|load|metrics|ping|server_info|version)"'
# What the operator says of itself, and no pod of a service in its name.
OWN = '{inferenceservice=""}'


@dataclass(frozen=True)
class Lines:
    """A panel of lines over time: each query with the name of its lines."""

    title: str
    queries: dict[str, str]
    """By legend."""
    unit: str = "short"
    about: str = ""
    stacked: bool = False
    most: float | None = None

    def build(self, width: int) -> timeseries.Panel:
        """The panel; 24 is the whole width."""
        panel = timeseries.Panel().title(self.title).datasource(SOURCE).unit(self.unit).min(0).height(8).span(width)
        if self.about:
            panel.description(self.about)
        if self.stacked:
            panel.stacking(StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
        if self.most is not None:
            panel.max(self.most)
        for number, (legend, expression) in enumerate(self.queries.items()):
            panel.with_target(_query(number, expression).legend_format(legend).range())
        return panel


@dataclass(frozen=True)
class Number:
    """A panel with one number, as it is now."""

    title: str
    expression: str
    unit: str = "short"
    about: str = ""

    def build(self, width: int) -> stat.Panel:
        """The panel; 24 is the whole width."""
        panel = stat.Panel().title(self.title).datasource(SOURCE).unit(self.unit).height(4).span(width)
        panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        if self.about:
            panel.description(self.about)
        return panel.with_target(_query(0, self.expression).instant())


@dataclass(frozen=True)
class Table:
    """A table with one row per service, which leads to its dashboard. Columns by their title."""

    title: str
    reason: str
    """Expression whose label `reason` is a column."""
    columns: dict[str, tuple[str, str]]
    """Expression and unit."""

    def build(self, width: int) -> table.Panel:
        """The panel; 24 is the whole width."""
        panel = table.Panel().title(self.title).datasource(SOURCE).height(10).span(width).filterable(True)
        names = {"inferenceservice": "service"}
        panel.with_target(_query(0, self.reason).instant().format(PromQueryFormat.TABLE))
        for number, (column, (expression, unit)) in enumerate(self.columns.items(), start=1):
            panel.with_target(_query(number, expression).instant().format(PromQueryFormat.TABLE))
            names[f"Value #{_letter(number)}"] = column
            panel.override_by_name(column, [DynamicConfigValue("unit", unit)])
        link = {"title": "This service", "url": f"/d/{SERVICE_UID}?{_FOLLOW}"}
        panel.override_by_name("service", [DynamicConfigValue("links", [link])])
        organize = {"excludeByName": {"Time": True, "Value #A": True}, "renameByName": names}
        return panel.with_transformation(DataTransformerConfig("merge", options={})).with_transformation(
            DataTransformerConfig("organize", options=organize)
        )


SERVICE_UID = "vllm-service"
_FOLLOW = "var-datasource=${datasource}&var-namespace=${__data.fields.namespace}&var-service=${__data.fields.service}"

Panel = Lines | Number | Table


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _query(number: int, expression: str) -> Dataquery:
    return Dataquery().ref_id(_letter(number)).expr(expression).datasource(SOURCE)


def rate(metric: str, by: str = SERVICE, matchers: str = 'inferenceservice!=""') -> str:
    """A counter of vLLM per second."""
    return f"sum by ({by}) (rate({metric}{{{matchers}}}{RATE}))"


def total(metric: str, by: str = SERVICE, matchers: str = 'inferenceservice!=""') -> str:
    """A gauge of vLLM over all pods."""
    return f"sum by ({by}) ({metric}{{{matchers}}})"


def quantile(share: float, histogram: str, by: str = SERVICE, matchers: str = 'inferenceservice!=""') -> str:
    """A quantile of a histogram of vLLM."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels, matchers)})"


def quantiles(histogram: str) -> dict[str, str]:
    """Median, 95th and 99th percentile of the service that is looked at."""
    return {f"p{round(100 * share)}": quantile(share, histogram, "", ONE) for share in (0.5, 0.95, 0.99)}


def newest(metric: str) -> str:
    """A gauge of the operator for each service, whichever of its pods has told."""
    return f"max by ({SERVICE}) ({metric})"


def of_batches(state: str) -> str:
    """Requests of each batch of which that became, as the operator says it."""
    return f'max by ({BATCH}) (vllm_operator_batch_requests{{state="{state}"}})'


def of_one(name: str) -> str:
    """A gauge of the operator for the service that is looked at."""
    return f"max(vllm_operator_service_{name}{{{ONE}}})"
