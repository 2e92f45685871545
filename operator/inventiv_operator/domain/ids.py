"""Names for the things that must never be mixed up.

One tenant's credential id handed over where another id is meant is a type error, not an incident.
"""

from typing import NewType
from uuid import UUID

OrganizationId = NewType("OrganizationId", UUID)
"""Durable id of a tenant, from PostgreSQL; not the id of Scaleway's organization."""
CredentialId = NewType("CredentialId", UUID)
"""Row of `providers`: one Scaleway project and key of one organization."""
DeploymentId = NewType("DeploymentId", UUID)
"""Row of `deployments`; survives the Kubernetes object."""
InstanceId = NewType("InstanceId", UUID)
"""One incarnation of an ordinal; the value of the tag `inventiv-instance`."""
ResourceId = NewType("ResourceId", UUID)
"""Row of `cloud_resources`: one billable (or free) thing that exists, or may exist, at the provider."""
InstallationId = NewType("InstallationId", UUID)

ProviderRef = NewType("ProviderRef", str)
"""Scaleway's id of a server, volume, address or security group."""
Zone = NewType("Zone", str)
"""For example `fr-par-2`."""
ProjectId = NewType("ProjectId", str)
"""Scaleway project, lower-case UUID text."""
AccessKey = NewType("AccessKey", str)
"""`SCW` and 17 upper-case letters or digits; not secret."""
