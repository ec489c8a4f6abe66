"""A table or more for each module of robustness."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial

from guided_dml.comparison.names import method_name, set_name
from guided_dml.metrics.statistics import mean_of
from guided_dml.pipelines.reporting.measured_sets import MeasuredSet
from guided_dml.pipelines.reporting.parts import (
    DASH,
    RAW_PIXELS,
    Table,
    percent,
    seconds_shown,
    spanned,
)
from guided_dml.robustness.maps import RIVALS
from guided_dml.robustness.names import FAMILIES, SEVERITIES
from guided_dml.robustness.subpopulation import SMALLEST_TAIL, factors_left_out

#: Scores by what a column of theirs is called.
Columns = Mapping[str, str]

#: The scores that tell OOD images, and what they are called.
DETECTORS = {
    "nn": "nn",
    "knn": "knn",
    "mahalanobis": "Mahalanobis",
    "relative": "relative",
    "msp": "MSP",
    "energy": "energy",
}

#: There are two definitions.
FPR95 = (
    "FPR95: the share of the strange images that the threshold accepts which accepts 95 % of the "
    "test images (where OOD is taken as the positive class, as in OpenOOD, it is another number)."
)

INTERVALS = "In %: mean ± half width of the 95 % interval over n seeds."


def module_tables(measured: MeasuredSet) -> list[Table]:
    """Return the tables of all modules that were measured."""
    makers = (_corruptions, _ood, _subpopulation, _maps, _unseen)
    return [table for make in makers for table in make(measured)]


def _corruptions(measured: MeasuredSet) -> list[Table]:
    table = partial(_table, measured, "corruptions")
    retrieval = {
        "clean_recall_at_1": "Recall@1, clean",
        "corrupted_recall_at_1": "Recall@1, corrupted",
        "drop": "Drop",
        "mce": "mCE",
        "relative_mce": "Relative mCE",
        "corrupted_recall_at_1_geometric": "Recall@1, geometric",
        "clean_map_at_r": "MAP@R, clean",
        "corrupted_map_at_r": "MAP@R, corrupted",
    }
    verification = {
        "clean_fmr": "FMR, clean",
        "corrupted_fmr": "FMR, corrupted",
        "clean_fnmr": "FNMR, clean",
        "corrupted_fnmr": "FNMR, corrupted",
        "domain_recall_at_1": "Recall@1, other domain",
        "domain_map_at_r": "MAP@R, other domain",
    }
    return [
        *table(
            "Corrupted images: the mean over families and severities; the references are clean. "
            "Drop: clean minus corrupted, of the same images. mCE: the errors of Recall@1 as a "
            "share of raw pixels' errors; relative mCE: the errors beyond the clean ones, "
            "likewise. Of colour images the families that move pixels are apart (geometric). A "
            "shift that training used is in no mean.",
            retrieval,
        ),
        *_families(measured),
        *table(
            "Verification of corrupted images at the distance that lets through 1 % of the clean "
            "pairs of two classes: false matches (FMR) and false non-matches (FNMR); and the same "
            "classes in another domain, where there is one.",
            verification,
        ),
    ]


def _families(measured: MeasuredSet) -> list[Table]:
    stored = set(measured.scores("corruptions"))
    rows = []
    for family, title in FAMILIES.items():
        names = [f"recall_at_1.{family}.{severity}" for severity in SEVERITIES]
        names = [name for name in names if name in stored]
        if names:
            values = measured.values("corruptions", *names)
            row = [_mean([*values[method].values()]) for method in measured.methods]
            rows.append([title, *row, _one(measured.pixels("corruptions", *names))])
    if not rows:
        return []
    caption = "Recall@1 of corrupted images by family, the mean over its severities. " + INTERVALS
    header = ["Family", *map(method_name, measured.methods), RAW_PIXELS]
    return [Table(caption, header, [rows])]


#: What the first table of OOD images explains.
HOW_TOLD = (
    " By the distance to the nearest reference (nn), to the k-th (knn), by Mahalanobis distance, "
    f"of a classifier by its softmax too (MSP, energy). {FPR95} AUPR: of equal counts. Rejected: "
    "by the threshold that accepts 95 % of the validation images. Images of other data sets that "
    "have another size are averaged down or padded with black, grey is made RGB and the reverse."
)


def _ood(measured: MeasuredSet) -> list[Table]:
    prefix, tables = "auroc_nn.", list[Table]()
    stored = [name for name in measured.scores("ood") if name.startswith(prefix)]
    for name in (name.removeprefix(prefix) for name in stored):
        columns = {f"auroc_{score}.{name}": f"AUROC, {text}" for score, text in DETECTORS.items()}
        columns |= {
            f"fpr95_nn.{name}": "FPR95, nn",
            f"aupr_in_nn.{name}": "AUPR-in, nn",
            f"aupr_out_nn.{name}": "AUPR-out, nn",
            f"ood_rejection.{name}": "Rejected",
        }
        caption = f"Out-of-distribution images: {set_name(name)}, told from the test images."
        tables += _table(measured, "ood", caption + (HOW_TOLD if not tables else ""), columns)
    columns = {
        "id_acceptance": "Accepted",
        "aurc": "AURC",
        "eer": "EER",
        "fnmr_at_fmr_1": "FNMR at FMR 1 %",
    }
    caption = (
        "The test images themselves. Accepted: by the threshold that accepts 95 % of the "
        "validation images. AURC: area under the risk-coverage curve of 1-NN by distance. EER, "
        "FNMR: of pairs of a test image and a reference."
    )
    return [*tables, *_table(measured, "ood", caption, columns)]


def _subpopulation(measured: MeasuredSet) -> list[Table]:
    columns = {
        "recall_at_1": "Recall@1",
        "worst_class_recall": "Worst class",
        "recall_head": "Head",
        "recall_middle": "Middle",
        "recall_tail": "Tail",
    }
    prefix, tables = "recall_at_1", []
    for name in measured.scores("subpopulation"):
        if name.partition(".")[0] != prefix:
            continue
        ending = name.removeprefix(prefix)
        factor = ending.removeprefix(".long_tail_")
        gallery = (
            f"a long-tailed gallery, the largest class {factor} times the smallest"
            if ending
            else "all references"
        )
        caption = (
            f"Sub-populations, with {gallery}. Recall@1 is the mean over the classes; the worst "
            "class bounds it whatever their proportions."
        )
        if f"recall_head{ending}" in measured.scores("subpopulation"):
            caption += " Head, middle and tail: thirds of the classes, by their references."
        of = {score + ending: title for score, title in columns.items()}
        tables += _table(measured, "subpopulation", caption, of)
    too_long = factors_left_out(measured.scores("subpopulation"))
    if tables and too_long:
        tables[-1].notes.append(
            f"No long-tailed gallery of factor {too_long}: its smallest class would "
            f"have fewer than {SMALLEST_TAIL} images."
        )
    return tables


def _maps(measured: MeasuredSet) -> list[Table]:
    columns = {
        "neighbourhood_hit": "Neighbourhood hit",
        "trustworthiness": "Trustworthiness",
        "continuity": "Continuity",
        "silhouette": "Silhouette",
        "recall_at_1": "1-NN",
    }
    if not measured.scores("maps"):
        return []
    methods = [
        [*row, seconds_shown(measured.first.seconds(method)), "yes"]
        for method, row in _method_rows(measured, "maps", columns).items()
    ]
    rivals = []
    for name, rival in RIVALS.items():
        seconds = measured.pixels("maps", f"seconds.{name}")
        if not math.isnan(seconds):
            scores = [_one(measured.pixels("maps", f"{score}.{name}")) for score in columns]
            labels = "yes" if rival.uses_labels else "no"
            rivals.append([rival.title, DASH, *scores, seconds_shown(seconds), labels])
    raw = [*_pixels_row(measured, "maps", columns), DASH, "no"]
    caption = (
        "Maps of test images in two dimensions (of more, the first two principal components), and "
        "those that are fitted to training images without a network; of raw pixels what their own "
        "distances give. Neighbourhood hit: of the 20 nearest images, those of the same class (of "
        "a class of fewer than 21 it cannot be 100 %). Trustworthiness and continuity: whether "
        "close points are close images, and the reverse. 1-NN: of test images among training "
        "images in the map. Seconds: of a training, or of a "
        f"fit. {INTERVALS}"
    )
    header = ["Method", "n", *columns.values(), "Seconds", "Uses labels"]
    return [Table(caption, header, [methods, [*rivals, raw]])]


def _unseen(measured: MeasuredSet) -> list[Table]:
    shots = shots_of(measured)
    known = {f"auroc_{score}": f"AUROC, {text}" for score, text in DETECTORS.items()}
    known |= {"fpr95_nn": "FPR95, nn"}
    among = {"recall_at_1": "Recall@1", "map_at_r": "MAP@R", "nmi": "NMI"}
    among |= {f"accuracy_{shot}_shot": f"{shot}-shot accuracy" for shot in shots}
    return [
        *_table(
            measured,
            "unseen",
            "Held-out classes as out-of-distribution images, told from the test images of the "
            f"classes trained on. {FPR95}",
            known,
        ),
        *_table(
            measured,
            "unseen",
            "Retrieval among the held-out classes, test images as queries and training images as "
            "references; and few-shot classification of their test images by the nearest "
            "centroid, the mean over episodes that are the same for all methods.",
            among,
        ),
    ]


def shots_of(measured: MeasuredSet) -> list[int]:
    """Return with how many images of a class few-shot accuracy was measured."""
    found = (re.fullmatch(r"accuracy_(\d+)_shot", name) for name in measured.scores("unseen"))
    return sorted(int(match[1]) for match in found if match)


def _table(measured: MeasuredSet, module: str, caption: str, columns: Columns) -> list[Table]:
    """Return the table of some scores, without those that nobody has; none without any."""
    stored = set(measured.scores(module))
    columns = {score: title for score, title in columns.items() if score in stored}
    if not columns:
        return []
    rows = [*_method_rows(measured, module, columns).values()]
    groups = [rows, [_pixels_row(measured, module, columns)]]
    header = ["Method", "n", *columns.values()]
    return [Table(f"{caption} {INTERVALS}", header, groups)]


def _method_rows(measured: MeasuredSet, module: str, columns: Columns) -> dict[str, list[str]]:
    """Return for each method that has any of the scores its name, its runs and the scores."""
    of, rows = {score: measured.values(module, score) for score in columns}, {}
    for method in measured.methods:
        runs = [[*values[method].values()] for values in of.values()]
        if any(runs):
            rows[method] = [method_name(method), spanned(map(len, runs)), *map(_mean, runs)]
    return rows


def _pixels_row(measured: MeasuredSet, module: str, columns: Columns) -> list[str]:
    scores = [_one(measured.pixels(module, score)) for score in columns]
    return [RAW_PIXELS, DASH, *scores]


def _mean(values: list[float]) -> str:
    mean = mean_of(values)
    return percent(mean.mean, mean.half_width, ".1f")


def _one(value: float) -> str:
    return percent(value, form=".1f")
