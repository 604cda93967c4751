"""The commands: one thin file each, which parses, calls one function of a room, and prints.

in          words of a command line
out         results on standard output, everything else on standard error, an exit code
read first  main.py

A command's file loads its room only when it runs, so that `--help` stays quick.
"""
