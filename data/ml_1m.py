"""MovieLens-1M: a million ratings of 6,040 users in the order in which they were entered.

Over half of neighbouring ratings share a second, so the tie rule decides many last items: compare
accuracy only where the sequence hash is the same.
"""

from data.dataset import PublishedLog

DATASET = PublishedLog(
    label="ML-1M",
    url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    checksum="md5:c4d9eecfca2ab87c1945afe126590906",
    local_files=("ml-1m.parquet", "ml-1m.zip", "ml-1m/ratings.dat"),
    reference="Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015",
    member="ratings.dat",
)
