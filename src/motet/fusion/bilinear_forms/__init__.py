"""Ways to write `x^T W y` with fewer weights than W has.

Each form has no linear terms and no biases: where x or y is 0 it is 0.
"""

from motet.fusion.bilinear_forms.base import Form
from motet.fusion.bilinear_forms.block import BLOCK
from motet.fusion.bilinear_forms.full import Full
from motet.fusion.bilinear_forms.mfb import MFB
from motet.fusion.bilinear_forms.mfh import MFH
from motet.fusion.bilinear_forms.mlb import MLB
from motet.fusion.bilinear_forms.mutan import MUTAN

FORMS: dict[str, type[Form]] = {"full": Full, "mlb": MLB, "mfb": MFB, "mfh": MFH, "mutan": MUTAN, "block": BLOCK}

__all__ = ["BLOCK", "FORMS", "MFB", "MFH", "MLB", "MUTAN", "Form", "Full"]
