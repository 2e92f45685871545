"""The command `leaks`: ledger against provider, organization by organization, changing nothing.

    command -> survey -> [provider_for] -> listings, then ledger -> domain.leaks -> text or JSON

Nothing of one organization is ever read for another.
"""
