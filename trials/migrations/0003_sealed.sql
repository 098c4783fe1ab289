-- The sealed schema: which arm each slot of a list is, and what each kit holds.
-- Nobody but the owner can read its tables. The application may call take_slot and go_live, which
-- tell an id and no more; the sealed log-in may call the rest, each with an access written
-- beforehand (dosing's choose_kit without one: it answers with a kit's id). Seed and salt leave
-- only through lists_to_verify, the entries of a draft only through draft_entries.

CREATE SCHEMA IF NOT EXISTS sealed;

-- Drafts first, live after two approvals; a trial's lists are numbered.
CREATE TABLE sealed.list (
    id uuid PRIMARY KEY,
    trial_id uuid NOT NULL,
    salt uuid NOT NULL DEFAULT gen_random_uuid(),
    digest text NOT NULL,
    number integer NOT NULL CHECK (number >= 1),
    method text NOT NULL,
    generator text NOT NULL,
    seed text NOT NULL,
    parameters text NOT NULL,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'live'))
);

CREATE UNIQUE INDEX one_live_list_a_number ON sealed.list (trial_id, number) WHERE state = 'live';
-- A longer list of a seed begins with the shorter one: an extension needs a seed of its own.
CREATE UNIQUE INDEX a_seed_once_per_trial ON sealed.list (trial_id, seed) WHERE seed <> '';

-- A minimised slot has a number drawn beforehand. When it is taken, its arm is computed from the
-- levels of all who came before, and its place among the equal arms is kept for those who follow.
CREATE TABLE sealed.slot (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    list_id uuid NOT NULL REFERENCES sealed.list,
    stratum text NOT NULL,
    position integer NOT NULL CHECK (position >= 1),
    arm text,
    draw bigint,
    levels jsonb,
    place integer,
    UNIQUE (list_id, stratum, position),
    CONSTRAINT slot_has_an_arm_or_a_draw CHECK (arm IS NOT NULL OR draw IS NOT NULL)
);

-- One row a stratum: the lock under which slots are taken, so that none is skipped or doubled.
CREATE TABLE sealed.head (
    list_id uuid NOT NULL REFERENCES sealed.list,
    stratum text NOT NULL,
    taken integer NOT NULL DEFAULT 0,
    size integer NOT NULL,
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

CREATE FUNCTION sealed.open_access(p_trial uuid, p_person integer, p_purpose text, p_detail text)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id uuid := gen_random_uuid();
    v_role text;
BEGIN
    SELECT r.role INTO v_role
      FROM public.trials_roleassignment r
      JOIN public.trials_user u ON u.id = r.user_id AND u.is_active AND NOT u.is_machine
     WHERE r.user_id = p_person AND r.trial_id = p_trial AND r.site_id IS NULL
       AND r.starts_at <= clock_timestamp()
       AND (r.ends_at IS NULL OR r.ends_at > clock_timestamp())
       AND (r.role, p_purpose) IN (
            ('unblinded_statistician', 'report by arm'),
            ('unblinded_statistician', 'load randomisation list'),
            ('unblinded_statistician', 'check dry run'),
            ('unblinded_statistician', 'verify randomisation'),
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

-- What a list's digest is made from, line by line. trials.rules.commitment builds the same text.
CREATE FUNCTION sealed.canonical_text(p_list uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT concat_ws(E'\n',
        'vigil randomisation list 1',
        'list ' || l.id, 'trial ' || l.trial_id, 'number ' || l.number, 'method ' || l.method,
        'generator ' || l.generator, 'seed ' || l.seed, 'parameters ' || l.parameters,
        'salt ' || l.salt,
        (SELECT string_agg(
                    concat_ws(' ', 'slot', s.position, s.stratum, coalesce(s.draw::text, s.arm)),
                    E'\n' ORDER BY s.stratum COLLATE "C", s.position)
           FROM sealed.slot s WHERE s.list_id = l.id))
      FROM sealed.list l WHERE l.id = p_list
$$;

CREATE FUNCTION sealed.store_list(
    p_access uuid, p_list uuid, p_number integer, p_method text, p_generator text, p_seed text,
    p_parameters text, p_strata text[], p_arms text[], p_draws bigint[])
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'load randomisation list');
    v_digest text;
BEGIN
    IF cardinality(p_strata) <> cardinality(p_arms) OR cardinality(p_strata) <> cardinality(p_draws)
    THEN
        RAISE EXCEPTION 'strata, arms and draws differ in length';
    END IF;
    INSERT INTO sealed.list (id, trial_id, number, method, generator, seed, parameters, digest)
    VALUES (p_list, v_trial, p_number, p_method, p_generator, p_seed, p_parameters, '');
    INSERT INTO sealed.slot (list_id, stratum, position, arm, draw)
    SELECT p_list, e.stratum, row_number() OVER (PARTITION BY e.stratum ORDER BY e.ordinality),
           e.arm, e.draw
      FROM unnest(p_strata, p_arms, p_draws) WITH ORDINALITY AS e(stratum, arm, draw, ordinality);
    INSERT INTO sealed.head (list_id, stratum, size)
    SELECT p_list, e.stratum, count(*) FROM unnest(p_strata) AS e(stratum) GROUP BY e.stratum;
    v_digest := encode(sha256(convert_to(sealed.canonical_text(p_list), 'UTF8')), 'hex');
    UPDATE sealed.list SET digest = v_digest WHERE id = p_list;
    RETURN v_digest;
END $$;

-- Put a draft to use. The approvals are counted here, so that no other way makes a list live: those
-- of people who looked at this list's dry run, and whose role is in force now.
CREATE FUNCTION sealed.go_live(p_list uuid) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_list uuid;
BEGIN
    UPDATE sealed.list l SET state = 'live'
      FROM public.trials_randomisationlist p
     WHERE l.id = p_list AND l.state = 'draft' AND p.id = l.id AND p.state = 'draft'
       AND p.trial_id = l.trial_id AND p.number = l.number
       AND (SELECT count(DISTINCT a.approved_by_id) FROM public.trials_listapproval a
              JOIN public.trials_sealedaccess s
                ON s.person_id = a.approved_by_id AND s.trial_id = l.trial_id
               AND s.purpose = 'check dry run'
               AND s.detail = 'list ' || l.number || ', digest ' || left(l.digest, 12)
              JOIN public.trials_user u
                ON u.id = a.approved_by_id AND u.is_active AND NOT u.is_machine
              JOIN public.trials_roleassignment r
                ON r.user_id = u.id AND r.trial_id = l.trial_id AND r.site_id IS NULL
               AND r.role = 'unblinded_statistician' AND r.starts_at <= clock_timestamp()
               AND (r.ends_at IS NULL OR r.ends_at > clock_timestamp())
             WHERE a.list_id = l.id AND a.digest = l.digest) >= 2
    RETURNING l.id INTO v_list;
    RETURN v_list;
END $$;

-- Where a minimised subject goes: the place among the equal arms, from 1. p_counts holds, by factor,
-- how many earlier subjects with the new one's level went to each equal arm. Step by step as in
-- trials.rules.randomisation.minimisation, in whole numbers, and tested against it.
CREATE FUNCTION sealed.minimised_place(p_parameters jsonb, p_counts jsonb, p_draw bigint)
RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_arms integer := jsonb_array_length(p_parameters->'equal_arms');
    v_a numeric := p_parameters->'probability'->0;
    v_b numeric := p_parameters->'probability'->1;
    v_imbalances numeric[] := '{}';
    v_imbalance numeric;
    v_row numeric[];
    v_factor record;
    v_smallest numeric;
    v_tied numeric;
    v_total numeric;
    v_reached numeric := 0;
BEGIN
    FOR v_candidate IN 1..v_arms LOOP
        v_imbalance := 0;
        FOR v_factor IN
            SELECT f.e->>'code' AS code, (f.e->>'weight')::numeric AS weight
              FROM jsonb_array_elements(p_parameters->'factors') AS f(e)
        LOOP
            SELECT array_agg(c.n::numeric + (c.place = v_candidate)::integer ORDER BY c.place)
              INTO v_row
              FROM jsonb_array_elements_text(p_counts->v_factor.code)
                   WITH ORDINALITY AS c(n, place);
            v_imbalance := v_imbalance + v_factor.weight * (
                SELECT CASE p_parameters->>'imbalance'
                       WHEN 'range' THEN max(x) - min(x)
                       ELSE v_arms * sum(x * x) - sum(x) * sum(x) END
                  FROM unnest(v_row) AS x);
        END LOOP;
        v_imbalances := v_imbalances || v_imbalance;
    END LOOP;
    SELECT min(g), count(*) FILTER (WHERE g = s.smallest) INTO v_smallest, v_tied
      FROM unnest(v_imbalances) AS g,
           (SELECT min(x) AS smallest FROM unnest(v_imbalances) AS x) AS s;
    v_total := v_b * (v_arms - 1) * v_tied;
    FOR v_candidate IN 1..v_arms LOOP
        v_reached := v_reached + CASE
            WHEN v_imbalances[v_candidate] = v_smallest
            THEN v_a * (v_arms - 1) + (v_b - v_a) * (v_tied - 1)
            ELSE (v_b - v_a) * v_tied END;
        IF p_draw * v_total < v_reached * 4294967296 THEN
            RETURN v_candidate;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the weights add up to their total';
END $$;

-- How many subjects of a trial went to each equal arm, by factor, among those who share a level
-- with the new one. All lists count: an extension goes on from the lists before it.
CREATE FUNCTION sealed.counts(p_trial uuid, p_parameters jsonb, p_levels jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_object_agg(f.e->>'code', (
        SELECT jsonb_agg(coalesce(t.n, 0) ORDER BY j.place)
          FROM generate_series(1, jsonb_array_length(p_parameters->'equal_arms')) AS j(place)
          LEFT JOIN (
                SELECT s.place, count(*) AS n FROM sealed.slot s
                  JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = p_trial
                 WHERE s.place IS NOT NULL
                   AND s.levels->(f.e->>'code') = p_levels->(f.e->>'code')
                 GROUP BY s.place) AS t ON t.place = j.place))
      FROM jsonb_array_elements(p_parameters->'factors') AS f(e)
$$;

-- Take the next slot of a live list, under the lock of its stratum's head; a minimised trial has
-- one head for all. An extension gives none while an earlier list of the trial still has one.
CREATE FUNCTION sealed.take_slot(p_list uuid, p_stratum text, p_levels jsonb) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_list sealed.list;
    v_stratum text := p_stratum;
    v_position integer;
    v_slot sealed.slot;
    v_parameters jsonb;
BEGIN
    SELECT * INTO v_list FROM sealed.list WHERE id = p_list AND state = 'live';
    IF v_list.method = 'minimisation' THEN
        v_stratum := '';
        v_parameters := v_list.parameters::jsonb;
        IF NOT p_levels ?& ARRAY(
            SELECT f.e->>'code' FROM jsonb_array_elements(v_parameters->'factors') AS f(e))
        THEN
            RAISE EXCEPTION 'a factor has no level';
        END IF;
    END IF;
    IF EXISTS (
        SELECT FROM sealed.list l JOIN sealed.head h ON h.list_id = l.id
         WHERE l.trial_id = v_list.trial_id AND l.state = 'live' AND l.number < v_list.number
           AND h.stratum = v_stratum AND h.taken < h.size)
    THEN
        RETURN NULL;
    END IF;
    UPDATE sealed.head SET taken = taken + 1
     WHERE list_id = v_list.id AND stratum = v_stratum AND taken < size
    RETURNING taken INTO v_position;
    SELECT * INTO v_slot FROM sealed.slot
     WHERE list_id = v_list.id AND stratum = v_stratum AND position = v_position;
    IF v_list.method = 'minimisation' AND v_slot.id IS NOT NULL THEN
        v_slot.place := sealed.minimised_place(
            v_parameters, sealed.counts(v_list.trial_id, v_parameters, p_levels), v_slot.draw);
        UPDATE sealed.slot
           SET levels = p_levels, place = v_slot.place,
               arm = v_parameters->'equal_arms'->>(v_slot.place - 1)
         WHERE id = v_slot.id;
    END IF;
    RETURN v_slot.id;
END $$;

CREATE FUNCTION sealed.draft_entries(p_access uuid, p_list uuid)
RETURNS TABLE (stratum text, arm text, draw bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'check dry run');
BEGIN
    RETURN QUERY
    SELECT s.stratum, s.arm, s.draw FROM sealed.slot s
      JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = v_trial AND l.state = 'draft'
     WHERE l.id = p_list
     ORDER BY s.stratum COLLATE "C", s.position;
END $$;

CREATE FUNCTION sealed.lists_to_verify(p_access uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'verify randomisation');
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(
            to_jsonb(l) || jsonb_build_object(
                'taken', (SELECT jsonb_object_agg(h.stratum, h.taken) FROM sealed.head h
                           WHERE h.list_id = l.id),
                'slots', (SELECT jsonb_agg(to_jsonb(s) - 'list_id'
                                           ORDER BY s.stratum COLLATE "C", s.position)
                            FROM sealed.slot s WHERE s.list_id = l.id))
            ORDER BY l.number)
          FROM sealed.list l WHERE l.trial_id = v_trial AND l.state = 'live'), '[]');
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
