-- Vigil draws the kit numbers and deals the contents to them (docs/decisions/0016). What a kit holds
-- is sealed when its number is drawn; no later act can say otherwise.

ALTER TABLE sealed.kit_content ADD COLUMN site_id uuid, ADD COLUMN dose_mg numeric;
UPDATE sealed.kit_content c SET site_id = k.site_id, dose_mg = k.dose_mg
  FROM public.dosing_kit k WHERE k.number = c.number;
DELETE FROM sealed.kit_content WHERE site_id IS NULL;  -- contents of no kit
ALTER TABLE sealed.kit_content ALTER COLUMN site_id SET NOT NULL, ALTER COLUMN dose_mg SET NOT NULL;
CREATE INDEX kit_content_site ON sealed.kit_content (site_id);

DROP FUNCTION sealed.supply_kits;

CREATE OR REPLACE FUNCTION sealed.open_access(
    p_trial uuid, p_person integer, p_purpose text, p_detail text
) RETURNS uuid
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
            ('unblinded_supplier', 'load kit contents'),
            ('unblinded_supplier', 'read kit contents'))
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

-- Keep what each number drawn for a site was dealt; return how many.
CREATE FUNCTION sealed.deal_kits(
    p_access uuid, p_site uuid, p_numbers text[], p_doses numeric[], p_arms text[]
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'load kit contents');
    v_stored integer;
BEGIN
    INSERT INTO sealed.kit_content (number, trial_id, arm, site_id, dose_mg)
    SELECT e.number, v_trial, e.arm, s.id, e.dose_mg
      FROM public.trials_site s, unnest(p_numbers, p_doses, p_arms) AS e(number, dose_mg, arm)
     WHERE s.id = p_site AND s.trial_id = v_trial;
    GET DIAGNOSTICS v_stored = ROW_COUNT;
    RETURN v_stored;
END $$;

-- What the numbers drawn for a site were dealt.
CREATE FUNCTION sealed.kits_dealt(p_access uuid, p_site uuid)
RETURNS TABLE (number text, dose_mg numeric, arm text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'read kit contents');
BEGIN
    RETURN QUERY SELECT c.number, c.dose_mg, c.arm FROM sealed.kit_content c
                  WHERE c.trial_id = v_trial AND c.site_id = p_site;
END $$;

-- The kit of a subject's cycle: at the subject's site, of the decided dose, in date for the whole
-- supply, of the subject's own arm; the same one again until it is handed over, and three at most.
-- Null when there is none. A kit is what was dealt to its number, whatever its public row says.
CREATE OR REPLACE FUNCTION sealed.choose_kit(p_subject uuid, p_cycle integer, p_last_day date) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid;
    v_site uuid;
    v_arm text;
    v_dose numeric;
    v_kit uuid;
BEGIN
    SELECT p.trial_id, p.site_id, s.arm, d.dose_mg INTO v_trial, v_site, v_arm, v_dose
      FROM public.patients_subject p
      JOIN public.trials_allocation a ON a.id = p.allocation_id
      JOIN sealed.slot s ON s.id = a.slot_id
      JOIN public.dosing_dosedecision d ON d.subject_id = p.id AND d.cycle = p_cycle
     WHERE p.id = p_subject AND NOT EXISTS (
            SELECT FROM public.dosing_dispensation x
             WHERE x.subject_id = p.id AND x.cycle = p_cycle)
     ORDER BY d.recorded_at DESC LIMIT 1;
    IF FOUND THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(v_site::text, 14));
        SELECT c.kit_id INTO v_kit FROM sealed.kit_choice c
          JOIN public.dosing_kit k ON k.id = c.kit_id
          JOIN sealed.kit_content x ON x.number = k.number AND x.trial_id = v_trial
           AND x.site_id = k.site_id AND x.dose_mg = k.dose_mg AND x.arm = v_arm
         WHERE c.subject_id = p_subject AND c.cycle = p_cycle AND k.site_id = v_site
           AND k.dose_mg = v_dose AND k.status = 'available' AND k.expires_on >= p_last_day;
        IF v_kit IS NULL THEN
            DELETE FROM sealed.kit_choice WHERE subject_id = p_subject AND cycle = p_cycle;
            v_kit := sealed.new_kit(v_trial, v_site, v_arm, v_dose, p_subject, p_cycle, p_last_day);
        END IF;
    END IF;
    INSERT INTO sealed.kit_question (subject_id, cycle, last_day, kit_id)
    VALUES (p_subject, p_cycle, p_last_day, v_kit);
    RETURN v_kit;
END $$;

CREATE OR REPLACE FUNCTION sealed.new_kit(
    p_trial uuid, p_site uuid, p_arm text, p_dose numeric, p_subject uuid, p_cycle integer,
    p_last_day date
) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_kit uuid;
BEGIN
    IF (SELECT count(DISTINCT kit_id) FROM sealed.kit_question
         WHERE subject_id = p_subject AND cycle = p_cycle) >= 3 THEN
        RETURN NULL;
    END IF;
    -- A kit kept for somebody who did not take it is free again after a day.
    WITH stock AS (
        SELECT k.id, c.arm, k.status = 'dispensed' OR EXISTS (
                   SELECT FROM sealed.kit_choice o WHERE o.kit_id = k.id
                      AND o.chosen_at > clock_timestamp() - interval '1 day') AS given
          FROM public.dosing_kit k
          JOIN sealed.kit_content c ON c.number = k.number AND c.trial_id = p_trial
           AND c.site_id = k.site_id AND c.dose_mg = k.dose_mg
         WHERE k.site_id = p_site AND k.dose_mg = p_dose AND k.expires_on >= p_last_day
           AND k.status IN ('available', 'dispensed')
    ), arms AS (
        SELECT c.arm FROM sealed.kit_content c WHERE c.trial_id = p_trial
        UNION
        SELECT s.arm FROM sealed.slot s
          JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = p_trial
         WHERE s.arm IS NOT NULL
    )
    SELECT f.id INTO v_kit FROM stock f
     WHERE f.arm = p_arm AND NOT f.given
       -- As many are given out as came of the scarcest arm, whoever gets them: when it ends
       -- depends on how many were given, and never on which.
       AND (SELECT count(*) FROM stock WHERE given) <
           (SELECT min(held) FROM (SELECT (SELECT count(*) FROM stock o WHERE o.arm = a.arm) AS held
                                     FROM arms a) AS by_arm)
       AND NOT EXISTS (SELECT FROM arms a WHERE NOT EXISTS (
               SELECT FROM stock o WHERE o.arm = a.arm AND NOT o.given))
     ORDER BY random() LIMIT 1;
    IF v_kit IS NOT NULL THEN
        DELETE FROM sealed.kit_choice WHERE kit_id = v_kit;
        INSERT INTO sealed.kit_choice VALUES (p_subject, p_cycle, v_kit, clock_timestamp());
    END IF;
    RETURN v_kit;
END $$;
