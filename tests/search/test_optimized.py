"""The best parameters as configs."""

from pochitrain.search.optimized import referenced_files


def test_the_files_that_a_config_needs() -> None:
    reference = "pochitrain.transform.reference.load_reference"
    lambd = {"_target_": reference, "file": "a b.py", "attribute": "f"}
    tree = {"transform": {"train": [{"_target_": "Lambda", "lambd": lambd}], "val": None}}
    assert list(referenced_files(tree)) == ["a b.py"]
    assert list(referenced_files({"model": {"_target_": "x"}})) == []
