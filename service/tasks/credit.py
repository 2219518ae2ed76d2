"""Credit default: the probability that the holder of a credit card defaults next month.

Fields and codes are those of the UCI data "Default of Credit Card Clients" (Yeh 2009,
https://doi.org/10.24432/C55S3H): Taiwan, April to September 2005, amounts in New Taiwan dollars.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from service.contract.answers import TabularPrediction
from service.contract.fields import Code, Number, Payload
from service.contract.tables import Coding, TableConventions, Truth
from service.contract.tabular import TabularTask
from service.contract.wording import ActionableField, FeatureGroup, Values, Wording

STATUS = Code(
    {
        -2: "no consumption",
        -1: "paid in full",
        0: "revolving credit",
        1: "one month late",
        2: "two months late",
        3: "three months late",
        4: "four months late",
        5: "five months late",
        6: "six months late",
        7: "seven months late",
        8: "eight months late",
        9: "nine months late or more",
    }
)
# Amounts stay below 2^24, where float32 still holds every whole dollar.
BILL = Number("NT$", -10_000_000, 10_000_000)
PAYMENT = Number("NT$", 0, 10_000_000)

Status = Annotated[int, STATUS]
Bill = Annotated[float, BILL]
Payment = Annotated[float, PAYMENT]

MONTHS = ("September", "August", "July", "June", "May", "April")
STATUSES = ("pay_0", "pay_2", "pay_3", "pay_4", "pay_5", "pay_6")
BILLS = tuple(f"bill_amt{number}" for number in range(1, 7))
PAYMENTS = tuple(f"pay_amt{number}" for number in range(1, 7))


class Client(Payload):
    """One client, as of September 2005.

    Every field is required: no value is missing in the training data, so the models cannot answer
    for a client of whom something is not known.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "limit_bal": 50000,
                "sex": 2,
                "education": 2,
                "marriage": 1,
                "age": 37,
                "pay_0": 2,
                "pay_2": 0,
                "pay_3": 0,
                "pay_4": 0,
                "pay_5": 0,
                "pay_6": 0,
                "bill_amt1": 46000,
                "bill_amt2": 48000,
                "bill_amt3": 49000,
                "bill_amt4": 28000,
                "bill_amt5": 29000,
                "bill_amt6": 29500,
                "pay_amt1": 2000,
                "pay_amt2": 2000,
                "pay_amt3": 1200,
                "pay_amt4": 1100,
                "pay_amt5": 1000,
                "pay_amt6": 1000,
            },
            "x-groups": [
                {
                    "title": "Client",
                    "fields": ["limit_bal", "sex", "education", "marriage", "age"],
                },
                {
                    "title": "The last six months",
                    "rows": [*MONTHS],
                    "columns": [
                        {"title": "Repayment status", "fields": [*STATUSES]},
                        {"title": "Bill statement", "fields": [*BILLS]},
                        {"title": "Amount paid", "fields": [*PAYMENTS]},
                    ],
                },
            ],
        }
    )

    limit_bal: Annotated[float, Number("NT$", 1, 10_000_000)] = Field(
        description="Credit given, to the client and the family"
    )
    sex: Annotated[int, Code({1: "male", 2: "female"})] = Field(description="Sex")
    education: Annotated[
        int,
        Code(
            {
                0: "unknown",
                1: "graduate school",
                2: "university",
                3: "high school",
                4: "other",
                5: "unknown",
                6: "unknown",
            }
        ),
    ] = Field(description="Education")
    marriage: Annotated[int, Code({0: "unknown", 1: "married", 2: "single", 3: "other"})] = Field(
        description="Marital status"
    )
    age: Annotated[float, Number("years", 18, 120)] = Field(description="Age")
    pay_0: Status = Field(description="Repayment status in September")
    pay_2: Status = Field(description="Repayment status in August")
    pay_3: Status = Field(description="Repayment status in July")
    pay_4: Status = Field(description="Repayment status in June")
    pay_5: Status = Field(description="Repayment status in May")
    pay_6: Status = Field(description="Repayment status in April")
    bill_amt1: Bill = Field(description="Bill statement of September")
    bill_amt2: Bill = Field(description="Bill statement of August")
    bill_amt3: Bill = Field(description="Bill statement of July")
    bill_amt4: Bill = Field(description="Bill statement of June")
    bill_amt5: Bill = Field(description="Bill statement of May")
    bill_amt6: Bill = Field(description="Bill statement of April")
    pay_amt1: Payment = Field(description="Amount paid in September")
    pay_amt2: Payment = Field(description="Amount paid in August")
    pay_amt3: Payment = Field(description="Amount paid in July")
    pay_amt4: Payment = Field(description="Amount paid in June")
    pay_amt5: Payment = Field(description="Amount paid in May")
    pay_amt6: Payment = Field(description="Amount paid in April")


class CreditPrediction(TabularPrediction):
    """A probability of default, which is not a credit decision: a person decides and explains."""

    default: bool = Field(
        description="Default next month is at least as likely as the threshold",
        json_schema_extra={
            "x-meanings": {"true": "default next month", "false": "no default next month"}
        },
    )


def status_phrases(month: str) -> dict[int, str]:
    """Return the words for a month's repayment status, by code."""
    late = {code: f"repayment {STATUS.meanings[code]} in {month}" for code in range(1, 10)}
    paid = {-1: f"repayment in full in {month}", 0: f"revolving credit in {month}"}
    return {-2: f"no consumption in {month}"} | paid | late


def worst_status(values: Values) -> str:
    """Return the words for the highest status, of the latest month that has it."""
    name, month = max(zip(STATUSES, MONTHS, strict=True), key=lambda each: values[each[0]])
    return status_phrases(month)[int(values[name])]


def mean_bill(values: Values) -> str:
    """Return the words for the mean bill of six months."""
    return f"bills of NT$ {sum(values[name] for name in BILLS) / 6:,.0f} a month on average"


def mean_payment(values: Values) -> str:
    """Return the words for the mean payment of six months."""
    return f"payments of NT$ {sum(values[name] for name in PAYMENTS) / 6:,.0f} a month on average"


WORDING = Wording(
    phrases={
        "limit_bal": "a credit limit of NT$ {value}",
        "sex": "being {value}",
        "education": "education: {value}",
        "marriage": "marital status: {value}",
        "age": "an age of {value} years",
        **dict(zip(STATUSES, map(status_phrases, MONTHS), strict=True)),
        **dict(zip(BILLS, (f"a bill of NT$ {{value}} in {m}" for m in MONTHS), strict=True)),
        **dict(zip(PAYMENTS, (f"NT$ {{value}} paid in {m}" for m in MONTHS), strict=True)),
    },
    feature_groups=(
        FeatureGroup("repayment", "Repayment status, April to September", STATUSES, worst_status),
        FeatureGroup("bills", "Bill statements, April to September", BILLS, mean_bill),
        FeatureGroup("payments", "Amounts paid, April to September", PAYMENTS, mean_payment),
    ),
    # Only the latest month can still change, and the limit is the bank's decision. A payment in
    # September is for August's bill.
    changes=(
        ActionableField("pay_0", "down", -1),
        ActionableField("bill_amt1", "down", 0, step=100),
        ActionableField("pay_amt1", "up", "bill_amt2", step=100),
    ),
)

# Names as UCI's file, its X1 to X23, the ucimlrepo package and Kaggle's copies spell them.
SPOKEN = {
    "limit_bal": (
        "limit",
        "credit limit",
        "limit balance",
        "amount of given credit",
        "given credit",
    ),
    "sex": ("gender",),
    "education": ("education level",),
    "marriage": ("marital status",),
    "age": ("age in years",),
    "pay_0": ("pay_1",),
    **{name: (f"bill amount {number}",) for number, name in enumerate(BILLS, 1)},
    **{
        name: (f"pay amount {number}", f"payment {number}")
        for number, name in enumerate(PAYMENTS, 1)
    },
}

TABLES = TableConventions(
    aliases={
        name: (f"x{place}", *SPOKEN.get(name, ()))
        for place, name in enumerate(Client.model_fields, 1)
    },
    words={
        "sex": {"m": 1, "man": 1, "f": 2, "woman": 2, "w": 2},
        "education": {"graduate": 1, "high-school": 3, "others": 4},
        "marriage": {"others": 3},
    },
    coding="uci",
    codings=(
        Coding(
            name="sex-0-1",
            title="sex as 0 for female and 1 for male",
            codes={"sex": {0: 2, 1: 1}},
        ),
    ),
    truth=Truth(
        names=(
            "default payment next month",
            "default next month",
            "def pay",
            "defaulted",
            "default payment",
            "default",
            "y",
            "target",
            "label",
        ),
        yes=("yes", "true", "y", "t", "default", "defaulted", "bad"),
        no=("no", "false", "n", "f", "no default", "paid", "good"),
    ),
    orders=(tuple(Client.model_fields), ("ID", *Client.model_fields)),
)

TASK = TabularTask(
    name="credit",
    title="Credit card default",
    payload=Client,
    prediction=CreditPrediction,
    decision="default",
    wording=WORDING,
    tables=TABLES,
)
