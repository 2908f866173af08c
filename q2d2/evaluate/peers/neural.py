"""Other projects' networks with random weights, of their published shapes: what they sound like nobody knows, but how
long they take, and how many multiplications, does not depend on the weights."""

from __future__ import annotations

from q2d2.evaluate.peers import dac, encodec, snac
from q2d2.evaluate.peers.base import PeerError
from q2d2.evaluate.peers.network import Codes, Network

__all__ = ["NETWORKS", "Codes", "Network", "random_network"]

NETWORKS = {"encodec": encodec.random_network, "dac": dac.random_network, "snac": snac.random_network}


def random_network(name: str) -> Network:
    """Encodec at 6 kbit/s, DAC with all codebooks or SNAC; each at 24 kHz, on the CPU, in evaluation mode.

    MissingExtraError if its package is not installed, PeerError if there is no such network.
    """
    if name not in NETWORKS:
        raise PeerError(f"there is no network {name!r}: give {', '.join(NETWORKS)}")
    return NETWORKS[name]()
