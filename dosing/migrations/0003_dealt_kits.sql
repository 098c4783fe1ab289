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
