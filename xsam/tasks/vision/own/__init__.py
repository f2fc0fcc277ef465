"""Images of one's own, prepared under a name of one's own: read from folders of classes, npz files and parquet files.

What is read is brought to one size, split where it is not, ordered by content and described by a manifest, from which
:mod:`xsam.tasks.vision.own.manifest` makes a :class:`~xsam.tasks.vision.datasets.dataset.Dataset` like the others.
"""
