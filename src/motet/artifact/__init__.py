"""Bytes on disk: folders that are whole or absent, and the bundle."""

from motet.artifact.bundle import FORMAT, Bundle, read_bundle, write_bundle
from motet.artifact.folder import read_folder, write_file, write_folder

__all__ = ["FORMAT", "Bundle", "read_bundle", "read_folder", "write_bundle", "write_file", "write_folder"]
