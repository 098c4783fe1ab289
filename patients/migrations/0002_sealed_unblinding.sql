-- Looks behind the blind that concern single subjects. They read patients_subject, so they lie here.
-- All run with the owner's rights and may be called by the sealed log-in alone.

-- The sheets for when the system is down: which sheet has which password. The passwords are given
-- out in another look, to another person than the sheets.
CREATE TABLE sealed.sheet (
    making uuid NOT NULL,
    subject_id uuid NOT NULL,
    password text NOT NULL DEFAULT substr(replace(gen_random_uuid()::text, '-', ''), 1, 24),
    PRIMARY KEY (making, subject_id)
);

-- Write who looks at what and why; return the access that one look may use. PostgreSQL checks by
-- itself: the role in force, for an emergency at the subject's present site; for a request, that
-- another person with the right role agreed and nobody withdrew. It sees committed rows only.
CREATE FUNCTION sealed.open_unblinding(
    p_person integer, p_purpose text, p_trial uuid, p_subject uuid, p_site uuid, p_request uuid,
    p_detail text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_id uuid := gen_random_uuid();
    v_site uuid := p_site;
    v_number text := '';
    v_role text;
    v_allowed boolean := true;
BEGIN
    IF (p_subject IS NOT NULL) <> (p_purpose IN ('emergency unblinding', 'safety unblinding'))
       OR (p_site IS NOT NULL) <> (p_purpose = 'contingency sheets')
       OR (p_request IS NOT NULL) <> (p_purpose IN
            ('safety unblinding', 'trial unblinding', 'contingency passwords')) THEN
        RAISE EXCEPTION 'a look names what its purpose needs and nothing else'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF p_subject IS NOT NULL THEN
        SELECT site_id, number INTO v_site, v_number FROM public.patients_subject
         WHERE id = p_subject AND trial_id = p_trial AND allocation_id IS NOT NULL;
        v_allowed := FOUND;
    ELSIF p_site IS NOT NULL THEN
        SELECT EXISTS (SELECT FROM public.trials_site WHERE id = p_site AND trial_id = p_trial)
          INTO v_allowed;
    END IF;
    SELECT r.role INTO v_role
      FROM public.trials_roleassignment r
      JOIN public.trials_user u ON u.id = r.user_id AND u.is_active AND NOT u.is_machine
     WHERE r.user_id = p_person AND r.trial_id = p_trial
       AND (r.site_id IS NULL OR (p_purpose = 'emergency unblinding' AND r.site_id = v_site))
       AND r.starts_at <= clock_timestamp()
       AND (r.ends_at IS NULL OR r.ends_at > clock_timestamp())
       AND (r.role, p_purpose) IN (
            ('investigator', 'emergency unblinding'),
            ('safety_officer', 'safety unblinding'),
            ('unblinded_statistician', 'trial unblinding'),
            ('unblinded_supplier', 'contingency sheets'),
            ('medical_monitor', 'contingency passwords'),
            ('safety_officer', 'contingency passwords'),
            ('sponsor_administrator', 'contingency passwords'))
     LIMIT 1;
    IF p_purpose = 'contingency passwords' THEN
        SELECT EXISTS (
            SELECT FROM public.trials_sealedaccess m
             WHERE m.id = p_request AND m.purpose = 'contingency sheets' AND m.trial_id = p_trial
               AND m.person_id <> p_person)
          INTO v_allowed;
    ELSIF p_request IS NOT NULL THEN
        SELECT EXISTS (
            SELECT FROM public.trials_unblindingrequest q
             WHERE q.id = p_request AND q.trial_id = p_trial AND q.purpose = p_purpose
               AND q.subject_id IS NOT DISTINCT FROM p_subject AND q.requested_by_id = p_person
               AND (q.expires_at > clock_timestamp() OR (p_purpose = 'trial unblinding' AND EXISTS (
                    SELECT FROM public.trials_sealedaccess o
                     WHERE o.request_id = q.id AND o.purpose = 'trial unblinding')))
               AND NOT EXISTS (
                    SELECT FROM public.trials_unblindinganswer w
                     WHERE w.request_id = q.id AND w.kind = 'withdrawn')
               AND EXISTS (
                    SELECT FROM public.trials_unblindinganswer a
                      JOIN public.trials_roleassignment r ON r.user_id = a.answered_by_id
                      JOIN public.trials_user u
                        ON u.id = r.user_id AND u.is_active AND NOT u.is_machine
                     WHERE a.request_id = q.id AND a.kind = 'agreed'
                       AND a.answered_by_id <> q.requested_by_id
                       AND NOT EXISTS (  -- who made somebody the asker is no second person
                            SELECT FROM public.trials_roleassignment g
                             WHERE g.user_id = q.requested_by_id AND g.trial_id = p_trial
                               AND g.role = v_role AND g.given_by_id = a.answered_by_id)
                       AND r.trial_id = p_trial AND r.site_id IS NULL
                       AND r.role IN ('medical_monitor', 'safety_officer', 'sponsor_administrator')
                       AND r.starts_at <= clock_timestamp()
                       AND (r.ends_at IS NULL OR r.ends_at > clock_timestamp()))
               AND (p_purpose <> 'safety unblinding' OR EXISTS (
                    SELECT FROM public.patients_adverseevent e
                     WHERE e.id = q.adverse_event_id AND e.subject_id = p_subject
                       AND e.serious AND e.related)))
          INTO v_allowed;
    END IF;
    IF v_role IS NULL OR NOT v_allowed THEN
        RAISE EXCEPTION 'no role in force allows this look' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO public.trials_sealedaccess
        (id, trial_id, person_id, role, purpose, detail, opened_at, transaction,
         subject_id, subject_number, site_id, request_id)
    VALUES (v_id, p_trial, p_person, v_role, p_purpose, p_detail, clock_timestamp(),
            pg_current_xact_id()::text::bigint, p_subject, v_number, v_site, p_request);
    RETURN v_id;
END $$;

-- The arm of the subject an access names, or, for a trial that is unblinded, of every subject.
CREATE FUNCTION sealed.subject_arms(p_access uuid) RETURNS TABLE (subject_id uuid, arm text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_purpose text;
    v_subject uuid;
    v_trial uuid;
BEGIN
    SELECT a.purpose, a.subject_id INTO v_purpose, v_subject FROM public.trials_sealedaccess a
     WHERE a.id = p_access
       AND a.purpose IN ('emergency unblinding', 'safety unblinding', 'trial unblinding');
    v_trial := sealed.use_access(p_access, v_purpose);
    RETURN QUERY
    SELECT p.id, s.arm FROM public.patients_subject p
      JOIN public.trials_allocation a ON a.id = p.allocation_id
      JOIN sealed.slot s ON s.id = a.slot_id
     WHERE p.trial_id = v_trial
       AND (p.id = v_subject OR (v_purpose = 'trial unblinding' AND v_subject IS NULL));
END $$;

-- Every randomised subject of a site with arm and a new password of its own, kept for the keeper.
CREATE FUNCTION sealed.make_sheets(p_access uuid)
RETURNS TABLE (subject_id uuid, arm text, password text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'contingency sheets');
    v_site uuid;
BEGIN
    SELECT a.site_id INTO v_site FROM public.trials_sealedaccess a WHERE a.id = p_access;
    INSERT INTO sealed.sheet (making, subject_id)
    SELECT p_access, p.id FROM public.patients_subject p
     WHERE p.trial_id = v_trial AND p.site_id = v_site AND p.allocation_id IS NOT NULL;
    RETURN QUERY
    SELECT h.subject_id, s.arm, h.password FROM sealed.sheet h
      JOIN public.patients_subject p ON p.id = h.subject_id
      JOIN public.trials_allocation a ON a.id = p.allocation_id
      JOIN sealed.slot s ON s.id = a.slot_id
     WHERE h.making = p_access;
END $$;

-- The passwords of one making of sheets, for a keeper who did not make them.
CREATE FUNCTION sealed.sheet_passwords(p_access uuid)
RETURNS TABLE (subject_id uuid, password text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'contingency passwords');
BEGIN
    RETURN QUERY
    SELECT h.subject_id, h.password FROM sealed.sheet h
      JOIN public.trials_sealedaccess a ON a.id = p_access AND a.request_id = h.making
     WHERE a.trial_id = v_trial;
END $$;

-- Keep that somebody tried to look and was refused. Called over the sealed log-in, so that the
-- roll-back of what was refused does not take it away. Knows neither person nor subject: nothing.
CREATE FUNCTION sealed.note_refused(
    p_person integer, p_purpose text, p_trial uuid, p_subject uuid, p_reason text
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_written integer;
BEGIN
    INSERT INTO public.trials_refusedlook
        (id, trial_id, person_id, purpose, subject_id, subject_number, reason, refused_at)
    SELECT gen_random_uuid(), t.id, u.id, left(p_purpose, 60), p.id, coalesce(p.number, ''),
           left(p_reason, 60), clock_timestamp()
      FROM public.trials_user u
      LEFT JOIN public.patients_subject p ON p.id = p_subject
      JOIN public.trials_trial t ON t.id = coalesce(p.trial_id, p_trial)
     WHERE u.id = p_person;
    GET DIAGNOSTICS v_written = ROW_COUNT;
    RETURN v_written;
END $$;
