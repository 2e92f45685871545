-- migrate:up

-- A seeded credential has no object: no uid, no namespace, and a name that is only for people. It belongs to its organization
-- as a whole, and an organization has one at most that is open.

ALTER TABLE providers
    DROP CONSTRAINT providers_namespace_check,
    ADD CONSTRAINT providers_namespace_check CHECK (char_length(namespace) <= 63 AND (namespace = '') = (uid = ''));
COMMENT ON COLUMN providers.namespace IS 'of the object; empty: seeded, there is none';

DROP INDEX providers_name;
CREATE UNIQUE INDEX providers_name ON providers (namespace, name) WHERE state = 'open' AND uid <> '';
CREATE UNIQUE INDEX providers_seeded ON providers (organization_id) WHERE state = 'open' AND uid = '';

-- Asked for an object by its name: a seeded row is never the answer, whatever is asked for.
CREATE OR REPLACE FUNCTION lookup_credential_owners(wanted_namespace text, wanted_name text)
RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT p.organization_id
    FROM public.providers p
    WHERE p.namespace = wanted_namespace AND p.name = wanted_name AND p.uid <> '' AND p.state <> 'closed'
$$;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
