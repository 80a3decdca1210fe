-- Audits: what a comparison of the provider's jobs with the ledger found, kept for whoever asks later.

create table onetake.audits (
    id              bigint generated always as identity primary key,
    at              timestamptz not null default clock_timestamp(),
    base_url        text not null,
    key_fingerprint text not null,
    since           timestamptz not null,
    result          jsonb not null,                   -- complete, why_incomplete, jobs, runs, found
    differences     integer not null check (differences >= 0)
);
create index audits_of_provider on onetake.audits (base_url, key_fingerprint, at desc);
alter table onetake.audits enable row level security;

-- The runs that may have bought something at this provider with this key since then.
create function public.audit_view(p_base_url text, p_key_fingerprint text, p_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.submitting_at), '[]') from onetake.runs r
    where r.base_url = p_base_url and r.key_fingerprint = p_key_fingerprint and r.submitting_at >= p_since;
$$;

create function public.store_audit(
    p_base_url text, p_key_fingerprint text, p_since timestamptz, p_result jsonb, p_differences integer
) returns jsonb
language sql security definer set search_path = '' as $$
    insert into onetake.audits as a (base_url, key_fingerprint, since, result, differences)
        values (p_base_url, p_key_fingerprint, p_since, p_result, p_differences)
        returning to_jsonb(a);
$$;

create function public.list_audits(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(a) order by a.id desc), '[]')
    from (select * from onetake.audits order by id desc limit p_at_most) a;
$$;

-- When this provider was last audited at all and completely (null: never), and what time it is here.
create function public.last_audit_at(p_base_url text, p_key_fingerprint text) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('at', max(at), 'complete_at', max(at) filter (where (result ->> 'complete')::boolean),
                              'now', clock_timestamp())
    from onetake.audits where base_url = p_base_url and key_fingerprint = p_key_fingerprint;
$$;

select onetake.restrict(array['audit_view', 'store_audit', 'list_audits', 'last_audit_at']);
