"""What a model has outside its layers, besides embedding and output head: norms, positions, poolers, encoders."""

from dataclasses import dataclass

from .config import Config
from .families import Family
from .shapes import Layer, Linear, Split
from .values import whole

_TYPES = 2
"""Types of tokens that BERT's embedding tells apart, where config.json does not say."""
VOCABULARY_PADDING = 64


@dataclass(frozen=True, slots=True)
class Edges:
    """Matrices, elements that every rank has, elements of a table of positions, and further layers."""

    linears: tuple[Linear, ...] = ()
    elements: int = 0
    positions: int = 0
    towers: tuple[tuple[Layer, int], ...] = ()


def edges(config: Config, family: Family) -> Edges:
    """What is outside the layers."""
    hidden, name = config.hidden, config.architecture
    elements, linears, towers = family.final * hidden, list[Linear](), list[tuple[Layer, int]]()
    positions = 0
    if name == "OPTForCausalLM":
        if config.get("do_layer_norm_before") is False:
            elements = 0  # no norm after the last layer
        positions = (config.integer("max_position_embeddings") + 2) * hidden
        narrow = config.integer("word_embed_proj_dim", hidden)
        if narrow != hidden:
            linears += [Linear("project_in", hidden, narrow), Linear("project_out", narrow, hidden)]
    elif family.positions:
        positions = config.either((family.positions, "n_positions"), 0) * hidden
    if family.pooling and config.encoder:
        positions -= config.either((family.positions,), 0) * hidden if family.positions else 0
        tables, classifier = _tables(config, family) * hidden, _classifier(config, name)
        towers.append((Layer((), None, split_elements=tables, float32_elements=classifier), 1))
    if family.head_bias:
        elements += config.integer("vocab_size")
    if inner := config.integer("hidden_size_per_layer_input", 0):
        towers.append(_layer_inputs(config, inner))
    return Edges(tuple(linears), elements, positions, tuple(towers))


def _tables(config: Config, family: Family) -> int:
    """Rows of the tables of positions and of token types: vLLM pads and splits them like that of words."""
    if config.architecture.startswith("Modern"):
        return 0
    rows = [config.either((family.positions,), 0) if family.positions else 0, config.integer("type_vocab_size", _TYPES)]
    return sum(-(-count // VOCABULARY_PADDING) * VOCABULARY_PADDING for count in rows)


def _classifier(config: Config, name: str) -> int:
    """Elements of what makes a score or a class of a text: a matrix and the labels', in float32."""
    if not name.endswith("ForSequenceClassification"):
        return 0
    labels = config.whole.get("num_labels") or len(config.whole.get("id2label") or ()) or 1
    return (config.hidden + 1) * (config.hidden + whole("num_labels", labels))


def _layer_inputs(config: Config, inner: int) -> tuple[Layer, int]:
    """Gemma's inputs of each layer: a table of their own, and a projection."""
    wide, rows = inner * config.layers, config.integer("vocab_size_per_layer_input", config.integer("vocab_size"))
    rows = -(-rows // VOCABULARY_PADDING) * VOCABULARY_PADDING
    linears = [Linear("projection", wide, config.hidden, Split.ROWS)]
    if (streams := config.integer("altup_num_inputs", 0)) > 1:  # Gemma 3n: into its other streams, and out of them
        linears.append(Linear("streams", 2 * (streams - 1) * config.hidden, config.hidden, Split.ROWS))
    return Layer(tuple(linears), None, elements=inner, split_elements=rows * wide), 1
