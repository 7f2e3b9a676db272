"""Sounds as a pretrained model wants them: by its own feature extractor, which keeps its fields as JSON.

Shapes: S samples, F frames of the sound, T frames the model reads, M mel bands.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from motet.core.errors import SpecError
from motet.inputs.pretrained.source import configured, fetched, library, read_json

FILES = ("preprocessor_config.json", "processor_config.json")
KIND = "feature_extractor_type"
EXTRACTORS: Mapping[str, str] = {
    "audio-spectrogram-transformer": "ASTFeatureExtractor",
    "whisper": "WhisperFeatureExtractor",
}
"""By family; all others read samples."""
OF_SAMPLES = "Wav2Vec2FeatureExtractor"
KEPT: Mapping[str, tuple[str, ...]] = {
    "ASTFeatureExtractor": ("sampling_rate", "num_mel_bins", "max_length", "do_normalize", "mean", "std"),
    "WhisperFeatureExtractor": ("sampling_rate", "feature_size", "hop_length", "chunk_length", "n_fft"),
    OF_SAMPLES: ("sampling_rate", "do_normalize"),
}
"""The fields that are heeded. Dither is none of them: it would be another sound each time."""
BOUNDS: Mapping[str, tuple[float, float]] = {
    "sampling_rate": (1000, 192_000),
    "num_mel_bins": (1, 1024),
    "feature_size": (1, 1024),
    "max_length": (1, 1 << 17),
    "hop_length": (1, 1 << 14),
    "n_fft": (2, 1 << 14),
    "chunk_length": (1, 600),
    "do_normalize": (False, True),
    "mean": (-1e6, 1e6),
    "std": (1e-6, 1e6),
}
"""Least and greatest of each field; what is whole, a fraction or a truth value is so in the field too."""
KALDI_WINDOW, KALDI_HOP = 400, 160  # samples, of AST's frames


class Frames(NamedTuple):
    """How many frames a model reads, always, and of how many bands."""

    length: int
    bands: int


def extractor_fields(model: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the model's files say of its extractor; where they say nothing, what its configuration and the library do.

    Raises `SpecError` for an extractor of another family, or one that does not make what the model reads.
    """
    family = str(config["model_type"])
    expected = EXTRACTORS.get(family, OF_SAMPLES)
    found = _found(model)
    kind = str(found.get(KIND, expected))
    if kind != expected:
        raise SpecError(f"encoder.model: {model!r} names the extractor {kind!r}; expected {expected} for {family}")
    fields = _of_config(config) | {name: found[name] for name in KEPT[expected] if name in found}
    _check(fields, config)
    return fields | {KIND: expected}


def made_extractor(fields: Mapping[str, Any]) -> Any:
    """The extractor of these fields; raises `SpecError` for a kind or a field that is not one of those heeded."""
    kind = str(fields.get(KIND))
    given = {name: value for name, value in fields.items() if name != KIND}
    foreign = sorted(set(given) - set(KEPT.get(kind, ())))
    if kind not in KEPT or foreign:
        what = f"has a field {foreign[0]!r}" if kind in KEPT else f"is {kind!r}"
        raise SpecError(f"encoder.model: the feature extractor {what}; expected one of {', '.join(sorted(KEPT))}")
    return getattr(library(), kind)(**given)


def frames_of(config: Mapping[str, Any]) -> Frames | None:
    """What a model of frames reads; None for one that reads samples."""
    made = configured(config)
    if config["model_type"] == "whisper":
        return Frames(2 * made.max_source_positions, made.num_mel_bins)
    if config["model_type"] in EXTRACTORS:
        return Frames(made.max_length, made.num_mel_bins)
    return None


def least_samples(config: Mapping[str, Any]) -> int:
    """How many samples a model needs to say anything: of one frame, or of one state where it reads samples.

    >>> least_samples({"model_type": "wav2vec2"})
    400
    """
    if config["model_type"] in EXTRACTORS:
        return 1 if config["model_type"] == "whisper" else KALDI_WINDOW
    made = configured(config)
    size, step = 1, 1
    for kernel, stride in zip(made.conv_kernel, made.conv_stride, strict=True):
        size, step = size + (kernel - 1) * step, step * stride
    return size


def spare_frames(extractor: Any) -> int:
    """How many frames behind a sound are to be kept so that the last is silence: those a centred window reaches into,
    and one.
    """
    if type(extractor).__name__ == "WhisperFeatureExtractor":
        return int(-(-extractor.n_fft // (2 * extractor.hop_length)) + 1)
    return 1


def heard_samples(extractor: Any, samples: Float32[np.ndarray, "S"]) -> Float32[np.ndarray, "S"]:
    """Samples as a model of samples reads them."""
    found = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np")["input_values"][0]
    return np.ascontiguousarray(found, dtype=np.float32)


def heard_frames(extractor: Any, samples: Float32[np.ndarray, "S"]) -> Float32[np.ndarray, "F+s M"]:
    """The frames of the sound and `spare_frames` behind them, the last of which is what the model reads from there on.

    Where the sound fills all that the model reads, frames are added that it will not read. The library makes AST's
    frames by torchaudio where that is installed and by numpy elsewhere, the same formula to rounding.
    """
    found = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np")
    whole = found["input_features"][0].T if "input_features" in found else found["input_values"][0]
    if "input_features" in found:
        number = -(-len(samples) // extractor.hop_length)
    else:
        number = 1 + (len(samples) - KALDI_WINDOW) // KALDI_HOP
    wanted = min(number, len(whole)) + spare_frames(extractor)
    frames = whole[:wanted]
    return np.pad(frames, ((0, wanted - len(frames)), (0, 0)), mode="edge").astype(np.float32)


def _found(model: str) -> dict[str, Any]:
    """The fields of the first of the files that is there, without what is not the extractor's."""
    if not Path(model).is_dir():
        with fetched(model):
            found, _ = library().FeatureExtractionMixin.get_feature_extractor_dict(model)
        return dict(found)
    for path in (Path(model) / name for name in FILES):
        if path.is_file():
            whole = read_json(path)
            found = whole.get("feature_extractor", whole)
            if not isinstance(found, dict):
                raise SpecError(f"encoder.model: feature_extractor of {path} does not hold fields")
            return found
    return {}


def _of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration of a model says of its extractor, and the library where it says nothing."""
    frames = frames_of(config)
    if frames is None:
        return {"sampling_rate": 16_000, "do_normalize": True}
    if config["model_type"] == "whisper":
        seconds = frames.length // 100
        timing = {"hop_length": 160, "n_fft": 400, "chunk_length": seconds}
        return {"sampling_rate": 16_000, "feature_size": frames.bands, **timing}
    scale = {"do_normalize": True, "mean": -4.2677393, "std": 4.5689974}
    return {"sampling_rate": 16_000, "num_mel_bins": frames.bands, "max_length": frames.length, **scale}


def _check(fields: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raises `SpecError` for fields that are no numbers, or that do not make what the model reads."""
    for name, value in fields.items():
        lowest, highest = BOUNDS[name]
        expected = (bool,) if isinstance(lowest, bool) else (int,) if isinstance(lowest, int) else (int, float)
        if type(value) not in expected or not lowest <= value <= highest:
            raise SpecError(
                f"encoder.model: {name} of the extractor is {value!r}; expected {expected[-1].__name__} "
                f"from {lowest} to {highest}"
            )
    if "chunk_length" in fields:
        length = fields["chunk_length"] * fields["sampling_rate"] // fields["hop_length"]
        found = Frames(length, fields["feature_size"])
    elif "max_length" in fields:
        found = Frames(fields["max_length"], fields["num_mel_bins"])
    else:
        return
    if found != frames_of(config):
        raise SpecError(
            f"encoder.model: the extractor makes {found.length} frames of {found.bands} bands; the model reads "
            "{0.length} of {0.bands}".format(frames_of(config))
        )
