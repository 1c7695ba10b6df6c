"""The inference server: an API process without torch, and a worker process that computes."""
