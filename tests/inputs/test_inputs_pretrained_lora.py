"""Small matrices beside models of ordinary size: how many numbers they are, without any of the models' own."""

import pytest
import torch

pytest.importorskip("peft", reason="the extra `pretrained` is not installed")

from motet.inputs.pretrained import FAMILIES, Modality, built, family_of
from motet.inputs.pretrained.lora import OF_LORA, add_lora

ALL = [(modality, name) for modality, known in FAMILIES.items() for name in known if not name.endswith("_model")]
SMALL = {"mobilenet_v2": 2}
"""The rank for a model that is itself of two million weights."""


@pytest.mark.parametrize(("modality", "family"), ALL)
def test_under_2_percent_of_a_models_weights_are_trained(modality: Modality, family: str) -> None:
    few = {"num_hidden_layers": 6} if family == "deberta-v2" else {}  # as many layers change no share, but the time
    with torch.device("meta"):
        known, fields = family_of({"model_type": family, **few}, modality)
        model = built(known, fields)
        whole = sum(one.numel() for one in model.parameters())
        add_lora(model, rank=SMALL.get(family, 8))
    learned = {name: one.numel() for name, one in model.named_parameters() if one.requires_grad}
    assert all(OF_LORA in name for name in learned)
    assert 0.0005 < sum(learned.values()) / whole < 0.02
