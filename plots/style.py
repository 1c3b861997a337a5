"""The common look of all figures: colours that mean the same thing everywhere, fonts, the stamp of the grade.

A figure is a list of panels; a panel is drawn into one axes. Alone, a figure's panels share one SVG file; in the report
each panel is an SVG of its own, so that a phone can stack them.
"""
import argparse
import io
import math
import os
import re
import sys
import tempfile

if not os.access(os.path.expanduser("~"), os.W_OK):
    os.environ.setdefault("MPLCONFIGDIR", os.path.join(tempfile.gettempdir(), f"slipstream-matplotlib-{os.getuid()}"))
try:
    import matplotlib
except ImportError:
    sys.exit("plots: matplotlib is missing; install it with `apt-get install python3-matplotlib`")
matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator  # noqa: E402

import results  # noqa: E402

# Okabe and Ito's palette: told apart with any colour vision, and by marker without colour.
POLICY_COLOURS = {"none": "#6b6b6b", "rpc": "#c44e00", "ring": "#007a5a", "tailwind": "#0063a6", "pull": "#a8558a",
                  "onesided-unsafe": "#9a6a00"}
POLICY_MARKERS = {"none": "s", "rpc": "o", "ring": "v", "tailwind": "D", "pull": "^", "onesided-unsafe": "X"}
ROLE_COLOURS = {"client": "#c3cad3", "primary": "#4b4382", "backup": "#c05a86", "fabric": "#8fc4b0"}
ROLE_HATCHES = {"fabric": "////"}
SPARE_COLOURS = ["#333333", "#8a2be2", "#556b2f", "#8b0000"]

GRADES = {"A": "published", "B": "recalled, unverified", "D": "derived"}
STAMP_COLOURS = {"simulated": "#5a3d99", "measured": "#1d6b2f", "published": "#333333",
                 "recalled, unverified": "#8f4a00", "derived": "#333333"}
SHM_NOTE = ("Over shm the primary's core does the copying a NIC would do; gains of one-sided policies measured there "
            "are conservative.")

WIDTH_IN, HEIGHT_IN = 5.4, 3.5

plt.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 10.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 20, "axes.labelsize": 10, "legend.fontsize": 9.5,
    "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#555555", "axes.linewidth": 0.8, "axes.grid": True, "grid.color": "#dddddd",
    "grid.linewidth": 0.7, "axes.axisbelow": True, "lines.linewidth": 1.8, "lines.markersize": 5.5,
    "legend.frameon": False, "figure.facecolor": "white", "hatch.linewidth": 0.6, "svg.fonttype": "path",
    "svg.hashsalt": "slipstream"})


def policy_colour(policy):
    return POLICY_COLOURS.get(policy) or SPARE_COLOURS[sum(policy.encode()) % len(SPARE_COLOURS)]


def policy_marker(policy):
    return POLICY_MARKERS.get(policy, "P")


def stamp(axes, grades):
    """Says on the picture itself what kind of evidence it shows."""
    grades = [grades] if isinstance(grades, str) else list(grades)
    position = 1.0
    for grade in reversed(grades):
        text = axes.annotate(grade, xy=(position, 1), xycoords="axes fraction", xytext=(0, 5),
                             textcoords="offset points", ha="right", va="bottom", fontsize=8.5, color="white",
                             bbox={"boxstyle": "round,pad=0.25", "facecolor": STAMP_COLOURS[grade],
                                   "edgecolor": "none"})
        position -= (len(grade) * 0.0155 + 0.04)
        text.set_zorder(5)


def title(axes, heading, limit=62):
    axes.set_title(heading if len(heading) <= limit else heading[:limit - 1] + "…")


def count_axis(axes, labels, label, counts=True):
    """The x axis of what was swept: for counts logarithmic, and marked so, when they spread far; ticks at points."""
    values = sorted(labels)
    logarithmic = counts and len(values) > 2 and values[0] > 0 and values[-1] / values[0] > 16
    if logarithmic:
        axes.set_xscale("log", base=2)
    else:
        reach = values[-1] - min(0, values[0])
        axes.set_xlim(min(0, values[0]), values[-1] + 0.04 * (reach or 1))
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    shown = spaced(values, labels, math.log2 if logarithmic else float)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: labels[value] if value in shown else ""))
    axes.set_xlabel(label + (" (log scale)" if logarithmic else ""))


def spaced(values, labels, scale):
    """The values whose labels have room: the last, the first, and what stands clear of those chosen before."""
    reach = scale(values[-1]) - scale(values[0])
    needed = max(len(label) for label in labels.values()) * 0.022 * reach
    chosen = []
    for value in [values[-1], values[0]] + values[1:-1]:
        if all(abs(scale(value) - scale(other)) >= needed for other in chosen):
            chosen.append(value)
    return set(chosen)


def ticks_125(axis):
    """Ticks of a logarithmic axis: at 1, 2 and 5 of every decade, or at decades when it spans many."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high / max(low, 1e-12) < 200 else (1, 3) if high / max(low, 1e-12) < 5000 else (1,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_locator(NullLocator())


def from_zero(axes, largest, headroom=0.08):
    axes.set_ylim(0, largest * (1 + headroom) if largest > 0 else 1)


def legend(axes, columns):
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=columns, handlelength=2.4, columnspacing=1.4)


def to_svg(figure):
    """The figure as SVG text, the same bytes for the same data."""
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", pad_inches=0.06, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return text.getvalue()


def inline(svg, prefix, name, description):
    """SVG to stand inside an HTML page: ids of its own, no namespace or metadata, a name and words to be read out."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r' id="([^"]+)"', rf' id="{prefix}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    view = re.search(r'viewBox="([^"]+)"', svg).group(1)
    width = float(view.split()[2])
    head = (f'<svg viewBox="{view}" role="img" aria-labelledby="{prefix}-name {prefix}-description" '
            f'style="max-width:{width * 1.4:.0f}px">'
            f'<title id="{prefix}-name">{escape(name)}</title>'
            f'<desc id="{prefix}-description">{escape(description)}</desc>')
    return re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)


def escape(text):
    return (str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;"))


def panel_svg(module, panel):
    figure, axes = plt.subplots(figsize=(WIDTH_IN, getattr(panel, "height_in", HEIGHT_IN)))
    module.draw(axes, panel)
    return to_svg(figure)


def figure_svg(module, panels):
    """All panels in one SVG, two beside each other."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height = max(getattr(panel, "height_in", HEIGHT_IN) for panel in panels)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH_IN * columns, (height + 0.6) * rows), squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index < len(panels):
            module.draw(axes, panels[index])
        else:
            axes.remove()
    figure.subplots_adjust(hspace=0.75, wspace=0.3)
    notes = sorted({panel.note for panel in panels if panel.note})
    if notes:
        figure.text(0.5, 0.0, "\n".join(notes), ha="center", va="top", fontsize=8.5)
    return to_svg(figure)


def figure_main(module, arguments=None):
    """`X.py RESULTS_FOLDER --out FILE.svg`. Exit status 2: the folder is no results or has nothing for this figure."""
    parser = argparse.ArgumentParser(description=module.__doc__.strip().splitlines()[0])
    parser.add_argument("results", metavar="RESULTS_FOLDER")
    parser.add_argument("--out", required=True, metavar="FILE.svg")
    options = parser.parse_args(arguments)
    try:
        panels = module.panels(results.load(options.results))
        if not panels:
            raise results.ResultsError(f"{options.results}: nothing here for this figure: {module.NEEDS}")
        write_whole(options.out, figure_svg(module, panels))
    except (results.ResultsError, OSError) as error:
        print(f"{os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
        return 2 if isinstance(error, results.ResultsError) else 1
    return 0


def write_whole(path, text):
    """The file appears complete or not at all."""
    partial = path + ".partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(partial, path)
