"""How one vector is made of the states of a text's tokens, as data.

The names are those of sentence-transformers, whose folders say the same in files
(`keras_bert.checkpoints.sentence_modules`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Self

from keras_bert.errors import ConfigError, choose

POOLINGS = (
    "mean",
    "max",
    "cls",
    "pooler",  # BERT's own
    "mean_sqrt_len_tokens",
    "weightedmean",
    "lasttoken",
)
ACTIVATIONS = ("linear", "tanh", "relu", "gelu", "silu")
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
JOIN = "+"  # between the names of poolings whose vectors are concatenated
DENSE, NORMALIZE = "Dense", "Normalize"


class Step(NamedTuple):
    """What is done to a vector.

    Attributes:
        kind: "Dense", or "Normalize": scale it to length 1.
        units: of a dense layer, the numbers of its vector.
        activation: of a dense layer, one of `ACTIVATIONS`.
        bias: whether a dense layer has one.
    """

    kind: str
    units: int = 0
    activation: str = "linear"
    bias: bool = True


UNIT_LENGTH = Step(NORMALIZE)


@dataclass(frozen=True)
class SentenceRecipe:
    """How the vector of a text is made.

    Args:
        pooling: names of `POOLINGS`, whose vectors are concatenated.
        steps: what is done to the vector then, in order.
        include_prompt: pool the tokens of a prompt too.
        prompts: texts to put before a text, by name.
        default_prompt_name: the one that is put where none is named.
        similarity: how vectors are compared, one of `SIMILARITIES`.
        max_length: the most tokens of a text; None leaves that to the tokenizer.

    Raises:
        UnknownNameError: a pooling, a kind of step, an activation or a similarity has
            an unknown name.
        ConfigError: there is no pooling, or no such prompt.

    Example:
        >>> SentenceRecipe.of("cls+mean").width(384)
        768
    """

    pooling: tuple[str, ...] = ("mean",)
    steps: tuple[Step, ...] = ()
    include_prompt: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    max_length: int | None = None

    def __post_init__(self) -> None:
        if not self.pooling:
            raise ConfigError(f"Expected a pooling: {', '.join(POOLINGS)}.")
        for name in self.pooling:
            choose("pooling", name, POOLINGS)
        for step in self.steps:
            choose("step", step.kind, (DENSE, NORMALIZE))
            choose("activation", step.activation, ACTIVATIONS)
            if step.kind == DENSE and step.units < 1:
                raise ConfigError(
                    f"Expected a Dense of at least 1 unit. Received: {step.units}."
                )
        choose("similarity", self.similarity, SIMILARITIES)
        self.prompt(None)

    @classmethod
    def of(cls, poolings: str, normalize: bool = False) -> Self:
        """Returns a recipe of poolings alone.

        Args:
            poolings: their names, joined by "+".
            normalize: scale the vector to length 1.
        """
        steps = (UNIT_LENGTH,) if normalize else ()
        return cls(tuple(poolings.split(JOIN)), steps)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns what `to_dict` wrote."""
        steps = tuple(Step(*step) for step in values["steps"])
        return cls(**{**values, "pooling": tuple(values["pooling"]), "steps": steps})

    def to_dict(self) -> dict[str, Any]:
        """Returns the recipe as JSON has it."""
        values = {**asdict(self), "pooling": list(self.pooling)}
        return {**values, "steps": [list(step) for step in self.steps]}

    def normalized(self) -> Self:
        """Returns the recipe with vectors of length 1."""
        if self.normalizes:
            return self
        return replace(self, steps=(*self.steps, UNIT_LENGTH))

    @property
    def normalizes(self) -> bool:
        """Whether vectors have length 1."""
        return self.steps[-1:] == (UNIT_LENGTH,)

    @property
    def dense(self) -> list[Step]:
        """The dense layers, in order."""
        return [step for step in self.steps if step.kind == DENSE]

    def width(self, hidden: int) -> int:
        """Returns how many numbers a vector has.

        Args:
            hidden: the width of the encoder's states.
        """
        units = [step.units for step in self.dense]
        return units[-1] if units else len(self.pooling) * hidden

    def prompt(self, name: str | None) -> str:
        """Returns the text of a prompt.

        Args:
            name: of the prompt; None takes the default one, if there is one.

        Raises:
            ConfigError: there is no such prompt.
        """
        name = self.default_prompt_name if name is None else name
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(self.prompts) or "it has none"
            raise ConfigError(
                f"Expected the name of one of the model's prompts ({known}). Received: "
                f"{name!r}."
            )
        return self.prompts[name]
