"""The towers that turn images or sound into tokens, with their projectors: what each rank has of them.

vLLM splits most of them over ranks like the text's matrices (the shapes are those of its own classes). They are loaded
in the model's own type; what a checkpoint quantizes of them makes them smaller, and the plan a little too careful.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .config import Config
from .shapes import Layer, Linear, Split
from .values import whole

GEMMA3N_ELEMENTS = 975_475_552
"""Parameters of both towers of Gemma 3n, as vLLM 0.32 builds them."""
Part = tuple[Layer, int]
"""A layer, and how many there are of it."""


@dataclass(frozen=True, slots=True)
class _Block:
    """The repeated part of a tower."""

    width: int
    inner: int
    depth: int
    qkv_bias: bool = True
    bias: bool = True
    gated: bool = False
    norms: int = 4
    """Vectors of the width: two norms with biases."""
    extra: int = 0
    split: bool = True
    heads: int = 0
    """Of attention, where vLLM divides them among the ranks and does not start if it cannot; 0: it has a way out."""

    def parts(self) -> Part:
        """All of them."""
        rows, columns = (Split.ROWS, Split.COLUMNS) if self.split else (Split.NONE, Split.NONE)
        width, inner = self.width, self.inner
        linears = [
            Linear("attn.qkv", 3 * width, width, rows, self.heads, bias=self.qkv_bias, quantizable=False),
            Linear("attn.out", width, width, columns, bias=self.bias, quantizable=False),
            Linear("mlp.fc1", inner, width, rows, bias=self.bias, quantizable=False),
            Linear("mlp.fc2", width, inner, columns, bias=self.bias, quantizable=False),
        ]
        if self.gated:
            linears.append(Linear("mlp.gate", inner, width, rows, bias=self.bias, quantizable=False))
        return Layer(tuple(linears), None, elements=self.norms * width + self.extra), self.depth


def _pair(
    first: tuple[int, int], second: tuple[int, int], *, bias: bool, split: bool = True, elements: int = 0
) -> Part:
    """Two matrices in a row, as (outputs, inputs): a projector."""
    rows, columns = (Split.ROWS, Split.COLUMNS) if split else (Split.NONE, Split.NONE)
    linears = (
        Linear("linear_1", *first, rows, bias=bias, quantizable=False),
        Linear("linear_2", *second, columns, bias=bias, quantizable=False),
    )
    return Layer(linears, None, elements=elements), 1


def _only(elements: int) -> Part:
    return Layer((), None, elements=elements), 1


def siglip(config: Config, part: Config) -> list[Part]:
    """SigLIP and CLIP, without the projector."""
    width, patch = part.integer("hidden_size", 1152), part.integer("patch_size", 14)
    clip = "clip" in str(part.get("model_type", "")) and "siglip" not in str(part.get("model_type", ""))
    image = part.get("image_size")
    side = part.element("image_size", 0) if image is not None else 224
    depth = part.integer("num_hidden_layers", 27)
    places = (side // max(1, patch)) ** 2 + clip
    edge = 3 * patch * patch * width + places * width
    used = _used_layers(config, depth)
    # CLIP has a norm before, SigLIP a bias of the patches; the norm after goes where an inner layer is read.
    edge += 3 * width if clip else width
    edge += 2 * width if used == depth else 0
    heads = part.integer("num_attention_heads", 0)
    block = _Block(width, part.integer("intermediate_size", 4 * width), used, heads=heads)
    return [block.parts(), _only(edge)]


def _used_layers(config: Config, depth: int) -> int:
    """Layers that are built: those after the one whose output is read are not."""
    chosen = config.whole.get("vision_feature_layer")
    if isinstance(chosen, list):
        chosen = max(chosen, default=None)
    if not isinstance(chosen, int):
        return depth
    return max(0, min(depth, chosen if chosen >= 0 else depth + chosen + 1))


def _gemma3(config: Config, part: Config) -> list[Part]:
    width = part.integer("hidden_size", 1152)
    return [*siglip(config, part), _only(width * config.hidden + width)]


def _paligemma(config: Config, part: Config) -> list[Part]:
    width = part.integer("hidden_size", 1152)
    projection = Linear("linear", config.hidden, width, Split.ROWS, bias=True, quantizable=False)
    return [*siglip(config, part), (Layer((projection,), None), 1)]


def _llava(config: Config, part: Config) -> list[Part]:
    pixtral = part.get("model_type") == "pixtral"
    width, hidden = part.integer("hidden_size", 1024), config.hidden
    bias = bool(config.whole.get("multimodal_projector_bias", True))
    own = pixtral_tower(config, part) if pixtral else siglip(config, part)
    newline = hidden if config.architecture.startswith(("LlavaOnevision", "LlavaNext")) else 0
    return [*own, _pair((hidden, width), (hidden, hidden), bias=bias, elements=newline)]


def pixtral_tower(config: Config, part: Config) -> list[Part]:
    """Pixtral without the projector: no biases, a gated MLP."""
    width, patch = part.integer("hidden_size", 1024), part.integer("patch_size", 14)
    inner, depth = part.integer("intermediate_size", 4 * width), part.integer("num_hidden_layers", 24)
    block = _Block(width, inner, _used_layers(config, depth), qkv_bias=False, bias=False, gated=True, norms=2,
                   heads=part.integer("num_attention_heads", 0))  # fmt: skip
    return [block.parts(), _only(3 * patch * patch * width + width)]


def _idefics3(config: Config, part: Config) -> list[Part]:
    """Idefics 3 and SmolVLM: SigLIP, and a matrix that takes several patches at once, whole on every rank."""
    width, scale = part.integer("hidden_size", 1152), config.whole.get("scale_factor") or 2
    return [*siglip(config, part), _only(width * whole("scale_factor", scale) ** 2 * config.hidden)]


def _cohere2(config: Config, part: Config) -> list[Part]:
    """Command A Vision: SigLIP, and a gated projector from several patches at once."""
    factor = whole("downsample_factor", config.whole.get("downsample_factor") or 2)
    inner = whole("alignment_intermediate_size", config.whole.get("alignment_intermediate_size") or 36864)
    joined = part.integer("hidden_size", 1152) * factor**2
    return [*siglip(config, part), _pair((inner, joined), (config.hidden, inner // 2), bias=True)]


def _qwen2_audio(config: Config, part: Config) -> list[Part]:
    """Qwen2-Audio: Whisper's encoder and a matrix, whole on every rank."""
    sound = config.tower("audio_config")
    width, bins, depth = (
        sound.integer("d_model", 1280),
        sound.integer("num_mel_bins", 128),
        sound.integer("encoder_layers", 32),
    )
    block = _Block(width, sound.integer("encoder_ffn_dim", 4 * width), depth, split=False)
    edge = 3 * bins * width + 3 * width * width + 2 * width + sound.integer("max_source_positions", 1500) * width
    return [block.parts(), _only(edge + 2 * width + width * config.hidden + config.hidden)]


def _mistral3(config: Config, part: Config) -> list[Part]:
    """Pixtral, a merger of 2 by 2 patches on every rank, and a projector."""
    width, hidden = part.integer("hidden_size", 1024), config.hidden
    merged = int(config.whole.get("spatial_merge_size") or 2) ** 2
    bias = bool(config.whole.get("multimodal_projector_bias", False))
    projector = _pair((hidden, width), (hidden, hidden), bias=bias, elements=merged * width * width + width)
    return [*pixtral_tower(config, part), projector]


def _qwen2(config: Config, part: Config) -> list[Part]:
    """Qwen2-VL: a plain MLP, and a merger of 2 by 2 patches."""
    width, patch = part.integer("embed_dim", 1280), part.integer("patch_size", 14)
    inner = width * part.integer("mlp_ratio", 4)
    block = _Block(width, inner, part.integer("depth", 32), heads=part.integer("num_heads", 16))
    return [block.parts(), *_qwen_merger(config, part, width, norm=2 * width), _only(_patches(part, width, patch))]


def _qwen2_5(config: Config, part: Config) -> list[Part]:
    """Qwen2.5-VL: norms without biases, and a gated MLP."""
    width, patch = part.integer("hidden_size", 1280), part.integer("patch_size", 14)
    block = _Block(width, part.integer("intermediate_size", 3420), part.integer("depth", 32), gated=True, norms=2,
                   heads=part.integer("num_heads", 16))  # fmt: skip
    return [block.parts(), *_qwen_merger(config, part, width, norm=width), _only(_patches(part, width, patch))]


def _patches(part: Config, width: int, patch: int) -> int:
    return 3 * part.integer("temporal_patch_size", 2) * patch * patch * width


def _qwen_merger(config: Config, part: Config, width: int, norm: int) -> list[Part]:
    joined = width * part.integer("spatial_merge_size", 2) ** 2
    return [_pair((joined, joined), (config.hidden, joined), bias=True, elements=norm)]


def _qwen3(config: Config, part: Config) -> list[Part]:
    """Qwen3-VL and 3.5: learned places, and a merger for each layer whose output is added to the text's."""
    width, patch = part.integer("hidden_size", 1152), part.integer("patch_size", 16)
    joined, out = width * part.integer("spatial_merge_size", 2) ** 2, part.integer("out_hidden_size", config.hidden)
    deep = part.get("deepstack_visual_indexes")
    more = len(deep) if isinstance(deep, list) else 0
    edge = _patches(part, width, patch) + width + part.integer("num_position_embeddings", 2304) * width
    block = _Block(width, part.integer("intermediate_size", 4304), part.integer("depth", 27),
                   heads=part.integer("num_heads", 16))  # fmt: skip
    merger = _pair((joined, joined), (out, joined), bias=True, elements=2 * width)
    deeper = _pair((joined, joined), (out, joined), bias=True, elements=2 * joined)[0], more
    return [block.parts(), merger, deeper, _only(edge)]


def _llama4(config: Config, part: Config) -> list[Part]:
    """Llama 4: a patch matrix that is split, an adapter that shuffles pixels, and one matrix to the text."""
    width, patch = part.integer("hidden_size", 768), part.integer("patch_size", 14)
    side = part.integer("image_size", 336) // max(1, patch)
    inner, projected = part.integer("intermediate_size", 5632), part.integer("projector_output_dim", 4096)
    joined, out = part.integer("projector_input_dim", 4096), part.integer("vision_output_dim", 7680)
    patches = Linear("patch", width, 3 * patch * patch, Split.ROWS, quantizable=False)
    last = Linear("linear_1", config.hidden, out, Split.ROWS, quantizable=False)
    block = _Block(width, inner, part.integer("num_hidden_layers", 34), heads=part.integer("num_attention_heads", 16))
    edge = Layer((patches, last), None, elements=(side * side + 1) * width + 5 * width)
    return [block.parts(), _pair((joined, inner), (projected, joined), bias=False), (edge, 1)]


def _gemma4(config: Config, part: Config) -> list[Part]:
    """Gemma 4: whole on every rank, four norms and normalized heads, a gated MLP without biases."""
    width, patch = part.integer("hidden_size", 768), part.integer("patch_size", 16)
    inner, head = part.integer("intermediate_size", 4 * width), part.integer("head_dim", 64)
    places = part.integer("position_embedding_size", 10240)
    block = _Block(width, inner, part.integer("num_hidden_layers", 16), qkv_bias=False, bias=False, gated=True, norms=4,
                   extra=2 * head, split=False)  # fmt: skip
    seen = [block.parts(), _only(2 * places * width + 3 * patch * patch * width + width * config.hidden)]
    return seen + (_gemma4_sound(config, config.tower("audio_config")) if config.whole.get("audio_config") else [])


def _gemma4_sound(config: Config, part: Config) -> list[Part]:
    """Its conformer, whole on every rank: two MLPs, attention with relative places and a convolution in each layer;
    two convolutions before, and two matrices to the text (transformers, gemma4/modeling_gemma4.py)."""
    width, kernel = part.integer("hidden_size", 1024), part.integer("conv_kernel_size", 5)
    head = width // max(1, part.integer("num_attention_heads", 8))
    each, depth = 24 * width * width + (9 + kernel) * width + head, part.integer("num_hidden_layers", 12)
    channels = part.get("subsampling_conv_channels") or (128, 32)
    first, second = (whole("subsampling_conv_channels", channels[index]) for index in (0, 1))
    out = part.integer("output_proj_dims", 1536)
    before = 10 * first + 9 * first * second + second + first // 4 * second * width
    return [(Layer((), None, elements=each), depth), _only(before + out * width + out + out * config.hidden)]


def _kimi(config: Config, part: Config) -> list[Part]:
    """MoonViT: split blocks, a projector that is whole. From K2.5 on, heads that do not divide are whole, too."""
    width, patch = part.either(("vt_hidden_size", "hidden_size"), 1152), part.integer("patch_size", 14)
    inner, depth = part.either(("vt_intermediate_size", "intermediate_size"), 4304), part.either(
        ("vt_num_hidden_layers", "num_hidden_layers"), 27)  # fmt: skip
    places = part.integer("init_pos_emb_height", 64) * part.integer("init_pos_emb_width", 64)
    joined = 4 * width
    edge = 3 * patch * patch * width + width + places * width + 2 * width
    projector = _pair((joined, joined), (config.hidden, joined), bias=True, split=False, elements=2 * width)
    heads = part.integer("num_attention_heads", 0) if config.architecture.startswith("KimiVL") else 0
    return [_Block(width, inner, depth, heads=heads).parts(), projector, _only(edge)]


def _minimax(config: Config, part: Config) -> list[Part]:
    """MiniMax M3's CLIP with two projectors in a row."""
    width, patch, out = part.integer("hidden_size", 1280), part.integer("patch_size", 14), config.hidden
    settings = part.part("img_token_compression_config")
    joined = out * settings.integer("spatial_merge_size", 2) ** 2
    edge = 3 * settings.integer("temporal_patch_size", 2) * patch * patch * width + 2 * width
    block = _Block(width, part.integer("intermediate_size", 5120), part.integer("num_hidden_layers", 32),
                   heads=part.integer("num_attention_heads", 0))  # fmt: skip
    return [block.parts(), _pair((out, width), (out, out), bias=True), _pair((out, joined), (out, out), bias=True),
            _only(edge)]  # fmt: skip


def _internvl(config: Config, part: Config) -> list[Part]:
    """InternViT: scaled residuals; the attention is whole, the MLP split; a projector that is whole."""
    width, patch = part.integer("hidden_size", 1024), part.element("patch_size", 0) if part.get("patch_size") else 14
    side = (part.element("image_size", 0) if part.get("image_size") else 448) // max(1, patch)
    inner, depth = part.integer("intermediate_size", 4 * width), part.integer("num_hidden_layers", 24)
    ratio = config.whole.get("downsample_ratio", 0.5)
    joined = int(width / ratio**2) if isinstance(ratio, float | int) and 0 < ratio <= 1 else 4 * width
    attention = Layer((
        Linear("qkv", 3 * width, width, bias=True, quantizable=False),
        Linear("out", width, width, bias=True, quantizable=False),
        Linear("fc1", inner, width, Split.ROWS, bias=True, quantizable=False),
        Linear("fc2", width, inner, Split.COLUMNS, bias=True, quantizable=False),
    ), None, elements=6 * width)  # fmt: skip
    edge = 3 * patch * patch * width + width + (side * side + 2) * width
    projector = _pair((config.hidden, joined), (config.hidden, config.hidden), bias=True, split=False,
                      elements=2 * joined)  # fmt: skip
    return [(attention, depth), projector, _only(edge)]


def _glm4v(config: Config, part: Config) -> list[Part]:
    """GLM-4.1V: no biases, a gated MLP, and a merger with a gated MLP of its own."""
    width, patch, out = part.integer("hidden_size", 1536), part.integer("patch_size", 14), config.hidden
    inner, side = part.integer("intermediate_size", 13696), part.integer("image_size", 336)
    block = _Block(width, part.integer("out_hidden_size", out), part.integer("depth", 24), qkv_bias=False, bias=False,
                   gated=True, norms=2, heads=part.integer("num_heads", 12))  # fmt: skip
    merger = Layer((
        Linear("proj", out, out, Split.ROWS, quantizable=False),
        Linear("gate", inner, out, Split.ROWS, quantizable=False),
        Linear("up", inner, out, Split.ROWS, quantizable=False),
        Linear("down", out, inner, Split.COLUMNS, quantizable=False),
    ), None, elements=2 * out + out * width * 4 + out)  # fmt: skip
    edge = _patches(part, width, patch) + width + (side // max(1, patch)) ** 2 * width + 2 * width
    return [block.parts(), (merger, 1), _only(edge)]


def _whisper(config: Config, part: Config) -> list[Part]:
    """Whisper's encoder, which config.json describes beside the decoder: two convolutions, learned places."""
    width, bins = config.hidden, config.integer("num_mel_bins", 80)
    inner = config.integer("encoder_ffn_dim", 4 * width)
    block = _Block(width, inner, config.integer("encoder_layers"))
    edge = 3 * bins * width + 3 * width * width + 2 * width
    return [block.parts(), _only(edge + config.integer("max_source_positions", 1500) * width + 2 * width)]


def _gemma3n(config: Config, part: Config) -> list[Part]:
    """Gemma 3n: MobileNetV5 and a sound encoder, whole on every rank. There is one size of each, which no key tells."""
    projections = Linear("projection", config.hidden, 2048 + 1536, Split.ROWS, quantizable=False)
    return [(Layer((projections,), None, elements=GEMMA3N_ELEMENTS), 1)]


TOWERS: dict[str, Callable[[Config, Config], list[Part]]] = {
    "gemma3": _gemma3, "paligemma": _paligemma, "llava": _llava, "mistral3": _mistral3, "qwen2": _qwen2,
    "qwen2_5": _qwen2_5, "qwen3": _qwen3, "llama4": _llama4, "gemma4": _gemma4, "kimi": _kimi, "minimax": _minimax,
    "internvl": _internvl, "glm4v": _glm4v, "whisper": _whisper, "gemma3n": _gemma3n, "idefics3": _idefics3,
    "cohere2": _cohere2, "qwen2_audio": _qwen2_audio,
}  # fmt: skip
IMAGES_AND_VIDEOS = ("image", "video")
# What towers take, as vLLM's classes say where they build them (models/interfaces.py, `_mark_tower_model`): of those
# that classes take in different ways, all of it; the others take images and videos.
INPUTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gemma3", "paligemma", "mistral3", "llama4", "idefics3", "cohere2"), ("image",)),
    "qwen2_audio": ("audio",), "gemma3n": ("image", "audio"), "gemma4": ("image", "video", "audio"),
    "kimi": ("image", "vision_chunk"),
}  # fmt: skip
# Models with a tower: the text's architecture, "" where its own config.json part names it, and the tower.
MULTIMODAL: dict[str, tuple[str, str]] = {
    "Gemma3ForConditionalGeneration": ("Gemma3ForCausalLM", "gemma3"),
    "Gemma3nForConditionalGeneration": ("Gemma3nForCausalLM", "gemma3n"),
    "Gemma4ForConditionalGeneration": ("Gemma4ForCausalLM", "gemma4"),
    "PaliGemmaForConditionalGeneration": ("", "paligemma"),
    "LlavaForConditionalGeneration": ("", "llava"),
    "LlavaNextForConditionalGeneration": ("", "llava"),
    "LlavaNextVideoForConditionalGeneration": ("", "llava"),
    "LlavaOnevisionForConditionalGeneration": ("", "llava"),
    "Idefics3ForConditionalGeneration": ("", "idefics3"),
    "SmolVLMForConditionalGeneration": ("", "idefics3"),
    "Cohere2VisionForConditionalGeneration": ("", "cohere2"),
    "Qwen2AudioForConditionalGeneration": ("", "qwen2_audio"),
    "Mistral3ForConditionalGeneration": ("", "mistral3"),
    "Qwen2VLForConditionalGeneration": ("Qwen2ForCausalLM", "qwen2"),
    "Qwen2_5_VLForConditionalGeneration": ("Qwen2ForCausalLM", "qwen2_5"),
    "Qwen3VLForConditionalGeneration": ("Qwen3ForCausalLM", "qwen3"),
    "Qwen3VLMoeForConditionalGeneration": ("Qwen3MoeForCausalLM", "qwen3"),
    "Qwen3_5ForConditionalGeneration": ("Qwen3_5ForCausalLM", "qwen3"),
    "Qwen3_5MoeForConditionalGeneration": ("Qwen3_5MoeForCausalLM", "qwen3"),
    "Llama4ForConditionalGeneration": ("Llama4ForCausalLM", "llama4"),
    "KimiK25ForConditionalGeneration": ("DeepseekV3ForCausalLM", "kimi"),
    "KimiK3ForConditionalGeneration": ("KimiLinearForCausalLM", "kimi"),
    "KimiVLForConditionalGeneration": ("DeepseekV3ForCausalLM", "kimi"),
    "MiniMaxM3SparseForConditionalGeneration": ("MiniMaxM3SparseForCausalLM", "minimax"),
    "InternVLForConditionalGeneration": ("", "internvl"),
    "InternVLChatModel": ("", "internvl"),
    "Glm4vForConditionalGeneration": ("Glm4ForCausalLM", "glm4v"),
    "Glm4vMoeForConditionalGeneration": ("Glm4MoeForCausalLM", "glm4v"),
}
# The text's architecture by its model type.
BY_TYPE = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "ministral3": "Ministral3ForCausalLM",
    "mistral4": "MistralLarge3ForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM", "qwen2_moe": "Qwen2MoeForCausalLM", "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM", "internlm2": "InternLM2ForCausalLM",
    "phi3": "Phi3ForCausalLM", "deepseek_v3": "DeepseekV3ForCausalLM", "kimi_k2": "DeepseekV3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM", "cohere2": "Cohere2ForCausalLM", "granite": "GraniteForCausalLM",
}  # fmt: skip
