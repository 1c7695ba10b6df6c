"""The models: their architectures in plain Python, their registry, and where their weights live.

torch is needed from here upwards; nothing here knows of volumes or prompts.
"""
