"""Benchmarks: `PYTHONPATH=tests python -m benchmarks`. docs/performance.md tells what they show."""
