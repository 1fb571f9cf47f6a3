"""Graphs are drawn from tables alone; what can be read off a figure is checked on the figure."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from pochitrain.config.insight import ConfusionMatrixConfig
from pochitrain.error import ConfigError
from pochitrain.report import confusion_matrix
from pochitrain.report.confusion_matrix import (
    MAX_NAME,
    display_width,
    plot_confusion_matrix,
    require_colormap,
    shorten_name,
)
from pochitrain.report.curve import draw_accuracy, draw_layer_rates, draw_metrics, further_metrics
from pochitrain.report.figure import save_figure
from pochitrain.report.gradient import draw_heat_map, draw_time_series
from pochitrain.report.run import draw_run

METRICS = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "learning_rate": [0.1, 0.1, 0.1],
        "train_loss": [2.0, 1.0, 0.5],
        "train_accuracy": [10.0, 50.0, 80.0],
        "val_loss": [2.1, 1.2, 0.9],
        "val_accuracy": [9.0, 45.0, 70.0],
        "lr_conv1": [0.001, 0.0005, 0.00025],
        "lr_fc": [0.1, 0.05, 0.025],
    }
)
TRACE = pd.DataFrame({"epoch": [1, 2], "conv1": [np.nan, 2.0], "bn1": [1.0, 0.5], "fc": [3, 4.0]})


def test_a_run_directory_gets_every_graph(tmp_path):
    METRICS.to_csv(tmp_path / "training_metrics.csv", index=False)
    TRACE.to_csv(tmp_path / "gradient_trace.csv", index=False)
    (tmp_path / "confusion_matrix.csv").write_text("true_class,猫,犬\n猫,3,1\n犬,0,4\n")
    written = draw_run(tmp_path, ConfusionMatrixConfig())
    assert [path.name for path in written] == [
        "loss.png",
        "accuracy.png",
        "layer_rates.png",
        "gradient_norm.png",
        "gradient_norm_first_half.png",
        "gradient_norm_second_half.png",
        "gradient_heatmap.png",
        "confusion_matrix.png",
    ]
    for path in written:
        with Image.open(path) as image:
            assert image.size[0] > 600


def test_nothing_to_draw(tmp_path):
    assert draw_run(tmp_path, ConfusionMatrixConfig()) == []


def test_learning_rate_is_on_the_accuracy_graph_unless_layer_wise():
    assert len(draw_accuracy(METRICS, with_rate=True).axes) == 2
    assert len(draw_accuracy(METRICS, with_rate=False).axes) == 1


def test_metrics_of_one_unit_share_their_axes():
    table = METRICS.assign(
        val_balanced_accuracy=[8.0, 40.0, 60.0],
        val_mcc=[0.1, 0.4, 0.6],
        val_mine=[0.2, 0.3, 0.4],
        val_empty=np.nan,
        gap=1.0,
    )
    names = further_metrics(table)
    assert names == ["val_balanced_accuracy", "val_mcc", "val_mine"]
    percent, score = draw_metrics(table, names).axes
    assert [line.get_label() for line in percent.lines] == ["balanced accuracy"]
    assert [line.get_label() for line in score.lines] == ["mcc", "mine"]
    assert (percent.get_ylabel(), score.get_ylabel()) == ("%", "score")
    assert score.lines[0].get_ydata().tolist() == [0.1, 0.4, 0.6]
    assert len(draw_metrics(table, ["val_mcc"]).axes) == 1


@pytest.mark.parametrize(("log", "scale"), [(True, "log"), (False, "linear")])
def test_layer_rates(log, scale):
    figure = draw_layer_rates(METRICS, ["lr_conv1", "lr_fc"], log)
    axes = figure.axes[0]
    assert axes.get_yscale() == scale
    assert [line.get_label() for line in axes.lines] == ["conv1", "fc"]
    assert axes.lines[1].get_ydata().tolist() == [0.1, 0.05, 0.025]


def test_gradient_graphs_show_what_is_there():
    table = TRACE.set_index("epoch")
    axes = draw_time_series(table, "title").axes[0]
    assert [line.get_label() for line in axes.lines] == ["conv1", "bn1", "fc"]
    image = draw_heat_map(table).axes[0].images[0].get_array()
    assert image.shape == (3, 2)  # layers, epochs
    assert image.mask.tolist() == [[True, False], [False, False], [False, False]]
    assert image[2, 1] == 4.0


def test_every_key_of_the_confusion_matrix_config(recwarn):
    style = ConfusionMatrixConfig(
        title="混同行列",
        xlabel="予測ラベル",
        ylabel="実際ラベル",
        fontsize=11,
        title_fontsize=21,
        label_fontsize=13,
        figsize=[7, 5],
        cmap="Greens",
    )
    figure = plot_confusion_matrix(["猫", "犬"], np.array([[9, 1], [0, 5]]), style)
    axes = figure.axes[0]
    assert (axes.get_title(), axes.title.get_fontsize()) == ("混同行列", 21)
    assert (axes.get_xlabel(), axes.xaxis.label.get_fontsize()) == ("予測ラベル", 13)
    assert (axes.get_ylabel(), axes.yaxis.label.get_fontsize()) == ("実際ラベル", 13)
    assert tuple(figure.get_size_inches()) == (7, 5)
    assert axes.images[0].get_cmap().name == "Greens"
    numbers = {(t.get_position()[::-1], t.get_text()): t for t in axes.texts}
    assert set(numbers) == {((0, 0), "9"), ((0, 1), "1"), ((1, 0), "0"), ((1, 1), "5")}
    assert all(text.get_fontsize() == 11 for text in axes.texts)
    assert not [w for w in recwarn if "Glyph" in str(w.message)]  # no empty boxes


@pytest.mark.parametrize("cmap", ["Blues", "viridis", "gray", "Reds"])
def test_numbers_stand_out_from_their_cell(cmap):
    counts = np.array([[100, 60, 40], [0, 80, 20], [50, 10, 30]])
    figure = plot_confusion_matrix(list("abc"), counts, ConfusionMatrixConfig(cmap=cmap))
    image = figure.axes[0].images[0]
    for text in figure.axes[0].texts:
        column, row = text.get_position()
        cell = np.array(image.to_rgba(counts)[row, column, :3])
        ink = np.array(to_rgb(text.get_color()))
        weights = np.array([0.2126, 0.7152, 0.0722])
        assert abs(cell @ weights - ink @ weights) >= 0.5


def test_many_classes_grow_the_figure_and_keep_every_name():
    names = [f"{i:03d}.Some_rather_long_name_of_a_bird_{i}" for i in range(120)]
    figure = plot_confusion_matrix(names, np.eye(120, dtype=int), ConfusionMatrixConfig())
    axes = figure.axes[0]
    labels = axes.get_yticklabels()
    assert len(labels) == 120 and len({label.get_text() for label in labels}) == 120
    cell_in = axes.get_window_extent().height / figure.dpi / 120
    assert cell_in * 72 >= labels[0].get_fontsize()  # labels do not touch each other


def test_long_names_keep_beginning_and_end():
    assert shorten_name("猫") == "猫"
    short = shorten_name("images_of_the_front_left_wheel_2023")
    assert short.startswith("images_of") and short.endswith("2023")
    assert display_width(short) <= MAX_NAME
    assert display_width(shorten_name("とても長い日本語のクラス名がここにあります")) <= MAX_NAME


def test_a_name_with_dollar_signs_is_no_formula(tmp_path):
    names = ["$a_{", "b$c$"]
    figure = plot_confusion_matrix(names, np.eye(2, dtype=int), ConfusionMatrixConfig())
    save_figure(figure, tmp_path / "a.png")


def test_unknown_colour_map():
    with pytest.raises(ConfigError, match=r"confusion_matrix\.cmap .* got 'blues'.*Blues"):
        require_colormap("blues")


def test_a_single_epoch_is_seen_at_a_whole_number(tmp_path):
    figure = draw_accuracy(METRICS[:1], with_rate=True)
    figure.draw_without_rendering()
    left, right = figure.axes
    low, high = left.get_xlim()
    assert [tick for tick in left.get_xticks() if low <= tick <= high] == [1]
    for line in (*left.lines, *right.lines):
        assert line.get_marker() not in ("None", None)  # one point is no line
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["training", "validation", "learning rate"]


def test_dollar_signs_are_no_formula_anywhere(tmp_path):
    rule = r"layer1\..*$|bn1\..*$"
    table = METRICS.rename(columns={"lr_conv1": f"lr_{rule}"})
    figure = draw_layer_rates(table, [f"lr_{rule}", "lr_fc"], False)
    save_figure(figure, tmp_path / "a.png")
    assert not figure.legends[0].get_texts()[0].get_parse_math()
    style = ConfusionMatrixConfig(title=r"$\no$", xlabel=r"$\no$", ylabel=r"$\no$")
    save_figure(plot_confusion_matrix(["a"], np.eye(1, dtype=int), style), tmp_path / "b.png")


def test_many_layers_leave_room_for_the_lines(tmp_path):
    rows = {f"layer{i // 4}.{i % 4}.conv.weight": [i + 1.0, i + 2.0] for i in range(161)}
    figure = draw_time_series(pd.DataFrame(rows, index=[1, 2]), "title")
    save_figure(figure, tmp_path / "a.png")
    axes = figure.axes[0]
    assert len(axes.lines) == 161
    assert len(figure.legends[0].get_texts()) <= 24
    assert axes.get_window_extent().width > 0.6 * figure.bbox.width


def test_colours_of_counts_are_labelled_with_whole_numbers():
    figure = plot_confusion_matrix(["a", "b"], np.eye(2, dtype=int), ConfusionMatrixConfig())
    assert all(tick == round(tick) for tick in figure.axes[1].get_yticks())


def test_a_confusion_matrix_stops_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusion_matrix, "MAX_LABELLED", 30)
    sizes: list[tuple[float, ...]] = []
    labels: list[list[str]] = []
    for num in (30, 75):
        names = [f"class {i}" for i in range(num)]
        counts = np.eye(num, dtype=np.int64)
        figure = plot_confusion_matrix(names, counts, ConfusionMatrixConfig(figsize=(1, 1)))
        sizes.append(tuple(figure.get_size_inches()))
        labels.append([label.get_text() for label in figure.axes[0].get_yticklabels()])
    assert sizes[0] == sizes[1]
    assert labels[0] == [f"class {i}" for i in range(30)]
    assert labels[1] == [f"class {i}" for i in range(0, 75, 3)]
