-- What a tap says yes to, and prompts that are only ever edited.

-- The checks between "blocked" and "daily_limit", read under the user's mutex. Null: nothing stands in the way.
create or replace function onetake.first_refusal(u onetake.users, p_prompt_hash text, p_again boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_control onetake.control;
    v_until timestamptz;
    v_of onetake.runs;
    v_lease_until timestamptz;
    v_tomorrow timestamptz := (date_trunc('day', p_now at time zone 'UTC') + interval '1 day') at time zone 'UTC';
    v_today date := (p_now at time zone 'UTC')::date;
begin
    if u.blocked then return onetake.refusal('blocked', p_reason => u.blocked_reason); end if;
    if not onetake.is_invited(u) then return onetake.refusal('not_invited'); end if;

    select * into v_control from onetake.control;
    if v_control.paused then return onetake.refusal('paused', p_reason => v_control.pause_reason); end if;

    v_until := greatest(onetake.breaker_until('all', null), onetake.breaker_until('user:' || u.user_id, null));
    if v_until is not null then return onetake.refusal('breaker_open', v_until); end if;

    if not p_again then
        -- The lease's run while the lease holds, and any other unfinished take: an older one may outlive the lease.
        select r.* into v_of from onetake.runs r left join onetake.leases l using (run_id)
            where r.user_id = u.user_id and r.prompt_hash = p_prompt_hash
              and (l.expires_at > p_now
                   or r.state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                   -- A terminal that has gone never hears of its clip: it must not hold the prompt for ever.
                   or (r.state = 'saved' and r.audience ->> 'kind' <> 'terminal'))
            order by l.expires_at desc nulls last, r.reserved_at desc limit 1;
        if found then
            select expires_at into v_lease_until from onetake.leases
                where user_id = u.user_id and prompt_hash = p_prompt_hash;
            return onetake.refusal('duplicate', nullif(greatest(v_lease_until, p_now), p_now), v_of);
        end if;
    end if;

    if (select count(*) from onetake.runs r where r.user_id = u.user_id and onetake.is_active(r.state, r.parked_at))
       >= onetake.limit_value('active_runs_per_user', u.limits) then
        select * into v_of from onetake.runs r where r.user_id = u.user_id and onetake.is_active(r.state, r.parked_at)
            order by r.reserved_at desc limit 1;
        return onetake.refusal('busy', null, v_of);
    end if;

    -- A rejected prompt does not slow its user down: its safe rewrite can be tapped at once. Nor does one that was set
    -- aside to be written anew.
    select max(r.reserved_at) + make_interval(secs => onetake.limit_value('cooldown_seconds', u.limits)) into v_until
        from onetake.runs r where r.user_id = u.user_id and r.state <> 'rejected' and r.reason is distinct from 'edited';
    if v_until > p_now then return onetake.refusal('cooldown', v_until); end if;

    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today
            and (r.state not in ('rejected', 'canceled', 'failed') or r.spent_microusd > 0))
       >= onetake.limit_value('videos_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'videos');
    end if;
    -- Both had the text model asked, and nothing came of it.
    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today
            and (r.state = 'rejected' or (r.state = 'canceled' and r.reason = 'edited')))
       >= onetake.limit_value('rejected_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'rejected_prompts');
    end if;
    return null;
end $$;

-- The user's tap: to this length and size, if they are given, and not to what the run has become meanwhile. Idempotent;
-- too late after confirm_until, and not for a user who was blocked since.
drop function public.confirm(uuid);
create function public.confirm(p_run_id uuid, p_seconds integer default null, p_size text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state = 'approved' and r.needs_confirmation and r.confirmed_at is null and r.confirm_until > clock_timestamp()
       and r.seconds = coalesce(p_seconds, r.seconds) and r.size = coalesce(p_size, r.size)
       and not exists (select from onetake.users u where u.user_id = r.user_id and u.blocked) then
        update onetake.runs set confirmed_at = clock_timestamp(), next_look_at = null, attempts = 0 where run_id = p_run_id;
        perform onetake.note(p_run_id, r.user_id, 'confirm', 'confirmed');
    end if;
    return public.load_run(p_run_id);
end $$;

select onetake.restrict(array['confirm']);
