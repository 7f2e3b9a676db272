"""Low-rank matrices beside the weights of a pretrained model, by the library peft."""

from torch import nn

from motet.core.errors import SpecError

OF_LORA, BASE = "lora_", ".base_layer"
"""In the name of a parameter: one that was added, and one that lies beneath what was added."""
ATTENTION = ("query", "value", "q_proj", "v_proj")
NEVER_CALLED = {"wavlm": ("q_proj", "k_proj", "v_proj", "out_proj")}
"""Linear layers whose weights the model reads without calling them: what stands beside those would never be heard."""


def add_lora(model: nn.Module, *, rank: int) -> None:
    """Put `x A B` beside the attention's `x W` (Hu et al., LoRA, ICLR 2022), A `[D, rank]`, B zero; the rest is frozen.

    Which weights are tuned is the library's to say for the family; where it says nothing queries and values, where
    there are none all linear layers, and without those convolutions of one pixel. The factor of what is added is 2.
    Raises `SpecError` where the library is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN
    except ImportError:
        raise SpecError("encoder.tune: lora needs the library peft; install motet[pretrained]") from None
    kind = str(getattr(model.config, "model_type", ""))
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] not in NEVER_CALLED.get(kind, ())
    ]
    known = [name for name in linear if name.rpartition(".")[2] in KNOWN.get(kind, ATTENTION)]
    mixing = [name for name, one in model.named_modules() if isinstance(one, nn.Conv2d) and one.kernel_size == (1, 1)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=known or linear or mixing), model)
    for module in model.modules():
        beneath = getattr(module, "base_layer", None)
        if isinstance(beneath, nn.Conv2d):  # a model that pads by itself asks the layer for its form
            for field in ("kernel_size", "stride", "dilation"):
                setattr(module, field, getattr(beneath, field))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(OF_LORA in name)
