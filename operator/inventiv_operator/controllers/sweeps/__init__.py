"""Periodic jobs: what is due by time or by the ledger, not by an event. All are timed by one loop over
the ledger.
"""
