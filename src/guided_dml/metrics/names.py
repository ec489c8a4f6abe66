"""The scores of a run: every list of them comes from here."""

#: The five of the paper's tables, and what they are called there.
SHOWN = {
    "recall_at_1": "Recall@1",
    "f1": "F1",
    "nmi": "NMI",
    "r_precision": "RP",
    "map_at_r": "MAP@R",
}

#: All of them.
SCORES = (*SHOWN, "recall_at_2", "recall_at_4", "recall_at_8", "accuracy")

#: Ends the names of the scores that a run with flip averaging would have without it.
WITHOUT_FLIP_AVERAGE = "_without_flip_average"

#: A teacher whose ratio of the distances between and within classes is lower is warned of.
CONVERGED = 3.0
