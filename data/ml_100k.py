"""MovieLens-100K: a hundred thousand ratings of 943 users; small enough to try everything on."""

from data.dataset import PublishedLog

DATASET = PublishedLog(
    label="ML-100K",
    url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    checksum="md5:0e33842e24a9c977be4e0107933c0723",
    local_files=("ml-100k.parquet", "ml-100k.zip", "ml-100k/u.data"),
    reference="Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015",
    member="u.data",
)
