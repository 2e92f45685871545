-- migrate:up

-- Everything that the operator's role may do, and nothing else: `inventiv-operator migrate` calls this after the files.
--
-- What identifies a row (ids, organization, kind, zone, names) can be inserted and never changed; DELETE exists for
-- settings that were taken back and for key material alone.
CREATE FUNCTION grant_operator_role(role_name name) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    statement text;
BEGIN
    IF NOT has_schema_privilege(role_name, 'public', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', role_name);
    END IF;
    FOREACH statement IN ARRAY ARRAY[
        'REVOKE ALL ON installation, operator_lease, organizations, namespace_claims, providers, project_claims,'
            ' provider_zone_controls, organization_keys, provider_settings, deployments, instances, cloud_resources,'
            ' action_logs, instance_types FROM %1$I',
        'GRANT SELECT ON schema_migrations TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (cluster_uid, bound_at) ON installation TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (holder, epoch, taken_at, expires_at) ON operator_lease TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (uid, is_default, state, changed_at, closed_at) ON organizations TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (namespace_uid, released_at) ON namespace_claims TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (uid, is_default, state, ready, reason, frozen_reason, frozen_at, validated_at,'
            ' rejected_at, expires_at, key_fingerprint, access_key, encryption_key_id, changed_at, closing_at, closed_at)'
            ' ON providers TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (released_at) ON project_claims TO %1$I',
        'GRANT SELECT, INSERT, DELETE, UPDATE (security_group_ref, recorded_at) ON provider_zone_controls TO %1$I',
        'GRANT SELECT, INSERT, DELETE, UPDATE (key_id, wrapped_key, wrapped_at) ON organization_keys TO %1$I',
        'GRANT SELECT, INSERT, DELETE,'
            ' UPDATE (value_text, value_int, value_bool, value_ciphertext, key_version, changed_at)'
            ' ON provider_settings TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (uid, state, template_hash, start_failures, start_reason, start_message,'
            ' next_start_at, reset_token, changed_at, closed_at) ON deployments TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (state, reason, message, ready_at, failed_at, gone_at) ON instances TO %1$I',
        'GRANT SELECT, INSERT, UPDATE (state, origin, provider_ref, reclaim_policy, attempts, send_before, prepared_at,'
            ' prepared_hash, started_at, size_gb, changed_at, last_error, last_error_at) ON cloud_resources TO %1$I',
        'GRANT SELECT, INSERT ON action_logs TO %1$I',
        'GRANT SELECT, INSERT, UPDATE ON instance_types TO %1$I',
        'GRANT EXECUTE ON FUNCTION ledger_now(), begin_write(uuid, integer, bigint, timestamptz),'
            ' take_lease(integer, text, interval), lookup_organization(text), lookup_open_organizations(),'
            ' lookup_namespace(text), lookup_credential_owners(text, text), lookup_credentials(),'
            ' lookup_deployment_owners(text, text), lookup_deployments() TO %1$I'
    ]
    LOOP
        EXECUTE format(statement, role_name);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION
    ledger_now(), begin_write(uuid, integer, bigint, timestamptz), take_lease(integer, text, interval),
    lookup_organization(text), lookup_open_organizations(), lookup_namespace(text),
    lookup_credential_owners(text, text), lookup_credentials(), lookup_deployment_owners(text, text),
    lookup_deployments(), grant_operator_role(name)
FROM PUBLIC;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
