-- migrate:up

-- Credentials: one row of `providers` for each ProviderCredential, its settings, and what its secrets are encrypted with.

CREATE TABLE providers (
    id                uuid PRIMARY KEY,
    organization_id   uuid NOT NULL REFERENCES organizations (id),
    provider          text NOT NULL DEFAULT 'scaleway' CHECK (provider = 'scaleway'),
    namespace         text NOT NULL CHECK (char_length(namespace) BETWEEN 1 AND 63),
    name              text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 253),
    uid               text NOT NULL,
    project_id        text NOT NULL CHECK (project_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    is_default        boolean NOT NULL,
    state             text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closing', 'closed')),
    ready             boolean NOT NULL DEFAULT false,
    reason            text NOT NULL DEFAULT 'Progressing',
    frozen_reason     text NOT NULL DEFAULT '',
    frozen_at         timestamptz,
    validated_at      timestamptz,
    rejected_at       timestamptz,
    expires_at        timestamptz,
    key_fingerprint   text NOT NULL DEFAULT '' CHECK (key_fingerprint ~ '^([0-9a-f]{8})?$'),
    access_key        text NOT NULL DEFAULT '' CHECK (access_key ~ '^(SCW[A-Z0-9]{17})?$'),
    encryption_key_id text NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL DEFAULT ledger_now(),
    changed_at        timestamptz NOT NULL DEFAULT ledger_now(),
    closing_at        timestamptz,
    closed_at         timestamptz,
    UNIQUE (organization_id, id),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CHECK ((frozen_reason = '') = (frozen_at IS NULL))
);
COMMENT ON COLUMN providers.uid IS 'of the object; empty: seeded, there is none';
COMMENT ON COLUMN providers.rejected_at IS 'since when the key has been refused (401)';
COMMENT ON COLUMN providers.closing_at IS 'since when nothing uses it: key and sweep are kept for a quarantine that runs from here';
COMMENT ON COLUMN providers.closed_at IS 'end of the quarantine: the key is destroyed';
-- While one is on its way out, its name may be used anew.
CREATE UNIQUE INDEX providers_name ON providers (namespace, name) WHERE state = 'open';
CREATE INDEX providers_organization ON providers (organization_id) WHERE state <> 'closed';
CREATE INDEX providers_not_closed ON providers (namespace, name) WHERE state <> 'closed';

ALTER TABLE providers ENABLE ROW LEVEL SECURITY;
ALTER TABLE providers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON providers
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);
CREATE POLICY lookups ON providers FOR SELECT TO CURRENT_USER USING (true);

-- A Scaleway project belongs to one organization, the first that proves access, until its last credential is closed.
CREATE TABLE project_claims (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    project_id      text NOT NULL CHECK (project_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
    claimed_at      timestamptz NOT NULL DEFAULT ledger_now(),
    released_at     timestamptz
);
CREATE UNIQUE INDEX project_claims_one_holder ON project_claims (project_id) WHERE released_at IS NULL;
CREATE INDEX project_claims_organization ON project_claims (organization_id) WHERE released_at IS NULL;

ALTER TABLE project_claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE project_claims FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON project_claims
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

-- The positive control of a credential in a zone: a security group that is known to exist (L1).
CREATE TABLE provider_zone_controls (
    organization_id    uuid NOT NULL,
    provider_id        uuid NOT NULL,
    zone               text NOT NULL CHECK (char_length(zone) BETWEEN 1 AND 32),
    security_group_ref text NOT NULL CHECK (security_group_ref <> ''),
    recorded_at        timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (provider_id, zone),
    FOREIGN KEY (organization_id, provider_id) REFERENCES providers (organization_id, id)
);

ALTER TABLE provider_zone_controls ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_zone_controls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON provider_zone_controls
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

-- The data key of an organization, wrapped by a key of the keyring. Versions overlap while rows are encrypted anew.
CREATE TABLE organization_keys (
    organization_id uuid NOT NULL REFERENCES organizations (id),
    version         integer NOT NULL CHECK (version > 0),
    key_id          text NOT NULL CHECK (key_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    wrapped_key     bytea NOT NULL CHECK (octet_length(wrapped_key) = 61),
    created_at      timestamptz NOT NULL DEFAULT ledger_now(),
    wrapped_at      timestamptz NOT NULL DEFAULT ledger_now(),
    PRIMARY KEY (organization_id, version)
);
COMMENT ON COLUMN organization_keys.wrapped_key IS '1 format byte, 12 nonce, 32 key, 16 tag';

ALTER TABLE organization_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organization_keys
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

-- Settings of a credential; without a provider_id, the defaults of its organization.
CREATE TABLE provider_settings (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id  uuid NOT NULL REFERENCES organizations (id),
    provider_id      uuid,
    key              text NOT NULL,
    value_text       text,
    value_int        bigint,
    value_bool       boolean,
    value_ciphertext bytea,
    key_version      integer,
    created_at       timestamptz NOT NULL DEFAULT ledger_now(),
    changed_at       timestamptz NOT NULL DEFAULT ledger_now(),
    CONSTRAINT provider_settings_once UNIQUE NULLS NOT DISTINCT (provider_id, key, organization_id),
    FOREIGN KEY (organization_id, provider_id) REFERENCES providers (organization_id, id),
    FOREIGN KEY (organization_id, key_version) REFERENCES organization_keys (organization_id, version),
    CONSTRAINT provider_settings_known_key CHECK (key IN (
        'SCALEWAY_PROJECT_ID', 'SCALEWAY_ORGANIZATION_ID', 'SCALEWAY_ACCESS_KEY',
        'SCALEWAY_SECRET_KEY', 'SCALEWAY_SECRET_KEY_CANDIDATE',
        'INSTANCE_STARTUP_TIMEOUT_S', 'WORKER_INSTANCE_STARTUP_TIMEOUT_S',
        'WORKER_HEALTH_PORT', 'WORKER_VLLM_PORT', 'WORKER_DATA_VOLUME_GB_DEFAULT',
        'WORKER_EXPOSE_PORTS', 'WORKER_VLLM_IMAGE'
    )),
    CONSTRAINT provider_settings_one_value CHECK (
        num_nonnulls(value_text, value_int, value_bool, value_ciphertext) = 1
    ),
    CONSTRAINT provider_settings_typed_value CHECK (coalesce(
        CASE key
            WHEN 'SCALEWAY_PROJECT_ID' THEN value_text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            WHEN 'SCALEWAY_ORGANIZATION_ID' THEN value_text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            WHEN 'SCALEWAY_ACCESS_KEY' THEN value_text ~ '^SCW[A-Z0-9]{17}$'
            -- 1 format byte, 12 nonce, at least 1 of text, 16 tag: a UUID in plain has 36 and does not begin with 0x01.
            WHEN 'SCALEWAY_SECRET_KEY' THEN octet_length(value_ciphertext) >= 30 AND get_byte(value_ciphertext, 0) = 1
            WHEN 'SCALEWAY_SECRET_KEY_CANDIDATE'
                THEN octet_length(value_ciphertext) >= 30 AND get_byte(value_ciphertext, 0) = 1
            WHEN 'INSTANCE_STARTUP_TIMEOUT_S' THEN value_int BETWEEN 30 AND 86400
            WHEN 'WORKER_INSTANCE_STARTUP_TIMEOUT_S' THEN value_int BETWEEN 30 AND 86400
            WHEN 'WORKER_HEALTH_PORT' THEN value_int BETWEEN 1 AND 65535
            WHEN 'WORKER_VLLM_PORT' THEN value_int BETWEEN 1 AND 65535
            WHEN 'WORKER_DATA_VOLUME_GB_DEFAULT' THEN value_int BETWEEN 50 AND 5000
            WHEN 'WORKER_EXPOSE_PORTS' THEN value_bool IS NOT NULL
            WHEN 'WORKER_VLLM_IMAGE' THEN char_length(value_text) <= 512
            ELSE false
        END, false)),
    CONSTRAINT provider_settings_identity_has_provider CHECK (provider_id IS NOT NULL OR key NOT LIKE 'SCALEWAY\_%'),
    CONSTRAINT provider_settings_encrypted_by CHECK ((value_ciphertext IS NULL) = (key_version IS NULL))
);
CREATE INDEX provider_settings_organization ON provider_settings (organization_id);
CREATE INDEX provider_settings_provider ON provider_settings (provider_id, organization_id);

ALTER TABLE provider_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON provider_settings
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
