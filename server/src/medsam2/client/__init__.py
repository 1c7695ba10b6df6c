"""The seam over HTTP: a backend whose model runs in a server."""
