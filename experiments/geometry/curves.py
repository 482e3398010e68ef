"""The figure of value_geometry.py."""

from pathlib import Path

from util.files import atomically


def draw_curves(report: dict, path: Path) -> None:
    """Two panels over the layers: what other facts' keys and values share; what is removed from them.

    matplotlib is imported here, so that the numbers can be had without it.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    layers, measured = list(report["layers"]), list(report["layers"].values())
    with rc_context({"svg.hashsalt": "values", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        alike, removed = figure.subplots(1, 2)
        for name, label in (
            ("common_length", "|mean value| / |value|"),
            ("cosine_of_values", "cosine of values"),
            ("cosine_of_keys", "cosine of keys"),
        ):
            alike.plot(layers, [one[name] for one in measured], label=label)
        alike.set(ylim=(0, 1), xlabel="layer", title="what other facts share")
        for count in measured[0]["forgotten"]:
            shares = [one["forgotten"][count] for one in measured]
            (line,) = removed.plot(layers, [100 * one["others"] for one in shares], label=f"{count} facts")
            removed.plot(layers, [100 * one["chance"] for one in shares], ls=":", lw=1, color=line.get_color())
        removed.set(ylim=(0, 100), xlabel="layer", ylabel="%", title="energy of other facts removed (dotted: chance)")
        for panel in (alike, removed):
            panel.legend(fontsize=8, frameon=False)
        figure.suptitle(f"{Path(report['model_name']).name}, {report['facts']['others']} other facts")
        with atomically(path) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None}, facecolor="white")
