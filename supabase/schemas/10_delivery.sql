-- Notifying the user: one notifier at a time, retries, and Telegram's rate limits across processes.

-- Claims the notification of a state for p_seconds; null if it was sent, the run has moved on, or another notifier holds
-- it. The same p_notifier renews its claim. A rejected claim makes the run due when the other claim expires: a notifier may
-- die, and nobody else looks at a run that waits for its user's tap.
create function public.begin_notification(p_run_id uuid, p_state text, p_notifier text, p_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_run jsonb;
begin
    update onetake.runs r set notifying_state = p_state || ' ' || p_notifier,
            notifying_until = clock_timestamp() + make_interval(secs => p_seconds)
        where r.run_id = p_run_id and r.state = p_state and r.told_state is distinct from p_state
          and (notifying_until is null or notifying_until <= clock_timestamp() or notifying_state not like p_state || ' %'
               or notifying_state = p_state || ' ' || p_notifier)
        returning onetake.run_json(r) into v_run;
    if v_run is null then
        update onetake.runs r set next_look_at = least(coalesce(r.next_look_at, r.notifying_until), r.notifying_until)
            where r.run_id = p_run_id and r.state = p_state and r.told_state is distinct from p_state;
    end if;
    return v_run;
end $$;

-- Retries a notification at p_at, and not before. The run's own work is not delayed.
create function public.notify_later(p_run_id uuid, p_state text, p_at timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set notifying_state = p_state || ' nobody', notifying_until = p_at,
            next_look_at = case when r.state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') then p_at
                else least(coalesce(r.next_look_at, p_at), p_at) end
        where r.run_id = p_run_id and r.state = p_state returning onetake.run_json(r);
$$;

-- Records that the user was notified of p_state; with 'saved' and p_delivered, that the user has the video.
create function public.mark_notified(p_run_id uuid, p_state text, p_delivered boolean default false, p_detail jsonb default '{}') returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if p_delivered and r.state = 'saved' then
        perform onetake.move(p_run_id, 'delivered', 'spent');
        update onetake.runs set told_state = 'delivered' where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'deliver', 'delivered', p_detail);
    elsif r.state = p_state and r.told_state is distinct from p_state then
        update onetake.runs set told_state = p_state where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'tell', p_state, p_detail);
    end if;
    return public.load_run(p_run_id);
end $$;

-- Makes the user's undelivered videos due now (the bot had been blocked). Answers their run ids.
create function public.notify_again(p_user_id text) returns jsonb
language sql security definer set search_path = '' as $$
    with woken as (
        update onetake.runs set told_state = null, notifying_until = null, next_look_at = null
            where user_id = p_user_id and state = 'saved' and told_state = 'saved' and audience ->> 'kind' = 'telegram'
            returning run_id
    )
    select coalesce(jsonb_agg(run_id), '[]') from woken;
$$;

-- Delivers a video again, unless a delivery is in progress: its outcome would be taken for the answer to this request.
-- Answers {asked, state, why}.
create function public.deliver_again(p_run_id uuid, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or r.state <> 'saved' or r.audience ->> 'kind' = 'terminal' then
        return jsonb_build_object('asked', false, 'state', r.state, 'why', 'state');
    end if;
    if r.notifying_until > clock_timestamp() and r.notifying_state like 'saved %' and r.notifying_state <> 'saved nobody' then
        return jsonb_build_object('asked', false, 'state', r.state, 'why', 'under_way');
    end if;
    update onetake.runs set told_state = null, notifying_until = null, next_look_at = null, attempts = 0 where run_id = p_run_id;
    perform onetake.note(p_run_id, r.user_id, 'deliver', 'asked_again', jsonb_build_object('by', p_who));
    return jsonb_build_object('asked', true, 'state', r.state, 'why', null);
end $$;

-- Adds to where a run's user is notified: the card's message id, the video's, Telegram's file id.
create function public.note_audience(p_run_id uuid, p_more jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set audience = audience || p_more where r.run_id = p_run_id returning onetake.run_json(r);
$$;

-- Alerts operators, once per run, that a video could not be delivered.
create function public.note_undelivered(p_run_id uuid, p_why text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.raise_alert('undelivered:' || r.ref, 'undelivered', jsonb_build_object('ref', r.ref, 'why', p_why))
        from onetake.runs r where r.run_id = p_run_id;
    select null::jsonb;
$$;

-- A page of a user's videos, newest first. Answers {total, runs}.
create function public.user_videos(p_user_id text, p_at_most integer, p_skip integer) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'total', (select count(*) from onetake.runs where user_id = p_user_id and state in ('saved', 'delivered')),
        'runs', coalesce((select jsonb_agg(onetake.run_json(r) order by r.reserved_at desc) from (
            select * from onetake.runs where user_id = p_user_id and state in ('saved', 'delivered')
            order by reserved_at desc limit p_at_most offset p_skip) r), '[]'));
$$;

-- Seconds until a call may be made in all these buckets; 0 counts it as made now. p_buckets: [{bucket, at_most, window_seconds,
-- gap_seconds}], locked in the order of their names. Calls later than now were made before the clock stepped back and are
-- ignored.
create function public.acquire_turn(p_buckets jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_asked jsonb;
    v_bucket onetake.rate_buckets;
    v_now timestamptz;
    v_free timestamptz;
    v_recent timestamptz[];
    v_at_most integer;
    v_locked bigint := -1;
begin
    while v_locked < (select count(distinct a ->> 'bucket') from jsonb_array_elements(p_buckets) a) loop
        insert into onetake.rate_buckets (bucket) select distinct a ->> 'bucket' from jsonb_array_elements(p_buckets) a order by 1
            on conflict do nothing;
        perform from onetake.rate_buckets where bucket in (select a ->> 'bucket' from jsonb_array_elements(p_buckets) a) order by bucket for update;
        get diagnostics v_locked = row_count;  -- fewer: an idle one was removed between the two
    end loop;
    v_now := clock_timestamp();
    v_free := v_now;
    for v_asked in select a from jsonb_array_elements(p_buckets) a loop
        select * into strict v_bucket from onetake.rate_buckets where bucket = v_asked ->> 'bucket';
        v_at_most := (v_asked ->> 'at_most')::integer;
        select coalesce(array_agg(c order by c), '{}') into v_recent from unnest(v_bucket.calls) c
            where c > v_now - make_interval(secs => (v_asked ->> 'window_seconds')::double precision) and c <= v_now;
        v_free := greatest(v_free, v_bucket.silent_until,
            v_recent[cardinality(v_recent)] + make_interval(secs => (v_asked ->> 'gap_seconds')::double precision),
            case when cardinality(v_recent) >= v_at_most then v_recent[cardinality(v_recent) - v_at_most + 1]
                + make_interval(secs => (v_asked ->> 'window_seconds')::double precision) end);
    end loop;
    if v_free > v_now then return to_jsonb(extract(epoch from v_free - v_now)); end if;
    update onetake.rate_buckets l set used_at = v_now, calls = (
            select coalesce(array_agg(c order by c), '{}') || v_now from unnest(l.calls) c
                where c > v_now - make_interval(secs => (a ->> 'window_seconds')::double precision) and c <= v_now)
        from jsonb_array_elements(p_buckets) a where l.bucket = a ->> 'bucket';
    return to_jsonb(0);
end $$;

-- Keeps a bucket silent for as long as Telegram asked. Removes idle buckets that nobody holds.
create function public.silence_bucket(p_bucket text, p_seconds double precision) returns void
language sql security definer set search_path = '' as $$
    insert into onetake.rate_buckets (bucket, silent_until) values (p_bucket, clock_timestamp() + make_interval(secs => p_seconds))
        on conflict (bucket) do update set silent_until = greatest(rate_buckets.silent_until, excluded.silent_until);
    delete from onetake.rate_buckets where bucket in (
        select bucket from onetake.rate_buckets where used_at < clock_timestamp() - interval '1 day' and bucket <> p_bucket
            and (silent_until is null or silent_until < clock_timestamp()) for update skip locked);
$$;
