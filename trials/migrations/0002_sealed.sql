-- The sealed schema: which arm each slot of a list is, and what each kit holds.
-- Nobody but the owner can read its tables. The application may call take_slot (and dosing's
-- choose_kit); the sealed log-in may call the rest, each with an access written beforehand.

CREATE SCHEMA IF NOT EXISTS sealed;

CREATE TABLE sealed.list (
    id uuid PRIMARY KEY,
    trial_id uuid NOT NULL,
    salt uuid NOT NULL DEFAULT gen_random_uuid(),
    digest text NOT NULL
);

CREATE TABLE sealed.slot (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    list_id uuid NOT NULL REFERENCES sealed.list,
    stratum text NOT NULL,
    position integer NOT NULL CHECK (position >= 1),
    arm text NOT NULL,
    UNIQUE (list_id, stratum, position)
);

-- One row a stratum: the lock under which slots are taken, so that none is skipped or doubled.
CREATE TABLE sealed.head (
    list_id uuid NOT NULL REFERENCES sealed.list,
    stratum text NOT NULL,
    taken integer NOT NULL DEFAULT 0,
    PRIMARY KEY (list_id, stratum)
);

CREATE TABLE sealed.kit_content (
    number text PRIMARY KEY,
    trial_id uuid NOT NULL,
    arm text NOT NULL
);

-- An access is good for one use; the primary key makes the second one fail.
CREATE TABLE sealed.used_access (
    access_id uuid PRIMARY KEY
);

CREATE FUNCTION sealed.take_slot(p_list uuid, p_stratum text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_position integer;
    v_slot uuid;
BEGIN
    UPDATE sealed.head SET taken = taken + 1
     WHERE list_id = p_list AND stratum = p_stratum
    RETURNING taken INTO v_position;
    SELECT id INTO v_slot FROM sealed.slot
     WHERE list_id = p_list AND stratum = p_stratum AND position = v_position;
    RETURN v_slot;
END $$;

CREATE FUNCTION sealed.open_access(p_trial uuid, p_person integer, p_purpose text, p_detail text)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id uuid := gen_random_uuid();
    v_role text;
BEGIN
    SELECT r.role INTO v_role
      FROM public.trials_roleassignment r
      JOIN public.trials_user u ON u.id = r.user_id AND u.is_active
     WHERE r.user_id = p_person AND r.trial_id = p_trial AND r.site_id IS NULL
       AND r.starts_at <= clock_timestamp()
       AND (r.ends_at IS NULL OR r.ends_at > clock_timestamp())
       AND (r.role, p_purpose) IN (
            ('unblinded_statistician', 'report by arm'),
            ('unblinded_statistician', 'load randomisation list'),
            ('committee_member', 'report by arm'),
            ('unblinded_supplier', 'load kit contents'))
     LIMIT 1;
    IF v_role IS NULL THEN
        RAISE EXCEPTION 'no role in force allows this purpose' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.trials_sealedaccess
        (id, trial_id, person_id, role, purpose, detail, opened_at, transaction)
    VALUES (v_id, p_trial, p_person, v_role, p_purpose, p_detail, clock_timestamp(),
            pg_current_xact_id()::text::bigint);
    RETURN v_id;
END $$;

-- Use up an access for one purpose; return its trial. Refuses one that is not committed yet,
-- is older than ten minutes, is for something else, or was used before.
CREATE FUNCTION sealed.use_access(p_access uuid, p_purpose text) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid;
BEGIN
    SELECT trial_id INTO v_trial FROM public.trials_sealedaccess
     WHERE id = p_access AND purpose = p_purpose
       AND transaction <> pg_current_xact_id()::text::bigint
       AND opened_at > clock_timestamp() - interval '10 minutes';
    IF v_trial IS NULL THEN
        RAISE EXCEPTION 'no committed access for this purpose' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO sealed.used_access VALUES (p_access);
    RETURN v_trial;
END $$;

CREATE FUNCTION sealed.arms(p_access uuid) RETURNS TABLE (slot_id uuid, arm text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'report by arm');
BEGIN
    RETURN QUERY
    SELECT s.id, s.arm FROM sealed.slot s
      JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = v_trial
      JOIN sealed.head h ON h.list_id = s.list_id AND h.stratum = s.stratum
     WHERE s.position <= h.taken;
END $$;

CREATE FUNCTION sealed.load_list(p_access uuid, p_list uuid, p_strata text[], p_arms text[])
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'load randomisation list');
    v_salt uuid := gen_random_uuid();
    v_digest text;
BEGIN
    IF cardinality(p_strata) <> cardinality(p_arms) THEN
        RAISE EXCEPTION 'strata and arms differ in length';
    END IF;
    v_digest := encode(sha256(convert_to(
        v_salt::text || ' ' || array_to_string(p_strata, ',') || ' ' || array_to_string(p_arms, ','),
        'UTF8')), 'hex');
    INSERT INTO sealed.list (id, trial_id, salt, digest) VALUES (p_list, v_trial, v_salt, v_digest);
    INSERT INTO sealed.slot (list_id, stratum, position, arm)
    SELECT p_list, e.stratum, row_number() OVER (PARTITION BY e.stratum ORDER BY e.ordinality), e.arm
      FROM unnest(p_strata, p_arms) WITH ORDINALITY AS e(stratum, arm, ordinality);
    INSERT INTO sealed.head (list_id, stratum)
    SELECT DISTINCT p_list, e.stratum FROM unnest(p_strata) AS e(stratum);
    RETURN v_digest;
END $$;

-- A supply whose public half was lost is sent again as it was: the same contents are taken again,
-- other contents for a known number never are.
CREATE FUNCTION sealed.supply_kits(p_access uuid, p_numbers text[], p_arms text[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'load kit contents');
    v_stored integer;
BEGIN
    INSERT INTO sealed.kit_content AS known (number, trial_id, arm)
    SELECT e.number, v_trial, e.arm FROM unnest(p_numbers, p_arms) AS e(number, arm)
        ON CONFLICT (number) DO UPDATE SET arm = known.arm
     WHERE known.trial_id = excluded.trial_id AND known.arm = excluded.arm;
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    IF v_stored <> cardinality(p_numbers) THEN
        RAISE EXCEPTION 'a kit number is taken' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN v_stored;
END $$;
