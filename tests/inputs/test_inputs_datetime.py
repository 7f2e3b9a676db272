"""Dates and times: every spelling, zones, cycles, and what is refused."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from motet.core.errors import CellError
from motet.core.instants import moment_of, seconds_of, spellings_of
from motet.inputs import Datetime

SAME = datetime(2024, 3, 1, 12, 30)


@pytest.mark.parametrize(
    "cell",
    [
        "2024-03-01 12:30",
        " 2024-03-01T12:30:00 ",
        "2024-3-1 12:30:00.000",
        "20240301T1230",
        "2024-W09-5T12:30",
        SAME,
        np.datetime64("2024-03-01T12:30"),
        pd.Timestamp("2024-03-01 12:30"),
        pa.scalar(SAME, pa.timestamp("s")).as_py(),
    ],
)
def test_all_ways_of_writing_a_moment_agree(cell: object) -> None:
    assert moment_of(cell) == SAME


@pytest.mark.parametrize("cell", ["2024-03-01", date(2024, 3, 1), pa.scalar(date(2024, 3, 1)).as_py(), "20240301"])
def test_a_date_is_its_midnight(cell: object) -> None:
    assert moment_of(cell) == datetime(2024, 3, 1)


@pytest.mark.parametrize(
    "cell", ["2024-03-01T12:30Z", "2024-03-01 14:30+02:00", "2024-03-01 07:00-0530", "2024-03-01T13:30+01"]
)
def test_zones_are_read(cell: str) -> None:
    assert seconds_of(moment_of(cell)) == 1709296200  # date -u -d 2024-03-01T12:30Z +%s


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_iso_text_reads_back(moment: datetime) -> None:
    assert moment_of(moment.isoformat()) == moment
    assert moment_of(moment.isoformat(sep=" ", timespec="minutes")) == moment.replace(second=0, microsecond=0)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("03/04/2024", r"the day or the month may come first; .*'%d/%m/%Y' or format: '%m/%d/%Y'"),
        ("3.4.24", r"'%d.%m.%y' or format: '%m.%d.%y'"),
        ("13/04/2024", "format: '%d/%m/%Y'$"),
        ("04/13/2024 10:00", "format: '%m/%d/%Y'$"),
        ("2024-13-01", "no such date or time: month must be in 1..12"),
        ("2024-02-30", "no such date or time"),
        ("yesterday", "not a date of ISO 8601"),
        ("2024", "not a date of ISO 8601"),
        (20240301, "found a number"),
        (True, "found a number"),
        (time(12), "of type time"),
        (timedelta(1), "of type timedelta"),
        (np.datetime64("NaT"), "of type NoneType"),
        (pd.NaT, "of type NaTType"),
        (["2024-03-01"], "of type list"),
    ],
)
def test_what_is_no_date_is_refused_with_the_reason(cell: object, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        Datetime().fit(["2024-03-01", "2024-03-02"]).read(cell)


def test_other_spellings_are_read_by_their_format() -> None:
    preparation = Datetime(format="%d.%m.%Y").fit(["01.03.2024", "2.3.2024", date(2024, 3, 5)])
    assert preparation.read("03.04.2024")[0] == seconds_of(datetime(2024, 4, 3))
    with pytest.raises(CellError, match=r"not a date as `format` '%d.%m.%Y' has it"):
        preparation.read("2024-03-01")


@pytest.mark.parametrize(
    ("spelling", "reason"), [("%d.%m.", "has no year"), ("%Y-%Q", "no format of Python's strptime")]
)
def test_a_format_that_can_not_be_is_refused_at_once(spelling: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Datetime(format=spelling)


def test_zoned_and_other_times_do_not_mix() -> None:
    zoned, other = ["2024-03-01T10:00Z", "2024-03-02T10:00+02:00"], ["2024-03-01 10:00"]
    preparation = Datetime().fit([*zoned, *other])
    assert preparation == Datetime().fit(zoned)
    with pytest.raises(CellError, match="a time without a zone, where most training rows have a zone"):
        preparation.read(other[0])
    with pytest.raises(CellError, match="a time with a zone, where most training rows have no zone"):
        Datetime().fit([*zoned, *other * 2]).read(zoned[0])


def test_time_is_compared_in_utc_and_cycles_are_those_of_the_own_clock() -> None:
    utc, tokyo = (
        datetime(2024, 3, 1, 23, 0, tzinfo=UTC),
        datetime(2024, 3, 2, 8, 0, tzinfo=timezone(timedelta(hours=9))),
    )
    preparation = Datetime().fit([utc, "2024-01-01T00:00Z", "2024-12-31T12:00Z"])
    here, there = (preparation.batch([preparation.read(cell)])["features"][0] for cell in (utc, tokyo))
    bins = len(preparation.time.edges)
    assert here[:bins].equal(there[:bins])
    assert preparation.cycles[0] == "day"
    hours = [23 / 24, 8 / 24]
    for found, part in zip((here, there), hours, strict=True):
        assert found[bins].item() == pytest.approx(math.sin(2 * math.pi * part), abs=1e-6)
        assert found[bins + 1].item() == pytest.approx(math.cos(2 * math.pi * part), abs=1e-6)


def test_features_are_those_of_the_equation() -> None:
    """Against the calendar of pandas."""
    chance = np.random.default_rng(0)
    cells = [pd.Timestamp("2019-05-01") + pd.Timedelta(int(s), "s") for s in chance.integers(0, 10**8, size=50)]
    preparation = Datetime().fit(cells)
    features = preparation.batch([preparation.read(cell) for cell in cells])["features"].double().numpy()
    seconds = np.array([cell.timestamp() for cell in cells])
    np.testing.assert_allclose(features[:, 0], (seconds - seconds.mean()) / seconds.std(), atol=1e-5)
    assert preparation.cycles == ("day", "week", "month", "year")
    for row, cell in zip(features, cells, strict=True):
        passed = [
            (cell - cell.normalize()).total_seconds() / 86400,
            cell.day_of_week / 7,
            (cell.day - 1) / cell.days_in_month,
            (cell.day_of_year - 1) / (366 if cell.is_leap_year else 365),
        ]
        by_hand = [turn(2 * math.pi * part) for part in passed for turn in (math.sin, math.cos)]
        np.testing.assert_allclose(row[-8:], by_hand, atol=1e-6)


def test_only_cycles_in_which_training_rows_differ_are_told() -> None:
    assert Datetime().fit(["2024-03-01", "2024-03-02"]).cycles == ("week", "month", "year")
    assert Datetime().fit(["2024-03-01 10:00", "2024-03-01 11:00"]).cycles == ("day",)
    assert Datetime().fit(["2024-03-01", "2024-03-08"]).cycles == ("month", "year")
    assert Datetime().fit(["2024-03-01"]).cycles == ()
    assert Datetime(cycles=("year", "week")).fit(["2024-03-01"]).cycles == ("week", "year")


def test_far_outside_the_training_rows_nothing_changes_any_more() -> None:
    preparation = Datetime(cycles=()).fit(["2024-01-01", "2024-01-11"])
    late, later = (
        preparation.batch([preparation.read(cell)])["features"] for cell in ("2024-01-21", "9999-12-31T23:59:59.999999")
    )
    assert late.equal(later)
    assert late[0, 0].item() == pytest.approx(3)  # one range beyond the end: (20 - 5) days / 5 days


def test_the_spelling_of_a_column_is_found() -> None:
    assert spellings_of(["2024-03-01", "2024-03-01 10:00Z"]) == (None,)
    assert spellings_of(["1.3.2024 10:00", "2.3.2024 11:15"]) == ("%d.%m.%Y %H:%M",)
    assert spellings_of(["1-31-2024"]) == ("%m-%d-%Y",)
    assert spellings_of(["1/3/2024", "2024-03-01"]) == ()
