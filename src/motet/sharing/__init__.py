"""The sharing room: what tasks have in common and what is their own."""

from motet.sharing.base import Sharing, SharingSpec
from motet.sharing.hard import Hard, HardSharing

AnySharing = Hard  # becomes a union with `discriminator="kind"` when a second kind arrives

__all__ = ["AnySharing", "Hard", "HardSharing", "Sharing", "SharingSpec"]
