"""Samples as the bytes of a WAV file; `motet.media.sound` reads them back."""

import io

import numpy as np
from jaxtyping import Float

LOUDEST = 32768  # what `sound` divides 16-bit samples by


def wav_bytes(samples: Float[np.ndarray, "S"], rate: int) -> bytes:
    """One channel of 16-bit PCM: `round(32768 x)`, what lies outside -1..1 cut off.

    What was 16-bit before comes out bit for bit. Errors: `ValueError` where samples are not finite.

    >>> wav_bytes(np.zeros(8, dtype=np.float32), 8000)[:4]
    b'RIFF'
    """
    import soundfile

    if not np.isfinite(samples).all():
        raise ValueError("a sound with samples that are not finite can not be written")
    levels = np.clip(np.rint(samples.astype(np.float64) * LOUDEST), -LOUDEST, LOUDEST - 1).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, levels, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
