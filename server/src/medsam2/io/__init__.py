"""Files in and out: volumes, segmentations and prompts, each with the geometry it was stored with.

Start at :func:`medsam2.io.volumes.read_volume` and
:func:`medsam2.io.segmentations.write_segmentation`. Libraries are imported inside the functions
that need them, so importing this room costs nothing.
"""
