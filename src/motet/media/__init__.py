"""The one choke point of decoding: pictures, sound and arrays, with the caps that training and serving share.

Media come from strangers. Sizes are read from the header and capped before anything is decoded; only local regular
files and bytes are read; whatever goes wrong is a `CellError` with a plain reason that names no path.

Spectrograms, and the way back from them to a sound, are here for inputs that hear and tasks that speak alike.
"""

from motet.media.audio import resample, sound, sound_rate
from motet.media.clip import frames_of, video, video_size
from motet.media.framing import Framing, View, relit
from motet.media.griffinlim import samples_of_mel
from motet.media.mel import log_mel, mel_filters
from motet.media.npy import array
from motet.media.picture import image, image_size
from motet.media.plane import plane, plane_npy, plane_png, stretched
from motet.media.randaugment import RandAugment
from motet.media.source import several
from motet.media.uri import data_uri, is_data_uri, uri_bytes
from motet.media.vector import FARTHEST, vector_of
from motet.media.wav import wav_bytes

__all__ = [
    "FARTHEST",
    "Framing",
    "RandAugment",
    "View",
    "array",
    "data_uri",
    "frames_of",
    "image",
    "image_size",
    "is_data_uri",
    "log_mel",
    "mel_filters",
    "plane",
    "plane_npy",
    "plane_png",
    "relit",
    "resample",
    "samples_of_mel",
    "several",
    "sound",
    "sound_rate",
    "stretched",
    "uri_bytes",
    "vector_of",
    "video",
    "video_size",
    "wav_bytes",
]
