-- Which batch a kit is taken from depends on how many were given, and never on which.
--
-- A batch is what came together of one dose and expires on one day: whoever works at the site can
-- tell it from the others. It is begun when the one before has ended, the earliest day of expiry
-- first, and ends when as many of it are gone as it held of its scarcest arm. Chosen among all
-- batches together, the kits left over from the earlier ones were of the arm that fewer take, and
-- old kits told who takes it.
--
-- Gone is also what is kept for somebody, and what was put aside: were it left out, its arm would
-- decide when its batch ends. With fewer gone than there were of any arm, each arm has one left.
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
        SELECT k.id, k.expires_on, k.supply, c.arm, k.status <> 'available' OR EXISTS (
                   SELECT FROM sealed.kit_choice o WHERE o.kit_id = k.id
                      AND o.chosen_at > clock_timestamp() - interval '1 day') AS gone
          FROM public.dosing_kit k
          JOIN sealed.kit_content c ON c.number = k.number AND c.trial_id = p_trial
           AND c.site_id = k.site_id AND c.dose_mg = k.dose_mg
         WHERE k.site_id = p_site AND k.dose_mg = p_dose AND k.expires_on >= p_last_day
    ), arms AS (
        SELECT c.arm FROM sealed.kit_content c WHERE c.trial_id = p_trial
        UNION
        SELECT s.arm FROM sealed.slot s
          JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = p_trial
         WHERE s.arm IS NOT NULL
    ), held AS (
        SELECT b.expires_on, b.supply, a.arm,
               count(s.id) AS kits, count(s.id) FILTER (WHERE s.gone) AS gone
          FROM (SELECT DISTINCT expires_on, supply FROM stock) b CROSS JOIN arms a
          LEFT JOIN stock s ON (s.expires_on, s.supply, s.arm) = (b.expires_on, b.supply, a.arm)
         GROUP BY b.expires_on, b.supply, a.arm
    ), batch AS (
        SELECT expires_on, supply FROM held GROUP BY expires_on, supply
        HAVING sum(gone) < min(kits)
         ORDER BY expires_on, supply LIMIT 1
    )
    SELECT s.id INTO v_kit FROM stock s JOIN batch b USING (expires_on, supply)
     WHERE s.arm = p_arm AND NOT s.gone
     ORDER BY random() LIMIT 1;
    IF v_kit IS NOT NULL THEN
        DELETE FROM sealed.kit_choice WHERE kit_id = v_kit;
        INSERT INTO sealed.kit_choice VALUES (p_subject, p_cycle, v_kit, clock_timestamp());
    END IF;
    RETURN v_kit;
END $$;
