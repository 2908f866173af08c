"""The weights that were ever in the package, as versions of their models, and their priors.

A `.q2d2` file names its prior by hash, or its weights where there is none.
"""

from typing import NamedTuple


class Release(NamedTuple):
    """A version of a model."""

    model: str
    version: str
    package: str | None = None  # the last that held it; None: this one does


# By hash, in order of shipping. New weights are a new row, and the one before gets its package: the name of a version,
# or the last commit, where a version of the package held several. Rows stay, for the files that name them.
RELEASES = {
    "f1d4ef5de2b3a5a6": Release("speech", "1", "q2d2 0.1.0 at commit e4cc8e1"),
    "09687aef4d47e501": Release("speech", "2", "q2d2 0.1.0 at commit e186ae7"),
    "76ecf764f4645d2e": Release("speech", "3", "q2d2 0.1.0 at commit e8e3237"),
    "e1854adae60f6109": Release("speech", "4"),
    "8e06815218b3363c": Release("speech-live", "1"),
}


class PriorRelease(NamedTuple):
    """The weights whose indices a prior codes, and the last package that held it."""

    weights: str
    package: str | None = None


# By hash, in order of shipping. A prior that is replaced gets its package, also where its weights stay. Rows stay.
PRIORS = {
    "5f3f52f294f2737b": PriorRelease("e1854adae60f6109", "q2d2 0.1.0 at commit 91e273a"),
    "f54b3c0046819a30": PriorRelease("e1854adae60f6109"),
    "22502157ef376f31": PriorRelease("8e06815218b3363c"),
}


def model_with_prior(prior: str) -> str | None:
    """The model in this package whose files name this prior, if any."""
    release = PRIORS.get(prior)
    return None if release is None or release.package is not None else RELEASES[release.weights].model


def describe(model: str, weights: str) -> str:
    """The model that has these weights, and its version: "speech version 3, weights 76ecf764f4645d2e"."""
    release = RELEASES.get(weights)
    if release is None:
        return f"{model}, weights {weights} (no known release)"
    return f"{release.model} version {release.version}, weights {weights}"


def who_reads(weights: str) -> str | None:
    """What to tell somebody whose codec cannot read a file of these weights; None if they are of no release."""
    release = RELEASES.get(weights)
    if release is None:
        return None
    who = f"{release.package} reads it" if release.package else f"load {release.model} to decode it"
    return f"the file was written by {describe(release.model, weights)}: {who}"


def who_reads_prior(prior: str) -> str | None:
    """The same of a file whose indices are coded with a prior; None if it is of no release."""
    coded = PRIORS.get(prior)
    if coded is None:
        return None
    model = RELEASES[coded.weights].model
    who = f"{coded.package} reads it" if coded.package else f"load {model}, with its prior.safetensors, to decode it"
    return f"the file was coded with the prior {prior} of {describe(model, coded.weights)}: {who}"
