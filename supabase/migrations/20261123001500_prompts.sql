-- The prompts' versions: kept word by word, so that a run can be told by what it was asked with, and compared.

create table onetake.templates (
    sha256        text primary key check (encode(sha256(convert_to(body, 'UTF8')), 'hex') = sha256),
    id            text not null,
    body          text not null,
    first_used_at timestamptz not null default clock_timestamp()
);
alter table onetake.templates enable row level security;

-- Kept once; a version never changes.
create function public.keep_template(p_sha256 text, p_id text, p_body text) returns jsonb
language sql security definer set search_path = '' as $$
    insert into onetake.templates (sha256, id, body) values (p_sha256, p_id, p_body) on conflict do nothing;
    select 'true'::jsonb;
$$;

-- The text of a version, or null.
create function public.template_text(p_sha256 text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select body from onetake.templates where sha256 = p_sha256));
$$;

-- A broken edit is news for operators, once for each.
create function public.template_broken(p_id text, p_edit text, p_words text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.raise_alert('template:' || p_id || ':' || p_edit, 'template', jsonb_build_object('id', p_id, 'words', p_words));
    select 'true'::jsonb;
$$;

-- What became of the runs of each version, of the last p_days days, newest version first.
create function public.template_impact(p_days double precision) returns jsonb
language sql stable security definer set search_path = '' as $$
    with used as (
        select t.key as id, t.value as sha256, r.run_id, r.state, r.caption_by, r.reserved_at
        from onetake.runs r cross join lateral jsonb_each_text(r.templates) as t
        where r.reserved_at > clock_timestamp() - make_interval(secs => p_days * 86400)
    ), called as (
        select u.id, u.sha256, u.run_id, count(*) as calls, sum(e.cost_microusd) as cost_microusd,
               sum(greatest(coalesce((e.detail ->> 'asks')::integer, 1) - 1, 0)) as reasks
        from used u join onetake.events e on e.run_id = u.run_id and e.step = u.id
        group by u.id, u.sha256, u.run_id
    )
    select coalesce(jsonb_agg(to_jsonb(i) order by i.id, i.last_used_at desc), '[]') from (
        select u.id, u.sha256, count(*) as runs,
               count(*) filter (where u.state in ('saved', 'delivered')) as videos,
               count(*) filter (where u.state = 'rejected') as rejected,
               count(*) filter (where u.state = 'failed') as failed,
               count(*) filter (where u.caption_by = 'plain') as plain_captions,
               coalesce(sum(c.calls), 0) as calls, coalesce(sum(c.reasks), 0) as reasks,
               coalesce(sum(c.cost_microusd), 0) as cost_microusd,
               min(u.reserved_at) as first_used_at, max(u.reserved_at) as last_used_at
        from used u left join called c using (id, sha256, run_id)
        group by u.id, u.sha256
    ) as i;
$$;

select onetake.restrict(array['keep_template', 'template_text', 'template_broken', 'template_impact']);
