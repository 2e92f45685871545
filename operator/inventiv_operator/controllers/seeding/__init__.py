"""The seeded credential (S3): filled from a directory of files, for the default organization alone, without
an object; then kept, shown and brought to its end like any other.

    directory   reads the files
    decision    which key is offered: that of the files, or the stored one
    warning     one line a failure, and not the same one again
    opening     makes the row, where the organization has no credential
    keeping     the sweep that an object would otherwise drive
    report      what the Organization's status says
    seeding     what the organization controller asks of all this
"""
