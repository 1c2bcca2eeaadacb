"""How the papers' figures are drawn: style, and colours that all kinds of vision tell apart."""

from typing import Any

from matplotlib.figure import Figure

REAL, GENERATED = "#2b83c6", "#e0701b"
# Okabe and Ito's hues; the control comes last and is grey.
HUES = ("#d55e00", "#1f9e77", "#c45f9b", "#e69f00", "#6a5acd", "#2b83c6")
CONTROL_GREY = "#8a929a"
REAL_MARKER, GENERATED_MARKER = "o", "x"
STYLE: dict[str, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 8,
    "axes.titlesize": 9, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "axes.linewidth": 0.6, "legend.frameon": False,
    "text.parse_math": False, "pdf.fonttype": 42,
}  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    return Figure(figsize=(width, height), layout="constrained")
