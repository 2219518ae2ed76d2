"""The fields of explanations and their documentation."""

from pydantic import BaseModel, Field

from service.contract.answers import (
    ModelRef,
    PictureInDistribution,
    PictureWarnings,
    PredictionSet,
    Probability,
    RowCertainty,
    RowInDistribution,
    RowWarnings,
)


class Amount(BaseModel):
    """The same in both scales; each adds up in its own."""

    probability: float = Field(examples=[0.112])
    log_odds: float = Field(examples=[0.61])


class Contribution(Amount):
    """The Shapley value of one group of fields: what it adds to the base, or takes from it."""

    factor: str = Field(examples=["repayment"])
    title: str = Field(examples=["Repayment status, April to September"])
    values: dict[str, float | None] = Field(
        description="Of its fields in the row; null: not recorded", examples=[{"pay_0": 2}]
    )
    text: str = Field(
        description="In words; points are hundredths of the probability",
        examples=["Repayment two months late in September raised the estimate by 11 points"],
    )


class GroupBreakdown(BaseModel):
    """One factor's contribution shared out to its fields: Owen values; they add up to it."""

    factor: str = Field(examples=["repayment"])
    contributions: list[Contribution] = Field(description="The largest first")


class BackgroundSummary(BaseModel):
    """The rows compared with: medians of clusters of the training rows, in the model's folder."""

    rows: int = Field(examples=[20])
    standing_for: int = Field(description="Training rows in all clusters", examples=[18000])
    sha256: str = Field(description="Of background.npz")


class Counterfactual(BaseModel):
    """A change with which the model itself answers below the threshold."""

    changes: dict[str, float] = Field(description="New values by field", examples=[{"pay_0": 0}])
    probability: Probability = Field(description="With them, by the same model")
    text: str = Field(examples=["With revolving credit in September, the estimate falls to 28.1 %"])


class Explanation(BaseModel):
    """The explanation of a model's answer to one row: about the model, not about the world."""

    probability: Probability = Field(description="As predicted", examples=[0.63])
    log_odds: float = Field(description="ln(p / (1 - p)), with p kept 1e-7 from 0 and 1")
    threshold: Probability
    decision: bool = Field(description="The probability reaches the threshold")
    certainty: RowCertainty = None
    in_distribution: RowInDistribution = None
    warnings: RowWarnings = []
    base: Amount = Field(description="The mean answer to the rows compared with")
    contributions: list[Contribution] = Field(
        description="Exact Shapley values, the largest first; base + contributions = the answer, "
        "in probability and in log-odds"
    )
    split: GroupBreakdown | None = Field(
        None, description="The factor named by `split`, field by field"
    )
    reasons: list[str] = Field(
        description="Where the decision is true: what raised the estimate, most important first"
    )
    counterfactuals: list[Counterfactual] = Field(
        description="Where the decision is true: up to three smallest changes, of what a person "
        "can change, that turn it; fewest fields first"
    )
    counterfactuals_note: str | None = Field(None, description="Why there is none")
    background: BackgroundSummary
    model: ModelRef


class HeatMap(BaseModel):
    """The parts of a picture that its answer rests on, by occlusion."""

    answer: int | str = Field(description="The class that was answered", examples=[7])
    probability: Probability = Field(description="Of that class", examples=[0.998])
    prediction_set: PredictionSet = None
    in_distribution: PictureInDistribution = None
    warnings: PictureWarnings = []
    heat: list[list[float]] = Field(
        description="A number for each pixel, row by row: by how much the probability falls, on "
        "average, when a square of 4x4 pixels that covers this one is painted black; negative "
        "where it rises"
    )
    pixels: list[list[int]] = Field(description="The picture as the network saw it, 0 = black")
    model: ModelRef
