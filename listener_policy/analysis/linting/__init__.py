"""Lint: findings about a policy, proved or suspected.

What is found is in `findings`; whether it is found is asked of a `subject`, entry by entry, in the
modules of checks; `lint` puts it together.
"""
