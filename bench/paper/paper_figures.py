"""One look for the figures: SVG with text as text, the same bytes for the same numbers."""
import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "fusion", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False,
                            "axes.spines.right": False, "axes.grid": True, "grid.color": "0.92", "legend.frameon": False,
                            "font.family": "sans-serif", "figure.facecolor": "white"})

from matplotlib import pyplot  # noqa: E402

COLOURS = ["#1f5fa8", "#d1701a", "#3a8a3a", "#a83c3c", "#7556a3", "#6b6b6b", "#bb4f97"]


def grid(count, y, x, columns=3):
    """`count` axes side by side, `columns` in a row, with one name for both axes."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.1 * columns, 2.5 * rows + 0.5), squeeze=False)
    for axis in axes.flat[count:]:
        axis.remove()
    figure.supylabel(y, fontsize=9)
    inches = 2.5 * rows + 0.5
    figure.supxlabel(x, fontsize=9, y=0.32 / inches)
    figure.subplots_adjust(left=0.12, right=0.98, top=1 - 0.25 / inches, bottom=0.8 / inches, wspace=0.3, hspace=0.45)
    return figure, list(axes.flat[:count])


def save(figure, folder, name, text):
    """Markdown of the figure, whose file is `name` in `folder`/figures."""
    folder = folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return f"![{text}](figures/{name})"
