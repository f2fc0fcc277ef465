"""SLURM, as far as this machine reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from shutil import which

from xsam.doctor.item import Item
from xsam.launch import cluster
from xsam.launch.cluster import ClusterError


def items() -> Iterator[Item]:
    """SLURM and, where its commands are here, munge."""
    if which("sinfo") is None:
        yield Item("slurm", False, "no sinfo here", "--launcher slurm needs the login node of a cluster")
        return
    socket = None
    try:
        facts = f"{cluster.version()}, MaxArraySize {cluster.max_array_size() + 1}; {'; '.join(cluster.partitions())}"
        socket = cluster.munge_socket()
        yield Item("slurm", True, facts)
    except ClusterError as error:
        yield Item("slurm", False, str(error), "--launcher slurm needs a controller that answers; see slurm/README.md")
    try:
        cluster.check_munge(socket)
        yield Item("munge", True, "signs credentials")
    except ClusterError as error:
        yield Item("munge", False, str(error), "start munged, unless the cluster authenticates in another way")
