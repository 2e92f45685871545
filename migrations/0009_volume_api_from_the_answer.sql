-- migrate:up

-- Which API a volume belongs to is a guess until an answer shows its type: the image decides. A 404 of the other API
-- proves nothing (L1), so what was seen replaces what was intended.

-- The rights of 0007 and 0008, and what came since. A file that adds more renames this one in turn.
ALTER FUNCTION grant_operator_role(name) RENAME TO grant_operator_role_0008;
CREATE FUNCTION grant_operator_role(role_name name) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.grant_operator_role_0008(role_name);
    EXECUTE format('GRANT UPDATE (volume_api) ON cloud_resources TO %1$I', role_name);
END
$$;

REVOKE ALL ON FUNCTION grant_operator_role(name) FROM PUBLIC;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
