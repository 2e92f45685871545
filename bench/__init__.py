"""`make bench`: how fast, how often and how big, measured side by side in one run on the local stack."""
