"""Linux: see the list in `pelton.system`. Nobody but that module imports from here."""
