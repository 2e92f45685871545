-- migrate:up

-- Append-only by grants: the operator may insert and read, never change or delete. Never a secret.
CREATE TABLE action_logs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations (id),
    at              timestamptz NOT NULL DEFAULT ledger_now(),
    action          text NOT NULL CHECK (char_length(action) BETWEEN 1 AND 80),
    object_kind     text NOT NULL DEFAULT '',
    object_name     text NOT NULL DEFAULT '',
    object_ref      text NOT NULL DEFAULT '',
    request_id      text NOT NULL DEFAULT '',
    detail          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object')
);
COMMENT ON COLUMN action_logs.request_id IS 'of the provider; empty: no cloud call';
CREATE INDEX action_logs_organization ON action_logs (organization_id, at);

ALTER TABLE action_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE action_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON action_logs
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

-- The provider's catalog, read with the default organization's credential; it belongs to no tenant.
CREATE TABLE instance_types (
    zone                   text NOT NULL CHECK (char_length(zone) BETWEEN 1 AND 32),
    name                   text NOT NULL CHECK (name <> ''),
    arch                   text NOT NULL,
    ncpus                  integer NOT NULL CHECK (ncpus >= 0),
    ram_bytes              bigint NOT NULL CHECK (ram_bytes >= 0),
    gpus                   integer NOT NULL CHECK (gpus >= 0),
    price_eur_per_hour     numeric(12, 6) NOT NULL CHECK (price_eur_per_hour >= 0),
    local_volume_max_bytes bigint NOT NULL CHECK (local_volume_max_bytes >= 0),
    block_storage          boolean NOT NULL,
    availability           text NOT NULL DEFAULT '',
    seen_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (zone, name)
);

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
