"""PAR2 2.0 (spec/1, chapter 17): packets, recovery slices made and found, lost slices solved. No member, no command.

Lowest first: ``geometry`` < ``packets`` < ``sets`` and ``find`` need the standard library alone; ``field`` < ``parity``
< ``encode``, ``shifted``, ``solve`` < ``restore`` compute with numpy, and are imported when they are needed.
"""
