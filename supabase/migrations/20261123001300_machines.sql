-- Several machines on one ledger: places at the provider, turns to speak in a chat, one host where there may be only
-- one, and where a clip lies when it lies in Storage, too.

alter table onetake.runs
    add column stored     text,                       -- 'bucket/name' of the clip in Storage; null: only where it was saved
    add column dropped_at timestamptz;                -- its files were removed, they were old enough

create index runs_stored on onetake.runs (saved_at) where stored is not null and dropped_at is null;

-- Refused at the fence. What is waited for is timed from when it is waited for: a run that stood in line for a place is
-- not impatient with a pause that begins afterwards.
create or replace function onetake.hold_back(p_run_id uuid, p_by text) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set
        held_back_since = case when (held_back_by = 'no_place') = (p_by = 'no_place') then held_back_since
                               else clock_timestamp() end,
        held_back_by = p_by
        where run_id = p_run_id;
$$;

-- How many more of these fit at the provider now: null without limits. Runs in doubt take a place, they may be rendering;
-- parked ones do not, or a few lost ones would stop everybody for a day.
create function onetake.free_places(r onetake.runs, p_now timestamptz, p_in_flight_max integer, p_creates_per_minute integer) returns integer
language sql stable set search_path = '' as $$
    select least(
        p_in_flight_max - (select count(*) from onetake.runs o where o.state in ('submitting', 'uncertain', 'rendering')
            and o.parked_at is null and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint),
        p_creates_per_minute - (select count(*) from onetake.runs o where o.submitting_at > p_now - interval '1 minute'
            and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint))::integer;
$$;

-- How many wait for a place before this one. Only those count that are still asked for: a wait nobody attends to any more
-- (its worker died, its user must confirm first) keeps no place free.
create function onetake.waiting_before(r onetake.runs, p_now timestamptz) returns integer
language sql stable set search_path = '' as $$
    select count(*)::integer from onetake.runs o
        where o.state = 'approved' and o.held_back_by = 'no_place' and o.run_id <> r.run_id
          and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint
          and o.next_look_at > p_now - interval '20 seconds'
          and (o.approved_at, o.run_id) < (r.approved_at, r.run_id);
$$;

-- approved -> submitting, one winner. Answers {won: true, order, submitting_at} to the winner, however often he asks
-- with his token, and {won: false, refused, until, reason} to everybody else. The submissions of all runs pass
-- here one after another (the row of the breaker is their mutex): that is what lets it count.
-- p_in_flight_max and p_creates_per_minute are the provider's limits, as the caller knows them; null is none. They hold
-- for all machines together, and whoever was approved first goes first.
drop function public.begin_submission(uuid, text);
create function public.begin_submission(
    p_run_id uuid, p_token text, p_in_flight_max integer default null, p_creates_per_minute integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_control onetake.control;
    v_breaker onetake.breakers;
    v_now timestamptz;
    v_until timestamptz;
begin
    if coalesce(length(p_token), 0) < 16 then
        raise exception 'a submission needs a random token' using errcode = 'LG003';
    end if;
    r := onetake.lock_run(p_run_id);
    if r.run_id is null then return jsonb_build_object('won', false, 'refused', 'unknown_run'); end if;
    if r.state = 'submitting' and r.token = p_token then
        return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
    end if;
    if r.state <> 'approved' then
        return jsonb_build_object('won', false, 'refused', 'state', 'state', r.state);
    end if;
    if r.needs_confirmation and r.confirmed_at is null then
        return jsonb_build_object('won', false, 'refused', 'not_confirmed', 'until', r.confirm_until);
    end if;

    select * into v_breaker from onetake.breakers where scope = 'all' for update;
    v_now := clock_timestamp();
    select * into v_control from onetake.control;
    if v_control.paused then
        perform onetake.hold_back(p_run_id, 'paused');
        return jsonb_build_object('won', false, 'refused', 'paused', 'reason', v_control.pause_reason);
    end if;
    v_until := greatest(onetake.breaker_until('all', p_run_id), onetake.breaker_until('user:' || r.user_id, p_run_id));
    v_until := coalesce(v_until, onetake.full_breaker(r.user_id, v_now));
    if v_until is not null then
        perform onetake.hold_back(p_run_id, 'breaker_open');
        return jsonb_build_object('won', false, 'refused', 'breaker_open', 'until', v_until);
    end if;
    if (p_in_flight_max is not null or p_creates_per_minute is not null)
       and onetake.free_places(r, v_now, p_in_flight_max, p_creates_per_minute) <= onetake.waiting_before(r, v_now) then
        perform onetake.hold_back(p_run_id, 'no_place');
        return jsonb_build_object('won', false, 'refused', 'no_place');
    end if;
    if v_breaker.open_until is not null then          -- half open: this run is the probe
        update onetake.breakers set probe_run_id = p_run_id, probe_at = v_now where scope = 'all';
    end if;

    update onetake.runs set token = p_token where run_id = p_run_id;
    r := onetake.move(p_run_id, 'submitting', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'submitting');
    return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
end $$;

-- The rows of these runs, each with `place`: how many wait before it, for their first attempt or for a place at the
-- provider (null: it waits for neither).
create or replace function public.load_runs(p_run_ids jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) || jsonb_build_object('place', case
        when r.state = 'reserved' and r.attempts = 0 then (select count(*) from onetake.runs o
            where o.state = 'reserved' and o.attempts = 0 and o.reserved_at < r.reserved_at)
        when r.state = 'approved' and r.held_back_by = 'no_place' then onetake.waiting_before(r, clock_timestamp()) end)), '[]')
    from onetake.runs r where r.run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids));
$$;

-- When something was said in a chat, or by a bot in all: the last calls of each lane, oldest first.
create table onetake.lanes (
    lane         text primary key,
    calls        timestamptz[] not null default '{}',
    silent_until timestamptz,
    used_at      timestamptz not null default clock_timestamp()
);
alter table onetake.lanes enable row level security;
create index lanes_used on onetake.lanes (used_at);

-- Seconds until a call may be made in all these lanes; 0 counts it as made now.
-- p_lanes: [{lane, at_most, window_seconds, gap_seconds}], locked in the order of their names.
create function public.take_turn(p_lanes jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_asked jsonb;
    v_lane onetake.lanes;
    v_now timestamptz;
    v_free timestamptz;
    v_recent timestamptz[];
    v_at_most integer;
begin
    insert into onetake.lanes (lane) select a ->> 'lane' from jsonb_array_elements(p_lanes) a order by 1 on conflict do nothing;
    perform from onetake.lanes where lane in (select a ->> 'lane' from jsonb_array_elements(p_lanes) a) order by lane for update;
    v_now := clock_timestamp();
    v_free := v_now;
    for v_asked in select a from jsonb_array_elements(p_lanes) a loop
        select * into strict v_lane from onetake.lanes where lane = v_asked ->> 'lane';
        v_at_most := (v_asked ->> 'at_most')::integer;
        select coalesce(array_agg(c order by c), '{}') into v_recent from unnest(v_lane.calls) c
            where c > v_now - make_interval(secs => (v_asked ->> 'window_seconds')::double precision);
        v_free := greatest(v_free, v_lane.silent_until,
            v_lane.calls[cardinality(v_lane.calls)] + make_interval(secs => (v_asked ->> 'gap_seconds')::double precision),
            case when cardinality(v_recent) >= v_at_most then v_recent[cardinality(v_recent) - v_at_most + 1]
                + make_interval(secs => (v_asked ->> 'window_seconds')::double precision) end);
    end loop;
    if v_free > v_now then return to_jsonb(extract(epoch from v_free - v_now)); end if;
    update onetake.lanes l set used_at = v_now, calls = (
            select coalesce(array_agg(c order by c), '{}') || v_now from unnest(l.calls) c
                where c > v_now - make_interval(secs => (a ->> 'window_seconds')::double precision))
        from jsonb_array_elements(p_lanes) a where l.lane = a ->> 'lane';
    return to_jsonb(0);
end $$;

-- Telegram said to be silent for so long.
create function public.silence_lane(p_lane text, p_seconds double precision) returns void
language sql security definer set search_path = '' as $$
    insert into onetake.lanes (lane, silent_until) values (p_lane, clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (lane) do update set silent_until = greatest(lanes.silent_until, excluded.silent_until);
    delete from onetake.lanes where used_at < clock_timestamp() - interval '1 day' and lane <> p_lane
        and (silent_until is null or silent_until < clock_timestamp());
$$;

-- Which machine works, where only one may: the one that holds the lease, which it prolongs while it lives.
create table onetake.hosts (
    only_one   boolean primary key default true check (only_one),
    host       text not null,
    expires_at timestamptz not null
);
alter table onetake.hosts enable row level security;

-- Takes or prolongs the lease. Answers {mine, host, until}.
create function public.take_host(p_host text, p_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_host onetake.hosts;
begin
    insert into onetake.hosts as h (host, expires_at) values (p_host, clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (only_one) do update set host = excluded.host, expires_at = excluded.expires_at
            where h.host = excluded.host or h.expires_at <= clock_timestamp();
    select * into strict v_host from onetake.hosts;
    return jsonb_build_object('mine', v_host.host = p_host, 'host', v_host.host, 'until', v_host.expires_at);
end $$;

-- Which migrations this database has: what a program that comes over REST compares with its own.
create function public.applied_migrations() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
    return (select coalesce(jsonb_agg(version order by version), '[]') from supabase_migrations.schema_migrations);
end $$;

-- The clip lies in Storage, under this name ('bucket/name').
create function public.note_stored(p_run_id uuid, p_stored text) returns void
language sql security definer set search_path = '' as $$
    update onetake.runs set stored = p_stored where run_id = p_run_id and dropped_at is null;
$$;

-- Of these runs (the clips that one machine has): {wanted: saved, and not in Storage yet; settled: nothing to do any more}.
create function public.not_stored(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'wanted', coalesce(jsonb_agg(run_id) filter (where stored is null and dropped_at is null), '[]'),
        'settled', coalesce(jsonb_agg(run_id) filter (where stored is not null or dropped_at is not null), '[]'))
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids)) and state in ('saved', 'delivered');
$$;

-- Delivered runs whose clip has been kept for p_days: [{run_id, stored}]. Those in Storage, and of p_run_ids (the clips
-- one machine has) all that are that old. A video that its user does not have yet is never too old.
create function public.clips_to_drop(p_days double precision, p_run_ids jsonb, p_at_most integer) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'stored', case when dropped_at is null then stored end)), '[]') from (
        (select run_id, stored, dropped_at from onetake.runs
            where stored is not null and dropped_at is null and state = 'delivered'
              and saved_at < clock_timestamp() - make_interval(secs => p_days * 86400)
            order by saved_at limit p_at_most)
        union
        (select run_id, stored, dropped_at from onetake.runs
            where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids)) and state = 'delivered'
              and saved_at < clock_timestamp() - make_interval(secs => p_days * 86400))) r;
$$;

create function public.note_dropped(p_run_id uuid) returns void
language sql security definer set search_path = '' as $$
    update onetake.runs set dropped_at = coalesce(dropped_at, clock_timestamp()) where run_id = p_run_id and state = 'delivered';
$$;

select onetake.restrict(array['begin_submission', 'load_runs', 'take_turn', 'silence_lane', 'take_host', 'applied_migrations',
    'note_stored', 'not_stored', 'clips_to_drop', 'note_dropped']);
