"""From prompts to masks, with torch.

How a propagation runs, and where each part lives:

1. :mod:`~medsam2.engine.plan` cuts an object's slices into *intervals* between its pieces of
   evidence (prompted slices), each followed from one end or from both.
2. :mod:`~medsam2.engine.frame` says which crop of a slice the model sees and maps coordinates.
3. :mod:`~medsam2.engine.features` encodes a slice once and keeps the result.
4. A *tracker* turns evidence and features into masks, one slice at a time:
   :mod:`~medsam2.engine.memory_tracker` (SAM2 family) or :mod:`~medsam2.engine.chain_tracker`
   (box chaining for LiteMedSAM, SAM1 and MedSAM).
5. :mod:`~medsam2.engine.session` sweeps over the slices in both directions, blends, streams and
   remembers; it is the engine's side of the seam :mod:`medsam2.core.backend`.
"""
