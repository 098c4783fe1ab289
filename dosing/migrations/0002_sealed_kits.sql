-- Choosing a kit, so that asking teaches nothing (docs/decisions/0014).
-- The question is asked over the sealed log-in, in a transaction of its own: it counts committed
-- facts only, its answer is kept, and a roll-back of whoever asked takes neither away.

-- The kit kept for a subject's cycle until it is handed over.
CREATE TABLE sealed.kit_choice (
    subject_id uuid NOT NULL,
    cycle integer NOT NULL,
    kit_id uuid NOT NULL UNIQUE,
    chosen_at timestamptz NOT NULL,
    PRIMARY KEY (subject_id, cycle)
);

-- Every question that was ever asked, with its answer.
CREATE TABLE sealed.kit_question (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_id uuid NOT NULL,
    cycle integer NOT NULL,
    last_day date NOT NULL,
    kit_id uuid,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX kit_question_asked ON sealed.kit_question (subject_id, cycle);

-- The kit of a subject's cycle: at the subject's site, of the decided dose, in date for the whole
-- supply, of the subject's own arm; the same one again until it is handed over, and three at most.
-- Null when there is none. There is none either when another arm has none: what is refused must not
-- depend on the subject's arm.
CREATE FUNCTION sealed.choose_kit(p_subject uuid, p_cycle integer, p_last_day date) RETURNS uuid
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

CREATE FUNCTION sealed.new_kit(
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
    WITH free AS (
        SELECT k.id, c.arm FROM public.dosing_kit k
          JOIN sealed.kit_content c ON c.number = k.number AND c.trial_id = p_trial
         WHERE k.site_id = p_site AND k.dose_mg = p_dose AND k.status = 'available'
           AND k.expires_on >= p_last_day
           AND NOT EXISTS (SELECT FROM sealed.kit_choice o WHERE o.kit_id = k.id
                              AND o.chosen_at > clock_timestamp() - interval '1 day')
    ), arms AS (
        SELECT c.arm FROM sealed.kit_content c WHERE c.trial_id = p_trial
        UNION
        SELECT s.arm FROM sealed.slot s
          JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = p_trial
         WHERE s.arm IS NOT NULL
    )
    SELECT f.id INTO v_kit FROM free f
     WHERE f.arm = p_arm
       AND NOT EXISTS (SELECT FROM arms n WHERE NOT EXISTS (SELECT FROM free o WHERE o.arm = n.arm))
     ORDER BY random() LIMIT 1;
    IF v_kit IS NOT NULL THEN
        DELETE FROM sealed.kit_choice WHERE kit_id = v_kit;
        INSERT INTO sealed.kit_choice VALUES (p_subject, p_cycle, v_kit, clock_timestamp());
    END IF;
    RETURN v_kit;
END $$;
