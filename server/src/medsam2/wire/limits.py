"""How large anything on the wire may be, whatever a server's own settings allow."""

from __future__ import annotations

LONGEST_AXIS = 4096
"""Voxels along one axis of a volume."""

MOST_VOLUME_BYTES = 8 << 30
"""Bytes of a volume's voxels."""

MOST_CHUNK_BYTES = 8 << 20
"""Bytes of a chunk's voxels; a single slice may be larger, up to one of 4096 x 4096."""

MOST_OBJECTS = 1024
"""Objects in a session."""

MOST_PROMPTS = 4096
"""Prompts of an object."""

MOST_OBJECT_JSON = 16 << 20
"""Bytes of the JSON that holds one object's prompts."""

MOST_JSON = 128 << 10
"""Bytes of any other JSON message."""
