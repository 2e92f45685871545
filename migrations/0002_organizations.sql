-- migrate:up

-- Tenants, and the namespaces that are theirs (T1).

CREATE TABLE organizations (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 253),
    uid        text NOT NULL CHECK (uid <> ''),
    is_default boolean NOT NULL DEFAULT false,
    state      text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closing', 'closed')),
    created_at timestamptz NOT NULL DEFAULT ledger_now(),
    changed_at timestamptz NOT NULL DEFAULT ledger_now(),
    closed_at  timestamptz,
    CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);
-- A name is bound again only to a row that is not closed: a tenant that was deleted and made anew gets another id.
CREATE UNIQUE INDEX organizations_name ON organizations (name) WHERE state <> 'closed';
CREATE UNIQUE INDEX organizations_one_default ON organizations (is_default) WHERE is_default AND state <> 'closed';

ALTER TABLE organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE organizations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations
    USING (id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);
-- FORCE binds the owner too, and with it the SECURITY DEFINER look-ups: they read by this policy.
CREATE POLICY lookups ON organizations FOR SELECT TO CURRENT_USER USING (true);

CREATE TABLE namespace_claims (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations (id),
    namespace       text NOT NULL CHECK (char_length(namespace) BETWEEN 1 AND 63),
    namespace_uid   text NOT NULL CHECK (namespace_uid <> ''),
    claimed_at      timestamptz NOT NULL DEFAULT ledger_now(),
    released_at     timestamptz
);
CREATE UNIQUE INDEX namespace_claims_one_holder ON namespace_claims (namespace) WHERE released_at IS NULL;
CREATE INDEX namespace_claims_organization ON namespace_claims (organization_id) WHERE released_at IS NULL;

ALTER TABLE namespace_claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE namespace_claims FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON namespace_claims
    USING (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid)
    WITH CHECK (organization_id = nullif(current_setting('inventiv.organization_id', true), '')::uuid);
CREATE POLICY lookups ON namespace_claims FOR SELECT TO CURRENT_USER USING (true);

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
