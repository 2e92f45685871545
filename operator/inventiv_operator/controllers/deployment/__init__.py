"""The deployment controller: observe, plan, apply, write status."""
