"""Runs that show something: the demo, which carries bundled text from a file to answers.

in          data of the package, the public functions of every room below
out         a folder with what each stage made, `result.json`, pictures, a table with spread
read first  demo.py
"""
