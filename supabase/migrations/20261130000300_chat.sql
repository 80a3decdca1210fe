-- A video that could not be brought to its user: operators hear of it once per run.

create function public.note_undelivered(p_run_id uuid, p_why text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.raise_alert('undelivered:' || r.ref, 'undelivered', jsonb_build_object('ref', r.ref, 'why', p_why))
        from onetake.runs r where r.run_id = p_run_id;
    select null::jsonb;
$$;

select onetake.restrict(array['note_undelivered']);
