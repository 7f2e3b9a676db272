"""What trains several models to make or to judge one."""

from motet.study.before import before_training
from motet.study.fit import fit
from motet.study.group import Grouping, group
from motet.study.pretrain import load_unlabelled, unlabelled

__all__ = ["Grouping", "before_training", "fit", "group", "load_unlabelled", "unlabelled"]
