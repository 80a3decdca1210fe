-- Turns to speak, where a lane is removed just now, and where the database's clock steps back.

-- Seconds until a call may be made in all these lanes; 0 counts it as made now.
-- p_lanes: [{lane, at_most, window_seconds, gap_seconds}], locked in the order of their names.
-- Calls later than now were made before the clock stepped back: they keep nobody waiting.
create or replace function public.take_turn(p_lanes jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_asked jsonb;
    v_lane onetake.lanes;
    v_now timestamptz;
    v_free timestamptz;
    v_recent timestamptz[];
    v_at_most integer;
    v_locked bigint := -1;
begin
    while v_locked < (select count(distinct a ->> 'lane') from jsonb_array_elements(p_lanes) a) loop
        insert into onetake.lanes (lane) select distinct a ->> 'lane' from jsonb_array_elements(p_lanes) a order by 1
            on conflict do nothing;
        perform from onetake.lanes where lane in (select a ->> 'lane' from jsonb_array_elements(p_lanes) a) order by lane for update;
        get diagnostics v_locked = row_count;  -- fewer: an idle one was removed between the two
    end loop;
    v_now := clock_timestamp();
    v_free := v_now;
    for v_asked in select a from jsonb_array_elements(p_lanes) a loop
        select * into strict v_lane from onetake.lanes where lane = v_asked ->> 'lane';
        v_at_most := (v_asked ->> 'at_most')::integer;
        select coalesce(array_agg(c order by c), '{}') into v_recent from unnest(v_lane.calls) c
            where c > v_now - make_interval(secs => (v_asked ->> 'window_seconds')::double precision) and c <= v_now;
        v_free := greatest(v_free, v_lane.silent_until,
            v_recent[cardinality(v_recent)] + make_interval(secs => (v_asked ->> 'gap_seconds')::double precision),
            case when cardinality(v_recent) >= v_at_most then v_recent[cardinality(v_recent) - v_at_most + 1]
                + make_interval(secs => (v_asked ->> 'window_seconds')::double precision) end);
    end loop;
    if v_free > v_now then return to_jsonb(extract(epoch from v_free - v_now)); end if;
    update onetake.lanes l set used_at = v_now, calls = (
            select coalesce(array_agg(c order by c), '{}') || v_now from unnest(l.calls) c
                where c > v_now - make_interval(secs => (a ->> 'window_seconds')::double precision) and c <= v_now)
        from jsonb_array_elements(p_lanes) a where l.lane = a ->> 'lane';
    return to_jsonb(0);
end $$;

-- Telegram said to be silent for so long. Idle lanes go; one that somebody holds is not idle.
create or replace function public.silence_lane(p_lane text, p_seconds double precision) returns void
language sql security definer set search_path = '' as $$
    insert into onetake.lanes (lane, silent_until) values (p_lane, clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (lane) do update set silent_until = greatest(lanes.silent_until, excluded.silent_until);
    delete from onetake.lanes where lane in (
        select lane from onetake.lanes where used_at < clock_timestamp() - interval '1 day' and lane <> p_lane
            and (silent_until is null or silent_until < clock_timestamp()) for update skip locked);
$$;

select onetake.restrict(array['take_turn', 'silence_lane']);
