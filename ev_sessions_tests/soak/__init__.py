"""The soak test: weeks of simulated operation with everything that goes wrong, and then every table against the truth.

`world.py` is what the API knows and what befalls it, `automation.py` decides what is due as Dagster's daemon would, `machine.py`
executes it in processes and kills some of them, `execution.py` is what such a process does, `simulation.py` puts them on one
clock, `expected.py` and `comparison.py` look at what came of it. `python -m ev_sessions_tests.soak` runs it.
"""
