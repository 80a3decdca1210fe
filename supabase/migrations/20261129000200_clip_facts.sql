-- What a clip's file says of itself: its container, its size as shown, its length. Null where the file does not say, or was
-- saved by an older version of the program. A provider may make another length or size than was ordered.
alter table onetake.runs
    add column clip_kind    text,
    add column clip_width   integer,
    add column clip_height  integer,
    add column clip_seconds double precision;

-- Notes the facts of the clip with this sha256; another clip is not this run's. p_facts: {kind, width, height, seconds}.
create function public.note_clip(p_run_id uuid, p_sha256 text, p_facts jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs set
            clip_kind = p_facts ->> 'kind',
            clip_width = (p_facts ->> 'width')::integer,
            clip_height = (p_facts ->> 'height')::integer,
            clip_seconds = (p_facts ->> 'seconds')::double precision
        where run_id = p_run_id and file_sha256 = p_sha256 and state in ('saved', 'delivered');
    select public.load_run(p_run_id);
$$;

-- Why a clip could not be fetched, {status, words} of the provider's, on the run's timeline: each once, so many at most.
create function public.note_not_fetched(p_run_id uuid, p_detail jsonb, p_at_most integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs := onetake.lock_run(p_run_id);
    v_known bigint;
    v_same bigint;
begin
    select count(*), count(*) filter (where detail = p_detail) into v_known, v_same from onetake.events
        where run_id = p_run_id and step = 'save_video' and outcome = 'not_fetched';
    if r.state = 'rendering' and v_same = 0 and v_known < p_at_most then
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'not_fetched', p_detail);
        return jsonb_build_object('recorded', true);
    end if;
    return jsonb_build_object('recorded', false);
end $$;

select onetake.restrict(array['note_clip', 'note_not_fetched']);
