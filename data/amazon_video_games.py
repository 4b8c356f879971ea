"""Amazon Video Games, 2014 release, five-core: 231,780 short histories of 24,303 users.

Its owner publishes no checksum, so that of the first download is recorded and verified afterwards.
"""

from data.dataset import PublishedLog

DATASET = PublishedLog(
    label="Amazon Video Games",
    url="http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_Video_Games_5.json.gz",
    checksum=None,
    local_files=(
        "amazon-video-games.parquet",
        "reviews_Video_Games_5.json.gz",
        "ratings_Video_Games.csv",
    ),
    reference="McAuley et al., Image-based Recommendations on Styles and Substitutes, SIGIR 2015",
)
