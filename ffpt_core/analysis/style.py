"""Names of ffpt_core.base.figures, where the command line still looks for them."""

from ffpt_core.base.figures import save_figure

__all__ = ["save_figure"]
