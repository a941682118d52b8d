"""What a multimodal model's processor reads beside config.json, made without a download: how large images and videos
may be, as the published checkpoints have it, and a tokenizer of bytes with the model's own special tokens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Config = dict[str, Any]

_COLOURS = {
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "rescale_factor": 1 / 255, "resample": 3,
    "do_resize": True, "do_rescale": True, "do_normalize": True, "do_convert_rgb": True,
}  # fmt: skip
_QWEN_TOKENS = {
    "<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<|vision_start|>": 151652,
    "<|vision_end|>": 151653, "<|image_pad|>": 151655, "<|video_pad|>": 151656,
}  # fmt: skip
_GEMMA_TOKENS = {
    "<pad>": 0, "<eos>": 1, "<bos>": 2, "<start_of_image>": 255999, "<end_of_image>": 256000,
    "<image_soft_token>": 262144,
}  # fmt: skip


def write(folder: Path, config: Config) -> None:
    """The files of one model. Raises KeyError for an architecture that is not known here."""
    _WRITE[config["architectures"][0]](folder, config)


def _qwen(kind: str, size: Config, video: Config | None = None) -> Callable[[Path, Config], None]:
    def write_files(folder: Path, config: Config) -> None:
        patch = {"patch_size": config["vision_config"]["patch_size"], "temporal_patch_size": 2, "merge_size": 2}
        images = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": f"{kind}Processor"}
        _dump(folder / "preprocessor_config.json", {**_COLOURS, **patch, **images, **size})
        if video:
            _dump(folder / "video_preprocessor_config.json", {**_COLOURS, **patch, **video})
        _tokenizer(folder, _QWEN_TOKENS, eos_token="<|im_end|>", pad_token="<|endoftext|>")

    return write_files


def _gemma3(folder: Path, config: Config) -> None:
    side = config["vision_config"]["image_size"]
    images = {
        "image_processor_type": "Gemma3ImageProcessor", "processor_class": "Gemma3Processor",
        "image_seq_length": config["mm_tokens_per_image"], "size": {"height": side, "width": side},
    }  # fmt: skip
    _dump(folder / "preprocessor_config.json", {**_COLOURS, **images})
    _dump(folder / "processor_config.json", {name: images[name] for name in ("processor_class", "image_seq_length")})
    special = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    names = {"eos_token": "<eos>", "pad_token": "<pad>", "bos_token": "<bos>"}
    _tokenizer(folder, _GEMMA_TOKENS, **names, extra_special_tokens=special)


def _tokenizer(folder: Path, special: dict[str, int], **names: Any) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    words = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *("\n" * count for count in range(1, 5))]
    free = (number for number in range(1 << 20) if number not in special.values())
    made = Tokenizer(models.BPE(vocab={**{word: next(free) for word in words}, **special}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    made.save(str(folder / "tokenizer.json"))
    _dump(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})


def _dump(path: Path, content: Config) -> None:
    path.write_text(json.dumps(content))


_QWEN2_SIZE = {"min_pixels": 3136, "max_pixels": 12845056}
_QWEN3_SIZE = {"size": {"shortest_edge": 65536, "longest_edge": 16777216}}
_QWEN3_VIDEO = {
    "video_processor_type": "Qwen3VLVideoProcessor", "size": {"shortest_edge": 4096, "longest_edge": 25165824},
    "fps": 2, "min_frames": 4, "max_frames": 768,
}  # fmt: skip
_WRITE: dict[str, Callable[[Path, Config], None]] = {
    "Qwen2VLForConditionalGeneration": _qwen("Qwen2VL", _QWEN2_SIZE),
    "Qwen2_5_VLForConditionalGeneration": _qwen("Qwen2_5_VL", _QWEN2_SIZE),
    "Qwen3VLForConditionalGeneration": _qwen("Qwen3VL", _QWEN3_SIZE, _QWEN3_VIDEO),
    "Qwen3_5ForConditionalGeneration": _qwen("Qwen3VL", _QWEN3_SIZE, _QWEN3_VIDEO),
    "Gemma3ForConditionalGeneration": _gemma3,
}
