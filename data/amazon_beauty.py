"""Amazon Beauty, 2014 release, five-core: 198,502 short histories of 22,363 users.

Its owner publishes no checksum, so that of the first download is recorded and verified afterwards.
"""

from data.dataset import PublishedLog

DATASET = PublishedLog(
    label="Amazon Beauty",
    url="http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Beauty_5.json.gz",
    checksum=None,
    local_files=("amazon-beauty.parquet", "reviews_Beauty_5.json.gz", "ratings_Beauty.csv"),
    reference="McAuley et al., Image-based Recommendations on Styles and Substitutes, SIGIR 2015",
)
