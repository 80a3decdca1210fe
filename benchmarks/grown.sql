-- A ledger that has grown, for benchmarks: written past the functions, as they would have left it. %(runs)s runs over
-- %(days)s days, %(events)s events each. No triggers: the guard of moves refuses runs that begin as delivered.
set session_replication_role = replica;
insert into onetake.users (user_id) select 'tg:' || i from generate_series(0, 4999) as i on conflict do nothing;
insert into onetake.runs (run_id, ref, request_key, request_hash, call_id, user_id, audience, language, prompt, prompt_hash,
    model, seconds, size, create_body, price_microusd, base_url, key_fingerprint, state, state_since, told_state, day, month,
    held_microusd, spent_microusd, released_microusd, text_microusd, improved_prompt, title, category, job_id, job_source,
    caption, hashtags, caption_by, file, file_bytes, file_sha256, templates,
    reserved_at, approved_at, submitting_at, rendering_at, saved_at, delivered_at, rejected_at, failed_at, parked_at,
    uncertain_at, next_look_at)
select md5('run' || i)::uuid, ref, 'bench:' || i, md5('h' || i), md5('call' || i)::uuid, 'tg:' || i %% 5000,
    '{"kind": "chat"}', 'en', 'A paper boat number ' || i || ' sails down a gutter in the rain', md5('p' || i),
    (array['sim-1', 'sim-2', 'sim-pro'])[1 + i %% 3], 8, '720x1280', 'json', 800000, 'http://127.0.0.1:1/v1', 'abc',
    state, at, state, (at at time zone 'UTC')::date, to_char(at at time zone 'UTC', 'YYYY-MM'),
    case when state in ('rendering', 'uncertain', 'approved') then 800000 else 0 end,
    case when state = 'delivered' then 800000 else 0 end,
    case when state in ('rejected', 'failed') then 800000 else 0 end, 300,
    'A small paper boat drifts along a rain-filled gutter, close to the water.', 'Paper boat', 'nature',
    case when state in ('delivered', 'rendering') then 'video_' || i end, case when state in ('delivered', 'rendering') then 'answer' end,
    case when state = 'delivered' then 'A paper boat.' end, '["#boat"]', 'model',
    case when state = 'delivered' then '/media/x.mp4' end, 150000, md5('f' || i),
    jsonb_build_object('validate_prompt', md5('t' || i %% 7), 'write_caption', md5('w' || i %% 5)),
    at, at, case when state in ('delivered', 'rendering', 'uncertain', 'failed') then at end,
    case when state in ('delivered', 'rendering') then at end, case when state = 'delivered' then at + interval '1 minute' end,
    case when state = 'delivered' then at + interval '61 s' end, case when state = 'rejected' then at end,
    case when state = 'failed' then at end, case when state = 'uncertain' then at end,
    case when state = 'uncertain' then at end, 'infinity'
from (select i, now() - (%(days)s * (1 - i::float / %(runs)s)) * interval '1 day' as at,
        case when i > %(runs)s - 10 then 'rendering' when i %% 20000 = 7 then 'uncertain' when i %% 10 = 3 then 'rejected'
             when i %% 25 = 4 then 'failed' else 'delivered' end as state,
        (select string_agg(substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 1 + (i / (32 ^ p)::bigint %% 32)::integer, 1), '')
            from generate_series(0, 5) as p) as ref
      from generate_series(1, %(runs)s) as i) as made;
insert into onetake.events (at, run_id, user_id, step, outcome, ms, cost_microusd, saved_microusd, detail)
select r.reserved_at + n * interval '5 s', r.run_id, r.user_id,
    (array['check_limits', 'validate_prompt', 'generate_video', 'generate_video', 'write_caption', 'save_video', 'deliver',
           'tell', 'check_limits', 'tell'])[n],
    (array['accepted', 'approved', 'submitting', 'answer', 'model', 'saved', 'delivered', 'delivered',
           case when hashtext(r.ref) %% 4 = 0 then 'duplicate' else 'cooldown' end, 'rendering'])[n],
    case when n in (2, 4, 5, 6) then 50 + abs(hashtext(r.ref || n)) %% 9000 end, case when n in (2, 5) then 150 else 0 end,
    case when n = 9 and hashtext(r.ref) %% 4 = 0 then 800000 else 0 end, '{"versions": {}}'
from onetake.runs r cross join generate_series(1, %(events)s) as n;
insert into onetake.budgets (period, held_microusd, spent_microusd)
select day::text, sum(held_microusd), sum(spent_microusd + text_microusd) from onetake.runs group by day
union all select month, sum(held_microusd), sum(spent_microusd + text_microusd) from onetake.runs group by month;
insert into onetake.templates (sha256, id, body)
select encode(sha256(convert_to(i::text, 'UTF8')), 'hex'), 'validate_prompt', i::text from generate_series(1, 7) as i;
set session_replication_role = origin;
vacuum analyze onetake.runs;
vacuum analyze onetake.events;
