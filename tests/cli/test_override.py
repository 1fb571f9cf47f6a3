"""Words of the command line that Hydra's grammar would refuse."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pochitrain.cli.override import to_hydra


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        ("confusion_matrix.title=混同行列", "confusion_matrix.title", "混同行列"),
        ("data.train_root=写真/猫 と 犬", "data.train_root", "写真/猫 と 犬"),
        ("work_dir=C:\\結果", "work_dir", "C:\\結果"),
        ("work_dir=結果\\", "work_dir", "結果\\"),
        ('confusion_matrix.title="混同行列"', "confusion_matrix.title", "混同行列"),
        ("confusion_matrix.title='正解, 予測'", "confusion_matrix.title", "正解, 予測"),
        ("epochs=3", "epochs", 3),
        ("+experiment=fast", "experiment", "fast"),
        ("device=None", "device", None),
        ("work_dir=None_2", "work_dir", "None_2"),
    ],
)
def test_a_value_arrives_as_typed(typed: str, key: str, value: object) -> None:
    parsed = OverridesParser.create().parse_override(to_hydra(typed))
    found = parsed.value()
    assert parsed.key_or_group == key
    assert (found if isinstance(found, (int, str, type(None))) else found.text) == value
    assert not parsed.is_add()
