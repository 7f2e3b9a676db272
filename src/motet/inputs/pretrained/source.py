"""Where a pretrained model comes from: a folder, or a name that `transformers` can fetch."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

from torch import nn

from motet.core.errors import SpecError
from motet.inputs.pretrained.families import Family
from motet.inputs.pretrained.lora import BASE, OF_LORA

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
FOREIGN = frozenset(
    {"auto_map", "attn_implementation", "transformers_version", "architectures", "torch_dtype", "dtype"}
)
"""Fields of a configuration that are not heeded: what would name code, and how numbers are kept."""


def library() -> Any:
    """The `transformers` library; raises `SpecError` where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise SpecError(
            "encoder: pretrained encoders need the library transformers; install motet[pretrained]"
        ) from None
    return transformers


def tokenizer_of(model: str) -> Any:
    """The tokenizer of a model; raises `SpecError` where it has none that can be kept as JSON.

    Without the file the library would make a tokenizer that knows no word.
    """
    if Path(model).is_dir() and not (Path(model) / TOKENIZER).is_file():
        raise SpecError(
            f"encoder.model: the folder {model!r} holds no {TOKENIZER}; save the model's tokenizer there too, in the "
            "fast form (tokenizer.save_pretrained)"
        )
    with fetched(model), _quiet():
        tokenizer = library().AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    if not getattr(tokenizer, "is_fast", False):
        raise SpecError(f"encoder.model: {model!r} has no tokenizer.json; save its tokenizer in the fast form")
    return tokenizer


def config_of(model: str) -> dict[str, Any]:
    """What `config.json` of the model says; raises `SpecError` where there is none to be had."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise SpecError(f"encoder.model: the folder {model!r} holds no {CONFIG}; expected one of save_pretrained")
        return read_json(folder / CONFIG)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise SpecError(f"encoder.model: there is no folder {model!r}; folders are relative to the experiment file")
    with fetched(model), _quiet():
        found, _ = library().PretrainedConfig.get_config_dict(model)
    return dict(found)


def read_json(path: Path) -> dict[str, Any]:
    """The fields that a JSON file of a model holds; raises `SpecError` where it is none, or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SpecError(f"encoder.model: {path} is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise SpecError(f"encoder.model: {path} does not hold fields, found {type(found).__name__}")
    return found


def built(family: Family, config: Mapping[str, Any]) -> nn.Module:
    """The model of a configuration, its weights drawn by chance; raises `SpecError` where it is no configuration."""
    kind = getattr(library(), family.name)
    try:
        return _tower(kind(configured(config)))
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        raise SpecError(f"encoder.model: {CONFIG} does not describe a {family.name} ({_line(error)})") from None


def width_of(config: Mapping[str, Any]) -> int:
    """How wide the states of the last layer are."""
    made = configured(config)
    sizes = getattr(made, "hidden_sizes", None)
    return int(sizes[-1] if sizes else made.hidden_size)


def load_weights(model: str, into: nn.Module) -> None:
    """Give a model that was built its trained weights; only safetensors are read, never a pickle.

    Raises `SpecError` where weights are not there, or not those of this model; a pooling layer may be without.
    """
    from safetensors import SafetensorError

    kind = _whole(into)
    try:
        with fetched(model), _quiet():
            trained, found = kind.from_pretrained(
                model, config=into.config, use_safetensors=True, output_loading_info=True, trust_remote_code=False
            )
    except SafetensorError as error:
        raise SpecError(
            f"encoder.model: the weights of {model!r} are damaged or cut off ({_line(error)}); copy {WEIGHTS} again"
        ) from None
    lost = [name for name in found["missing_keys"] if "pooler" not in name]
    if lost:
        raise SpecError(
            f"encoder.model: {model!r} has no weights for {len(lost)} parts of a {kind.__name__}, such as {lost[0]}"
        )
    weights = _tower(trained).state_dict()
    own = {name: weights[name.replace(BASE, "")] for name in into.state_dict() if OF_LORA not in name}
    into.load_state_dict(own, strict=False)


def configured(config: Mapping[str, Any]) -> Any:
    """The fields that are heeded, checked by the library; raises `SpecError` for one that is not as it should be."""
    from huggingface_hub.errors import StrictDataclassError

    fields = {name: value for name, value in config.items() if name not in FOREIGN and not name.startswith("_")}
    try:
        return library().AutoConfig.for_model(**fields)
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise SpecError(f"encoder.model: {CONFIG} can not be used ({_line(error)})") from None


def _line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _whole(tower: nn.Module) -> Any:
    """The class whose saved weights hold those of this half."""
    name = type(tower).__name__
    return getattr(library(), {"WhisperEncoder": "WhisperModel", "VJEPA2Encoder": "VJEPA2Model"}.get(name, name))


def _tower(model: nn.Module) -> nn.Module:
    """The half that reads, of a model that also writes or foretells."""
    return model.encoder if type(model).__name__ in ("WhisperModel", "VJEPA2Model") else model  # type: ignore[return-value]


@contextmanager
def fetched(model: str) -> Iterator[None]:
    """Says what to do where a model's files can not be had."""
    try:
        yield
    except (OSError, ValueError) as error:
        if Path(model).is_dir():
            raise SpecError(
                f"encoder.model: the folder {model!r} does not hold what is expected ({_line(error)[:200]}); save the "
                f"model with save_pretrained ({CONFIG} and {WEIGHTS})"
            ) from None
        raise SpecError(
            f"encoder.model: {model!r} is no folder beside the experiment file, and can not be fetched by this name "
            f"({_line(error)[:120]}); give the folder of a model that was saved with save_pretrained ({CONFIG} and "
            f"{WEIGHTS})"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without bars and notes of the library, and of the one that fetches."""
    logging, fetching = library().utils.logging, getLogger("huggingface_hub")
    level, bars, fetched_at = logging.get_verbosity(), logging.is_progress_bar_enabled(), fetching.level
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    fetching.setLevel(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        fetching.setLevel(fetched_at)
        if bars:
            logging.enable_progress_bar()
