"""The fields of an answer and their documentation; each task adds a field of its own."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Certainty = Literal["decided", "uncertain"]
CERTAINTIES: tuple[Certainty, Certainty] = ("uncertain", "decided")

RowCertainty = Annotated[
    Certainty | None,
    Field(
        description="`decided` where the conformal set, at the coverage on the model's card, holds "
        "exactly one of yes and no, else `uncertain`; null where the card has no such figures",
        examples=["decided"],
    ),
]
RowInDistribution = Annotated[
    bool | None,
    Field(
        description="Whether every field that was sent lies in the range of the training rows; "
        "null where the card does not know it",
        examples=[True],
    ),
]
RowWarnings = Annotated[
    list[str], Field(description="Fields outside that range: each with its value and the range")
]
PredictionSet = Annotated[
    list[int | str] | None,
    Field(
        description="The classes that hold the truth as often as the coverage on the model's card "
        "says, the likeliest first; null where the card has no such figures",
        examples=[[4, 9]],
    ),
]
PictureInDistribution = Annotated[
    bool | None,
    Field(
        description="Whether it looks like the pictures that the model learned from; where it does "
        "not, the answer means nothing. Null where the card does not know it",
        examples=[True],
    ),
]
PictureWarnings = Annotated[list[str], Field(description="Why it does not look like them")]


class ModelRef(BaseModel):
    """The model that gave an answer."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["heart"])
    version: str = Field(examples=["1"])


class TabularPrediction(BaseModel):
    """The fields of every yes-or-no answer about a row; a task adds its decision by name."""

    model_config = ConfigDict(frozen=True)

    probability: Probability = Field(examples=[0.83])
    threshold: Probability = Field(
        description="The decision is true from this probability upwards", examples=[0.5]
    )
    model: ModelRef
    certainty: RowCertainty = None
    in_distribution: RowInDistribution = None
    warnings: RowWarnings = []


class ImagePrediction(BaseModel):
    """The fields of every answer about a picture; a task adds the class under its own name."""

    model_config = ConfigDict(frozen=True)

    probability: Probability = Field(description="Of the answer given", examples=[0.998])
    probabilities: list[Probability] = Field(description="Of every class, in order; they sum to 1")
    model: ModelRef
    prediction_set: PredictionSet = None
    in_distribution: PictureInDistribution = None
    warnings: PictureWarnings = []
