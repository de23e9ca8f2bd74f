"""The commands of `python -m listener_policy`, one module each, and what they share.

Nothing but `__main__` imports any of it: files, streams, the clock and the environment are met
here and nowhere else in the package.
"""
