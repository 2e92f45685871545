-- migrate:up

-- The ledger: what exists, or may exist, at the provider because of us. Rows are never deleted: they end as tombstones.

CREATE TABLE deployments (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    provider_id     uuid NOT NULL,
    namespace       text NOT NULL CHECK (char_length(namespace) BETWEEN 1 AND 63),
    name            text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 253),
    uid             text NOT NULL CHECK (uid <> ''),
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'lost', 'closing', 'closed')),
    template_hash   text NOT NULL DEFAULT '',
    start_failures  integer NOT NULL DEFAULT 0 CHECK (start_failures >= 0),
    start_reason    text NOT NULL DEFAULT '',
    start_message   text NOT NULL DEFAULT '',
    next_start_at   timestamptz,
    reset_token     text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT ledger_now(),
    changed_at      timestamptz NOT NULL DEFAULT ledger_now(),
    closed_at       timestamptz,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, provider_id) REFERENCES providers (organization_id, id),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);
-- A name made anew while the old one is on its way out is another deployment.
CREATE UNIQUE INDEX deployments_name ON deployments (namespace, name) WHERE state IN ('open', 'lost');
CREATE INDEX deployments_not_closed ON deployments (namespace, name) WHERE state <> 'closed';
CREATE INDEX deployments_provider ON deployments (provider_id) WHERE state <> 'closed';

ALTER TABLE deployments ENABLE ROW LEVEL SECURITY;
ALTER TABLE deployments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON deployments
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);
CREATE POLICY lookups ON deployments FOR SELECT TO CURRENT_USER USING (true);

CREATE TABLE instances (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL,
    deployment_id    uuid NOT NULL,
    ordinal          integer NOT NULL CHECK (ordinal BETWEEN 0 AND 9999),
    name             text NOT NULL CHECK (name <> ''),
    zone             text NOT NULL CHECK (char_length(zone) BETWEEN 1 AND 32),
    instance_type    text NOT NULL CHECK (instance_type <> ''),
    image_ref        text NOT NULL,
    root_volume_type text NOT NULL CHECK (root_volume_type IN ('sbs_volume', 'l_ssd')),
    template_hash    text NOT NULL,
    state            text NOT NULL CHECK (state IN ('active', 'failed', 'deleting', 'gone')),
    reason           text NOT NULL DEFAULT '',
    message          text NOT NULL DEFAULT '',
    created_at       timestamptz NOT NULL DEFAULT ledger_now(),
    ready_at         timestamptz,
    failed_at        timestamptz,
    gone_at          timestamptz,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, deployment_id) REFERENCES deployments (organization_id, id),
    CHECK ((state = 'gone') = (gone_at IS NOT NULL))
);
-- One living incarnation of an ordinal, whatever races (L2).
CREATE UNIQUE INDEX instances_ordinal ON instances (deployment_id, ordinal) WHERE state IN ('active', 'failed');
CREATE INDEX instances_not_gone ON instances (deployment_id) WHERE state <> 'gone';

ALTER TABLE instances ENABLE ROW LEVEL SECURITY;
ALTER TABLE instances FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON instances
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

CREATE TABLE cloud_resources (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    provider_id     uuid NOT NULL,
    deployment_id   uuid,
    instance_id     uuid,
    kind            text NOT NULL CHECK (kind IN ('server', 'volume', 'ip', 'security_group')),
    role            text NOT NULL CHECK (char_length(role) BETWEEN 1 AND 80),
    zone            text NOT NULL CHECK (char_length(zone) BETWEEN 1 AND 32),
    volume_api      text CHECK (volume_api IN ('block', 'instance')),
    state           text NOT NULL CHECK (state IN (
        'intended', 'present', 'deleting', 'absent', 'released', 'lost', 'abandoned'
    )),
    origin          text CHECK (origin IN ('created', 'answer', 'adopted')),
    provider_ref    text CHECK (provider_ref <> ''),
    reclaim_policy  text NOT NULL DEFAULT 'Delete' CHECK (reclaim_policy IN ('Delete', 'Retain')),
    attempts        text[] NOT NULL DEFAULT '{}',
    send_before     timestamptz,
    prepared_at     timestamptz,
    prepared_hash   text NOT NULL DEFAULT '',
    started_at      timestamptz,
    size_gb         integer CHECK (size_gb >= 0),
    created_at      timestamptz NOT NULL DEFAULT ledger_now(),
    changed_at      timestamptz NOT NULL DEFAULT ledger_now(),
    last_error      text NOT NULL DEFAULT '',
    last_error_at   timestamptz,
    FOREIGN KEY (organization_id, provider_id) REFERENCES providers (organization_id, id),
    FOREIGN KEY (organization_id, deployment_id) REFERENCES deployments (organization_id, id),
    FOREIGN KEY (organization_id, instance_id) REFERENCES instances (organization_id, id),
    CHECK ((kind = 'volume') = (volume_api IS NOT NULL)),
    CHECK ((provider_ref IS NULL) = (origin IS NULL)),
    CHECK (state <> 'intended' OR provider_ref IS NULL),
    CHECK (state NOT IN ('present', 'lost') OR provider_ref IS NOT NULL)
);
COMMENT ON COLUMN cloud_resources.send_before IS 'NULL while intended: provably not sent';
COMMENT ON COLUMN cloud_resources.attempts IS 'values of the tag inventiv-attempt, one for each POST that may have left';
-- One row for one thing at the provider, and one open row for each part of an instance, a deployment or a control.
CREATE UNIQUE INDEX cloud_resources_ref ON cloud_resources (kind, zone, provider_ref)
    WHERE state IN ('present', 'deleting', 'lost') AND provider_ref IS NOT NULL;
CREATE UNIQUE INDEX cloud_resources_of_instance ON cloud_resources (instance_id, role)
    WHERE instance_id IS NOT NULL AND state IN ('intended', 'present', 'deleting', 'lost');
CREATE UNIQUE INDEX cloud_resources_of_deployment ON cloud_resources (deployment_id, zone, role)
    WHERE instance_id IS NULL AND deployment_id IS NOT NULL AND state IN ('intended', 'present', 'lost');
CREATE UNIQUE INDEX cloud_resources_of_provider ON cloud_resources (provider_id, zone, role)
    WHERE deployment_id IS NULL AND state IN ('intended', 'present', 'lost');
CREATE INDEX cloud_resources_open_deployment ON cloud_resources (deployment_id)
    WHERE state IN ('intended', 'present', 'deleting', 'lost');
CREATE INDEX cloud_resources_open_provider ON cloud_resources (provider_id)
    WHERE state IN ('intended', 'present', 'deleting', 'lost');

ALTER TABLE cloud_resources ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_resources FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON cloud_resources
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
