"""The command line ``medsam2``: one file per command group, starting at :mod:`medsam2.cli.main`.

How ``medsam2 segment`` runs, and where each part lives:

1. :mod:`~medsam2.cli.values` parses what stands behind an option; nothing is read yet.
2. :mod:`~medsam2.cli.output` checks that the result can be written.
3. :mod:`~medsam2.cli.gather` puts options and prompt files onto the volume.
4. :mod:`~medsam2.cli.objects` sorts them into objects by name.
5. :mod:`~medsam2.cli.job` segments, cleans up and can be cancelled; only
   :mod:`~medsam2.cli.local` imports the engine, when it is needed.
6. :mod:`~medsam2.cli.summary` says what came out.
"""
