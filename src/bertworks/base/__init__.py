"""Under every other room: errors, whole files, random streams, recipes, progress.

in          names, paths, numbers
out         an error a user can act on, a file that is whole or absent, the same random numbers on any machine
read first  errors.py, then files.py

Nothing here loads torch.
"""
