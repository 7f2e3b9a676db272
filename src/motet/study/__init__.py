"""What trains several models to make or to judge one."""

from motet.study.stacking import stacking

__all__ = ["stacking"]
