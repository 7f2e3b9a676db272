"""The data room: tables, their split, and batches whose content depends on seed, epoch and row alone."""

from motet.data.answers import answer_of, as_json, as_text, read_answers
from motet.data.cells import cells_as_read, present_cells
from motet.data.concat import concat_tables
from motet.data.dataset import Dataset, rows_to_batch
from motet.data.draws import table_weights
from motet.data.items import ItemsBuilder
from motet.data.kept import KeptArrays, name_of
from motet.data.leakage import groups_apart, leakage
from motet.data.load import load_data
from motet.data.loader import Loader
from motet.data.order import Order
from motet.data.paths import Fence
from motet.data.problems import BadCells, Problem
from motet.data.read import read_held_out, read_table
from motet.data.roles import determines, find_split, infer_task
from motet.data.schema import ColumnGuess, infer_schema
from motet.data.several import Several, cells_of
from motet.data.sources import TableSpec, absolute_paths
from motet.data.spec import DataSpec
from motet.data.split import Splits, split_rows, units_of
from motet.data.store import Store, StoredColumn, read_cells, verify
from motet.data.table import Part, Table
from motet.data.weights import loss_weights

__all__ = [
    "BadCells",
    "ColumnGuess",
    "DataSpec",
    "Dataset",
    "Fence",
    "ItemsBuilder",
    "KeptArrays",
    "Loader",
    "Order",
    "Part",
    "Problem",
    "Several",
    "Splits",
    "Store",
    "StoredColumn",
    "Table",
    "TableSpec",
    "absolute_paths",
    "answer_of",
    "as_json",
    "as_text",
    "cells_as_read",
    "cells_of",
    "concat_tables",
    "determines",
    "find_split",
    "groups_apart",
    "infer_schema",
    "infer_task",
    "leakage",
    "load_data",
    "loss_weights",
    "name_of",
    "present_cells",
    "read_answers",
    "read_cells",
    "read_held_out",
    "read_table",
    "rows_to_batch",
    "split_rows",
    "table_weights",
    "units_of",
    "verify",
]
