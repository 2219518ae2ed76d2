"""Heart disease: the probability of disease in a patient of a cardiology clinic.

Fields and codes are those of the UCI Heart Disease data (Janosi, Steinbrunn, Pfisterer, Detrano
1989, https://doi.org/10.24432/C52P4X); bounds are those possible in a living adult.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from service.contract.answers import TabularPrediction
from service.contract.fields import Code, Number, Payload
from service.contract.tables import Coding, TableConventions, Truth
from service.contract.tabular import TabularTask
from service.contract.wording import ActionableField, Wording

NO_YES = Code({0: "no", 1: "yes"})


class Patient(Payload):
    """One patient. Age and sex are required; fields not recorded are null or left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "age": 57,
                "sex": 1,
                "cp": 4,
                "trestbps": 140,
                "chol": 241,
                "fbs": 0,
                "restecg": 0,
                "thalach": 123,
                "exang": 1,
                "oldpeak": 0.2,
                "slope": 2,
                "ca": 0,
                "thal": 7,
            },
            "x-groups": [
                {"title": "Patient", "fields": ["age", "sex", "cp"]},
                {"title": "At rest", "fields": ["trestbps", "chol", "fbs", "restecg"]},
                {"title": "Exercise test", "fields": ["thalach", "exang", "oldpeak", "slope"]},
                {"title": "Imaging", "fields": ["ca", "thal"]},
            ],
        }
    )

    age: Annotated[float, Number("years", 18, 120)] = Field(description="Age")
    sex: Annotated[int, Code({0: "female", 1: "male"})] = Field(description="Sex")
    cp: (
        Annotated[
            int,
            Code(
                {
                    1: "typical angina",
                    2: "atypical angina",
                    3: "non-anginal pain",
                    4: "asymptomatic",
                }
            ),
        ]
        | None
    ) = Field(None, description="Type of chest pain")
    trestbps: Annotated[float, Number("mm Hg", 50, 300, zero_is_missing=True)] | None = Field(
        None, description="Resting blood pressure on admission to the hospital"
    )
    chol: Annotated[float, Number("mg/dl", 50, 1000, zero_is_missing=True)] | None = Field(
        None, description="Serum cholesterol"
    )
    fbs: Annotated[int, NO_YES] | None = Field(
        None, description="Fasting blood sugar above 120 mg/dl"
    )
    restecg: (
        Annotated[
            int,
            Code({0: "normal", 1: "ST-T wave abnormality", 2: "left ventricular hypertrophy"}),
        ]
        | None
    ) = Field(None, description="Resting electrocardiogram")
    thalach: Annotated[float, Number("beats/min", 40, 250)] | None = Field(
        None, description="Maximum heart rate achieved in the exercise test"
    )
    exang: Annotated[int, NO_YES] | None = Field(None, description="Angina induced by exercise")
    oldpeak: Annotated[float, Number("mm", -10, 10)] | None = Field(
        None, description="ST depression induced by exercise, relative to rest"
    )
    slope: Annotated[int, Code({1: "upsloping", 2: "flat", 3: "downsloping"})] | None = Field(
        None, description="Slope of the ST segment at peak exercise"
    )
    ca: (
        Annotated[int, Code({0: "none", 1: "one vessel", 2: "two vessels", 3: "three vessels"})]
        | None
    ) = Field(None, description="Major vessels coloured by fluoroscopy")
    thal: Annotated[int, Code({3: "normal", 6: "fixed defect", 7: "reversible defect"})] | None = (
        Field(None, description="Thallium scan")
    )


class HeartPrediction(TabularPrediction):
    """A probability to discuss, learned from 303 patients of one clinic; not a medical device."""

    disease: bool = Field(
        description="A major vessel is narrowed by more than half: yes, at this threshold",
        json_schema_extra={"x-meanings": {"true": "disease", "false": "no disease"}},
    )


WORDING = Wording(
    phrases={
        "age": "an age of {value} years",
        "sex": "being {value}",
        "cp": {
            1: "typical angina",
            2: "atypical angina",
            3: "chest pain that is no angina",
            4: "an absence of chest pain",
        },
        "trestbps": "a resting blood pressure of {value} mm Hg",
        "chol": "a serum cholesterol of {value} mg/dl",
        "fbs": {
            0: "a fasting blood sugar of at most 120 mg/dl",
            1: "a fasting blood sugar above 120 mg/dl",
        },
        "restecg": {
            0: "a normal resting electrocardiogram",
            1: "an ST-T wave abnormality at rest",
            2: "left ventricular hypertrophy in the resting electrocardiogram",
        },
        "thalach": "a maximum heart rate of {value} beats/min",
        "exang": {0: "no angina induced by exercise", 1: "angina induced by exercise"},
        "oldpeak": "an ST depression of {value} mm after exercise",
        "slope": {
            1: "an upsloping ST segment at peak exercise",
            2: "a flat ST segment at peak exercise",
            3: "a downsloping ST segment at peak exercise",
        },
        "ca": {
            0: "no major vessel coloured by fluoroscopy",
            1: "one major vessel coloured by fluoroscopy",
            2: "two major vessels coloured by fluoroscopy",
            3: "three major vessels coloured by fluoroscopy",
        },
        "thal": {
            3: "a normal thallium scan",
            6: "a fixed defect in the thallium scan",
            7: "a reversible defect in the thallium scan",
        },
    },
    # Fields that treatment and diet change; the others are given, or findings of an examination.
    changes=(ActionableField("trestbps", "down", 110), ActionableField("chol", "down", 150)),
)

# Names as the files spell them that people have: UCI's own pages (with "cholestoral"), Kaggle's
# heart.csv, heart_disease_uci.csv, "Heart Failure Prediction", "Heart Attack Analysis", Statlog as
# Heart_Disease_Prediction.csv, IEEE DataPort's union of five data sets, and Heart.csv of "An
# Introduction to Statistical Learning".
ALIASES = {
    "age": ("age in years", "patient age", "age at visit"),
    "sex": ("gender", "patient sex", "patient gender"),
    "cp": (
        "chest pain",
        "chest pain type",
        "cp type",
        "pain type",
        "angina type",
        "chest",
        "type of chest pain experienced",
    ),
    "trestbps": (
        "resting bp",
        "resting bp s",
        "resting bps",
        "rest bp",
        "rest bps",
        "rbp",
        "bp",
        "trestbp",
        "trtbps",
        "trtbp",
        "blood pressure",
        "rest blood pressure",
        "resting blood pressure",
        "resting systolic blood pressure",
        "resting systolic bp",
        "resting blood pressure in mm hg on admission to the hospital",
    ),
    "chol": (
        "cholesterol",
        "cholestrol",
        "cholestoral",
        "serum cholesterol",
        "serum cholestrol",
        "serum cholestoral",
        "serum cholestoral in mg/dl",
        "serum cholesterol in mg/dl",
        "serum chol",
    ),
    "fbs": (
        "fasting bs",
        "fasting blood sugar",
        "fasting blood sugar > 120 mg/dl",
        "fasting blood sugar greater than 120 mg/dl",
        "fbs over 120",
        "fbs > 120",
        "fasting bs over 120",
    ),
    "restecg": (
        "resting ecg",
        "rest ecg",
        "resting ekg",
        "ekg results",
        "ecg results",
        "recg",
        "resting ecg results",
        "rest ecg results",
        "resting electrocardiographic results",
        "resting electrocardiogram results",
    ),
    "thalach": (
        "max hr",
        "max heart rate",
        "maximum heart rate",
        "maximum heart rate achieved",
        "max heart rate achieved",
        "thalachh",
        "thalch",
        "max heart rate reached",
    ),
    "exang": (
        "exercise angina",
        "exercise induced angina",
        "ex angina",
        "angina",
        "exng",
        "exang angina",
    ),
    "oldpeak": (
        "old peak",
        "st depression",
        "st depression induced by exercise",
        "exercise st depression",
    ),
    "slope": (
        "st slope",
        "slope of st",
        "slp",
        "st segment slope",
        "peak exercise st slope",
        "slope of the peak exercise st segment",
        "the slope of the peak exercise st segment",
    ),
    "ca": (
        "caa",
        "major vessels",
        "number of major vessels",
        "num major vessels",
        "number of vessels fluro",
        "number of vessels fluoro",
        "num vessels",
        "major vessels colored by fluoroscopy",
        "vessels colored by flourosopy",
        "vessels colored by fluoroscopy",
        "number of major vessels colored by flourosopy",
        "number of major vessels colored by fluoroscopy",
        "number of major vessels (0-3) colored by flourosopy",
    ),
    "thal": (
        "thall",
        "thallium",
        "thalium",
        "thalassemia",
        "thallium stress test",
        "thallium test",
    ),
}

# Words as those files write codes, beside the meanings that the fields declare.
WORDS = {
    "sex": {"f": 0, "woman": 0, "w": 0, "m": 1, "man": 1},
    "cp": {
        "ta": 1,
        "typical": 1,
        "ata": 2,
        "atypical": 2,
        "nontypical": 2,
        "nap": 3,
        "nonanginal": 3,
        "non-angina": 3,
        "asy": 4,
        "asymptotic": 4,
        "asympt": 4,
        "typ_angina": 1,
        "atyp_angina": 2,
        "non_anginal": 3,
        "no pain": 4,
    },
    "fbs": {"n": 0, "false": 0, "f": 0, "y": 1, "true": 1, "t": 1},
    "restecg": {
        "st": 1,
        "st-t abnormality": 1,
        "st-t": 1,
        "having st-t wave abnormality": 1,
        "lvh": 2,
        "lv hypertrophy": 2,
        "hypertrophy": 2,
        "left_vent_hyper": 2,
        "st_t_wave_abnormality": 1,
    },
    "exang": {"n": 0, "false": 0, "f": 0, "y": 1, "true": 1, "t": 1},
    "slope": {"up": 1, "upslope": 1, "down": 3, "downslope": 3},
    "thal": {
        "fixed": 6,
        "fixed defect": 6,
        "reversible": 7,
        "reversable": 7,
        "reversable defect": 7,
        "reversed": 7,
    },
}

KAGGLE_SLOPE = {0: 3, 1: 2, 2: 1}
# Its five 4s in ca were "?" in the source, its two 0s in thal likewise.
KAGGLE = Coding(
    name="kaggle",
    title="Kaggle's heart.csv, whose target is 1 for healthy",
    codes={
        "cp": {0: 4, 1: 2, 2: 3, 3: 1},
        "restecg": {0: 2, 1: 0, 2: 1},
        "slope": KAGGLE_SLOPE,
        "ca": {0: 0, 1: 1, 2: 2, 3: 3, 4: None},
        "thal": {0: None, 1: 6, 2: 3, 3: 7},
    },
    truth={0: True, 1: False},
    signs=("target", "output"),
)
KAGGLE_CLEVELAND = Coding(
    name="kaggle-cleveland",
    title="Kaggle's heart_cleveland_upload.csv, with a column condition",
    codes={
        "cp": {0: 1, 1: 2, 2: 3, 3: 4},
        "slope": {0: 1, 1: 2, 2: 3},
        "thal": {0: 3, 1: 6, 2: 7},
    },
    signs=("condition",),
)
ISO_SEX = Coding(
    name="iso-sex",
    title="sex as ISO/IEC 5218 and many exports have it",
    codes={"sex": {1: 1, 2: 0}},
)

TABLES = TableConventions(
    aliases=ALIASES,
    words=WORDS,
    coding="uci",
    codings=(KAGGLE, KAGGLE_CLEVELAND, ISO_SEX),
    truth=Truth(
        names=(
            "num",
            "target",
            "condition",
            "output",
            "heart disease",
            "ahd",
            "diagnosis",
            "diagnosis of heart disease",
            "has heart disease",
            "label",
            "class",
        ),
        grades=(0, 1, 2, 3, 4),
        pair=(1, 2),
        yes=("yes", "true", "y", "t", "presence", "present", "disease", "sick", "ill"),
        no=("no", "false", "n", "f", "absence", "absent", "no disease", "healthy", "normal"),
    ),
    # processed.cleveland.data and its kin, and Statlog's heart.dat.
    orders=(tuple(Patient.model_fields),),
    missing=(-9,),
)

TASK = TabularTask(
    name="heart",
    title="Heart disease",
    payload=Patient,
    prediction=HeartPrediction,
    decision="disease",
    wording=WORDING,
    tables=TABLES,
)
