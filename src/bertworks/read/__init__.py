"""Files → documents or rows, by what is in them; packed or not.

in          paths of text, JSON lines, CSV, TSV, Parquet, GLUE files
out         documents (documents.py), rows keyed by role (tables.py), and what was left out, by reason
read first  open.py, then documents.py or tables.py

Nothing here loads torch.
"""
