"""Rows before training: what is wrong with them, or odd, and where. `report.lint` is the way in."""
