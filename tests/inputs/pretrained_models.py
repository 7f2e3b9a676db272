"""Tiny models of every family, as their authors' library saves them, made by chance: no hub is needed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")

WORDS = ["red", "blue", "green", "house", "tree", "and", "no"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
PICTURE = {"image_size": 32, "patch_size": 8}
TEXT: Mapping[str, Callable[[], Any]] = {
    "bert": lambda: transformers.BertModel(transformers.BertConfig(vocab_size=40, **SMALL)),
    "distilbert": lambda: transformers.DistilBertModel(
        transformers.DistilBertConfig(vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    ),
    "roberta": lambda: transformers.RobertaModel(
        transformers.RobertaConfig(vocab_size=40, pad_token_id=0, max_position_embeddings=40, **SMALL)
    ),
    "deberta-v2": lambda: transformers.DebertaV2Model(
        transformers.DebertaV2Config(vocab_size=40, relative_attention=True, pos_att_type=["c2p", "p2c"], **SMALL)
    ),
    "modernbert": lambda: transformers.ModernBertModel(transformers.ModernBertConfig(vocab_size=40, **IDS, **SMALL)),
    "t5": lambda: transformers.T5Model(
        transformers.T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    ),
    "clip": lambda: transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={"vocab_size": 40, "bos_token_id": 2, "eos_token_id": 3, **SMALL},
            vision_config={"image_size": 32, "patch_size": 8, **SMALL},
        )
    ),
    "siglip": lambda: transformers.SiglipModel(
        transformers.SiglipConfig(
            text_config={"vocab_size": 40, "max_position_embeddings": 12, **SMALL},
            vision_config={"image_size": 32, "patch_size": 8, **SMALL},
        )
    ),
}


IMAGE: Mapping[str, tuple[Callable[[], Any], str]] = {
    "vit": (lambda: transformers.ViTModel(transformers.ViTConfig(**PICTURE, **SMALL)), "ViT"),
    "convnextv2": (
        lambda: transformers.ConvNextV2Model(
            transformers.ConvNextV2Config(hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
        ),
        "ConvNext",
    ),
    "swin": (
        lambda: transformers.SwinModel(
            transformers.SwinConfig(
                image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
            )
        ),
        "ViT",
    ),
    "dinov2": (
        lambda: transformers.Dinov2Model(
            transformers.Dinov2Config(
                **PICTURE, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2
            )
        ),
        "Bit",
    ),
    "dinov3_vit": (lambda: transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**PICTURE, **SMALL)), ""),
    "resnet": (
        lambda: transformers.ResNetModel(
            transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
        ),
        "ConvNext",
    ),
    "mobilenet_v2": (
        lambda: transformers.MobileNetV2Model(transformers.MobileNetV2Config(image_size=32, depth_multiplier=0.25)),
        "MobileNetV2",
    ),
    "clip": (TEXT["clip"], "CLIP"),
    "siglip": (TEXT["siglip"], "Siglip"),
}
"""A model, and whose processor stands beside it; none stands beside the model of DINOv3."""


FEW = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16}
VIDEO: Mapping[str, Callable[[], Any]] = {
    "videomae": lambda: transformers.VideoMAEModel(
        transformers.VideoMAEConfig(image_size=32, num_frames=4, intermediate_size=32, **FEW)
    ),
    "vjepa2": lambda: transformers.VJEPA2Model(
        transformers.VJEPA2Config(
            crop_size=32,
            frames_per_clip=4,
            mlp_ratio=2,
            pred_hidden_size=16,
            pred_num_attention_heads=2,
            pred_num_hidden_layers=1,
            **FEW,
        )
    ),
}
SHORTER_SIDE = {"videomae": 34, "vjepa2": 36}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save_image_model(family: str, folder: Path) -> tuple[Any, Any]:
    """A model of the family in this folder with its processor; both are returned."""
    torch.manual_seed(0)
    make, processor = IMAGE[family]
    model = make().eval()
    model.save_pretrained(folder)
    side = {"height": 32, "width": 32}
    fields: dict[str, Any] = {"size": side}
    if processor in ("Bit", "CLIP"):
        fields = {"size": {"shortest_edge": 36}, "crop_size": side}
    elif processor == "ConvNext":
        fields = {"size": {"shortest_edge": 32}}
    elif processor == "MobileNetV2":
        fields = {"size": {"shortest_edge": 36}, "crop_size": side}
    made = getattr(transformers, f"{processor or 'ViT'}ImageProcessorPil")(**fields)
    if processor:
        made.save_pretrained(folder)
    return model, made


CONVOLUTIONS = {"conv_dim": [8, 8], "conv_kernel": [10, 4], "conv_stride": [5, 4], "num_feat_extract_layers": 2}
SAMPLES = {**CONVOLUTIONS, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, **SMALL}
AUDIO: Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "audio-spectrogram-transformer": (
        lambda: transformers.ASTModel(transformers.ASTConfig(max_length=48, num_mel_bins=32, **SMALL)),
        lambda: transformers.ASTFeatureExtractor(max_length=48, num_mel_bins=32, mean=-3.0, std=2.0),
    ),
    "wav2vec2": (
        lambda: transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SAMPLES)),
        lambda: transformers.Wav2Vec2FeatureExtractor(sampling_rate=8000),
    ),
    "wav2vec2 layer": (
        lambda: transformers.Wav2Vec2Model(
            transformers.Wav2Vec2Config(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True, **SAMPLES)
        ),
        lambda: transformers.Wav2Vec2FeatureExtractor(do_normalize=False),
    ),
    "hubert": (
        lambda: transformers.HubertModel(transformers.HubertConfig(**SAMPLES)),
        lambda: transformers.Wav2Vec2FeatureExtractor(),
    ),
    "wavlm": (
        lambda: transformers.WavLMModel(transformers.WavLMConfig(**SAMPLES)),
        lambda: transformers.Wav2Vec2FeatureExtractor(),
    ),
    "whisper": (
        lambda: transformers.WhisperModel(
            transformers.WhisperConfig(
                vocab_size=40,
                d_model=16,
                encoder_layers=2,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                num_mel_bins=16,
                max_source_positions=50,
                decoder_start_token_id=2,
                **{name: IDS[name] for name in ("pad_token_id", "bos_token_id", "eos_token_id")},
            )
        ),
        lambda: transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=1),
    ),
}
"""A model, and the extractor that stands beside it; `layer`: with the norm of larger models."""


def save_audio_model(family: str, folder: Path) -> tuple[Any, Any]:
    """A model of the family in this folder with its extractor; both are returned, the model's biases not all zero."""
    torch.manual_seed(0)
    make, extractor = AUDIO[family]
    model, made = make().eval(), extractor()
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight", "token", "position_embeddings")):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return model, made


def save_video_model(family: str, folder: Path) -> tuple[Any, Any]:
    """A model of the family in this folder, and how it frames a picture; both are returned.

    V-JEPA 2 has a file of its own that says the size of the crop; the shorter side is 256/224 of it.
    """
    torch.manual_seed(0)
    model = VIDEO[family]().eval()
    model.save_pretrained(folder)
    crop = {"height": 32, "width": 32}
    processor = transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": SHORTER_SIDE[family]}, crop_size=crop, **IMAGENET
    )
    if family == "videomae":
        processor.save_pretrained(folder)
        return model, processor
    said = {"video_processor_type": "VJEPA2VideoProcessor", "crop_size": 32, "return_metadata": False, **IMAGENET}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(said), "utf-8")
    return model, processor


def save_text_model(family: str, folder: Path) -> Any:
    """A model of the family in this folder, tokenizer and all; returned in evaluation mode."""
    torch.manual_seed(0)
    model = TEXT[family]().eval()
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return model


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
