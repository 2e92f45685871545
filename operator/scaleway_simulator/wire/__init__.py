"""The wire: HTTP in, HTTP out, exactly as recorded. Behaviour lives one level up."""
