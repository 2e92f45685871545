-- migrate:up

-- What ties this database to one cluster, and the lease that fences everybody's writes. Nothing here belongs to a tenant.

CREATE TABLE installation (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    installation_id uuid NOT NULL,
    cluster_uid     text NOT NULL CHECK (cluster_uid <> ''),
    created_at      timestamptz NOT NULL DEFAULT now(),
    bound_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE installation IS 'One row: the id in the tags of everything we make, and the cluster (uid of kube-system) whose objects this database describes';

CREATE TABLE operator_lease (
    shard      integer PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    holder     text NOT NULL,
    epoch      bigint NOT NULL CHECK (epoch > 0),
    taken_at   timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON COLUMN operator_lease.epoch IS 'grows with every take; a write commits only with the epoch of the row';

-- The instant that writes are stamped with: the leader's clock when it gave one, which is also the clock that
-- send_before and time-outs are compared by; else the database's.
CREATE FUNCTION ledger_now() RETURNS timestamptz
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting('inventiv.now', true), '')::timestamptz, now());

-- 7364943 names our advisory locks; the second number is the shard.
--
-- Writers share the lock until they commit, a take-over holds it alone: when it has it, every write of an older epoch
-- has ended, and every later one sees the new epoch. VOLATILE plpgsql under READ COMMITTED looks at the lease with a
-- snapshot that is younger than the lock.
CREATE FUNCTION begin_write(tenant uuid, lease_shard integer, lease_epoch bigint, instant timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM set_config('inventiv.organization_id', tenant::text, true),
            set_config('inventiv.now', coalesce(instant::text, ''), true);
    PERFORM pg_advisory_xact_lock_shared(7364943, lease_shard);
    IF NOT EXISTS (
        SELECT FROM public.operator_lease l
        WHERE l.shard = lease_shard AND l.epoch = lease_epoch AND l.expires_at > clock_timestamp()
    ) THEN
        RAISE EXCEPTION 'shard % is not led under epoch %', lease_shard, lease_epoch USING ERRCODE = 'IV001';
    END IF;
END
$$;

-- The new epoch, or NULL while somebody holds the lease. Waits for the writers of the epoch that ends.
CREATE FUNCTION take_lease(lease_shard integer, new_holder text, duration interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    taken bigint;
BEGIN
    -- A look first: whoever waits for the lock alone makes the writers queue behind it.
    IF EXISTS (
        SELECT FROM public.operator_lease l WHERE l.shard = lease_shard AND l.expires_at > clock_timestamp()
    ) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(7364943, lease_shard);
    INSERT INTO public.operator_lease AS l (shard, holder, epoch, taken_at, expires_at)
    VALUES (lease_shard, new_holder, 1, clock_timestamp(), clock_timestamp() + duration)
    ON CONFLICT (shard) DO UPDATE
        SET holder = excluded.holder, epoch = l.epoch + 1, taken_at = excluded.taken_at, expires_at = excluded.expires_at
        WHERE l.expires_at <= clock_timestamp()
    RETURNING epoch INTO taken;
    RETURN taken;
END
$$;

-- migrate:down

DO $$ BEGIN RAISE EXCEPTION 'there is no way down: restore a backup, or run the release that knows this schema'; END $$;
