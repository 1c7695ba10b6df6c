"""Interactive segmentation of medical volumes with SAM2-family models.

Importing this package costs nothing; take what you need from its rooms (``core``, ``io``, ``models``,
``engine`` ...). Start reading at :mod:`medsam2.core.backend`.
"""

__version__ = "0.1.0"
