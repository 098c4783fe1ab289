-- When the first contingency sheet of a subject was made: no sheet was opened before. It tells no arm,
-- runs with the owner's rights, and may be called by the application's log-in, which is told what
-- its session's reader may read of the subject.
CREATE FUNCTION sealed.first_sheet_at(p_subject uuid) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT min(a.opened_at) FROM sealed.sheet h
          JOIN public.trials_sealedaccess a ON a.id = h.making
          JOIN public.patients_subject p ON p.id = h.subject_id
         WHERE h.subject_id = p_subject
           AND (current_setting('vigil.reader', true) = 'system'
                OR p.site_id IN (SELECT reader.sites('READ_SUBJECTS'))));
END $$;
