class LocalStackError(Exception):
    """Something the person at the keyboard can act on; its text names the thing and what to do.

    The command line prints it as one line. It never contains a token or a password.
    """
