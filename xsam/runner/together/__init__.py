"""Training several seeds of a cell at once, as rows of one tensor (``vectorise: seeds``)."""
