-- Choose one kit for a slot: at the site, of the dose, in date for the whole supply, and of the
-- slot's own arm. Random among them, so that numbers handed out in turn carry no order.
-- Returns the kit's id, or null when none is left; never says what it holds.

CREATE FUNCTION sealed.choose_kit(p_slot uuid, p_site uuid, p_dose_mg numeric, p_last_day date)
RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_kit uuid;
BEGIN
    SELECT k.id INTO v_kit
      FROM public.dosing_kit k
      JOIN sealed.kit_content c ON c.number = k.number
      JOIN sealed.slot s ON s.id = p_slot AND s.arm = c.arm
      JOIN sealed.list l ON l.id = s.list_id AND l.trial_id = c.trial_id
     WHERE k.site_id = p_site AND k.dose_mg = p_dose_mg AND k.status = 'available'
       AND k.expires_on >= p_last_day
     ORDER BY random()
     LIMIT 1
       FOR UPDATE OF k SKIP LOCKED;
    RETURN v_kit;
END $$;
