"""The sections of a report: each builder takes finished trials of one or several sweeps and returns its part.

Of their arguments, ``studies`` are the sweeps side by side, ``level`` is that of intervals, ``splits`` counts random
halvings, ``draws`` redrawn seeds and ``shuffles`` permutations, and ``seed`` is that of everything that is drawn.
"""
