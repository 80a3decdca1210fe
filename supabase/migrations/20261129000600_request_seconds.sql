-- Every machine waits for a request as long as the machine that sent it may, whatever its own deadlines are.

alter table onetake.runs add column request_seconds double precision;   -- how long after submitting_at the request may be under way

-- approved -> submitting, one winner. Answers {won: true, order, submitting_at} to the winner, however often it asks
-- with its token, and {won: false, refused, until, reason} to everybody else. The submissions of all runs pass
-- here one after another (the row of the breaker is their mutex): that is what lets it count.
-- p_in_flight_max and p_creates_per_minute are the provider's limits, as the caller knows them; null is none. They hold
-- for all machines together, and whoever was approved first goes first.
-- p_request_seconds: the winner's own deadlines added up. No other machine treats the request as over before that.
drop function public.begin_submission(uuid, text, integer, integer);
create function public.begin_submission(
    p_run_id uuid, p_token text, p_in_flight_max integer default null, p_creates_per_minute integer default null,
    p_request_seconds double precision default null
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

    update onetake.runs set token = p_token, request_seconds = p_request_seconds where run_id = p_run_id;
    r := onetake.move(p_run_id, 'submitting', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'submitting');
    return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
end $$;

select onetake.restrict(array['begin_submission']);
