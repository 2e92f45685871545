"""A Kubernetes API server, PostgreSQL and the Scaleway simulator on one machine, without Docker.

For development, the tests and the demo only; docs/local-stack.md tells what runs and where its state lies.
"""
