from __future__ import annotations

from pathlib import Path

import pytest

from guided_dml.errors import InputError
from guided_dml.lineage import check_fit, record


def store(folder: Path, name: str, version: str, content: str, *sources: Path) -> Path:
    path = folder / name / version / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    record(path, {source.name: source for source in sources})
    return path


def test_what_fits_passes_and_what_does_not_is_named(tmp_path: Path) -> None:
    images = store(tmp_path, "images", "v1", "some")
    split = store(tmp_path, "split", "v1", "of some", images)
    teacher = store(tmp_path, "teacher", "v1", "z", split)
    check_fit({"images": images, "split": split, "teacher": teacher}, {})

    again = store(tmp_path, "images", "v2", "some")
    check_fit({"images": again, "teacher": teacher}, {})

    others = store(tmp_path, "images", "v3", "others")
    with pytest.raises(InputError, match=r"teacher \(v1\) was made from another images than the"):
        check_fit({"images": others, "teacher": teacher}, {"teacher": ["gemini"]})


def test_origins_are_followed_all_the_way(tmp_path: Path) -> None:
    images = store(tmp_path, "images", "v1", "some")
    triplets = store(tmp_path, "triplets", "v1", "t", images)
    gemini = store(tmp_path, "gemini", "v1", "g", triplets)
    others = store(tmp_path, "images", "v2", "others")
    with pytest.raises(InputError, match=r"gemini \(v1\) .*another images .*\(v2\).*steps"):
        check_fit({"images": others, "gemini": gemini}, {"gemini": ["steps"]})


def test_files_without_a_record_fit_anything(tmp_path: Path) -> None:
    path = tmp_path / "a" / "v1" / "a"
    path.parent.mkdir(parents=True)
    path.write_text("x")
    check_fit({"a": path}, {})
