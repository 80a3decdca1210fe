-- The versions of the prompt templates.

-- Keeps a version, once; a version never changes.
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
