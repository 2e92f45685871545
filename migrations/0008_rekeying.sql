-- migrate:up

-- `inventiv-operator keyring reencrypt` and `remove`: the only writes that are not the leader's. They touch key material
-- and the name of the key that protects a credential, never the ledger, and each changes nothing unless all of it is as it
-- was read (docs/decisions/0015).

ALTER TABLE organization_keys ADD COLUMN rewrapped_from text NOT NULL DEFAULT '';
COMMENT ON COLUMN organization_keys.rewrapped_from IS 'the key of the keyring that wrapped it before the present one; empty: none did';

-- The look-ups below read across tenants by this policy: ids and numbers leave them, no key material.
CREATE POLICY lookups ON organization_keys FOR SELECT TO CURRENT_USER USING (true);

-- Who has a data key under another key than this one, or a credential that names another; with `values_too` also who has a
-- data key that was ever under another.
CREATE FUNCTION lookup_organizations_to_rekey(primary_key_id text, values_too boolean) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.organization_id FROM public.organization_keys k
    WHERE k.key_id <> primary_key_id OR values_too AND k.rewrapped_from <> ''
    UNION
    SELECT p.organization_id FROM public.providers p
    WHERE p.state <> 'closed' AND p.encryption_key_id NOT IN ('', primary_key_id)
      AND EXISTS (SELECT FROM public.organization_keys k WHERE k.organization_id = p.organization_id)
    ORDER BY 1
$$;

-- How many data keys each key of the keyring wraps, and how many credentials name it as theirs.
CREATE FUNCTION lookup_keyring_use() RETURNS TABLE (key_id text, data_keys bigint, credentials bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.key_id, sum(u.data_keys)::bigint, sum(u.credentials)::bigint
    FROM (
        SELECT k.key_id, 1 AS data_keys, 0 AS credentials FROM public.organization_keys k
        UNION ALL
        SELECT p.encryption_key_id, 0, 1 FROM public.providers p
        WHERE p.state <> 'closed' AND p.encryption_key_id <> ''
    ) u
    GROUP BY u.key_id ORDER BY u.key_id
$$;

-- One tenant whose data key is under this key: what proves that keyring and database belong together.
CREATE FUNCTION lookup_organization_under_key(wanted_key_id text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.organization_id FROM public.organization_keys k WHERE k.key_id = wanted_key_id
    ORDER BY k.wrapped_at DESC LIMIT 1
$$;

-- The data keys of some tenants, with `values_too` each with every secret value under it. Reads one tenant after the other,
-- bound to it by row-level security like everybody: many round trips in one.
CREATE FUNCTION read_data_keys(tenants uuid[], values_too boolean)
RETURNS TABLE (
    organization_id uuid, version integer, key_id text, wrapped_key bytea, rewrapped_from text,
    value_id uuid, provider_id uuid, setting text, value_ciphertext bytea
)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY tenants LOOP
        PERFORM set_config('inventiv.organization_id', tenant::text, true);
        RETURN QUERY
            SELECT k.organization_id, k.version, k.key_id, k.wrapped_key, k.rewrapped_from,
                s.id, s.provider_id, s.key, s.value_ciphertext
            FROM public.organization_keys k
            LEFT JOIN public.provider_settings s
                ON values_too AND s.organization_id = k.organization_id AND s.key_version = k.version
            WHERE k.organization_id = tenant
            ORDER BY k.version;
    END LOOP;
    PERFORM set_config('inventiv.organization_id', '', true);
END
$$;

-- Binds the transaction to the tenant, and makes the end of a credential (which takes its row first, then its settings and
-- data keys) come before or after it as a whole.
CREATE FUNCTION begin_rekeying(tenant uuid) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM set_config('inventiv.organization_id', tenant::text, true);
    PERFORM FROM public.providers p WHERE p.organization_id = tenant AND p.state <> 'closed'
        ORDER BY p.id FOR NO KEY UPDATE;
END
$$;

-- The same data keys under another key of the keyring. `read_keys` are the wrapped keys as they were read, one for each
-- version. Raises IV002, and changes nothing, unless each of them is still so.
CREATE FUNCTION rewrap_data_keys(
    tenant uuid, new_key_id text, versions integer[], read_keys bytea[], new_keys bytea[]
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    changed integer;
BEGIN
    PERFORM public.begin_rekeying(tenant);
    INSERT INTO public.action_logs (organization_id, action, object_kind, object_ref, detail)
    SELECT tenant, 'rewrap-data-key', 'data-key', k.version::text,
        jsonb_build_object('fromKeyID', k.key_id, 'toKeyID', new_key_id)
    FROM public.organization_keys k WHERE k.organization_id = tenant AND k.version = ANY (versions);
    UPDATE public.organization_keys k
    SET key_id = new_key_id, wrapped_key = w.becomes, wrapped_at = public.ledger_now(), rewrapped_from = k.key_id
    FROM unnest(versions, read_keys, new_keys) AS w (version, was, becomes)
    WHERE k.organization_id = tenant AND k.version = w.version AND k.wrapped_key = w.was;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(versions) THEN
        RAISE EXCEPTION 'a data key is not as it was read' USING ERRCODE = 'IV002';
    END IF;
    PERFORM public.name_key_in_use(tenant, new_key_id);
END
$$;

-- A fresh data key, every secret value under it, and the data keys before it gone. Raises IV002, and changes nothing,
-- unless the data keys and the secret values are exactly those that were read.
--
-- Who writes a secret value holds the organization's row FOR SHARE from before it reads the data key (settings.py): no
-- value under an older data key can come after this.
CREATE FUNCTION replace_data_keys(
    tenant uuid, new_key_id text, new_version integer, new_key bytea,
    read_versions integer[], read_keys bytea[], value_ids uuid[], read_values bytea[], new_values bytea[]
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    changed integer;
BEGIN
    PERFORM set_config('inventiv.organization_id', tenant::text, true);
    PERFORM FROM public.organizations o WHERE o.id = tenant FOR NO KEY UPDATE;
    PERFORM public.begin_rekeying(tenant);
    INSERT INTO public.organization_keys (organization_id, version, key_id, wrapped_key)
    VALUES (tenant, new_version, new_key_id, new_key);
    UPDATE public.provider_settings s SET value_ciphertext = v.becomes, key_version = new_version
    FROM unnest(value_ids, read_values, new_values) AS v (id, was, becomes)
    WHERE s.organization_id = tenant AND s.id = v.id AND s.value_ciphertext = v.was;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(value_ids) OR EXISTS (
        SELECT FROM public.provider_settings s WHERE s.organization_id = tenant AND s.key_version <> new_version
    ) THEN
        RAISE EXCEPTION 'a secret value is not as it was read' USING ERRCODE = 'IV002';
    END IF;
    INSERT INTO public.action_logs (organization_id, action, object_kind, object_ref, detail)
    SELECT tenant, 'replace-data-key', 'data-key', new_version::text,
        jsonb_build_object('fromKeyID', max(k.key_id), 'toKeyID', new_key_id, 'values', changed)
    FROM public.organization_keys k WHERE k.organization_id = tenant AND k.version = ANY (read_versions);
    DELETE FROM public.organization_keys k
    USING unnest(read_versions, read_keys) AS w (version, was)
    WHERE k.organization_id = tenant AND k.version = w.version AND k.wrapped_key = w.was;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> cardinality(read_versions) OR EXISTS (
        SELECT FROM public.organization_keys k WHERE k.organization_id = tenant AND k.version <> new_version
    ) THEN
        RAISE EXCEPTION 'a data key is not as it was read' USING ERRCODE = 'IV002';
    END IF;
    PERFORM public.name_key_in_use(tenant, new_key_id);
END
$$;

-- What status.encryptionKeyID shows, once every data key of the tenant is under this key.
CREATE FUNCTION name_key_in_use(tenant uuid, new_key_id text) RETURNS void
LANGUAGE sql VOLATILE
AS $$
    UPDATE public.providers p SET encryption_key_id = new_key_id
    WHERE p.organization_id = tenant AND p.state <> 'closed' AND p.encryption_key_id NOT IN ('', new_key_id)
      AND NOT EXISTS (
          SELECT FROM public.organization_keys k WHERE k.organization_id = tenant AND k.key_id <> new_key_id
      )
$$;

-- The rights of 0007, and what came since. A file that adds more renames this one in turn.
ALTER FUNCTION grant_operator_role(name) RENAME TO grant_operator_role_0007;
CREATE FUNCTION grant_operator_role(role_name name) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    statement text;
BEGIN
    PERFORM public.grant_operator_role_0007(role_name);
    FOREACH statement IN ARRAY ARRAY[
        'GRANT UPDATE (rewrapped_from) ON organization_keys TO %1$I',
        'GRANT EXECUTE ON FUNCTION lookup_organizations_to_rekey(text, boolean), lookup_keyring_use(),'
            ' lookup_organization_under_key(text), read_data_keys(uuid[], boolean), begin_rekeying(uuid),'
            ' name_key_in_use(uuid, text),'
            ' rewrap_data_keys(uuid, text, integer[], bytea[], bytea[]),'
            ' replace_data_keys(uuid, text, integer, bytea, integer[], bytea[], uuid[], bytea[], bytea[]) TO %1$I'
    ]
    LOOP
        EXECUTE format(statement, role_name);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION
    lookup_organizations_to_rekey(text, boolean), lookup_keyring_use(), lookup_organization_under_key(text),
    read_data_keys(uuid[], boolean), begin_rekeying(uuid), name_key_in_use(uuid, text),
    rewrap_data_keys(uuid, text, integer[], bytea[], bytea[]),
    replace_data_keys(uuid, text, integer, bytea, integer[], bytea[], uuid[], bytea[], bytea[]),
    grant_operator_role(name)
FROM PUBLIC;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
