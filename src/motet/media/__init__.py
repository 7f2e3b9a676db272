"""The one choke point of decoding: pictures, sound and arrays, with the caps that training and serving share.

Media come from strangers. Sizes are read from the header and capped before anything is decoded; only local regular
files and bytes are read; whatever goes wrong is a `CellError` with a plain reason that names no path.
"""

from motet.media.audio import resample, sound, sound_rate
from motet.media.npy import array
from motet.media.picture import image, image_size
from motet.media.source import several

__all__ = ["array", "image", "image_size", "resample", "several", "sound", "sound_rate"]
