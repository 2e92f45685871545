-- migrate:up

-- The audit log and the tombstones of the ledger end some day. The operator has no DELETE: it asks this function, which
-- deletes what is older than it is told, and never what is younger than the bounds that are written here. A stolen login of
-- the operator cannot erase the lines about what it did: how old a line is goes by `recorded_at`, which nobody can write.
-- Tombstones go by columns that the operator keeps itself; they are its memory, not a record of it.

ALTER TABLE action_logs ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN action_logs.at IS 'when it happened, by the clock of whoever tells it';
COMMENT ON COLUMN action_logs.recorded_at IS 'when the line was written, by the database''s clock; retention goes by it';

-- Reading an organization's log by the thing that it is about, and finding what is old, without going through everything.
CREATE INDEX action_logs_recorded ON action_logs (recorded_at);
CREATE INDEX action_logs_ref ON action_logs (organization_id, object_ref) WHERE object_ref <> '';
CREATE INDEX cloud_resources_final ON cloud_resources (changed_at) WHERE state IN ('absent', 'released', 'abandoned');
CREATE INDEX instances_gone ON instances (gone_at) WHERE state = 'gone';
CREATE INDEX deployments_closed ON deployments (closed_at) WHERE state = 'closed';
CREATE INDEX providers_closed ON providers (closed_at) WHERE state = 'closed';
CREATE INDEX organizations_closed ON organizations (closed_at) WHERE state = 'closed';
CREATE INDEX namespace_claims_released ON namespace_claims (released_at) WHERE released_at IS NOT NULL;
CREATE INDEX project_claims_released ON project_claims (released_at) WHERE released_at IS NOT NULL;
-- A foreign key looks for those that refer to what is deleted.
CREATE INDEX cloud_resources_provider ON cloud_resources (organization_id, provider_id);
CREATE INDEX cloud_resources_deployment ON cloud_resources (deployment_id) WHERE deployment_id IS NOT NULL;
CREATE INDEX cloud_resources_instance ON cloud_resources (instance_id) WHERE instance_id IS NOT NULL;
CREATE INDEX instances_deployment ON instances (deployment_id);
CREATE INDEX deployments_of_provider ON deployments (organization_id, provider_id);
CREATE INDEX namespace_claims_of_organization ON namespace_claims (organization_id);
CREATE INDEX project_claims_of_organization ON project_claims (organization_id);

-- FORCE binds the owner too, and with it the function: it reads by the first kind of policy and deletes by the second, which
-- repeats the shortest times.
CREATE POLICY lookups ON action_logs FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY lookups ON cloud_resources FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY lookups ON instances FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY lookups ON project_claims FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY lookups ON provider_settings FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY lookups ON provider_zone_controls FOR SELECT TO CURRENT_USER USING (true);

CREATE POLICY retention ON action_logs FOR DELETE TO CURRENT_USER USING (recorded_at < now() - interval '30 days');
CREATE POLICY retention ON cloud_resources FOR DELETE TO CURRENT_USER
    USING (state IN ('absent', 'released', 'abandoned') AND changed_at < now() - interval '7 days');
CREATE POLICY retention ON instances FOR DELETE TO CURRENT_USER USING (gone_at < now() - interval '7 days');
CREATE POLICY retention ON deployments FOR DELETE TO CURRENT_USER USING (closed_at < now() - interval '7 days');
CREATE POLICY retention ON provider_zone_controls FOR DELETE TO CURRENT_USER
    USING (EXISTS (SELECT FROM providers p WHERE p.id = provider_id AND p.closed_at < now() - interval '7 days'));
CREATE POLICY retention ON providers FOR DELETE TO CURRENT_USER USING (closed_at < now() - interval '7 days');
CREATE POLICY retention ON namespace_claims FOR DELETE TO CURRENT_USER USING (released_at < now() - interval '7 days');
CREATE POLICY retention ON project_claims FOR DELETE TO CURRENT_USER USING (released_at < now() - interval '7 days');
CREATE POLICY retention ON provider_settings FOR DELETE TO CURRENT_USER
    USING (EXISTS (
        SELECT FROM organizations o WHERE o.id = organization_id AND o.closed_at < now() - interval '7 days'
    ));
CREATE POLICY retention ON organization_keys FOR DELETE TO CURRENT_USER
    USING (EXISTS (
        SELECT FROM organizations o WHERE o.id = organization_id AND o.closed_at < now() - interval '7 days'
    ));
CREATE POLICY retention ON organizations FOR DELETE TO CURRENT_USER USING (closed_at < now() - interval '7 days');

-- One batch: at most so many rows of each table, children first. What was removed, for each table that lost something;
-- nothing: there is no more, or another call of it is under way.
--
-- By the database's clock, whatever the caller says that it is. An organization stays while a line of the audit log is its.
CREATE FUNCTION prune_history(audit_days integer, tombstone_days integer, batch integer)
RETURNS TABLE (pruned text, removed bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told_before timestamptz := now() - make_interval(days => audit_days);
    ended_before timestamptz := now() - make_interval(days => tombstone_days);
    step record;
BEGIN
    IF (audit_days >= 30 AND tombstone_days >= 7 AND batch BETWEEN 1 AND 10000) IS NOT TRUE THEN
        RAISE EXCEPTION 'at least 30 days of audit, 7 days of tombstones, and 1 to 10000 rows at once'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(7364943, -2) THEN
        RETURN;
    END IF;
    -- A tenant that the caller's transaction is bound to would open all of its rows.
    PERFORM set_config('inventiv.organization_id', '', true);
    FOR step IN SELECT * FROM (VALUES
        ('action_logs', told_before, 'x.recorded_at < $1'),
        ('cloud_resources', ended_before, $q$x.state IN ('absent', 'released', 'abandoned') AND x.changed_at < $1$q$),
        ('instances', ended_before, $q$x.state = 'gone' AND x.gone_at < $1
            AND NOT EXISTS (SELECT FROM public.cloud_resources c WHERE c.instance_id = x.id)$q$),
        ('deployments', ended_before, $q$x.state = 'closed' AND x.closed_at < $1
            AND NOT EXISTS (SELECT FROM public.cloud_resources c WHERE c.deployment_id = x.id)
            AND NOT EXISTS (SELECT FROM public.instances i WHERE i.deployment_id = x.id)$q$),
        ('provider_zone_controls', ended_before, $q$EXISTS (
            SELECT FROM public.providers p WHERE p.id = x.provider_id AND p.state = 'closed' AND p.closed_at < $1)$q$),
        ('providers', ended_before, $q$x.state = 'closed' AND x.closed_at < $1
            AND NOT EXISTS (
                SELECT FROM public.cloud_resources c WHERE (c.organization_id, c.provider_id) = (x.organization_id, x.id))
            AND NOT EXISTS (
                SELECT FROM public.deployments d WHERE (d.organization_id, d.provider_id) = (x.organization_id, x.id))
            AND NOT EXISTS (SELECT FROM public.provider_settings s WHERE s.provider_id = x.id)
            AND NOT EXISTS (SELECT FROM public.provider_zone_controls z WHERE z.provider_id = x.id)$q$),
        ('namespace_claims', ended_before, 'x.released_at < $1'),
        ('project_claims', ended_before, 'x.released_at < $1'),
        ('provider_settings', ended_before, $q$x.provider_id IS NULL AND EXISTS (
            SELECT FROM public.organizations o
            WHERE o.id = x.organization_id AND o.state = 'closed' AND o.closed_at < $1)$q$),
        ('organization_keys', ended_before, $q$EXISTS (
            SELECT FROM public.organizations o
            WHERE o.id = x.organization_id AND o.state = 'closed' AND o.closed_at < $1)
            AND NOT EXISTS (SELECT FROM public.provider_settings s WHERE s.organization_id = x.organization_id)
            AND NOT EXISTS (
                SELECT FROM public.providers p WHERE p.organization_id = x.organization_id AND p.state <> 'closed')$q$),
        ('organizations', ended_before, $q$x.state = 'closed' AND x.closed_at < $1
            AND NOT EXISTS (SELECT FROM public.action_logs a WHERE a.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.cloud_resources c WHERE c.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.deployments d WHERE d.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.providers p WHERE p.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.namespace_claims n WHERE n.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.project_claims c WHERE c.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.provider_settings s WHERE s.organization_id = x.id)
            AND NOT EXISTS (SELECT FROM public.organization_keys k WHERE k.organization_id = x.id)$q$)
    ) AS steps (relation, before, condition)
    LOOP
        EXECUTE format(
            'DELETE FROM public.%1$I d WHERE d.ctid IN (SELECT x.ctid FROM public.%1$I x WHERE %2$s LIMIT $2)',
            step.relation, step.condition
        ) USING step.before, batch;
        GET DIAGNOSTICS removed = ROW_COUNT;
        IF removed > 0 THEN
            pruned := step.relation;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- The rights of 0007 to 0009, and what came since. A file that adds more renames this one in turn.
ALTER FUNCTION grant_operator_role(name) RENAME TO grant_operator_role_0009;
CREATE FUNCTION grant_operator_role(role_name name) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.grant_operator_role_0009(role_name);
    -- Neither the number of a line nor when it was written is the writer's to choose.
    EXECUTE format('REVOKE INSERT ON action_logs FROM %1$I', role_name);
    EXECUTE format(
        'GRANT INSERT (organization_id, at, action, object_kind, object_name, object_ref, request_id, detail)'
            ' ON action_logs TO %1$I',
        role_name
    );
    EXECUTE format('GRANT EXECUTE ON FUNCTION prune_history(integer, integer, integer) TO %1$I', role_name);
END
$$;

REVOKE ALL ON FUNCTION prune_history(integer, integer, integer), grant_operator_role(name) FROM PUBLIC;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
