"""`graft bench`."""

from pathlib import Path

import pytest

from tests.cli.running import answer, complaint
from visiongraft.cli.main import main

BENCH = ("bench", "resnet_pico", "--image", "32", "--against", "plain", "--patience", "0.01")


def test_networks_are_timed_and_the_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = tmp_path / "größe.csv"
    found = answer(capsys, *BENCH, "--batch-size", "1,2", "--output", table)
    assert [(row["contender"], row["batch_size"]) for row in found["rows"]] == [
        ("ours", 1),
        ("plain", 1),
        ("ours", 2),
        ("plain", 2),
    ]
    assert [each["models"] for each in found["means"]] == [1, 1]
    assert found["means"][0]["times"] == pytest.approx(found["rows"][1]["times_ours"], rel=1e-3)
    assert len(table.read_text().splitlines()) == 5
    assert "Torch" in " ".join(found["machine"]["versions"])


def test_what_is_measured_is_told_while_it_goes_and_summed_up_at_the_end(capsys: pytest.CaptureFixture) -> None:
    assert main([*BENCH, "--batch-size", "1"]) == 0
    caught = capsys.readouterr()
    assert caught.err.startswith("resnet_pico, 32 px, batch 1, float32, eager, inference\n  ours ")
    assert " of dense  " in caught.err
    assert caught.out.startswith("plain                takes ")
    assert "times as long as ours (1 network; 32 px, batch 1, float32, eager, inference)\n" in caught.out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["resnet_pica"], "Did you mean 'resnet_pico' or "),
        (
            ["resnet_pico", "--against", "tim"],
            "timm-compiled, timm-onnxruntime, torchvision, and got 'tim'.",
        ),
        (["resnet_pico", "--mode", "fast"], "--mode takes eager, folded, compiled, exported, and got"),
        (["resnet_pico", "--mode", "folded", "--direction", "training"], "A folded network does not learn: --mode"),
        (["resnet_pico", "--batch-size", "1,0"], "--batch-size takes whole numbers above 0 with commas between them"),
        (["resnet_pico", "--image", "32,x"], "--image"),
        (["resnet_pico", "--patience", "0"], "--patience must be above 0, not 0."),
        (["resnet_pico", "--precision", ","], "--precision takes float32, bfloat16, and got none."),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    words: list[str], text: str, capsys: pytest.CaptureFixture
) -> None:
    assert text in complaint(capsys, "bench", *words)
