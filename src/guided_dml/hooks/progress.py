"""A line a step, and at the end the scores and where to look next."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from time import perf_counter
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from guided_dml.errors import InputError
from guided_dml.lineage import stored_files
from guided_dml.metrics.names import SHOWN, WITHOUT_FLIP_AVERAGE
from guided_dml.robustness.names import OUTCOMES

logger = logging.getLogger(__name__)


class ProgressHooks:
    """Says what one session at a time does, and what came out."""

    def __init__(self) -> None:
        self._split: str
        self._catalog: CatalogProtocol[Any, Any]
        self._steps = self._done = 0
        self._started = 0.0
        # (it would tell what a step refuses as well, above the command line and with all inputs)
        logging.getLogger("kedro.pipeline.node").addFilter(_is_no_refusal)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember what the summary is about."""
        loader = context.config_loader
        parameters = loader["parameters"]
        self._dataset, self._seed = loader["globals"]["dataset"], parameters["seed"]
        self._split = parameters["evaluation"]["split"]

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Count the steps."""
        self._catalog = catalog
        self._steps, self._done = len(pipeline.nodes), 0

    @hook_impl
    def before_node_run(self) -> None:
        """Start the clock."""
        self._started = perf_counter()

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        """Log a line a step, and give back the memory that it took."""
        _trim_memory()
        self._done += 1
        seconds = perf_counter() - self._started
        logger.info("[%2d/%d] %-30s %7.1f s", self._done, self._steps, node.name, seconds)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline) -> None:
        """Log the scores and where to look next."""
        made = pipeline.all_outputs()
        for name in sorted(made):
            if name.endswith(".scores"):
                logger.info(self._summary(name.removesuffix(".scores"), made))
            if name.endswith(".audit_scores"):
                logger.info(self._audit(name.removesuffix(".audit_scores")))
        modules = {one.module for one in OUTCOMES}
        measured = [name.partition(".") for name in sorted(made)]
        for method in dict.fromkeys(method for method, _, part in measured if part in modules):
            logger.info(self._robustness(method, made))
        answers = {n for n in made if n.endswith((".predictions", ".inference_page"))}
        for name, path in sorted(stored_files(self._catalog, answers).items()):
            logger.info("%-9s %s", "Look:" if "page" in name else "Table:", os.path.relpath(path))
        for path in stored_files(self._catalog, {"comparison_markdown"} & made).values():
            folder = os.path.relpath(path.parents[2])
            logger.info("\nReport:   %s/*/%s/*", folder, path.parent.name)

    def _summary(self, method: str, made: set[str]) -> str:
        scores = self._catalog.load(f"{method}.scores")
        trained = f", seed {self._seed}" if f"{method}.weights" in made else ""
        lines = [
            "",
            f"{method} on {self._dataset}{trained}, {self._split} set, in %",
            "".join(f"{title:>10}" for title in SHOWN.values()),
            _row(scores),
        ]
        if f"recall_at_1{WITHOUT_FLIP_AVERAGE}" in scores:
            lines.append(f"{_row(scores, WITHOUT_FLIP_AVERAGE)}  without flip averaging")
        if "pixel_scores" in made:
            pixels = 100 * self._catalog.load("pixel_scores")["recall_at_1"]
            lines.append(f"{pixels:10.2f}  raw pixels, nearest neighbour (test set)")
        for path in stored_files(self._catalog, {f"{method}.embedding_page"} & made).values():
            folder = os.path.relpath(path.parents[2])
            lines += [
                "",
                f"Figures:  {folder}/*/{path.parent.name}/*",
                "Compare:  make mlflow  (runs side by side)     make viz  (the pipelines)",
            ]
        return "\n".join(lines)

    def _robustness(self, method: str, made: set[str]) -> str:
        lines = ["", f"{method} on {self._dataset}: robustness, the declared outcomes, in %"]
        lines.append(f"{'':28}{method:>18}{'raw pixels':>12}")
        for module, score, title, _ in OUTCOMES:
            names = [f"{method}.{module}", f"pixel_{module}"]
            found = [self._catalog.load(name) if name in made else {} for name in names]
            if found[0]:
                shown = [f"{100 * part[score]:.2f}" if score in part else "-" for part in found]
                lines.append(f"{title:28}{shown[0]:>18}{shown[1]:>12}")
        drawn = {f"{method}.ood", f"{method}.maps", f"{method}.corruptions"} & made
        for path in [*stored_files(self._catalog, drawn).values()][:1]:
            lines += ["", f"All:      {os.path.relpath(path.parents[2])}/*/{path.parent.name}/*"]
        return "\n".join(lines)

    def _audit(self, method: str) -> str:
        scores = self._catalog.load(f"{method}.audit_scores")
        found = {name: f"{count:7,.0f}" for name, count in scores.items()}
        by_pixels, by_both = (scores[f"label_issues_by_{name}"] for name in ("pixels", "both"))
        pages = stored_files(self._catalog, {f"{method}.audit_page"}).values()
        return "\n".join(
            [
                "",
                f"{method} on {self._dataset}: audit of {scores['images']:,} images",
                f"{found['label_issues']}  likely wrong labels "
                f"(in raw pixels {by_pixels:,}, in both {by_both:,})",
                f"{found['exact_groups']}  groups with exact duplicates",
                f"{found['near_groups']}  groups of near duplicates",
                f"{found['leaks']}  groups with training and test images: leaks",
                *(f"\nLook:     {os.path.relpath(path)}" for path in pages),
            ]
        )


def _is_no_refusal(_: logging.LogRecord) -> bool:
    return not isinstance(sys.exc_info()[1], InputError)


def _row(scores: dict[str, float], ending: str = "") -> str:
    return "".join(f"{100 * scores[name + ending]:10.2f}" for name in SHOWN)


def _trim_memory() -> None:
    """Let glibc give back what was freed: it would keep 200 MB of a CIFAR-10 run to its end."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # (musl has none)
        if trim:
            trim(0)
