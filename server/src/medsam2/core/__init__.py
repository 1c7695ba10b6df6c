"""What every other room shares: volumes, prompts, results, the seam and the errors.

numpy and the standard library only.
"""
