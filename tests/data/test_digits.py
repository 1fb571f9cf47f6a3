"""The data set that needs no download."""

import numpy as np
from sklearn.datasets import load_digits

from pochitrain.data.digits import open_digits


def test_digits_are_scikit_learns_split_in_every_class() -> None:
    data = open_digits(image_size=32, val_fraction=0.2, seed=0)
    bunch = load_digits()
    assert data.val is not None
    assert (len(data.train), len(data.val)) == (1438, 359)
    assert data.class_names == [str(i) for i in range(10)]
    totals = np.add(data.count_per_class(data.train), data.count_per_class(data.val))
    assert totals.tolist() == np.bincount(bunch.target).tolist()
    assert all(34 <= count <= 37 for count in data.count_per_class(data.val))
    index = int(data.train.name(5).removeprefix("digits[").removesuffix("]"))
    assert data.train.labels[5] == bunch.target[index]
    image = data.train.load(5)
    assert (image.size, image.mode) == ((32, 32), "RGB")
    small = np.asarray(image.resize((8, 8)).convert("L"), dtype=float) / 255 * 16
    assert np.corrcoef(small.ravel(), bunch.images[index].ravel())[0, 1] > 0.95
