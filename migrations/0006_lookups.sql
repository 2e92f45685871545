-- migrate:up

-- What has to be known before it is known whose it is. Only ids, names and states leave here; `search_path` is fixed,
-- and EXECUTE is granted to the operator's role alone (0007).

CREATE FUNCTION lookup_organization(wanted_name text)
RETURNS TABLE (id uuid, name text, uid text, is_default boolean, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.id, o.name, o.uid, o.is_default, o.state
    FROM public.organizations o
    WHERE o.name = wanted_name AND o.state <> 'closed'
$$;

CREATE FUNCTION lookup_open_organizations()
RETURNS TABLE (id uuid, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.id, o.name FROM public.organizations o WHERE o.state <> 'closed' ORDER BY o.name
$$;

CREATE FUNCTION lookup_namespace(wanted_namespace text)
RETURNS TABLE (organization_id uuid, namespace text, namespace_uid text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.organization_id, c.namespace, c.namespace_uid
    FROM public.namespace_claims c
    WHERE c.namespace = wanted_namespace AND c.released_at IS NULL
$$;

CREATE FUNCTION lookup_credential_owners(wanted_namespace text, wanted_name text)
RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT p.organization_id
    FROM public.providers p
    WHERE p.namespace = wanted_namespace AND p.name = wanted_name AND p.state <> 'closed'
$$;

CREATE FUNCTION lookup_credentials()
RETURNS TABLE (organization_id uuid, id uuid, namespace text, name text, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.organization_id, p.id, p.namespace, p.name, p.state
    FROM public.providers p
    WHERE p.state <> 'closed'
    ORDER BY p.organization_id, p.namespace, p.name, p.created_at
$$;

CREATE FUNCTION lookup_deployment_owners(wanted_namespace text, wanted_name text)
RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT d.organization_id
    FROM public.deployments d
    WHERE d.namespace = wanted_namespace AND d.name = wanted_name AND d.state <> 'closed'
$$;

CREATE FUNCTION lookup_deployments()
RETURNS TABLE (organization_id uuid, namespace text, name text, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.organization_id, d.namespace, d.name, d.state
    FROM public.deployments d
    WHERE d.state <> 'closed'
    ORDER BY d.organization_id, d.namespace, d.name, d.created_at
$$;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
