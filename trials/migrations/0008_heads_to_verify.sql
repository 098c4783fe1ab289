-- A verification compares the size that each head holds with the slots there are.
CREATE OR REPLACE FUNCTION sealed.lists_to_verify(p_access uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_trial uuid := sealed.use_access(p_access, 'verify randomisation');
BEGIN
    RETURN coalesce((
        SELECT jsonb_agg(
            to_jsonb(l) || jsonb_build_object(
                'taken', (SELECT jsonb_object_agg(h.stratum, h.taken) FROM sealed.head h
                           WHERE h.list_id = l.id),
                'sizes', (SELECT jsonb_object_agg(h.stratum, h.size) FROM sealed.head h
                           WHERE h.list_id = l.id),
                'slots', (SELECT jsonb_agg(to_jsonb(s) - 'list_id'
                                           ORDER BY s.stratum COLLATE "C", s.position)
                            FROM sealed.slot s WHERE s.list_id = l.id))
            ORDER BY l.number)
          FROM sealed.list l WHERE l.trial_id = v_trial AND l.state = 'live'), '[]');
END $$;
