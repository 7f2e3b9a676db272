"""The whole way on real pictures and sounds, and what becomes of it when half of the rows come without sound."""

from pathlib import Path

import pandas as pd
import pytest

import motet


@pytest.mark.real
def test_digits_seen_and_heard_and_half_of_them_only_seen(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "av_digits"
    whole = pd.read_csv(source / "table.csv", dtype=str)
    parts = {"train": 1500, "val": 250, "test": 400}
    rows = pd.concat([whole[whole.split == part].head(count) for part, count in parts.items()])
    for column in ("image", "audio"):
        rows[column] = [str((source / cell).resolve()) for cell in rows[column]]
    rows.to_csv(tmp_path / "table.csv", index=False)
    motet.init(tmp_path / "table.csv", tasks=["digit", "parity", "speaker"], output=tmp_path / "experiment.yaml")
    assert not motet.check(tmp_path / "experiment.yaml").problems
    run = motet.fit(tmp_path / "experiment.yaml", out=tmp_path / "run", changes=["training.epochs=6"])
    assert run.report["digit"]["accuracy"].value > 0.9
    assert run.report["speaker"]["accuracy"].value > 0.9

    test = rows[rows.split == "test"].reset_index(drop=True)
    silent = test.index % 2 == 0
    test.loc[silent, "audio"] = None
    answers = run.model.predict(test, root=real_data)
    right = (answers["digit"].astype(str) == test["digit"]).to_numpy()
    assert len(answers) == len(test)
    assert right[~silent].mean() > 0.9
    assert right[silent].mean() > 0.5, "the picture alone still says most of it"
    pd.testing.assert_frame_equal(
        answers[~silent],
        run.model.predict(rows[rows.split == "test"], root=real_data).reset_index(drop=True)[~silent],
        rtol=1e-4,
    )
