-- migrate:up

-- Where a credential may be used, as its object says. The deployments read it with the credential, so that one which may
-- not start needs no call to the API server to know.

ALTER TABLE providers
    ADD COLUMN zones text[],
    ADD CONSTRAINT providers_zones CHECK (
        cardinality(zones) BETWEEN 1 AND 50 AND array_position(zones, NULL) IS NULL AND array_position(zones, '') IS NULL
    );
COMMENT ON COLUMN providers.zones IS 'of the provider, where it may be used; NULL: everywhere';

-- The rights of 0007 to 0010, and what came since. A file that adds more renames this one in turn.
ALTER FUNCTION grant_operator_role(name) RENAME TO grant_operator_role_0010;
CREATE FUNCTION grant_operator_role(role_name name) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.grant_operator_role_0010(role_name);
    EXECUTE format('GRANT UPDATE (zones) ON providers TO %1$I', role_name);
END
$$;

REVOKE ALL ON FUNCTION grant_operator_role(name) FROM PUBLIC;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
