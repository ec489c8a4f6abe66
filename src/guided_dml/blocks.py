"""The blocks that the parameters consist of; a method's own are in its file in ``methods/``."""

from __future__ import annotations

from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar
from unicodedata import normalize

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from guided_dml.errors import InputError, failing_as, one_of

if TYPE_CHECKING:
    from torch import Tensor

    from guided_dml.types import Objective

#: Beyond are slips of the keys, which would overflow somewhere in the middle of a run.
LARGEST, LARGEST_SIZE, LARGEST_FLOAT = 2**31 - 1, 2**14, 1e30


def _within_float32(value: float) -> float:
    if value > LARGEST_FLOAT:
        raise ValueError(f"must be at most {LARGEST_FLOAT:g}")
    return value


Float = Annotated[float, AfterValidator(_within_float32)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
NotNegativeCount = Annotated[int, Field(ge=0, le=LARGEST)]
Several = Annotated[int, Field(ge=2, le=LARGEST)]
Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[Float, Field(gt=0)]
NotNegative = Annotated[Float, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, le=1)]

T = TypeVar("T")
DEFINING = "defining"
#: Of a parameter that decides what a stored result is (its shape, or of what it tells), not how
#: well it was made. What was made with another value is not read.
Defining = Annotated[T, DEFINING]

Similarity = Literal["l2", "cosine", "gaussian"]
BACKBONES = ("resnet18", "resnet34", "resnet50", "small_cnn", "airbench")


def _known_backbone(name: str) -> str:
    """Let through one of ours, or a model of timm by its name there."""
    if name.startswith("timm/"):
        import timm  # (seconds: only who asks for it pays)

        asked, known = name.removeprefix("timm/"), timm.list_models()
        close = [f"timm/{model}" for model in get_close_matches(asked, known)]
        allowed = "must be a model of timm"
        allowed += f"; close to it are {one_of(close)}" if close else ""
    else:
        asked, known = name, list(BACKBONES)
        allowed = f"must be {one_of(known)} or timm/NAME"
    if asked not in known:
        raise ValueError(allowed)
    return name


Backbone = Annotated[str, AfterValidator(_known_backbone)]


class Block(BaseModel):
    """A block of parameters: no unknown names, no silent conversions, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataParameters(Block):
    """How the raw images become a training, a validation and a test set."""

    test_share: Defining[Annotated[float, Field(gt=0, lt=1)]]
    """Stratified share of the images that is the test set, where the source gives none."""
    images_per_class: Defining[Several | None]
    """Keep at most so many images of each class, in training and in test (null: all)."""
    validation_share: Defining[Share]
    """Stratified share of the training set that is held out for choices."""
    raw_pixel_training: Defining[bool]
    """Train on 0-255 pixels, as the published code does (evaluation always normalises)."""
    classes: Defining[list[str] | None] = None
    """Names of the classes to train on (null: all); the others are unseen."""
    imbalance_factor: Defining[Annotated[Float, Field(gt=1)] | None] = None
    """A long tail of training images: so many times more of the largest class than of the
    smallest (null: as they are)."""

    @field_validator("classes", mode="before")
    @classmethod
    def _are_text(cls, names: Any) -> Any:
        if isinstance(names, list) and any(isinstance(name, bool) for name in names):
            raise ValueError('must be names: "yes", "no", "on" and "off" in quotes')
        if isinstance(names, list) and any(isinstance(name, int) for name in names):
            quoted = ", ".join(f'"{name}"' for name in names)
            raise ValueError(f"must be names, numbers among them in quotes: [{quoted}]")
        return names

    @field_validator("classes")
    @classmethod
    def _are_several(cls, names: list[str] | None) -> list[str] | None:
        composed = names and [normalize("NFC", name) for name in names]
        if composed is not None and (len(composed) < 2 or len(set(composed)) < len(composed)):
            raise ValueError("must be two names or more, each once, or null")
        return composed


class TripletParameters(Block):
    """The triplets that GEMINI learns from."""

    batch_size: Size
    """B, triplets of one ordered class pair."""
    repeat: bool = True
    """A class with fewer than 2B images repeats some; else B is capped at half the smallest."""
    pairs: Count | None = None
    """P, ordered class pairs an epoch (null: all C(C-1), but at most max(300, 5C))."""


class TrainingParameters(Block):
    """What the one training loop needs to know."""

    epochs: Count
    learning_rate: Positive
    momentum: Weight
    weight_decay: NotNegative
    clip_gradient_values: Positive | None
    """Clip every gradient value to this magnitude (null: do not)."""
    schedule: Literal["constant", "plateau", "one_cycle", "linear"]
    """Plateau lowers the rate when the train loss stalls; one cycle warms up, then anneals; linear
    falls in a straight line to zero."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)]
    plateau_patience: NotNegativeCount
    nesterov: bool = False
    muon_learning_rate: Positive | None = None
    """Train 3x3 convolutions that a batch-norm follows with Muon, at this rate (null: with SGD)."""
    decay_norms_and_biases: bool = True
    """Whether weight decay pulls at them too."""
    average: Share = 0.0
    """How much of the running average of the weights a step keeps, fewer of the first steps, as
    their weights are far from the last (0: the last weights count)."""

    @field_validator("nesterov")
    @classmethod
    def _has_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and not info.data.get("momentum", 1):
            raise ValueError("must be false where momentum is 0")
        return nesterov


class GeminiParameters(TrainingParameters):
    """GEMINI, the master: one stream per class, one shared head."""

    margin: NotNegative
    beta: Weight
    """Weight of the local term of Eq. 5; the global one has 1 - beta."""
    kernel_size: Defining[Count]
    padding: Defining[NotNegativeCount]
    hidden_units: Defining[Size]
    fresh_triplets: bool = False
    """Draw new triplets for each epoch after the first, which has the stored ones."""

    @field_validator("padding")
    @classmethod
    def _lets_kernels_see_the_image(cls, padding: int, info: ValidationInfo) -> int:
        if padding >= info.data.get("kernel_size", LARGEST):
            raise ValueError("must be below gemini.kernel_size")
        return padding

    @field_validator("muon_learning_rate")
    @classmethod
    def _has_nothing_for_muon(cls, rate: float | None) -> float | None:
        if rate is not None:
            raise ValueError("must be null: Muon trains convolutions before a batch-norm only")
        return rate


class StudentParameters(TrainingParameters):
    """The student, which every method trains."""

    backbone: Defining[Backbone]
    stem: Defining[Literal["small", "own"]]
    """Small: 3x3 stride 1 and no max-pool, for small images; own: torchvision's 7x7."""
    embedding_dimension: Defining[Size]
    batch_size: Several
    similarity: Similarity
    gaussian_width: Positive
    pretrained: str | None = None
    """A safetensors file to start from, for a backbone of timm."""
    target_scale: Annotated[float, Field(ge=1e-3, le=1e4)] | None = None
    """RMS distance of the targets of guided and anchors from their mean while the network learns
    them; undone in the stored weights (null: as they are)."""
    flip: Literal["none", "random", "alternating"] = "none"
    """Mirror images left to right: half of them, or half, then the others, epoch by epoch."""
    shift: NotNegativeCount = 0
    """Move images by up to so many pixels each way; the border is reflected."""

    @field_validator("pretrained")
    @classmethod
    def _is_for_timm(cls, file: str | None, info: ValidationInfo) -> str | None:
        if file is not None and not info.data.get("backbone", "timm/").startswith("timm/"):
            raise ValueError("must be null unless student.backbone is timm/NAME")
        if file is not None and not file.endswith(".safetensors"):
            raise ValueError("must be a .safetensors file")
        return file

    def check_pretrained(self) -> None:
        """Look into the file, which a training needs, but not what reads a trained network.

        Raises:
            InputError: It is not there, or damaged.
        """
        if not self.pretrained:
            return
        if not Path(self.pretrained).is_file():
            raise InputError(f"student.pretrained: there is no file {self.pretrained}")
        from safetensors import safe_open

        damaged = failing_as(f"student.pretrained: {self.pretrained} cannot be read as weights")
        with damaged, safe_open(self.pretrained, "np"):
            pass


class Task(NamedTuple):
    """What a method may want to know before its training starts.

    Attributes:
        student: The network that every method trains.
        classes: C.
        seed: The run's seed, for what an objective draws.
    """

    student: StudentParameters
    classes: int
    seed: int


class Method(Block):
    """A way to train the student: its parameters are the fields, its name is its file's."""

    name: ClassVar[str]
    title: ClassVar[str]
    """What tables and figures call it."""
    place: ClassVar[float] = inf
    """Its rank in tables; methods of one rank stand in alphabetical order."""
    follows_teacher: ClassVar[bool] = False
    """Whether the objective is given the images' teacher embeddings in place of their labels."""
    classifies: ClassVar[bool] = False
    """Whether the objective has weights of a classifier, which are stored as the method's head."""
    ranges: ClassVar[dict[str, tuple[float, float]]] = {}
    """What `kedro tune` varies for it alone: the lowest and the highest value, both above 0."""
    scale_of_targets: ClassVar[str] = ""
    """Which of these only scales its targets, so that `student.target_scale` undoes it."""

    normalise_embeddings: Defining[bool]
    """Scale every embedding to length one, in training and when it is scored."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__module__.rpartition(".")[2]

    def answers(self, task: Task, labels: Tensor) -> Tensor:  # noqa: ARG002
        """Return what the objective is given of each image: its label, or a target of floats."""
        return labels

    def objective(self, task: Task) -> Objective:
        """Return the loss that the student is trained with; a module's weights train along."""
        raise NotImplementedError


class EvaluationParameters(Block):
    """How embeddings are made and scored."""

    split: Defining[Literal["test", "validation"]]
    batch_size: Count
    batch_statistics: Defining[bool]
    """Batch-norm in training mode, n/30 images a batch, as the published code does."""
    flip_average: Defining[bool] = False
    """Embed an image as the mean of itself and its mirror image."""


class InferenceParameters(Block):
    """What is said of new images."""

    images: str | None
    """A folder of new images; it is read with all folders below it."""
    k: Count
    """Nearest training images that are told, and whose votes decide the label."""
    alpha: Annotated[float, Field(ge=0, lt=1)]
    """Share of images like the validation images that may be taken for unknown."""


class PageParameters(Block):
    """The pages: every image is a point; the map is ``figures/page.py``."""

    megabytes: Positive = 25
    """Size of a page: thumbnails get what the points leave of it."""


class AuditParameters(Block):
    """How labels are judged, and what counts as a duplicate."""

    folds: Defining[Several] = 5
    """Each part of the images is judged by a network that learned from the others."""
    neighbours: Defining[Several] = 10
    """k: so many vote on an image's label, and the last of them says how far near is."""
    majority: Defining[Annotated[float, Field(gt=0, le=1)]] = 0.7
    """Share of the votes with one other label that calls a given label likely wrong."""
    near: Defining[Share] = 0.5
    """Two images less than so many times as far apart as either from its k-th neighbour are near
    duplicates (0: only the same pixels count)."""


class RobustnessParameters(Block):
    """What robustness is measured on; the names are in guided_dml.robustness.names."""

    queries: Defining[Count | None] = 1000
    """Test images that are corrupted, of each class its share (null: all)."""
    families: Defining[str] = "all"
    """Of corruptions: names joined by +, or all."""
    ood: Defining[str] = "photographs+permuted"
    """Out-of-distribution sets, names joined by +: made ones, and environments."""
    domain: Defining[Literal["digits"] | None] = None
    """Another domain with the same classes: scikit-learn's digits (null: none)."""
    episodes: Defining[Count] = 1000
    """Of few-shot classification."""
    map_images: Defining[Count] = 3000
    """Test images whose map is scored."""


class ComputeParameters(Block):
    """Where and how precisely to compute; the policy is guided_dml.training.policy."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"]
    deterministic: bool
    threads: Count | None = None
    """Of a CPU: another number gives other weights (null: as PyTorch finds them)."""
    compiled: bool = False
    """Compile the student's network: minutes at the start (a compiler is needed), faster steps."""
