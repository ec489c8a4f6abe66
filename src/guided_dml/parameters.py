"""Every parameter of the project: its type, its range, its meaning.

The whole of ``conf/*/parameters*.yml`` and ``--params`` is held against :class:`Parameters`
before the first node runs; nodes receive the blocks as these models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from guided_dml.errors import InputError, one_of

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, le=1)]

Similarity = Literal["l2", "cosine", "gaussian"]
Backbone = Literal["resnet18", "resnet34", "resnet50", "small_cnn"]

#: The paper's four baselines, and two controls of our own.
BASELINES = ("siamese", "triplet", "margin", "multi_similarity", "anchors", "softmax")
#: Every method: each is a pipeline's namespace and a block of parameters.
METHODS = ("guided", *BASELINES)


class Block(BaseModel):
    """A block of parameters: no unknown names, no silent conversions, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataParameters(Block):
    """How the raw images become a training, a validation and a test set."""

    test_share: Annotated[float, Field(gt=0, lt=1)]
    """Stratified share of the images that is the test set, where the source gives none."""
    images_per_class: Annotated[int, Field(ge=2)] | None
    """Keep at most so many images of each class, in training and in test (null: all)."""
    validation_share: Share
    """Stratified share of the training set that is held out for choices."""
    raw_pixel_training: bool
    """Train on 0-255 pixels, as the published code does (evaluation always normalises)."""


class TripletParameters(Block):
    """The fixed set of triplets that GEMINI learns from."""

    batch_size: Count
    """B, triplets of one ordered class pair (capped at half the smallest class)."""


class TrainingParameters(Block):
    """What the one training loop needs to know."""

    epochs: Count
    learning_rate: Positive
    momentum: Weight
    weight_decay: NotNegative
    clip_gradient_values: Positive | None
    """Clip every gradient value to this magnitude (null: do not)."""
    schedule: Literal["constant", "plateau", "one_cycle"]
    """Plateau lowers the rate when the train loss stalls; one cycle warms up, then anneals."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)]
    plateau_patience: Annotated[int, Field(ge=0)]


class GeminiParameters(TrainingParameters):
    """GEMINI, the master: one stream per class, one shared head."""

    margin: NotNegative
    beta: Weight
    """Weight of the local term of Eq. 5; the global one has 1 - beta."""
    kernel_size: Count
    padding: Annotated[int, Field(ge=0)]
    hidden_units: Count


class StudentParameters(TrainingParameters):
    """The student, and every baseline's network."""

    backbone: Backbone
    stem: Literal["small", "own"]
    """Small: 3x3 stride 1 and no max-pool, for small images; own: torchvision's 7x7."""
    embedding_dimension: Count
    batch_size: Annotated[int, Field(ge=2)]
    similarity: Similarity
    gaussian_width: Positive


class MethodParameters(Block):
    """What a method adds to the student that all methods train."""

    normalise_embeddings: bool
    """Scale every embedding to length one, in training and when it is scored."""


class GuidedParameters(MethodParameters):
    """The student follows GEMINI; S itself is ``student.similarity``."""


class ContrastiveParameters(MethodParameters):
    """Siamese network: positives together, negatives at least ``margin`` apart."""

    loss: Literal["contrastive"]
    margin: Positive


class TripletLossParameters(MethodParameters):
    """The negative at least ``margin`` farther from the anchor than the positive."""

    loss: Literal["triplet"]
    margin: Positive


class MarginLossParameters(MethodParameters):
    """Positives nearer than ``beta - margin``, negatives farther than ``beta + margin``."""

    loss: Literal["margin"]
    margin: Positive
    beta: Positive


class MultiSimilarityParameters(MethodParameters):
    """Weights pairs by their cosine similarity: how steeply, and around which similarity."""

    loss: Literal["multi_similarity"]
    alpha: Positive
    beta: Positive
    base: float


class AnchorsParameters(MethodParameters):
    """Control: every class has a fixed point as its target, neighbours ``margin`` apart."""

    loss: Literal["anchors"]
    margin: Positive


class SoftmaxParameters(MethodParameters):
    """Control: a classifier on top of the embedding, trained with cross-entropy."""

    loss: Literal["softmax"]


#: The block of any baseline, told by its ``loss``.
BaselineParameters = (
    ContrastiveParameters
    | TripletLossParameters
    | MarginLossParameters
    | MultiSimilarityParameters
    | AnchorsParameters
    | SoftmaxParameters
)


def baseline_parameters(raw: dict[str, Any]) -> BaselineParameters:
    """Return a baseline's block as its model: one node trains them all, whatever their block.

    (Kedro turns a block into a model by the type hint of a node's argument, which it cannot do
    for a union.)
    """
    block: TypeAdapter[BaselineParameters] = TypeAdapter(
        Annotated[BaselineParameters, Field(discriminator="loss")]
    )
    return block.validate_python(raw)


class EvaluationParameters(Block):
    """How embeddings are made and scored."""

    split: Literal["test", "validation"]
    batch_size: Count
    batch_statistics: bool
    """Batch-norm in training mode, n/30 images a batch, as the published code does."""


class ComputeParameters(Block):
    """Where and how precisely to compute; the policy is guided_dml.training.policy."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    deterministic: bool
    threads: Count | None = None
    """Of a CPU: another number gives other weights (null: as PyTorch finds them)."""


class Parameters(Block):
    """All parameters of a run."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    split_seed: Annotated[int, Field(ge=0, lt=2**32)]
    tracking: bool
    data: DataParameters
    triplets: TripletParameters
    gemini: GeminiParameters
    student: StudentParameters
    guided: GuidedParameters
    siamese: ContrastiveParameters
    triplet: TripletLossParameters
    margin: MarginLossParameters
    multi_similarity: MultiSimilarityParameters
    anchors: AnchorsParameters
    softmax: SoftmaxParameters
    evaluation: EvaluationParameters
    compute: ComputeParameters


def validated(raw: dict[str, Any]) -> Parameters:
    """Check the parameters of a run.

    Args:
        raw: Nested dictionary, as Kedro's configuration loader returns it.

    Returns:
        The same values as models.

    Raises:
        InputError: One line for each wrong parameter: its name, the value and what is allowed.
    """
    try:
        return Parameters.model_validate(raw)
    except ValidationError as error:
        lines = [_complaint(dict(item)) for item in error.errors()]
    raise InputError("wrong parameters, nothing was run:\n  " + "\n  ".join(lines))


def _complaint(item: dict[str, Any]) -> str:
    name = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        *parents, last = item["loc"]
        known = list(_block_at(parents).model_fields)
        close = get_close_matches(str(last), known, n=1)
        hint = f"did you mean {'.'.join([*map(str, parents), close[0]])}? " if close else ""
        return f"{name}: there is no such parameter; {hint}known here: {one_of(known)}"
    if item["type"] == "missing":
        return f"{name}: missing"
    allowed = item["msg"].replace("Input should be ", "must be ")
    return f"{name}: {item['input']!r} given; {allowed}"


def _block_at(path: list[Any]) -> type[BaseModel]:
    block: type[BaseModel] = Parameters
    for name in path:
        annotation = block.model_fields[name].annotation
        options = get_args(annotation) or (annotation,)
        block = next(option for option in options if isinstance(option, type))
    return block


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its full name (``student.epochs``)."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
