-- What `reserve` would say now, changing nothing: for a dry run. It asks the same checks as `reserve` itself, without the
-- user's mutex, so the answer is only about this moment.

create function public.preview_reserve(
    p_user_id text, p_prompt_hash text, p_price_microusd bigint, p_again boolean default false
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    u onetake.users;
    v_now timestamptz := clock_timestamp();
    v_utc timestamp := v_now at time zone 'UTC';
    v_refused jsonb;
    v_day bigint;
    v_month bigint;
begin
    select * into u from onetake.users where user_id = p_user_id;
    if not found then
        u.user_id := p_user_id;
        u.blocked := false;
        u.invited := false;
        u.limits := '{}';
    end if;
    v_refused := onetake.first_refusal(u, p_prompt_hash, p_again, v_now);
    if v_refused is not null then return v_refused; end if;

    select coalesce(sum(held_microusd + spent_microusd) filter (where period = v_utc::date::text), 0),
           coalesce(sum(held_microusd + spent_microusd) filter (where period = to_char(v_utc, 'YYYY-MM')), 0)
        into v_day, v_month from onetake.budgets;
    if v_day + p_price_microusd > onetake.limit_value('budget_day_microusd') then
        return onetake.refusal('budget_exhausted', (date_trunc('day', v_utc) + interval '1 day') at time zone 'UTC', p_what => 'day');
    end if;
    if v_month + p_price_microusd > onetake.limit_value('budget_month_microusd') then
        return onetake.refusal('budget_exhausted', (date_trunc('month', v_utc) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return jsonb_build_object('kind', 'accepted');
end $$;

select onetake.restrict(array['preview_reserve']);
