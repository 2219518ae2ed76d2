"""The data sets as published: titles, licences, citations, addresses and fingerprints."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Facts about a data set; `home` is its web page."""

    name: str
    title: str
    home: str
    licence: str
    citation: str


HEART = Source(
    name="cleveland-heart",
    title="Heart Disease, Cleveland Clinic Foundation (UCI 45)",
    home="https://archive.ics.uci.edu/dataset/45/heart+disease",
    licence="CC BY 4.0",
    citation="Janosi, A., Steinbrunn, W., Pfisterer, M., & Detrano, R. (1989). Heart Disease "
    "[Dataset]. UCI Machine Learning Repository. https://doi.org/10.24432/C52P4X",
)
LECTURE = Source(
    name="lecture-heart",
    title="heart.csv of Keras' tutorial on structured data",
    home="https://keras.io/examples/structured_data/structured_data_classification_from_scratch/",
    licence="Apache-2.0",
    citation=HEART.citation,
)
CREDIT = Source(
    name="taiwan-credit",
    title="Default of Credit Card Clients, Taiwan 2005 (UCI 350)",
    home="https://archive.ics.uci.edu/dataset/350/default+of+credit+card+clients",
    licence="CC BY 4.0",
    citation="Yeh, I. (2009). Default of Credit Card Clients [Dataset]. UCI Machine Learning "
    "Repository. https://doi.org/10.24432/C55S3H",
)
MNIST = Source(
    name="mnist",
    title="MNIST database of handwritten digits",
    home="http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    citation="LeCun, Y., Bottou, L., Bengio, Y., & Haffner, P. (1998). Gradient-based learning "
    "applied to document recognition. Proceedings of the IEEE 86(11), 2278-2324. "
    "https://doi.org/10.1109/5.726791",
)

HEART_MIRRORS = (
    "https://archive.ics.uci.edu/static/public/45/data.csv",
    "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/processed.cleveland.data",
)
LECTURE_MIRRORS = ("https://storage.googleapis.com/download.tensorflow.org/data/heart.csv",)
CREDIT_MIRRORS = ("https://archive.ics.uci.edu/static/public/350/data.csv",)
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def prints(text: str) -> dict[str, str]:
    """Parse `name:digits name:digits` as fingerprints by name."""
    return dict(pair.split(":") for pair in text.split())


# The start of the values' sha256 by column, in the order of the file where it has no header.
HEART_PRINTS = prints("""
    age:eebe98830b7139aa sex:1e6721f40bdad2ba cp:3e141eaedc542c40 trestbps:2b284fe328235b2c
    chol:4ffcc0b1778dcd78 fbs:b9e8d00674931a7d restecg:821377e8502573db thalach:1ec867407e739393
    exang:8784fa2680ed69b8 oldpeak:321314684f966dcf slope:e85ae3946cfcc88e ca:a4d8a9f972e78140
    thal:cb97fbc1c949d230 num:370b80f62d7daa76
""")
# The columns that the lecture makes by pandas.get_dummies.
LECTURE_PRINTS = prints("""
    age:5287c7a3cf0a8ab7 trestbps:26e6f6ff692c9037 chol:f927ab7072024908 thalach:062afae5a4069f51
    oldpeak:3ca7840567ff3919 slope:9c98e483a6d254e8 sex_0:2913bf91a76adc68 sex_1:49ab7004db8e6ea5
    cp_0:6ad0e0e029dae191 cp_1:8566c87a0b695ecd cp_2:097e1b6a3e87c73d cp_3:a853cc4a3a80df8f
    cp_4:4cddcd811f681a3a fbs_0:b52ca98ed260b3de fbs_1:4f3980bef875b1e8 restecg_0:57af7d5181e43510
    restecg_1:6c40d08d4fbf6525 restecg_2:1d5349e596abfb91 exang_0:428bafc403b4519c
    exang_1:665155aa0a142cf3 ca_0:47058e91ac401d61 ca_1:9295f8f734496dbd ca_2:003ebd4faad66653
    ca_3:d0bf87368c1275c6 thal_1:a72088438f53d22f thal_2:952035b9ddda4e50
    thal_fixed:94493a4e087dbd78 thal_normal:53d0bfa47c1fecf3 thal_reversible:496807c22f6c9171
    target:a885cd0324f74290
""")
CREDIT_PRINTS = prints("""
    limit_bal:f12cccb7c55d79cf sex:62ff6b171c56a740 education:8640c53d321f89d7
    marriage:ce0d951d3edc1550 age:31470628680c1cbd pay_0:c733e1ca0e56ae32 pay_2:748c057306449091
    pay_3:0cbb81fa8e674a10 pay_4:f424c7a126448511 pay_5:e44dda2c8df6cff5 pay_6:6cdc178a107db0fd
    bill_amt1:ea0a95d73a5c7912 bill_amt2:3c9d97aa00be419e bill_amt3:4da712d227ed08b5
    bill_amt4:d45c5062d9806184 bill_amt5:dee87168c6abe8f7 bill_amt6:aab91968b495b510
    pay_amt1:6cfcf90d68147d38 pay_amt2:c34070ce5f90d0d1 pay_amt3:39f6a211309e9ff6
    pay_amt4:bef4fbb346310c41 pay_amt5:aed5bc6f5e48738b pay_amt6:6f3a6639df91c81f
    default:246c692533334b26
""")
IDX_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
MNIST_PRINTS = prints("""
    train-images-idx3-ubyte:741c988805d008ac train-labels-idx1-ubyte:1feba77c54802fa5
    t10k-images-idx3-ubyte:6d87418db22cc802 t10k-labels-idx1-ubyte:ddeff807876a9661
""")
# Other names of the columns: in UCI's csv, in Kaggle's, in the file of the lecture.
CREDIT_ALIASES = {
    **{f"x{number}": name for number, name in enumerate(CREDIT_PRINTS, start=1)},
    "y": "default",
    "default_payment_next_month": "default",
    "pay_1": "pay_0",
}
