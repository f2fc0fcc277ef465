"""Claims as data: what is claimed, which grids may speak to it, and what their runs say of it.

``model`` reads ``claims.yaml``, ``evidence`` finds the cells that a claim compares, ``judge`` says what they show,
and a ``judgement`` is what tables tell of it.
"""
