-- The first migration: the whole schema as `supabase/schemas/` had it then. Look there for the schema as it is now.

-- The ledger's tables. Only the functions in these files write them.
--
-- They live in the schema `onetake`, which no API exposes; callers use the functions in `public`.
-- Money is integer micro-dollars (1 USD = 1,000,000). Days and months are UTC.
-- Constraints on money only say "not negative": limits are decided in `reserve`, and no index or CHECK
-- may ever refuse a clip that was paid for.

create schema if not exists onetake;

-- One spelling for all ids of one job. LiteLLM packs the provider's id into a longer one, different in each answer:
-- base64 of `litellm:custom_llm_provider:...;model_id:...;video_id:...`.
create function onetake.canonical_id(p_job_id text) returns text
language plpgsql immutable set search_path = '' as $$
declare
    v_packed text := regexp_replace(p_job_id, '^video_', '');
    v_text text;
begin
    if v_packed !~ '^[A-Za-z0-9+/]{8,}=*$' then return p_job_id; end if;
    v_packed := rtrim(v_packed, '=');
    v_text := convert_from(decode(v_packed || repeat('=', (4 - length(v_packed) % 4) % 4), 'base64'), 'UTF8');
    return coalesce(case when v_text like 'litellm:%' then substring(v_text from '(?:^|;)video_id:(.+)$') end, p_job_id);
exception when others then                            -- not base64, or not text
    return p_job_id;
end $$;

create table onetake.users (
    user_id        text primary key,                  -- 'tg:<id>' or 'cli:<name>'
    version        bigint not null default 0,         -- every reservation writes it: the user's mutex
    blocked        boolean not null default false,
    blocked_reason text,
    invited        boolean not null default false,
    limits         jsonb not null default '{}',       -- per-user overrides of onetake.limits
    preferences    jsonb not null default '{}',       -- the bot's: language, seconds, size, confirm
    created_at     timestamptz not null default clock_timestamp()
);

create table onetake.runs (
    run_id         uuid primary key default gen_random_uuid(),
    ref            text not null unique check (ref ~ '^[A-Z2-7]{6}$'),
    request_key    text not null unique,
    request_hash   text not null,                     -- what was ordered under that key
    call_id        uuid not null,                     -- the `reserve` call that made it: tells a repeated call from a second tap
    user_id        text not null references onetake.users,
    audience       jsonb not null,                    -- who is notified, and where
    language       text not null,
    prompt         text not null,
    prompt_hash    text not null,

    -- The order, fixed when the money was set aside.
    model           text not null,
    seconds         integer not null check (seconds > 0),
    size            text not null,
    create_body     text not null,
    price_microusd  bigint not null check (price_microusd >= 0),
    bills_failed    boolean not null default false,   -- the provider charges for failed renders
    base_url        text not null,
    key_fingerprint text not null,

    state          text not null default 'reserved',
    state_since    timestamptz not null,
    told_state     text,                              -- the last state its user was notified of
    notifying_state  text, notifying_until timestamptz,   -- one notifier at a time; a dead one expires
    reason         text,                              -- why it ended, a stable word
    detail         text,                              -- the same for a person

    day            date not null,
    month          text not null,                     -- 'YYYY-MM'
    held_microusd     bigint not null default 0 check (held_microusd >= 0),
    spent_microusd    bigint not null default 0 check (spent_microusd >= 0),
    released_microusd bigint not null default 0 check (released_microusd >= 0),
    text_microusd     bigint not null default 0 check (text_microusd >= 0),

    -- The verdict.
    improved_prompt text, title text, category text,
    reasons        jsonb, safe_rewrite text,
    needs_confirmation boolean not null default false,
    confirm_until  timestamptz, confirmed_at timestamptz,
    deferred_since timestamptz, deferred_by text,   -- refused at the fence: paused, breaker_open, no_slot

    -- The purchase.
    token           text,                             -- the winner's, never handed out
    request_seconds double precision,                 -- how long after submitting_at the request may be in flight
    job_id          text,
    job_source      text check (job_source in ('answer', 'list', 'person')),
    job_seen_at     timestamptz,                      -- when the job's own address last showed this job
    done_seen_at    timestamptz,                      -- when it first showed it completed: the clip was made
    shown_otherwise text[] not null default '{}',     -- parts of the order that the answer showed differently
    answered_job_id text, answered_at timestamptz,    -- the id in the real answer, even if another run owns that job
    failed_jobs     jsonb not null default '[]',      -- adopted jobs that failed: this run never adopts them again
    failing_since   timestamptz, failing_words text,  -- the first look that called the job failed or expired
    provider_word   text,                             -- the provider's own status word, as last seen
    progress        integer,
    doubt           text,                             -- why the answer is unknown
    look_says       text,                             -- why the last look settled nothing
    looks_complete  integer not null default 0,
    first_look_at   timestamptz, last_look_at timestamptz,
    parked_at       timestamptz,
    next_look_at    timestamptz,                      -- not due before; null = due now
    attempts        integer not null default 0,       -- since the last progress

    -- The result.
    caption        text, hashtags jsonb, caption_by text check (caption_by in ('model', 'plain')),
    file           text, file_bytes bigint, file_sha256 text,
    clip_kind      text, clip_width integer, clip_height integer, clip_seconds double precision, -- null: the file does not say
    stored         text,                              -- 'bucket/name' of the clip in Storage; null: only where it was saved
    dropped_at     timestamptz,                       -- when its files were removed for their age
    templates      jsonb not null default '{}',       -- template id -> sha256

    reserved_at timestamptz not null, approved_at timestamptz, submitting_at timestamptz, uncertain_at timestamptz,
    rendering_at timestamptz, saved_at timestamptz, delivered_at timestamptz,
    rejected_at timestamptz, canceled_at timestamptz, failed_at timestamptz
);

-- A job belongs to one run, whichever of its ids is known. The functions make room before they write, so this index
-- never refuses an adoption.
create unique index runs_job on onetake.runs (base_url, onetake.canonical_id(job_id)) where job_id is not null;
-- One account may have several keys and addresses: a new key replaces an old one, a server has an internal and a public
-- address.
create index runs_job_anywhere on onetake.runs (onetake.canonical_id(job_id)) where job_id is not null;
create index runs_of_user on onetake.runs (user_id, reserved_at desc);
create index runs_of_user_day on onetake.runs (user_id, day);
create index runs_submitted on onetake.runs (submitting_at) where submitting_at is not null;
create index runs_unfinished on onetake.runs (next_look_at nulls first)
    where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering');
create index runs_not_notified on onetake.runs (next_look_at nulls first)
    where state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') and told_state is distinct from state;
create index runs_reserved on onetake.runs (reserved_at desc);
create index runs_stored on onetake.runs (saved_at) where stored is not null and dropped_at is null;
-- Keeps the operators' page and the metrics fast with a hundred thousand runs.
create index runs_by_state on onetake.runs (state, reserved_at desc)
    include (held_microusd, spent_microusd, released_microusd, text_microusd, parked_at, submitting_at);
create index runs_paid on onetake.runs (state) where job_id is not null;
create index runs_by_model on onetake.runs (model, reserved_at desc);
create index runs_by_template on onetake.runs using gin (templates jsonb_path_ops);
-- Two orders with different words never share one file: it belongs to one of them.
create index runs_file_sha256 on onetake.runs (file_sha256) where file_sha256 is not null;

-- One lease per user and prompt: while it holds, the same request is the same run.
create table onetake.leases (
    user_id     text not null,
    prompt_hash text not null,
    run_id      uuid not null,
    expires_at  timestamptz not null,
    primary key (user_id, prompt_hash)
);

-- One row a day ('2026-11-23') and one a month ('2026-11').
create table onetake.budgets (
    period         text primary key,
    held_microusd  bigint not null default 0 check (held_microusd >= 0),
    spent_microusd bigint not null default 0 check (spent_microusd >= 0)
);

create table onetake.events (
    event_id       bigint generated always as identity primary key,
    at             timestamptz not null default clock_timestamp(),
    run_id         uuid,
    user_id        text,
    step           text not null,
    outcome        text not null,
    ms             integer,
    cost_microusd  bigint not null default 0,         -- text model calls; counted as spent
    saved_microusd bigint not null default 0,         -- what a blocked duplicate would have cost
    call_id        uuid unique,
    detail         jsonb not null default '{}'
);
create index events_of_run on onetake.events (run_id, event_id);
create index events_by_step on onetake.events (step, outcome, at);
create index events_at on onetake.events (at);
create index events_timed on onetake.events (step, event_id desc) where ms is not null;

-- Tables for limits, operators, audits, rate limits and numbers.

create table onetake.limits (
    key      text primary key,
    value    jsonb not null,
    about    text not null,
    section  text not null check (section in ('rollout', 'budgets', 'users', 'breaker')),   -- of the operators' page
    per_user boolean not null default false           -- whether one user may have another value
);

insert into onetake.limits (key, value, section, per_user, about) values
    ('active_runs_per_user',     '1',         'users',   true,  'runs one user may have unfinished'),
    ('cooldown_seconds',         '10',        'users',   true,  'pause between two requests of one user'),
    ('videos_per_user_day',      '10',        'users',   true,  'videos a user may buy a day (UTC)'),
    ('rejected_per_user_day',    '30',        'users',   true,  'rejected prompts a user may send a day (UTC)'),
    ('canceled_per_user_day',    '30',        'users',   true,  'drafts a user may cancel or let expire a day (UTC)'),
    ('duplicate_window_seconds', '300',       'users',   false, 'how long the same prompt of one user stays the same run'),
    ('budget_day_microusd',      '10000000',  'budgets', false, 'what all users together may spend a day (UTC)'),
    ('budget_month_microusd',    '100000000', 'budgets', false, 'what all users together may spend a month (UTC)'),
    ('breaker_window_seconds',   '60',        'breaker', false, 'over which the breaker counts submissions'),
    ('breaker_user_submissions', '3',         'breaker', false, 'submissions of one user in that window; one more opens the breaker'),
    ('breaker_all_submissions',  '60',        'breaker', false, 'submissions of all users in that window; one more opens the breaker'),
    ('breaker_failures',         '5',         'breaker', false, 'provider failures in a row that open the breaker'),
    ('breaker_open_seconds',     '300',       'breaker', false, 'how long an open breaker refuses'),
    ('rollout',                  '"all"',     'rollout', false, 'who may ask: "allowlist", "percent" or "all"'),
    ('rollout_percent',          '100',       'rollout', false, 'with rollout "percent": how many of a hundred users');

create table onetake.limit_changes (
    change_id bigint generated always as identity primary key,
    at        timestamptz not null default clock_timestamp(),
    who       text not null,
    key       text not null,                          -- a limit, 'paused', or 'user:<id>:<what>'
    before    jsonb,
    after     jsonb
);

create table onetake.control (
    only_row     boolean primary key default true check (only_row),
    paused       boolean not null default false,
    pause_reason text,
    paused_by    text,
    paused_at    timestamptz,
    resumed_at   timestamptz                          -- the breaker counts submissions from here
);
insert into onetake.control default values;

-- scope 'all', or 'user:<user_id>' for one user's burst or failures: that stops this user only.
create table onetake.breakers (
    scope             text primary key,
    open_until        timestamptz,                    -- null = closed; past = half open
    cause             text,
    failed_answers    integer not null default 0,     -- in a row
    failed_renders    integer not null default 0,     -- in a row
    answers_failed_of text,                           -- the one user who had all of them; null: several users,
    renders_failed_of text,                           --   or a kind of failure that no prompt causes
    probe_run_id      uuid,                           -- the one let through while half open
    probe_at          timestamptz
);
insert into onetake.breakers (scope) values ('all');

-- What is known about a provider's job list. Only a list that shows running jobs can prove that a job is absent.
create table onetake.providers (
    base_url         text not null,
    key_fingerprint  text not null,
    running_shown_at timestamptz,
    primary key (base_url, key_fingerprint)
);

-- When each job was first seen in the provider's list. A job seen before an order was sent is older than that order,
-- even if a wrong clock at the provider says otherwise.
create table onetake.listed_jobs (
    base_url        text not null,
    key_fingerprint text not null,
    job_key         text not null,
    first_seen_at   timestamptz not null default clock_timestamp(),
    last_seen_at    timestamptz not null default clock_timestamp(),
    primary key (base_url, key_fingerprint, job_key)
);
create index listed_jobs_last on onetake.listed_jobs (last_seen_at);

-- Answers that fit no run: a wrong token, or a run whose state accepts none. Kept for operators.
create table onetake.stray_answers (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    run_id  uuid,
    why     text not null,
    status  integer,
    body    text not null check (length(body) <= 2000),
    unique nulls not distinct (run_id, why, status, body)
);

-- Audits: each comparison of the provider's jobs with the ledger.
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

-- How far complete audits of a provider reach without a gap. An audit that begins after the last one ended proves
-- nothing about the time in between.
create table onetake.audited (
    base_url        text not null,
    key_fingerprint text not null,
    tried_at        timestamptz not null,             -- the last audit that would have continued, complete or not
    until           timestamptz,                      -- null: none was complete yet
    primary key (base_url, key_fingerprint)
);

-- What audits found, each once. Open until the ledger or a person explains it, even if it drops out of the list.
-- `subject`: the job without a run, or the run's ref.
create table onetake.differences (
    base_url        text not null,
    key_fingerprint text not null,
    kind            text not null,
    subject         text not null,
    ref             text,
    job_id          text,
    words           text not null,
    microusd        bigint not null default 0,
    could_be_ours   boolean not null default false,   -- a job without a run that could be one of our orders
    first_at        timestamptz not null default clock_timestamp(),
    last_at         timestamptz not null default clock_timestamp(),
    closed_at       timestamptz,
    closed_by       text,                             -- 'ledger', or the person who explained it
    closed_why      text,
    primary key (base_url, key_fingerprint, kind, subject)
);
create index differences_open on onetake.differences (ref) where closed_at is null;

-- Alerts for operators. The same news always has the same `key`, so it is sent once.
create table onetake.alerts (
    key           text primary key,
    kind          text not null,
    at            timestamptz not null default clock_timestamp(),
    detail        jsonb not null default '{}',
    notifying_until timestamptz,
    told_at       timestamptz
);
create index alerts_not_notified on onetake.alerts (at) where told_at is null;

-- Telegram's rate limits, shared by all processes: the last calls of each bucket (a chat, or the whole bot), oldest first.
create table onetake.rate_buckets (
    bucket       text primary key,
    calls        timestamptz[] not null default '{}',
    silent_until timestamptz,
    used_at      timestamptz not null default clock_timestamp()
);
create index rate_buckets_used on onetake.rate_buckets (used_at);

-- The one machine that may work, where the queue is not shared; it renews its lease while it runs.
create table onetake.hosts (
    only_one   boolean primary key default true check (only_one),
    host       text not null,
    expires_at timestamptz not null
);

-- The exact text of every version of every prompt template, so that a run can show what the model was asked.
create table onetake.templates (
    sha256        text primary key check (encode(sha256(convert_to(body, 'UTF8')), 'hex') = sha256),
    id            text not null,
    body          text not null,
    first_used_at timestamptz not null default clock_timestamp()
);

-- Events of past days, counted once. `buckets`: how many took up to each of onetake.bounds_ms(), and longer.
create table onetake.event_days (
    day            date not null,
    step           text not null,
    outcome        text not null,
    n              bigint not null,
    cost_microusd  numeric not null,
    saved_microusd numeric not null,
    timed          bigint not null,                   -- of n, those with a known duration
    ms             numeric not null,
    buckets        bigint[] not null,
    primary key (day, step, outcome)
);

-- Text model calls of past days, by the day of the call and the template's version.
create table onetake.prompt_days (
    day           date not null,
    id            text not null,
    sha256        text not null,
    calls         bigint not null,
    reasks        bigint not null,
    cost_microusd numeric not null,
    primary key (day, id, sha256)
);

-- Requests of past days that a run had already answered, by the step that was skipped.
create table onetake.cached_days (
    day  date not null,
    step text not null,
    n    bigint not null,
    primary key (day, step)
);

create table onetake.counted (
    only_row boolean primary key default true check (only_row),
    before   date not null                            -- earlier days are in event_days, prompt_days and cached_days
);
insert into onetake.counted (before) values ('-infinity');

-- States, money and leases: the inner functions that every other file uses. No caller reaches them directly.

-- The allowed moves (the table of states in docs/design.md) as rows: the trigger below and a test read them.
create table onetake.moves (
    from_state text not null,
    to_state   text not null,
    why        text not null,
    primary key (from_state, to_state)
);

insert into onetake.moves (from_state, to_state, why) values
    ('reserved',   'approved',   'the prompt passed'),
    ('reserved',   'rejected',   'the prompt was refused'),
    ('reserved',   'canceled',   'its user took it back'),
    ('reserved',   'failed',     'the text model could not be asked, or five attempts came to nothing'),
    ('approved',   'submitting', 'the fence: from here we may have paid'),
    ('approved',   'canceled',   'its user took it back, or never confirmed'),
    ('approved',   'failed',     'held back too long, or five attempts came to nothing'),
    ('submitting', 'rendering',  'the provider answered with a job'),
    ('submitting', 'failed',     'a clear no, or never sent'),
    ('submitting', 'uncertain',  'the answer was lost'),
    ('uncertain',  'rendering',  'found: by a late answer, in the provider''s list, or by a person'),
    ('uncertain',  'failed',     'proved never made, or settled by a person'),
    ('rendering',  'saved',      'the clip is ours'),
    ('rendering',  'failed',     'the provider says it failed, or settled by a person'),
    ('rendering',  'uncertain',  'its adopted job turned out to belong to another run'),
    ('saved',      'delivered',  'the user has it'),
    ('failed',     'rendering',  'late adoption: the job turned up after all'),
    ('failed',     'uncertain',  'a person took "not charged" back');

-- Rejects every change of state that is not in onetake.moves.
create function onetake.guard_moves() returns trigger
language plpgsql set search_path = '' as $$
begin
    if tg_op = 'INSERT' then
        if new.state <> 'reserved' then
            raise exception 'a run begins as reserved, not as %', new.state using errcode = 'LG001';
        end if;
    elsif new.state <> old.state and not exists (
        select from onetake.moves m where m.from_state = old.state and m.to_state = new.state
    ) then
        raise exception 'run % cannot go from % to %', old.ref, old.state, new.state using errcode = 'LG001';
    end if;
    return new;
end $$;

create trigger guard_moves before insert or update on onetake.runs
    for each row execute function onetake.guard_moves();

-- Makes a change of state durable before anybody acts on it, whatever the session, role or database is set to. With
-- synchronous_commit off, a server that crashes after the fence could lose it, and another worker would buy again.
-- (`remote_apply` and the like are stricter than `on`, and stay.)
create function onetake.durable() returns trigger
language plpgsql set search_path = '' as $$
begin
    if current_setting('synchronous_commit') in ('off', 'local') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
    return null;
end $$;

create trigger runs_are_durable before insert or update of state on onetake.runs
    for each statement execute function onetake.durable();

-- A run with a different job has not seen that job yet.
create function onetake.forget_seen() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.job_seen_at := null;
    return new;
end $$;

create trigger forget_seen before update of job_id on onetake.runs
    for each row when (old.job_id is distinct from new.job_id) execute function onetake.forget_seen();

-- A run with a different job does not know that it was completed.
create function onetake.forget_done() returns trigger
language plpgsql set search_path = '' as $$
begin
    if new.job_id is distinct from old.job_id then new.done_seen_at := null; end if;
    return new;
end $$;

create trigger forget_done before update on onetake.runs for each row execute function onetake.forget_done();

-- A limit as a number: the user's own value, else the one for everybody.
create function onetake.limit_value(p_key text, p_overrides jsonb default '{}') returns bigint
language sql stable set search_path = '' as $$
    select coalesce((p_overrides ->> p_key)::bigint, (select value::text::bigint from onetake.limits where key = p_key));
$$;

-- A run as callers see it: the whole row without the token, plus the database's time, the only clock for decisions.
create function onetake.run_json(r onetake.runs) returns jsonb
language sql volatile set search_path = '' as $$
    select to_jsonb(r) - 'token' || jsonb_build_object('read_at', clock_timestamp());
$$;

-- Adds an event. A repeated call with the same call_id replaces its event: it is still one request.
create function onetake.note(
    p_run_id uuid, p_user_id text, p_step text, p_outcome text, p_detail jsonb default '{}',
    p_ms integer default null, p_cost_microusd bigint default 0, p_saved_microusd bigint default 0, p_call_id uuid default null
) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.events (run_id, user_id, step, outcome, detail, ms, cost_microusd, saved_microusd, call_id)
    values (p_run_id, p_user_id, p_step, p_outcome, coalesce(p_detail, '{}'), p_ms, p_cost_microusd, p_saved_microusd, p_call_id)
    -- The same call asked again, its first answer lost, may be decided otherwise: it is still one request.
    on conflict (call_id) do update set run_id = excluded.run_id, outcome = excluded.outcome, detail = excluded.detail,
        saved_microusd = excluded.saved_microusd;
$$;

-- Changes the two budgets of a run's own day and month, always in this order.
create function onetake.move_budgets(p_day date, p_month text, p_held bigint, p_spent bigint) returns void
language plpgsql set search_path = '' as $$
begin
    if p_held = 0 and p_spent = 0 then return; end if;
    insert into onetake.budgets (period) values (p_day::text), (p_month) on conflict do nothing;
    update onetake.budgets set held_microusd = held_microusd + p_held, spent_microusd = spent_microusd + p_spent
        where period = p_day::text;
    update onetake.budgets set held_microusd = held_microusd + p_held, spent_microusd = spent_microusd + p_spent
        where period = p_month;
end $$;

-- Books the cost of a text model call as spent, on the run's own day, even beyond every limit (cents).
create function onetake.book_text(p_run_id uuid, p_cost_microusd bigint) returns void
language plpgsql set search_path = '' as $$
declare r onetake.runs;
begin
    if coalesce(p_cost_microusd, 0) <= 0 then return; end if;
    update onetake.runs set text_microusd = text_microusd + p_cost_microusd where run_id = p_run_id returning * into r;
    perform onetake.move_budgets(r.day, r.month, 0, p_cost_microusd);
end $$;

-- Releases a lease, or passes it to another unfinished run of the same user and prompt.
create function onetake.free_lease(r onetake.runs) returns void
language plpgsql set search_path = '' as $$
declare v_other onetake.runs;
begin
    if not exists (select from onetake.leases l where l.user_id = r.user_id and l.prompt_hash = r.prompt_hash
                   and l.run_id = r.run_id) then
        return;
    end if;
    select * into v_other from onetake.runs o
        where o.user_id = r.user_id and o.prompt_hash = r.prompt_hash and o.run_id <> r.run_id
          and o.state not in ('rejected', 'canceled', 'failed')
        order by o.reserved_at desc limit 1;
    if found then
        update onetake.leases set run_id = v_other.run_id,
                expires_at = v_other.reserved_at + make_interval(secs => onetake.limit_value('duplicate_window_seconds'))
            where user_id = r.user_id and prompt_hash = r.prompt_hash and run_id = r.run_id;
    else
        delete from onetake.leases where user_id = r.user_id and prompt_hash = r.prompt_hash and run_id = r.run_id;
    end if;
end $$;

-- Moves a run to a state, sets the state's time, and puts the run's whole price into that state's pocket: 'held',
-- 'spent' or 'released'. The caller has locked the row and decided; the trigger on runs may still reject the move.
-- Progress clears the attempts and every waiting mark. One UPDATE: each one writes to every index of the row.
create function onetake.move(p_run_id uuid, p_to text, p_pocket text) returns onetake.runs
language plpgsql set search_path = '' as $$
declare
    o onetake.runs;
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    select * into strict o from onetake.runs where run_id = p_run_id;
    if o.state = p_to then
        raise exception 'run % is % already', o.ref, p_to using errcode = 'LG001';
    end if;
    update onetake.runs set
        state = p_to, state_since = v_now, attempts = 0, next_look_at = null, parked_at = null,
        held_microusd     = case p_pocket when 'held' then price_microusd else 0 end,
        spent_microusd    = case p_pocket when 'spent' then price_microusd else 0 end,
        released_microusd = case when p_pocket in ('held', 'spent') then 0 else price_microusd end,
        deferred_since = case when p_to = 'approved' then deferred_since end,
        deferred_by    = case when p_to = 'approved' then deferred_by end,
        approved_at   = case p_to when 'approved'   then v_now else approved_at end,
        submitting_at = case p_to when 'submitting' then v_now else submitting_at end,
        uncertain_at  = case p_to when 'uncertain'  then v_now else uncertain_at end,
        rendering_at  = case p_to when 'rendering'  then v_now else rendering_at end,
        saved_at      = case p_to when 'saved'      then v_now else saved_at end,
        delivered_at  = case p_to when 'delivered'  then v_now else delivered_at end,
        rejected_at   = case p_to when 'rejected'   then v_now else rejected_at end,
        canceled_at   = case p_to when 'canceled'   then v_now else canceled_at end,
        failed_at     = case p_to when 'failed'     then v_now else failed_at end
    where run_id = p_run_id returning * into strict r;
    if p_to in ('rejected', 'canceled', 'failed') then
        perform onetake.free_lease(r);
    end if;
    perform onetake.move_budgets(r.day, r.month, r.held_microusd - o.held_microusd, r.spent_microusd - o.spent_microusd);
    return r;
end $$;

-- Locks a run's user, then the run. Every function that moves a run begins here, so there is one lock order: user, run,
-- lease, budget. Null if there is no such run.
create function onetake.lock_run(p_run_id uuid) returns onetake.runs
language plpgsql set search_path = '' as $$
declare
    v_user text;
    r onetake.runs;
begin
    select user_id into v_user from onetake.runs where run_id = p_run_id;
    if not found then return null; end if;
    perform from onetake.users where user_id = v_user for update;
    select * into r from onetake.runs where run_id = p_run_id for update;
    return r;
end $$;

-- Locks a run and the present owner of a job: the users first, each kind in the order of its id.
create function onetake.lock_two(p_run_id uuid, p_other uuid) returns void
language plpgsql set search_path = '' as $$
begin
    perform from onetake.users where user_id in (select user_id from onetake.runs where run_id in (p_run_id, p_other))
        order by user_id for update;
    perform from onetake.runs where run_id in (p_run_id, p_other) order by run_id for update;
end $$;

-- Counts an outcome at the provider. p_kind: 'answer' or 'render'. A series of failures opens the breaker for
-- everybody, or, if one user had all of them and that user's prompts may be the cause, for that user only.
create function onetake.feed_breaker(p_run_id uuid, p_kind text, p_good boolean) returns void
language plpgsql set search_path = '' as $$
declare
    b onetake.breakers;
    v_now timestamptz := clock_timestamp();
    v_until timestamptz := v_now + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
    v_before integer;
    v_of text;
begin
    select * into b from onetake.breakers where scope = 'all';
    if p_good and b.open_until is null and b.failed_answers = 0 and b.failed_renders = 0 then
        return;                                       -- nothing to clear: no lock on the one row that all runs share
    end if;
    select * into b from onetake.breakers where scope = 'all' for update;
    v_before := case p_kind when 'answer' then b.failed_answers else b.failed_renders end;
    if not p_good then
        select user_id into v_of from onetake.runs where run_id = p_run_id and not (p_kind = 'answer' and state = 'failed'
            and reason in ('unauthorized', 'no_credit', 'not_found', 'rate_limited', 'never_connected'));
        if v_before > 0 and v_of is distinct from (case p_kind when 'answer' then b.answers_failed_of else b.renders_failed_of end) then
            -- Those of one user alone bring nobody else nearer to the end: from here on they count as one.
            if (case p_kind when 'answer' then b.answers_failed_of else b.renders_failed_of end) is not null then v_before := 1; end if;
            v_of := null;
        end if;
    end if;
    if v_of is not null and v_before + 1 >= onetake.limit_value('breaker_failures') then
        insert into onetake.breakers (scope, open_until, cause) values ('user:' || v_of, v_until, 'failures')
            on conflict (scope) do update set open_until = excluded.open_until, cause = excluded.cause;
        v_before := -1;                               -- they are dealt with: the next failure is the first
    end if;
    if p_kind = 'answer' then
        b.failed_answers := case when p_good then 0 else v_before + 1 end;
        b.answers_failed_of := v_of;
    else
        b.failed_renders := case when p_good then 0 else v_before + 1 end;
        b.renders_failed_of := v_of;
    end if;
    if b.probe_run_id = p_run_id and p_kind = 'answer' and p_good then
        b.open_until := null; b.cause := null; b.probe_run_id := null; b.probe_at := null; b.failed_renders := 0;
    elsif not p_good and v_of is null and (b.probe_run_id = p_run_id
            or greatest(b.failed_answers, b.failed_renders) >= onetake.limit_value('breaker_failures')) then
        b.open_until := v_until;
        b.cause := 'failures'; b.probe_run_id := null; b.probe_at := null;
    elsif not p_good and b.probe_run_id = p_run_id then    -- one user's probe failed: the next one may try
        b.probe_run_id := null; b.probe_at := null;
    end if;
    update onetake.breakers set open_until = b.open_until, cause = b.cause, failed_answers = b.failed_answers,
            failed_renders = b.failed_renders, probe_run_id = b.probe_run_id, probe_at = b.probe_at,
            answers_failed_of = b.answers_failed_of, renders_failed_of = b.renders_failed_of
        where scope = 'all';
end $$;

-- Until when a breaker refuses; null if it lets this run through (closed, or half open with its one probe free).
create function onetake.breaker_until(p_scope text, p_run_id uuid) returns timestamptz
language plpgsql set search_path = '' as $$
declare
    b onetake.breakers;
    v_now timestamptz := clock_timestamp();
    v_probe_until timestamptz;
begin
    select * into b from onetake.breakers where scope = p_scope;
    if not found or b.open_until is null then return null; end if;
    if b.open_until > v_now then return b.open_until; end if;
    v_probe_until := b.probe_at + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
    if b.probe_run_id is not null and b.probe_run_id is distinct from p_run_id and v_probe_until > v_now then
        return v_probe_until;
    end if;
    return null;
end $$;

-- Records a change of a control: who, when, before and after.
create function onetake.record_change(p_who text, p_key text, p_before jsonb, p_after jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.limit_changes (who, key, before, after) values (p_who, p_key, p_before, p_after);
$$;

-- Raises an alert; the same key is raised once.
create function onetake.raise_alert(p_key text, p_kind text, p_detail jsonb) returns void
language sql set search_path = '' as $$
    insert into onetake.alerts (key, kind, detail) values (p_key, p_kind, p_detail) on conflict do nothing;
$$;

-- Reserving a run: every limit is decided here, in one transaction under the user's mutex.

-- A refusal as JSON. `what` says of the run in the way that it waits for its own user's tap (waiting for it would not
-- help), or, of a duplicate, that it is unfinished.
create function onetake.refusal(
    p_kind text, p_until timestamptz default null, p_of onetake.runs default null, p_reason text default null, p_what text default null
) returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object('kind', p_kind, 'until', p_until, 'of_run_id', (p_of).run_id, 'of_ref', (p_of).ref,
        'reason', p_reason, 'what', case
            when p_kind in ('busy', 'duplicate') and (p_of).state = 'approved' and (p_of).needs_confirmation
                and (p_of).confirmed_at is null then 'waits_for_tap'
            when p_kind = 'duplicate' and (p_of).state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                then 'unfinished'
            else p_what end);
$$;

-- A new ref: six characters without 0, 1, 8 and 9, not in use.
create function onetake.new_ref() returns text
language plpgsql volatile set search_path = '' as $$
declare
    v_bytes bytea;
    v_ref text;
begin
    loop
        v_bytes := uuid_send(gen_random_uuid());      -- bytes 6 and 8 carry the uuid's version; the others are random
        select string_agg(substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', get_byte(v_bytes, i) % 32 + 1, 1), '')
            into v_ref from generate_series(0, 5) as i;
        exit when not exists (select from onetake.runs where ref = v_ref);
    end loop;
    return v_ref;
end $$;

-- Whether the rollout lets this user in.
create function onetake.is_invited(u onetake.users) returns boolean
language sql stable set search_path = '' as $$
    select case (select value #>> '{}' from onetake.limits where key = 'rollout')
        when 'all' then true
        when 'percent' then u.invited or
            (get_byte(sha256(convert_to(u.user_id, 'UTF8')), 0) * 256
             + get_byte(sha256(convert_to(u.user_id, 'UTF8')), 1)) % 100 < onetake.limit_value('rollout_percent')
        else u.invited end;
$$;

-- Whether a run in this state keeps its user busy. A parked run does not.
create function onetake.is_active(p_state text, p_parked_at timestamptz) returns boolean
language sql immutable set search_path = '' as $$
    select p_state in ('reserved', 'approved', 'submitting') or (p_state in ('uncertain', 'rendering') and p_parked_at is null);
$$;

-- The first limit that refuses this request, in a fixed order; null if none does. `what` of an open breaker: 'user' if it
-- is this user's own.
create function onetake.first_refusal(u onetake.users, p_prompt_hash text, p_again boolean, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_control onetake.control;
    v_until timestamptz;
    v_own timestamptz;
    v_of onetake.runs;
    v_lease_until timestamptz;
    v_tomorrow timestamptz := (date_trunc('day', p_now at time zone 'UTC') + interval '1 day') at time zone 'UTC';
    v_today date := (p_now at time zone 'UTC')::date;
begin
    if u.blocked then return onetake.refusal('blocked', p_reason => u.blocked_reason); end if;
    if not onetake.is_invited(u) then return onetake.refusal('not_invited'); end if;

    select * into v_control from onetake.control;
    if v_control.paused then return onetake.refusal('paused', p_reason => v_control.pause_reason); end if;

    v_until := onetake.breaker_until('all', null);
    v_own := onetake.breaker_until('user:' || u.user_id, null);
    if coalesce(v_until, v_own) is not null then
        return onetake.refusal('breaker_open', greatest(v_until, v_own), p_what => case when v_until is null then 'user' end);
    end if;

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
            and (r.state = 'rejected' or (r.state = 'canceled' and r.reason = 'edited')
                 or (r.state = 'failed' and r.reason = 'prompt_refused')))    -- the provider refused it, not the text model
       >= onetake.limit_value('rejected_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'rejected_prompts');
    end if;
    -- So did these: nothing was charged, but each prompt was checked. Those set aside by Edit are counted above.
    if (select count(*) from onetake.runs r where r.user_id = u.user_id and r.day = v_today
            and r.state = 'canceled' and r.reason is distinct from 'edited')
       >= onetake.limit_value('canceled_per_user_day', u.limits) then
        return onetake.refusal('daily_limit', v_tomorrow, p_what => 'canceled_drafts');
    end if;
    return null;
end $$;

-- Sets the money aside in the day's and the month's budget, or says which one is exhausted and until when.
create function onetake.take_budget(p_price bigint, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
    v_utc timestamp := p_now at time zone 'UTC';
    v_day text := v_utc::date::text;
    v_month text := to_char(v_utc, 'YYYY-MM');
begin
    insert into onetake.budgets (period) values (v_day), (v_month) on conflict do nothing;
    update onetake.budgets set held_microusd = held_microusd + p_price
        where period = v_day and held_microusd + spent_microusd + p_price <= onetake.limit_value('budget_day_microusd');
    if not found then
        return onetake.refusal('budget_exhausted', (date_trunc('day', v_utc) + interval '1 day') at time zone 'UTC', p_what => 'day');
    end if;
    update onetake.budgets set held_microusd = held_microusd + p_price
        where period = v_month and held_microusd + spent_microusd + p_price <= onetake.limit_value('budget_month_microusd');
    if not found then
        update onetake.budgets set held_microusd = held_microusd - p_price where period = v_day;
        return onetake.refusal('budget_exhausted', (date_trunc('month', v_utc) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return null;
end $$;

-- Which budget of a run's own day and month lacks room for p_more, read under their locks; null: there is room.
create function onetake.room_in_budgets(p_day date, p_month text, p_more bigint) returns jsonb
language plpgsql set search_path = '' as $$
declare b onetake.budgets;
begin
    select * into b from onetake.budgets where period = p_day::text for update;
    if b.held_microusd + b.spent_microusd + p_more > onetake.limit_value('budget_day_microusd') then
        return onetake.refusal('budget_exhausted', (p_day + 1)::timestamp at time zone 'UTC', p_what => 'day');
    end if;
    select * into b from onetake.budgets where period = p_month for update;
    if b.held_microusd + b.spent_microusd + p_more > onetake.limit_value('budget_month_microusd') then
        return onetake.refusal('budget_exhausted',
            (date_trunc('month', p_day::timestamp) + interval '1 month') at time zone 'UTC', p_what => 'month');
    end if;
    return null;
end $$;

-- The answer for a known key: its run, or a mismatch.
create function onetake.replay(p_key text, p_request_hash text, p_call_id uuid) returns jsonb
language plpgsql set search_path = '' as $$
declare r onetake.runs;
begin
    select * into r from onetake.runs where request_key = p_key;
    if not found then return null; end if;
    if r.request_hash <> p_request_hash then
        perform onetake.note(null, r.user_id, 'check_limits', 'idempotency_mismatch',
                             jsonb_build_object('of', r.ref), p_call_id => p_call_id);
        return onetake.refusal('idempotency_mismatch', p_of => r);
    end if;
    if r.call_id <> p_call_id then
        perform onetake.note(r.run_id, r.user_id, 'check_limits', 'replayed',
                             p_saved_microusd => r.price_microusd, p_call_id => p_call_id);
    end if;
    return jsonb_build_object('kind', 'accepted', 'replayed', r.call_id <> p_call_id, 'run', onetake.run_json(r));
end $$;

-- Reserves a run. Answers {kind: 'accepted', replayed, run} or {kind: <refusal>, until, of_run_id, of_ref, reason, what}.
create function public.reserve(
    p_key text, p_call_id uuid, p_request_hash text, p_user_id text, p_audience jsonb, p_language text,
    p_prompt text, p_prompt_hash text, p_model text, p_seconds integer, p_size text, p_create_body text,
    p_price_microusd bigint, p_bills_failed boolean, p_base_url text, p_key_fingerprint text,
    p_confirm boolean default false, p_again boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    u onetake.users;
    r onetake.runs;
    v_now timestamptz;
    v_answer jsonb;
begin
    insert into onetake.users (user_id) values (p_user_id)
        on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    v_now := clock_timestamp();

    v_answer := onetake.replay(p_key, p_request_hash, p_call_id);
    if v_answer is not null then return v_answer; end if;

    v_answer := onetake.first_refusal(u, p_prompt_hash, p_again, v_now);
    if v_answer is null then
        v_answer := onetake.take_budget(p_price_microusd, v_now);
    end if;
    if v_answer is not null then
        perform onetake.note((v_answer ->> 'of_run_id')::uuid, p_user_id, 'check_limits', v_answer ->> 'kind', v_answer,
            p_saved_microusd => case v_answer ->> 'kind' when 'duplicate' then p_price_microusd else 0 end,
            p_call_id => p_call_id);
        return v_answer;
    end if;

    insert into onetake.runs (
        ref, request_key, request_hash, call_id, user_id, audience, language, prompt, prompt_hash,
        model, seconds, size, create_body, price_microusd, bills_failed, base_url, key_fingerprint,
        state_since, reserved_at, day, month, held_microusd, needs_confirmation
    ) values (
        onetake.new_ref(), p_key, p_request_hash, p_call_id, p_user_id, p_audience, p_language, p_prompt, p_prompt_hash,
        p_model, p_seconds, p_size, p_create_body, p_price_microusd, p_bills_failed, p_base_url, p_key_fingerprint,
        v_now, v_now, (v_now at time zone 'UTC')::date, to_char(v_now at time zone 'UTC', 'YYYY-MM'), p_price_microusd, p_confirm
    ) returning * into r;

    -- The database says no last: a lease that still holds is taken only by another take asked for on purpose.
    insert into onetake.leases as l (user_id, prompt_hash, run_id, expires_at)
        values (p_user_id, p_prompt_hash, r.run_id, v_now + make_interval(secs => onetake.limit_value('duplicate_window_seconds')))
        on conflict (user_id, prompt_hash) do update set run_id = excluded.run_id, expires_at = excluded.expires_at
        where p_again or l.expires_at <= v_now;
    if not found then
        raise exception 'the lease on this prompt is held' using errcode = 'LG002';
    end if;

    perform onetake.note(r.run_id, p_user_id, 'check_limits', 'accepted', p_call_id => p_call_id);
    return jsonb_build_object('kind', 'accepted', 'replayed', false, 'run', onetake.run_json(r));
exception when unique_violation then
    -- Two users raced for one key, or two refs met by chance: the whole attempt is undone; the caller learns why.
    v_answer := onetake.replay(p_key, p_request_hash, p_call_id);
    if v_answer is null then raise; end if;
    return v_answer;
end $$;

-- What `reserve` would answer now, without changing anything (dry run). It runs the same checks without the user's mutex,
-- so the answer holds for this moment only.
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

-- Orders, and which job belongs to which run.

-- The run that owns a job; null if none does.
create function onetake.owner_of(p_base_url text, p_job_id text) returns uuid
language sql stable set search_path = '' as $$
    select run_id from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id);
$$;

-- Whether the provider has shown that this job exists: at its own address, in its list, or by its clip.
create function onetake.job_exists(p_base_url text, p_job_id text) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.runs where base_url = p_base_url and job_id is not null
        and onetake.canonical_id(job_id) = onetake.canonical_id(p_job_id)
        and (job_seen_at is not null or progress is not null or file is not null or job_source = 'list'));
$$;

-- Whether two jobs may have been paid for one run: nothing fails such a run until each job is explained.
create function onetake.has_two_jobs(r onetake.runs) returns boolean
language sql stable set search_path = '' as $$
    select exists (select from onetake.differences d where d.ref = r.ref and d.closed_at is null
                     and d.kind in ('two_paid_calls', 'perhaps_two_paid_calls', 'job_without_run'));
$$;

-- The order to send. It comes from the run alone, never from today's settings.
create function onetake.order_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'prompt', r.improved_prompt, 'model', r.model, 'seconds', r.seconds,
                              'size', r.size, 'create_body', r.create_body);
$$;

-- A run as evidence for a list: a list must show jobs of the same model before an absence in it proves anything (a
-- gateway's list may cover one deployment), and a row that contradicts our clip is another job under an old id.
create function onetake.owner_json(r onetake.runs) returns jsonb
language sql immutable set search_path = '' as $$
    select jsonb_build_object('run_id', r.run_id, 'source', r.job_source, 'prompt', r.improved_prompt, 'order', onetake.order_json(r),
        'sent_at', r.submitting_at, 'known_at', coalesce(r.answered_at, r.rendering_at, r.state_since),
        'saved', r.state in ('saved', 'delivered'));
$$;

-- Opens a difference, or notes that it still exists. One that a person explained stays closed, and what is known about
-- its run is kept.
create function onetake.open_difference(p_base_url text, p_key_fingerprint text, p_found jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.differences as d (base_url, key_fingerprint, kind, subject, ref, job_id, words, microusd, could_be_ours)
        values (p_base_url, p_key_fingerprint, p_found ->> 'kind',
                coalesce(case when p_found ->> 'kind' in ('run_without_job', 'in_doubt', 'charged_without_clip') then p_found ->> 'ref' end,
                         p_found ->> 'job_id', p_found ->> 'ref'),
                p_found ->> 'ref', p_found ->> 'job_id', p_found ->> 'words', coalesce((p_found ->> 'microusd')::bigint, 0),
                coalesce((p_found ->> 'could_be_ours')::boolean, false))
        on conflict (base_url, key_fingerprint, kind, subject) do update set
            last_at = clock_timestamp(), words = excluded.words, ref = coalesce(excluded.ref, d.ref), could_be_ours = excluded.could_be_ours,
            first_at = case when d.closed_at is null then d.first_at else clock_timestamp() end,
            closed_at = null, closed_by = null, closed_why = null
        where d.closed_by is null or d.closed_by = 'ledger';
$$;

-- Records a second job that the provider named for one run: two paid calls, if the first job is known to exist.
create function onetake.open_second_job(r onetake.runs, p_job_id text, p_second text) returns void
language sql volatile set search_path = '' as $$
    select onetake.open_difference(r.base_url, r.key_fingerprint, jsonb_build_object(
        'ref', r.ref, 'job_id', p_second, 'microusd', r.price_microusd) || case
        when onetake.job_exists(r.base_url, p_job_id) then jsonb_build_object('kind', 'two_paid_calls', 'words', format(
            'run %s has job %s, and the provider also answered with job %s: two paid calls', r.ref, p_job_id, p_second))
        else jsonb_build_object('kind', 'job_without_run', 'could_be_ours', true, 'words', format(
            'the provider answered for run %s with job %s, which it has never shown, and with job %s', r.ref, p_job_id, p_second)) end);
$$;

-- Makes older doubts of the same model due now: this answered order may be the witness that their lists lacked.
create function onetake.wake_doubts(r onetake.runs) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set next_look_at = null where run_id in (
        select d.run_id from onetake.runs d
        where d.base_url = r.base_url and d.key_fingerprint = r.key_fingerprint and d.model = r.model and d.state = 'uncertain'
          and d.parked_at is not null and d.submitting_at < r.submitting_at
          and d.submitting_at > clock_timestamp() - interval '30 days'
          and not exists (select from onetake.runs o where o.base_url = d.base_url and o.key_fingerprint = d.key_fingerprint
              and o.model = d.model and o.job_source = 'answer' and o.submitting_at > d.submitting_at and o.run_id <> r.run_id)
        for update skip locked);                      -- somebody is at it: no waiting here, with budgets locked
$$;

-- Takes a job from a run that only adopted it. Both had the same order, so if the new owner had adopted another such
-- job, the two swap; otherwise an unsaved run is in doubt again. A saved clip stays where it is. A run that failed
-- because of the job it loses, and gets its own instead, continues: its own clip did not fail.
create function onetake.take_job(p_from uuid, p_instead text, p_by uuid) returns void
language plpgsql set search_path = '' as $$
declare
    v_from onetake.runs;
begin
    update onetake.runs set job_id = p_instead where run_id = p_from returning * into v_from;
    if p_instead is null and v_from.state = 'rendering' then
        update onetake.runs set doubt = 'job_was_another_runs', looks_complete = 0, first_look_at = null, last_look_at = null,
                progress = null, job_source = null
            where run_id = p_from;
        perform onetake.move(p_from, 'uncertain', 'held');
    elsif p_instead is not null and v_from.state = 'failed' then
        update onetake.runs set reason = null, detail = null, progress = null where run_id = p_from;
        perform onetake.move(p_from, 'rendering', 'held');
        perform onetake.note(p_from, v_from.user_id, 'generate_video', 'adopted_late',
                             jsonb_build_object('job_id', p_instead, 'source', v_from.job_source));
    end if;
    perform onetake.note(p_from, v_from.user_id, 'reconcile', 'job_taken', jsonb_build_object('by', p_by, 'instead', p_instead));
end $$;

-- Records that a job belongs to a run. p_source: 'answer' (the real answer to our POST, proved by the token), 'list'
-- (found in the provider's list) or 'person'. Proof beats a guess:
--   answer   from submitting, uncertain, failed, and from a rendering that was only adopted
--   list     from uncertain and failed, if no other run owns the job and this run has not seen it fail
--   person   as list, and from a parked rendering that was only adopted, or whose job the provider never showed
-- A second id in a real answer is kept as a difference: possibly two paid calls. Answers {recorded, state, why}.
create function public.record_submission(
    p_run_id uuid, p_job_id text, p_source text, p_token text default null, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_owner uuid;
    v_owner_source text;
    v_old_job text;
    v_answered text;
    v_was_failed boolean;
begin
    if p_source not in ('answer', 'list', 'person') or coalesce(p_job_id, '') = '' then
        raise exception 'a submission is recorded with a job id and its source' using errcode = 'LG003';
    end if;
    -- One at a time for each job id: two runs that claim one job nobody owns yet have no row in common to lock.
    perform pg_advisory_xact_lock(hashtextextended(base_url || ' ' || p_job_id, 0)) from onetake.runs where run_id = p_run_id;
    loop
        select onetake.owner_of(base_url, p_job_id) into v_owner from onetake.runs where run_id = p_run_id;
        if not found then return jsonb_build_object('recorded', false, 'why', 'unknown_run'); end if;
        perform onetake.lock_two(p_run_id, v_owner);
        select * into r from onetake.runs where run_id = p_run_id;
        exit when onetake.owner_of(r.base_url, p_job_id) is not distinct from v_owner;
    end loop;

    if p_source = 'answer' then
        if r.token is distinct from p_token then
            return jsonb_build_object('recorded', false, 'why', 'not_the_winner', 'state', r.state);
        end if;
        if onetake.canonical_id(coalesce(r.answered_job_id, p_job_id)) <> onetake.canonical_id(p_job_id) then
            perform onetake.note(p_run_id, r.user_id, 'generate_video', 'answer_ignored',
                                 jsonb_build_object('job_id', p_job_id, 'source', p_source, 'state', r.state));
            perform onetake.open_second_job(r, r.answered_job_id, p_job_id);
            return jsonb_build_object('recorded', false, 'why', 'state', 'state', r.state);
        end if;
        v_answered := r.answered_job_id;
        update onetake.runs set answered_job_id = p_job_id, answered_at = coalesce(answered_at, clock_timestamp())
            where run_id = p_run_id returning * into r;
    end if;
    if v_answered is not null and r.state = 'rendering' and r.job_source = 'person' and v_owner is distinct from p_run_id then
        return jsonb_build_object('recorded', false, 'why', 'state', 'state', r.state);     -- a replay overrules nobody
    end if;
    if v_owner = p_run_id then
        if p_source = 'answer' and r.job_source = 'answer' then
            return jsonb_build_object('recorded', true, 'state', r.state);      -- a replay says nothing new
        end if;
        if p_source = 'answer' then
            update onetake.runs set job_source = 'answer' where run_id = p_run_id;
        end if;
        if p_source = 'person' and r.state = 'rendering' then    -- looked for no more by itself: it is, once again
            update onetake.runs set next_look_at = null, attempts = 0 where run_id = p_run_id;
        end if;
        if r.state in ('rendering', 'saved', 'delivered') then
            return jsonb_build_object('recorded', true, 'state', r.state);
        end if;                                       -- a failed run whose own job turns up after all goes on below
    end if;
    if not (r.state in ('uncertain', 'failed')
            or (p_source = 'answer' and r.state = 'submitting')
            or (p_source = 'answer' and r.state = 'rendering' and r.job_source <> 'answer')
            or (p_source = 'person' and r.state = 'rendering' and r.parked_at is not null
                and (r.job_source <> 'answer' or not onetake.job_exists(r.base_url, r.job_id))))
       or (r.state = 'failed' and r.submitting_at is null)
       or (r.state = 'failed' and p_source = 'list' and r.job_id is not null)
       or (p_source = 'list' and r.failed_jobs ? onetake.canonical_id(p_job_id)) then
        if p_source = 'answer' and onetake.canonical_id(r.job_id) <> onetake.canonical_id(p_job_id) then
            perform onetake.open_second_job(r, r.job_id, p_job_id);
        end if;
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'answer_ignored',
                             jsonb_build_object('job_id', p_job_id, 'source', p_source, 'state', r.state));
        return jsonb_build_object('recorded', false, 'why', 'state', 'state', r.state);
    end if;
    v_old_job := r.job_id;
    if v_owner is not null and v_owner <> p_run_id then
        select job_source into v_owner_source from onetake.runs where run_id = v_owner;
        if p_source <> 'answer' or v_owner_source = 'answer' then
            return jsonb_build_object('recorded', false, 'why', 'owned', 'state', r.state,
                                      'owner', (select ref from onetake.runs where run_id = v_owner));
        end if;
        update onetake.runs set job_id = null where run_id = p_run_id;
        perform onetake.take_job(v_owner, case when r.state = 'rendering' then v_old_job end, p_run_id);
    end if;

    v_was_failed := r.state = 'failed';
    update onetake.runs set job_id = p_job_id, job_source = p_source, progress = null, doubt = null,
            reason = null, detail = null, failing_since = null, failing_words = null,
            provider_word = null, look_says = null
        where run_id = p_run_id;
    if r.state <> 'rendering' then
        r := onetake.move(p_run_id, 'rendering', 'held');
        insert into onetake.leases (user_id, prompt_hash, run_id, expires_at)
            values (r.user_id, r.prompt_hash, r.run_id, clock_timestamp()) on conflict do nothing;
    else
        update onetake.runs set parked_at = null, next_look_at = null, attempts = 0 where run_id = p_run_id;
    end if;
    perform onetake.note(p_run_id, r.user_id, 'generate_video',
        case when v_was_failed then 'adopted_late' when p_source = 'answer' then 'made' else 'adopted' end,
        jsonb_build_object('job_id', p_job_id, 'source', p_source), p_ms);
    if p_source = 'answer' then
        perform onetake.feed_breaker(p_run_id, 'answer', true);
        perform onetake.wake_doubts(r);
    end if;
    return jsonb_build_object('recorded', true, 'state', 'rendering', 'late', v_was_failed);
end $$;

-- Notes which parts of the order the answer already showed differently, such as the model's real name: the same
-- difference in a later look is no sign of another job.
create function public.note_shown_otherwise(p_run_id uuid, p_job_id text, p_parts jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
    update onetake.runs set shown_otherwise = array(select jsonb_array_elements_text(p_parts))
        where run_id = p_run_id and job_id = p_job_id and job_source = 'answer';
    select null::jsonb;
$$;

-- The fence around the one paid request: the moves from `approved` to `rendering`, `failed` or `uncertain`.

-- Counts the submissions in the window and opens a breaker that is full. Null: there is room.
create function onetake.full_breaker(p_user_id text, p_now timestamptz) returns timestamptz
language plpgsql set search_path = '' as $$
declare
    v_since timestamptz := greatest((select resumed_at from onetake.control),
                                    p_now - make_interval(secs => onetake.limit_value('breaker_window_seconds')));
    v_until timestamptz := p_now + make_interval(secs => onetake.limit_value('breaker_open_seconds'));
begin
    if (select count(*) from onetake.runs where submitting_at > v_since) >= onetake.limit_value('breaker_all_submissions') then
        update onetake.breakers set open_until = v_until, cause = 'submissions', probe_run_id = null, probe_at = null
            where scope = 'all';
        return v_until;
    end if;
    if (select count(*) from onetake.runs where submitting_at > v_since and user_id = p_user_id)
       >= onetake.limit_value('breaker_user_submissions') then
        insert into onetake.breakers (scope, open_until, cause) values ('user:' || p_user_id, v_until, 'submissions')
            on conflict (scope) do update set open_until = excluded.open_until, cause = excluded.cause;
        return v_until;
    end if;
    return null;
end $$;

-- Marks a run as refused at the fence. The wait is timed per cause: a run that waited for a slot starts a new wait when a
-- pause begins.
create function onetake.defer(p_run_id uuid, p_by text) returns void
language sql volatile set search_path = '' as $$
    update onetake.runs set
        deferred_since = case when (deferred_by = 'no_slot') = (p_by = 'no_slot') then deferred_since
                               else clock_timestamp() end,
        deferred_by = p_by
        where run_id = p_run_id;
$$;

-- How many more orders the provider accepts now; null without limits. Runs in doubt take a slot, since they may be
-- rendering; parked ones do not, or a few lost answers would block everybody for a day.
create function onetake.free_slots(r onetake.runs, p_now timestamptz, p_in_flight_max integer, p_creates_per_minute integer) returns integer
language sql stable set search_path = '' as $$
    select least(
        p_in_flight_max - (select count(*) from onetake.runs o where o.state in ('submitting', 'uncertain', 'rendering')
            and o.parked_at is null and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint),
        p_creates_per_minute - (select count(*) from onetake.runs o where o.submitting_at > p_now - interval '1 minute'
            and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint))::integer;
$$;

-- How many runs wait for a slot before this one. Only runs with a live heartbeat count: a run whose worker died, or
-- that waits for its user's tap, keeps no slot free.
create function onetake.waiting_before(r onetake.runs, p_now timestamptz) returns integer
language sql stable set search_path = '' as $$
    select count(*)::integer from onetake.runs o
        where o.state = 'approved' and o.deferred_by = 'no_slot' and o.run_id <> r.run_id
          and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint
          and o.next_look_at > p_now - interval '20 seconds'
          and (o.approved_at, o.run_id) < (r.approved_at, r.run_id);
$$;

-- approved -> submitting, one winner. Answers {won: true, order, submitting_at} to the winner, on every call with its
-- token, and {won: false, refused, until, reason} to everybody else. All submissions pass here one after another (the
-- breaker's row is their mutex), so it can count them.
-- p_in_flight_max, p_creates_per_minute: the provider's limits, as the caller knows them; null is none. They hold for all
-- machines together, and the run that was approved first goes first.
-- p_request_seconds: the winner's own deadlines, added up. No machine treats the request as over before that.
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
        perform onetake.defer(p_run_id, 'paused');
        return jsonb_build_object('won', false, 'refused', 'paused', 'reason', v_control.pause_reason);
    end if;
    v_until := greatest(onetake.breaker_until('all', p_run_id), onetake.breaker_until('user:' || r.user_id, p_run_id));
    v_until := coalesce(v_until, onetake.full_breaker(r.user_id, v_now));
    if v_until is not null then
        perform onetake.defer(p_run_id, 'breaker_open');
        return jsonb_build_object('won', false, 'refused', 'breaker_open', 'until', v_until);
    end if;
    if (p_in_flight_max is not null or p_creates_per_minute is not null)
       and onetake.free_slots(r, v_now, p_in_flight_max, p_creates_per_minute) <= onetake.waiting_before(r, v_now) then
        perform onetake.defer(p_run_id, 'no_slot');
        return jsonb_build_object('won', false, 'refused', 'no_slot');
    end if;
    if v_breaker.open_until is not null then          -- half open: this run is the probe
        update onetake.breakers set probe_run_id = p_run_id, probe_at = v_now where scope = 'all';
    end if;

    update onetake.runs set token = p_token, request_seconds = p_request_seconds where run_id = p_run_id;
    r := onetake.move(p_run_id, 'submitting', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'submitting');
    return jsonb_build_object('won', true, 'order', onetake.order_json(r), 'submitting_at', r.submitting_at);
end $$;

-- submitting -> uncertain: the answer is lost. The winner reports it with its token; anybody else may only once the
-- request can no longer be in flight, p_min_age_seconds after the submission. p_answer: what came instead of an answer,
-- bounded, for the timeline.
create function public.mark_uncertain(
    p_run_id uuid, p_doubt text, p_token text default null, p_min_age_seconds float8 default null,
    p_ms integer default null, p_answer jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if p_answer is not null and p_token is not null and r.token = p_token
            and not exists (select from onetake.events where run_id = p_run_id and outcome = 'answer_kept' and detail = p_answer) then
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'answer_kept', p_answer);
    end if;
    if r.state is distinct from 'submitting' then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    if r.token is distinct from p_token and (p_min_age_seconds is null
            or clock_timestamp() < r.submitting_at + make_interval(secs => p_min_age_seconds)) then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    update onetake.runs set doubt = p_doubt where run_id = p_run_id;
    r := onetake.move(p_run_id, 'uncertain', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'uncertain', jsonb_build_object('doubt', p_doubt), p_ms);
    perform onetake.feed_breaker(p_run_id, 'answer', false);
    return jsonb_build_object('moved', true, 'state', r.state);
end $$;

-- What proves that a run failed. Before the fence: nothing was sent. With a token: the winner's clear no, or nothing
-- was sent. In doubt: looks that counted, and no answer that named a job. Rendering: the job itself showed it twice,
-- p_apart_seconds apart; the job was not a guess, and no second job is unexplained.
create function onetake.failure_is_proved(
    r onetake.runs, p_token text, p_reason text, p_job_id text, p_apart_seconds double precision
) returns boolean
language sql stable set search_path = '' as $$
    select coalesce(case
        when r.state in ('reserved', 'approved') then true
        when p_token is not null then r.token = p_token
            and (r.state in ('submitting', 'uncertain') or r.state = 'rendering' and r.job_source is distinct from 'answer')
        when r.state = 'uncertain' then p_reason = 'not_made' and r.looks_complete > 0 and r.answered_job_id is null
            and not onetake.has_two_jobs(r)
        when r.state = 'rendering' then r.job_id = p_job_id and r.job_source <> 'list' and not onetake.has_two_jobs(r)
            and r.failing_since <= clock_timestamp() - make_interval(secs => p_apart_seconds)
            and r.job_seen_at >= r.failing_since
        else false end, false);
$$;

-- Fails a run from the state its caller saw, if the failure is proved. p_spent: the provider showed it completed, or
-- bills failed renders. p_breaker: 'answer' or 'render' if the provider is to blame. Answers {moved, state}.
create function public.fail_run(
    p_run_id uuid, p_expected text, p_reason text, p_detail text, p_spent boolean default false,
    p_token text default null, p_breaker text default null, p_ms integer default null, p_job_id text default null,
    p_apart_seconds double precision default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from p_expected or not onetake.failure_is_proved(r, p_token, p_reason, p_job_id, p_apart_seconds) then
        return jsonb_build_object('moved', false, 'state', r.state);
    end if;
    update onetake.runs set reason = p_reason, detail = p_detail,
            job_id = case when r.state = 'rendering' and p_token is not null then null else job_id end
        where run_id = p_run_id;
    r := onetake.move(p_run_id, 'failed', case when p_spent then 'spent' else 'released' end);
    perform onetake.note(p_run_id, r.user_id, case p_expected when 'reserved' then 'validate_prompt' else 'generate_video' end,
        'failed', jsonb_build_object('reason', p_reason, 'from', p_expected, 'spent', p_spent), p_ms);
    if p_breaker is not null then
        perform onetake.feed_breaker(p_run_id, p_breaker, false);
    elsif p_expected = 'submitting' and p_reason <> 'never_sent' then
        perform onetake.feed_breaker(p_run_id, 'answer', true);   -- a no to this request: the provider is well
    else
        update onetake.breakers set probe_run_id = null, probe_at = null where probe_run_id = p_run_id;
    end if;
    return jsonb_build_object('moved', true, 'state', r.state);
end $$;

-- Whether this token won the run's fence: an answer with any other token belongs to nobody.
create function public.is_winner(p_run_id uuid, p_token text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb(exists (select from onetake.runs where run_id = p_run_id and token = p_token));
$$;

-- Keeps an answer that fits no run, once, and alerts operators.
create function public.keep_stray_answer(p_run_id uuid, p_why text, p_status integer, p_body text) returns jsonb
language sql security definer set search_path = '' as $$
    insert into onetake.stray_answers (run_id, why, status, body) values (p_run_id, p_why, p_status, left(p_body, 2000))
        on conflict do nothing;
    select 'true'::jsonb;
$$;

-- The newest stray answers.
create function public.list_stray_answers(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(s) || jsonb_build_object('ref', (select ref from onetake.runs r where r.run_id = s.run_id))
            order by s.id desc), '[]')
    from (select * from onetake.stray_answers order by id desc limit p_at_most) s;
$$;

-- Lost answers: what the provider's job list proves about a run in doubt. The rules: docs/design.md, "Evidence";
-- `pipeline/purchase/evidence.py` holds the pure half of them.

-- Notes when each job of a list was first and last seen.
create function onetake.note_listed(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns void
language sql volatile set search_path = '' as $$
    insert into onetake.listed_jobs (base_url, key_fingerprint, job_key)
        select distinct p_base_url, p_key_fingerprint, value from jsonb_array_elements_text(p_job_ids)
        on conflict (base_url, key_fingerprint, job_key) do update set last_seen_at = clock_timestamp()
            where listed_jobs.last_seen_at < clock_timestamp() - interval '1 hour';
    delete from onetake.listed_jobs where last_seen_at < clock_timestamp() - interval '60 days';
$$;

-- Everything that matching a job list needs: the runs in doubt here, the owners of the listed jobs, `elsewhere` (orders under
-- other keys and addresses that may own a job of this list), and `explained` (jobs a person explained).
create function public.doubts_at(p_base_url text, p_key_fingerprint text, p_job_ids jsonb) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.note_listed(p_base_url, p_key_fingerprint, p_job_ids);
    select jsonb_build_object(
        'first_seen', coalesce((select jsonb_object_agg(l.job_key, l.first_seen_at) from onetake.listed_jobs l
            where l.base_url = p_base_url and l.key_fingerprint = p_key_fingerprint
              and l.job_key in (select value from jsonb_array_elements_text(p_job_ids))), '{}'),
        'runs', coalesce((select jsonb_agg(onetake.run_json(r) order by r.submitting_at) from (
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state in ('submitting', 'uncertain'))
            union all
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state in ('saved', 'delivered')        -- proof took the job whose clip it has
                and submitting_at > clock_timestamp() - interval '30 days')
            union all
            (select * from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
                and job_id is null and state = 'failed' and reason not in ('never_sent', 'never_connected')
                and submitting_at > clock_timestamp() - interval '30 days'
                order by submitting_at desc limit 1000)) as r), '[]'),
        'elsewhere', coalesce((select jsonb_agg(onetake.run_json(r)) from (
            select * from onetake.runs where (base_url, key_fingerprint) <> (p_base_url, p_key_fingerprint) and job_id is null
                and (state in ('submitting', 'uncertain')
                     or state = 'failed' and reason not in ('never_sent', 'never_connected'))
                and submitting_at > clock_timestamp() - interval '30 days'
                order by submitting_at desc limit 1000) as r), '[]'),
        'owned', coalesce((select jsonb_object_agg(k.key, onetake.owner_json(r))
            from jsonb_array_elements_text(p_job_ids) as k (key) join onetake.runs r
                on r.base_url = p_base_url and r.job_id is not null and onetake.canonical_id(r.job_id) = k.key), '{}'),
        'explained', coalesce((select jsonb_agg(d.job_id) from (
            select job_id from onetake.differences                              -- a person says that it is nobody's here
                where base_url = p_base_url and closed_by like 'person:%'
            union all
            select job_id from onetake.runs where base_url <> p_base_url and job_id is not null) as d   -- another name of this server
            where onetake.canonical_id(d.job_id) in (select value from jsonb_array_elements_text(p_job_ids))), '[]'),
        'trusted', false,                             -- for an older version of the program: nothing is proven to it
        'running_shown', exists (select from onetake.providers where base_url = p_base_url
            and key_fingerprint = p_key_fingerprint and running_shown_at > clock_timestamp() - interval '30 days'),
        'running_shown_at', (select running_shown_at from onetake.providers where base_url = p_base_url and key_fingerprint = p_key_fingerprint),
        'ours_since', (select min(submitting_at) from onetake.runs where base_url = p_base_url));
$$;

-- Our answered orders around a run in doubt: a list that shows them was read that far. `rivals` counts the orders in doubt
-- that look the same, under every key and address.
create function public.witnesses_near(p_run_id uuid, p_near_seconds double precision, p_rival_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with me as (
        select * from onetake.runs where run_id = p_run_id
    ), others as (
        select o.* from onetake.runs o, me where o.base_url = me.base_url and o.key_fingerprint = me.key_fingerprint
            and o.run_id <> me.run_id and o.submitting_at is not null
    ), answered as (
        select o.* from others o where o.job_source = 'answer' and o.job_id is not null
    ), sides as (
        select a.run_id, a.model, a.submitting_at, a.submitting_at > me.submitting_at as after from answered a, me
            where a.submitting_at > me.submitting_at
               or a.submitting_at < me.submitting_at and coalesce(a.answered_at, a.rendering_at) <= me.submitting_at
    ), found as (
        select a.run_id from answered a, me
            where a.submitting_at between me.submitting_at - make_interval(secs => p_near_seconds)
                                      and me.submitting_at + make_interval(secs => p_near_seconds)
        union all (select run_id from sides where not after order by submitting_at desc limit 1)
        union all (select run_id from sides where after order by submitting_at limit 1)
        union all (select s.run_id from sides s, me where not s.after and s.model = me.model order by s.submitting_at desc limit 1)
        union all (select s.run_id from sides s, me where s.after and s.model = me.model order by s.submitting_at limit 1)
    )
    select jsonb_build_object(
        'began', clock_timestamp(),
        'witnesses', coalesce((select jsonb_object_agg(o.job_id, onetake.owner_json(o)) from onetake.runs o
            where o.run_id in (select run_id from found)), '{}'),
        'rivals', (select count(*) from onetake.runs o, me where o.run_id <> me.run_id and o.submitting_at
            between me.submitting_at - make_interval(secs => p_rival_seconds)
                and me.submitting_at + make_interval(secs => p_rival_seconds)));
$$;

-- The last job of ours, by a real answer, from before p_at: a list that shows it was read that far. Null: none.
create function public.known_before(p_base_url text, p_key_fingerprint text, p_at timestamptz) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select job_id from onetake.runs where base_url = p_base_url and key_fingerprint = p_key_fingerprint
        and job_source = 'answer' and job_id is not null and submitting_at < p_at
        and coalesce(answered_at, rendering_at) <= p_at order by submitting_at desc limit 1));
$$;

-- Records one scan of the provider's list for a run in doubt. Only a scan that shows its absence (p_counts) counts towards
-- "never made"; anything that could be the run's job restarts the count. p_look_id: the same scan reported again, because
-- the answer was lost, changes nothing.
create function public.record_look(
    p_run_id uuid, p_counts boolean, p_candidates integer, p_running_shown boolean, p_says text, p_next_look_at timestamptz,
    p_detail jsonb default '{}', p_look_id uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz := clock_timestamp();
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'uncertain' or exists (select from onetake.events
            where run_id = p_run_id and step = 'reconcile' and detail ->> 'look_id' = p_look_id::text) then
        return onetake.run_json(r);
    end if;
    if p_running_shown then
        insert into onetake.providers (base_url, key_fingerprint, running_shown_at) values (r.base_url, r.key_fingerprint, v_now)
            on conflict (base_url, key_fingerprint) do update set running_shown_at = v_now;
    end if;
    update onetake.runs set
        looks_complete = case when p_candidates > 0 then 0 when p_counts then looks_complete + 1 else looks_complete end,
        first_look_at = case when p_candidates > 0 then null when p_counts then coalesce(first_look_at, v_now) else first_look_at end,
        last_look_at = case when p_counts then v_now else last_look_at end,
        look_says = p_says, next_look_at = coalesce(p_next_look_at, 'infinity'), attempts = 0
        where run_id = p_run_id returning * into r;
    perform onetake.note(p_run_id, r.user_id, 'reconcile', case when p_counts then 'looked' else 'look_incomplete' end,
                         p_detail || jsonb_build_object('candidates', p_candidates, 'says', p_says)
                             || jsonb_strip_nulls(jsonb_build_object('look_id', p_look_id)));
    return onetake.run_json(r);
end $$;

-- The ref of another run at the same provider and key with exactly this prompt (NFC, single blanks); null: none.
create function public.prompt_of_another(p_run_id uuid, p_words text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select o.ref from onetake.runs o, onetake.runs r
        where r.run_id = p_run_id and o.run_id <> r.run_id and o.base_url = r.base_url and o.key_fingerprint = r.key_fingerprint
          and o.submitting_at > r.submitting_at - interval '30 days'
          and btrim(regexp_replace(normalize(o.improved_prompt), '\s+', ' ', 'g')) = p_words
        order by o.submitting_at desc limit 1));
$$;

-- Continues a failed run with its own job, or with the one that "not charged" dropped. Null if the job is not its own.
create function onetake.reopen(p_run_id uuid, p_job_id text) returns onetake.runs
language plpgsql volatile set search_path = '' as $$
declare r onetake.runs;
begin
    perform pg_advisory_xact_lock(hashtextextended(base_url || ' ' || p_job_id, 0)) from onetake.runs
        where run_id = p_run_id and state = 'failed' and job_id is null;     -- as record_submission, before any row
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'failed' or r.submitting_at is null or not coalesce(r.job_id = p_job_id or (
            r.job_id is null and onetake.owner_of(r.base_url, p_job_id) is null
            and p_job_id = (select detail ->> 'job' from onetake.events where run_id = p_run_id and step = 'settle'
                                and outcome = 'not_charged' order by event_id desc limit 1)), false) then
        return null;
    end if;
    update onetake.runs set reason = null, detail = null, job_id = p_job_id, job_source = coalesce(job_source, 'person'),
            failing_since = null, failing_words = null
        where run_id = p_run_id returning * into r;
    r := onetake.move(p_run_id, 'rendering', 'held');
    perform onetake.note(p_run_id, r.user_id, 'generate_video', 'adopted_late',
                         jsonb_build_object('job_id', p_job_id, 'source', r.job_source, 'by', 'clip'));
    return r;
end $$;

-- Continues a failed run whose complete clip is on a machine: that clip will be saved. Answers the run.
create function public.reopen_run(p_run_id uuid, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    perform onetake.reopen(p_run_id, p_job_id);
    return public.load_run(p_run_id);
end $$;

-- The steps of a run that cost no video money: loading, attempts, waiting, verdict, confirmation, caption. Each function
-- compares the expected state with the actual one, and the first stored result wins.

-- A run; null if there is none.
create function public.load_run(p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.run_id = p_run_id;
$$;

-- These runs, each with `position`: how many wait before it for a first attempt or for a slot at the provider (null: it waits
-- for neither).
create function public.load_runs(p_run_ids jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) || jsonb_build_object('position', case
        when r.state = 'reserved' and r.attempts = 0 then (select count(*) from onetake.runs o
            where o.state = 'reserved' and o.attempts = 0 and o.reserved_at < r.reserved_at)
        when r.state = 'approved' and r.deferred_by = 'no_slot' then onetake.waiting_before(r, clock_timestamp()) end)), '[]')
    from onetake.runs r where r.run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids));
$$;

-- A run by its ref or its id; each has an index.
create function public.find_run(p_ref text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r
    where r.ref = upper(p_ref)
       or r.run_id = case when p_ref ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_ref::uuid end;
$$;

-- A run by its request key.
create function public.find_key(p_key text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.run_json(r) from onetake.runs r where r.request_key = p_key;
$$;

-- The runs a worker should look at now: unfinished and due. A terminal learns how its run ended by asking.
create function public.due_runs(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'ref', ref, 'state', state)), '[]') from (
        (select run_id, ref, state, next_look_at from onetake.runs
            where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
              and (next_look_at is null or next_look_at <= clock_timestamp())
            order by next_look_at nulls first limit p_at_most)
        union all
        (select run_id, ref, state, next_look_at from onetake.runs
            where state in ('saved', 'delivered', 'rejected', 'canceled', 'failed') and told_state is distinct from state
              and audience ->> 'kind' <> 'terminal'
              and (next_look_at is null or next_look_at <= clock_timestamp())
            order by next_look_at nulls first limit p_at_most)
        union all
        -- It waits for its user's tap, and nobody has asked for it: whoever should have died on the way.
        (select run_id, ref, state, next_look_at from onetake.runs
            where state = 'approved' and needs_confirmation and confirmed_at is null and told_state is distinct from state
              and audience ->> 'kind' <> 'terminal' and next_look_at > clock_timestamp()
              and state_since < clock_timestamp() - interval '10 seconds'
              and (notifying_until is null or notifying_until <= clock_timestamp())
            limit p_at_most)
    ) as due;
$$;

-- Starts an attempt on a due run. It is counted before the work, so an attempt that kills its process counts too. The run
-- is not due for anybody else for p_heartbeat_seconds; the worker renews that with `heartbeat`. Past p_attempts_max without
-- progress, a run that cannot have paid fails; a later one is parked. Answers the run.
create function public.start_attempt(p_run_id uuid, p_attempts_max integer, p_heartbeat_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_due boolean;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null then return null; end if;
    v_due := r.next_look_at is null or r.next_look_at <= clock_timestamp();
    if r.state in ('rejected', 'canceled', 'failed', 'delivered') or not v_due then return onetake.run_json(r); end if;
    if r.attempts >= p_attempts_max then
        if r.state in ('reserved', 'approved') then
            update onetake.runs set reason = 'gave_up', detail = 'five attempts came to nothing before anything was bought'
                where run_id = p_run_id;
            r := onetake.move(p_run_id, 'failed', 'released');
            perform onetake.note(p_run_id, r.user_id, 'run', 'gave_up');
            return onetake.run_json(r);
        elsif r.parked_at is null and r.state in ('submitting', 'uncertain', 'rendering') then
            update onetake.runs set parked_at = clock_timestamp() where run_id = p_run_id;
            perform onetake.note(p_run_id, r.user_id, 'run', 'parked', jsonb_build_object('why', 'attempts'));
        end if;
    end if;
    update onetake.runs set attempts = attempts + 1,
            next_look_at = clock_timestamp() + make_interval(secs => p_heartbeat_seconds)
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- The heartbeat of a worker. p_job_id: a job that this look showed as not failed; an earlier failing look is withdrawn.
create function public.heartbeat(
    p_run_id uuid, p_heartbeat_seconds float8, p_progress integer default null, p_job_id text default null
) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = clock_timestamp() + make_interval(secs => p_heartbeat_seconds),
            progress = coalesce(p_progress, progress),
            attempts = case when r.state = 'rendering' and p_progress is not null then 1 else attempts end,
            job_seen_at = case when r.job_id = p_job_id then clock_timestamp() else job_seen_at end,
            failing_since = case when r.job_id = p_job_id then null else failing_since end,
            failing_words = case when r.job_id = p_job_id then null else failing_words end
        where r.run_id = p_run_id and r.state in ('reserved', 'approved', 'submitting', 'rendering')
        returning onetake.run_json(r);
$$;

-- Ends an attempt and makes the run due at p_at. Null p_at: never automatically.
create function public.wait_until(p_run_id uuid, p_at timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs r set next_look_at = coalesce(p_at, 'infinity'), attempts = 0
        where r.run_id = p_run_id returning onetake.run_json(r);
$$;

-- Parks a run: money held, lease kept, its user no longer busy, operators alerted. `look_says` of a rendering run: why the
-- last look at its job settled nothing.
create function public.park(p_run_id uuid, p_why text, p_next_look_at timestamptz) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state not in ('uncertain', 'rendering') then return onetake.run_json(r); end if;
    if r.parked_at is null then
        perform onetake.note(p_run_id, r.user_id, 'run', 'parked', jsonb_build_object('why', p_why));
    end if;
    update onetake.runs set parked_at = coalesce(parked_at, clock_timestamp()), attempts = 0,
            next_look_at = coalesce(p_next_look_at, 'infinity'),
            look_says = case when r.state = 'rendering' then p_why else look_says end
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- reserved -> approved. Answers the run as it is: a second verdict changes nothing but its cost.
create function public.approve(
    p_run_id uuid, p_improved_prompt text, p_title text, p_category text, p_language text, p_template jsonb,
    p_confirm_seconds double precision, p_cost_microusd bigint, p_ms integer, p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, 'validate_prompt', case r.state when 'reserved' then 'approved' else 'ignored' end,
                         p_detail, p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    if r.state = 'reserved' then
        update onetake.runs set improved_prompt = p_improved_prompt, title = p_title, category = p_category,
                language = p_language, templates = templates || p_template,
                confirm_until = case when needs_confirmation
                    then clock_timestamp() + make_interval(secs => p_confirm_seconds) end
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'approved', 'held');
    end if;
    return public.load_run(p_run_id);
end $$;

-- reserved -> rejected, with the reasons. Answers the run as it is.
create function public.reject(
    p_run_id uuid, p_reasons jsonb, p_explanation text, p_safe_rewrite text, p_template jsonb,
    p_cost_microusd bigint, p_ms integer, p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, 'validate_prompt', case r.state when 'reserved' then 'rejected' else 'ignored' end,
                         p_detail || jsonb_build_object('reasons', p_reasons), p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    if r.state = 'reserved' then
        update onetake.runs set reasons = p_reasons, detail = p_explanation, reason = 'rejected',
                safe_rewrite = p_safe_rewrite, templates = templates || p_template
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'rejected', 'released');
    end if;
    return public.load_run(p_run_id);
end $$;

-- The user's tap, for this length and size if given, not for what the run has become since. Idempotent; refused after
-- confirm_until, and for a user who has been blocked.
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

-- Changes length or size before the user's tap, and the money set aside with it. The hold grows only within the budgets.
-- Answers {amended, run} or {amended: false, refused: {...}}.
create function public.amend(p_run_id uuid, p_seconds integer, p_size text, p_price_microusd bigint) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_more bigint;
    v_refused jsonb;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'approved' or not r.needs_confirmation or r.confirmed_at is not null
            or r.confirm_until <= clock_timestamp() then
        return jsonb_build_object('amended', false, 'refused', onetake.refusal('too_late'), 'run', onetake.run_json(r));
    end if;
    v_more := p_price_microusd - r.held_microusd;
    if v_more > 0 then
        insert into onetake.budgets (period) values (r.day::text), (r.month) on conflict do nothing;
        v_refused := onetake.room_in_budgets(r.day, r.month, v_more);
        if v_refused is not null then
            return jsonb_build_object('amended', false, 'refused', v_refused, 'run', onetake.run_json(r));
        end if;
    end if;
    update onetake.runs set seconds = p_seconds, size = p_size, price_microusd = p_price_microusd,
            held_microusd = p_price_microusd where run_id = p_run_id;
    perform onetake.move_budgets(r.day, r.month, v_more, 0);
    perform onetake.note(p_run_id, r.user_id, 'amend', 'amended',
        jsonb_build_object('seconds', p_seconds, 'size', p_size, 'price_microusd', p_price_microusd));
    return jsonb_build_object('amended', true, 'run', public.load_run(p_run_id));
end $$;

-- Cancels a run before any request: by its user, by an operator, or because nobody confirmed it in time.
create function public.cancel_run(p_run_id uuid, p_by text, p_reason text default 'canceled') returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or r.state not in ('reserved', 'approved') then
        return jsonb_build_object('canceled', false, 'state', r.state);
    end if;
    if p_reason = 'not_confirmed' and (r.confirmed_at is not null or coalesce(r.confirm_until, 'infinity') > clock_timestamp()) then
        return jsonb_build_object('canceled', false, 'state', r.state);
    end if;
    update onetake.runs set reason = p_reason where run_id = p_run_id;
    perform onetake.move(p_run_id, 'canceled', 'released');
    perform onetake.note(p_run_id, r.user_id, 'cancel', p_reason, jsonb_build_object('by', p_by));
    return jsonb_build_object('canceled', true, 'state', 'canceled');
end $$;

-- Reserves a new request in place of a draft of the same user; the draft stays if the new one is refused.
create function public.replace_draft(p_run_id uuid, p_request jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb;
begin
    begin
        perform public.cancel_run(run_id, user_id, 'edited') from onetake.runs
            where run_id = p_run_id and user_id = p_request ->> 'user_id';
        v_answer := public.reserve(
            p_key => p_request ->> 'key', p_call_id => (p_request ->> 'call_id')::uuid,
            p_request_hash => p_request ->> 'request_hash', p_user_id => p_request ->> 'user_id',
            p_audience => p_request -> 'audience', p_language => p_request ->> 'language',
            p_prompt => p_request ->> 'prompt', p_prompt_hash => p_request ->> 'prompt_hash',
            p_model => p_request ->> 'model', p_seconds => (p_request ->> 'seconds')::integer,
            p_size => p_request ->> 'size', p_create_body => p_request ->> 'create_body',
            p_price_microusd => (p_request ->> 'price_microusd')::bigint,
            p_bills_failed => (p_request ->> 'bills_failed')::boolean, p_base_url => p_request ->> 'base_url',
            p_key_fingerprint => p_request ->> 'key_fingerprint', p_confirm => (p_request ->> 'confirm')::boolean,
            p_again => (p_request ->> 'again')::boolean);
        if v_answer ->> 'kind' <> 'accepted' then
            raise exception 'the new request is refused' using errcode = 'LG009';
        end if;
    exception when sqlstate 'LG009' then              -- the withdrawal is undone; the answer says why
        null;
    end;
    return v_answer;
end $$;

-- Stores the caption and the hashtags; the first ones win.
create function public.record_caption(
    p_run_id uuid, p_caption text, p_hashtags jsonb, p_by text, p_template jsonb, p_cost_microusd bigint, p_ms integer,
    p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, 'write_caption', case when r.caption is null then p_by else 'ignored' end,
                         p_detail, p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    update onetake.runs set caption = p_caption, hashtags = p_hashtags, caption_by = p_by, templates = templates || p_template
        where run_id = p_run_id and caption is null;
    return public.load_run(p_run_id);
end $$;

-- Adds the outcome of a step, for the timeline and the metrics.
create function public.record_event(
    p_run_id uuid, p_step text, p_outcome text, p_ms integer default null, p_cost_microusd bigint default 0, p_detail jsonb default '{}'
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    perform onetake.note(p_run_id, r.user_id, p_step, p_outcome, p_detail, p_ms, p_cost_microusd);
    perform onetake.book_text(p_run_id, p_cost_microusd);
    return jsonb_build_object('recorded', true);
end $$;

-- Rendering and the clip: what the job's own address showed, whether a clip is this run's, and where it lies. A clip
-- belongs to a job, not to a run, so what is noted about it names its sha256.

-- How long renders of a model took lately, in seconds: the median and the count behind it.
create function public.render_history(p_base_url text, p_model text, p_seconds integer) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('count', count(*), 'median_seconds', percentile_cont(0.5) within group (order by took)) from (
        select extract(epoch from saved_at - rendering_at) as took from onetake.runs
            where base_url = p_base_url and model = p_model and seconds = p_seconds and saved_at is not null
            order by reserved_at desc limit 20
    ) as lately;
$$;

-- A look at the job itself: p_words if the job says it failed or expired, else null. The first failing look is kept; a
-- contradiction withdraws it. p_seen: the job was seen at its own address; neither the create answer nor "not found" shows
-- that. Answers the run.
create function public.note_failing(
    p_run_id uuid, p_job_id text, p_words text, p_provider_word text default null, p_seen boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_now timestamptz;
begin
    r := onetake.lock_run(p_run_id);
    v_now := clock_timestamp();                       -- not before the lock: whoever held it may have looked since
    if r.state is distinct from 'rendering' or r.job_id is distinct from p_job_id then return onetake.run_json(r); end if;
    if p_words is not null and r.failing_since is null then
        perform onetake.note(p_run_id, r.user_id, 'generate_video', 'failing', jsonb_build_object('words', p_words));
    end if;
    update onetake.runs set failing_words = p_words, provider_word = coalesce(p_provider_word, provider_word),
            failing_since = case when p_words is not null then coalesce(failing_since, v_now) end,
            job_seen_at = case when p_seen then v_now else job_seen_at end
        where run_id = p_run_id returning * into r;
    return onetake.run_json(r);
end $$;

-- Notes that the job's own address called it completed: whatever it says later, the clip was made.
create function public.note_done(p_run_id uuid, p_job_id text) returns jsonb
language plpgsql security definer set search_path = '' as $$
begin
    update onetake.runs set done_seen_at = coalesce(done_seen_at, clock_timestamp())
        where run_id = p_run_id and job_id = p_job_id and state = 'rendering';
    return public.load_run(p_run_id);
end $$;

-- rendering -> uncertain: an adopted job failed. A guess may save a run, never fail it. Two looks, as for a failure.
create function public.back_to_doubt(p_run_id uuid, p_job_id text, p_words text, p_apart_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    r := onetake.lock_run(p_run_id);
    if r.state is distinct from 'rendering' or r.job_id is distinct from p_job_id or r.job_source is distinct from 'list'
            or coalesce(r.failing_since, 'infinity') > clock_timestamp() - make_interval(secs => p_apart_seconds) then
        return onetake.run_json(r);
    end if;
    update onetake.runs set job_id = null, job_source = null, progress = null, failing_since = null, failing_words = null,
            failed_jobs = failed_jobs || to_jsonb(onetake.canonical_id(p_job_id)), doubt = 'adopted_job_failed',
            looks_complete = 0, first_look_at = null, last_look_at = null
        where run_id = p_run_id;
    r := onetake.move(p_run_id, 'uncertain', 'held');
    perform onetake.note(p_run_id, r.user_id, 'reconcile', 'adopted_job_failed', jsonb_build_object('job_id', p_job_id, 'words', p_words));
    return onetake.run_json(r);
end $$;

-- rendering -> saved. If two runs with different requests save the same file at the same moment, the first one gets it.
create function public.save_run(
    p_run_id uuid, p_file text, p_file_bytes bigint, p_file_sha256 text, p_job_id text, p_ms integer default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs;
begin
    perform pg_advisory_xact_lock(hashtextextended(p_file_sha256, 1));
    if public.same_clip_as(p_run_id, p_file_sha256) is not null then return public.load_run(p_run_id); end if;
    r := onetake.reopen(p_run_id, p_job_id);
    if r.run_id is null then r := onetake.lock_run(p_run_id); end if;
    if r.state = 'rendering' and r.job_id is not distinct from p_job_id then
        update onetake.runs set file = p_file, file_bytes = p_file_bytes, file_sha256 = p_file_sha256, progress = 100,
                failing_since = null, failing_words = null
            where run_id = p_run_id;
        perform onetake.move(p_run_id, 'saved', 'spent');
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'saved', jsonb_build_object('bytes', p_file_bytes), p_ms);
        perform onetake.feed_breaker(p_run_id, 'render', true);
    end if;
    return public.load_run(p_run_id);
end $$;

-- The ref of a run with another request that already has this file; null if there is none, or if a person said that the
-- job is this run's.
create function public.same_clip_as(p_run_id uuid, p_sha256 text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb((select o.ref from onetake.runs o, onetake.runs r
        where r.run_id = p_run_id and o.run_id <> r.run_id and o.file_sha256 = p_sha256 and r.job_source is distinct from 'person'
          and (o.improved_prompt, o.model, o.seconds, o.size) is distinct from (r.improved_prompt, r.model, r.seconds, r.size)
        order by o.saved_at limit 1));
$$;

-- Notes the facts of the clip with this sha256: {kind, width, height, seconds}. Any other clip is ignored.
create function public.note_clip(p_run_id uuid, p_sha256 text, p_facts jsonb) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs set
            clip_kind = p_facts ->> 'kind',
            clip_width = (p_facts ->> 'width')::integer,
            clip_height = (p_facts ->> 'height')::integer,
            clip_seconds = (p_facts ->> 'seconds')::double precision
        where run_id = p_run_id and file_sha256 = p_sha256 and state in ('saved', 'delivered');
    select public.load_run(p_run_id);
$$;

-- Notes why a clip could not be downloaded, {status, words} of the provider: each once, p_at_most in all.
create function public.note_not_fetched(p_run_id uuid, p_detail jsonb, p_at_most integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs := onetake.lock_run(p_run_id);
    v_known bigint;
    v_same bigint;
begin
    select count(*), count(*) filter (where detail = p_detail) into v_known, v_same from onetake.events
        where run_id = p_run_id and step = 'save_video' and outcome = 'not_fetched';
    if r.state = 'rendering' and v_same = 0 and v_known < p_at_most then
        perform onetake.note(p_run_id, r.user_id, 'save_video', 'not_fetched', p_detail);
        return jsonb_build_object('recorded', true);
    end if;
    return jsonb_build_object('recorded', false);
end $$;

-- Notes that a paid clip cannot be stored on this machine: once per run; operators are alerted once a day.
create function public.note_not_stored(p_run_id uuid, p_words text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare r onetake.runs := onetake.lock_run(p_run_id);
begin
    if r.state is distinct from 'rendering' or exists (select from onetake.events where run_id = p_run_id
            and step = 'save_video' and outcome = 'not_stored' and detail ->> 'words' = p_words) then
        return jsonb_build_object('recorded', false);
    end if;
    perform onetake.note(p_run_id, r.user_id, 'save_video', 'not_stored', jsonb_build_object('words', p_words));
    perform onetake.raise_alert('not_stored:' || (clock_timestamp() at time zone 'UTC')::date, 'not_stored',
                                jsonb_build_object('ref', r.ref, 'words', p_words));
    return jsonb_build_object('recorded', true);
end $$;

-- Notes where the clip of this sha256 lies in Storage ('bucket/name'). Any other clip is ignored.
create function public.note_stored(p_run_id uuid, p_stored text, p_sha256 text default null) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.runs set stored = p_stored
        where run_id = p_run_id and dropped_at is null and state in ('saved', 'delivered')
          and file_sha256 = coalesce(p_sha256, file_sha256);
    select public.load_run(p_run_id);
$$;

-- Of these runs: {wanted: saved and not in Storage yet; settled: nothing left to do}.
create function public.not_stored(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'wanted', coalesce(jsonb_agg(run_id) filter (where stored is null and dropped_at is null), '[]'),
        'settled', coalesce(jsonb_agg(run_id) filter (where stored is not null or dropped_at is not null), '[]'))
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids)) and state in ('saved', 'delivered');
$$;

-- Of these runs, those that ended: [{run_id, sha256, stored, dropped, state, job_id, ended_seconds_ago}]. Without a sha256
-- a run has no clip.
create function public.clips_of(p_run_ids jsonb) returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(jsonb_build_object(
            'run_id', run_id, 'sha256', file_sha256, 'stored', stored, 'dropped', dropped_at is not null, 'state', state,
            'job_id', job_id, 'ended_seconds_ago', extract(epoch from clock_timestamp() - state_since))), '[]')
        from onetake.runs
        where run_id in (select value::uuid from jsonb_array_elements_text(p_run_ids))
          and state in ('saved', 'delivered', 'failed', 'canceled', 'rejected');
$$;

-- Delivered runs whose clip was kept for p_days: [{run_id, stored}]. Those in Storage, and those among p_run_ids (the clips
-- of one machine). An undelivered video is never too old.
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

-- Notes that a run's files were removed.
create function public.note_dropped(p_run_id uuid) returns void
language sql security definer set search_path = '' as $$
    update onetake.runs set dropped_at = coalesce(dropped_at, clock_timestamp()) where run_id = p_run_id and state = 'delivered';
$$;

-- Alerts operators that Storage accepts no clips, once a day for each reason.
create function public.storage_broken(p_words text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.raise_alert('storage:' || (clock_timestamp() at time zone 'UTC')::date || ':' || md5(p_words), 'storage',
        jsonb_build_object('words', p_words));
    select 'true'::jsonb;
$$;

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

-- Telegram users: preferences, and what they may still do today; and the versions of the prompts they are asked with.

-- A user's preferences and standing, and whether a video is undelivered because the user had blocked the bot.
create function public.customer(p_user_id text) returns jsonb
language sql stable security definer set search_path = '' as $$
    select jsonb_build_object(
        'preferences', coalesce((select u.preferences from onetake.users u where u.user_id = p_user_id), '{}'),
        'videos', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.state in ('saved', 'delivered')),
        'unreached', exists (select from onetake.runs r where r.user_id = p_user_id and r.state = 'saved' and r.told_state = 'saved'
            and (select e.detail ->> 'why' from onetake.events e where e.run_id = r.run_id and e.step = 'tell'
                 order by e.event_id desc limit 1) = 'Unreachable'));
$$;

-- Sets one preference (null removes it) and answers all of them.
create function public.set_preference(p_user_id text, p_key text, p_value jsonb) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_preferences jsonb;
begin
    if p_key not in ('language', 'seconds', 'size', 'confirm') then
        raise exception 'there is no preference %', p_key using errcode = 'LG003';
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do nothing;
    update onetake.users set preferences = case when p_value is null then preferences - p_key
            else preferences || jsonb_build_object(p_key, p_value) end
        where user_id = p_user_id returning preferences into v_preferences;
    return v_preferences;
end $$;

-- Notes that the user was told that later orders will not ask first. The user's own choice stands.
create function public.note_first_notice(p_user_id text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    update onetake.users set preferences = preferences || '{"confirm": "first"}'
        where user_id = p_user_id and not preferences ? 'confirm';
    select null::jsonb;
$$;

-- What a user may still do: today's counts and limits, the budgets' room, what is in the way, unfinished runs.
create function public.allowance(p_user_id text) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
    u onetake.users;
    v_now timestamptz := clock_timestamp();
    v_today date := (v_now at time zone 'UTC')::date;
    v_day bigint;
    v_month bigint;
begin
    select * into u from onetake.users where user_id = p_user_id;
    if not found then
        u.user_id := p_user_id; u.blocked := false; u.invited := false; u.limits := '{}';
    end if;
    select coalesce(sum(held_microusd + spent_microusd) filter (where period = v_today::text), 0),
           coalesce(sum(held_microusd + spent_microusd) filter (where period = to_char(v_today, 'YYYY-MM')), 0)
        into v_day, v_month from onetake.budgets;
    return jsonb_build_object(
        'now', v_now,
        'tomorrow', (v_today + 1)::timestamp at time zone 'UTC',
        'next_month', (date_trunc('month', v_today::timestamp) + interval '1 month') at time zone 'UTC',
        'videos_today', (select count(*) from onetake.runs r where r.user_id = p_user_id and r.day = v_today
            and (r.state not in ('rejected', 'canceled', 'failed') or r.spent_microusd > 0)),
        'videos_per_day', onetake.limit_value('videos_per_user_day', u.limits),
        'rejected_per_day', onetake.limit_value('rejected_per_user_day', u.limits),
        'active_at_once', onetake.limit_value('active_runs_per_user', u.limits),
        'cooldown_seconds', onetake.limit_value('cooldown_seconds', u.limits),
        'day_left_microusd', greatest(onetake.limit_value('budget_day_microusd') - v_day, 0),
        'month_left_microusd', greatest(onetake.limit_value('budget_month_microusd') - v_month, 0),
        'blocked', u.blocked, 'blocked_reason', u.blocked_reason, 'invited', onetake.is_invited(u),
        'paused', (select c.paused from onetake.control c), 'pause_reason', (select c.pause_reason from onetake.control c),
        'unfinished', coalesce((select jsonb_agg(onetake.run_json(r) order by r.reserved_at) from onetake.runs r
            where r.user_id = p_user_id and r.state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering', 'saved')), '[]'));
end $$;

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

-- Operators: pause, limits, users, settling runs in doubt, alerts.

-- Pauses or resumes buying. p_shown, {paused_at}: the pause that the operator was looking at; a newer pause by somebody
-- else stays. Answers the controls, and `changed`.
create function public.set_paused(p_paused boolean, p_reason text, p_who text, p_shown jsonb default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_before onetake.control;
begin
    select * into v_before from onetake.control for update;
    if p_shown is not null and (p_shown ->> 'paused_at')::timestamptz is distinct from v_before.paused_at then
        return public.controls() || '{"changed": true}';
    end if;
    update onetake.control set paused = p_paused, pause_reason = case when p_paused then p_reason end,
            paused_by = case when p_paused then p_who end, paused_at = case when p_paused then clock_timestamp() end,
            resumed_at = case when p_paused then resumed_at else clock_timestamp() end;
    perform onetake.record_change(p_who, 'paused',
        jsonb_strip_nulls(jsonb_build_object('paused', v_before.paused, 'reason', v_before.pause_reason)),
        jsonb_strip_nulls(jsonb_build_object('paused', p_paused, 'reason', case when p_paused then p_reason end)));
    if not p_paused then
        update onetake.runs set next_look_at = null, deferred_since = null, deferred_by = null
            where state = 'approved' and deferred_since is not null;   -- runs before breakers, as everywhere
        update onetake.breakers set open_until = null, cause = null, failed_answers = 0, failed_renders = 0,
                probe_run_id = null, probe_at = null;
    end if;
    return public.controls();
end $$;

-- The pause and the breakers.
create function public.controls() returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object(
        'paused', c.paused, 'pause_reason', c.pause_reason, 'paused_by', c.paused_by, 'paused_at', c.paused_at,
        'breakers', coalesce((select jsonb_agg(jsonb_build_object('scope', scope, 'open_until', open_until, 'cause', cause,
            'half_open', open_until <= clock_timestamp())) from onetake.breakers where open_until is not null
            and (scope = 'all' or open_until > clock_timestamp())), '[]'))
    from onetake.control c;
$$;

-- All limits with what they mean.
create function public.show_limits() returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_agg(to_jsonb(l) order by key) from onetake.limits l;
$$;

-- Sets a limit for everybody, or for one user (null removes it).
create function public.set_limit(p_key text, p_value jsonb, p_who text, p_user_id text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_limit onetake.limits;
    u onetake.users;
    v_most bigint := case when p_key = 'rollout_percent' then 100 when p_key like '%\_seconds' then 31536000
                          else 999999999999999 end;
begin
    select * into v_limit from onetake.limits where key = p_key for update;
    if not found then return jsonb_build_object('set', false, 'why', 'unknown_limit'); end if;
    if p_key = 'rollout' then
        if p_value is null or p_value not in ('"all"', '"percent"', '"allowlist"') then
            return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', 'all, percent or allowlist');
        end if;
    elsif p_value is null and p_user_id is null or p_value is not null and (case
            when p_value::text ~ '^[0-9]{1,15}$' then p_value::text::bigint > v_most else true end) then
        return jsonb_build_object('set', false, 'why', 'bad_value', 'allowed', case
            when p_key = 'rollout_percent' then 'a whole number from 0 to 100'
            when p_key like '%\_seconds' then 'a whole number of seconds, 31536000 (a year) at most'
            else 'a whole number, 0 or more' end);
    end if;
    if p_user_id is null then
        update onetake.limits set value = p_value where key = p_key;
        perform onetake.record_change(p_who, p_key, v_limit.value, p_value);
        return jsonb_build_object('set', true, 'before', v_limit.value, 'after', p_value);
    end if;
    if not v_limit.per_user then
        return jsonb_build_object('set', false, 'why', 'not_per_user');
    end if;
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into u;
    update onetake.users set limits = case when p_value is null then limits - p_key
            else limits || jsonb_build_object(p_key, p_value) end where user_id = p_user_id;
    perform onetake.record_change(p_who, 'user:' || p_user_id || ':' || p_key, u.limits -> p_key, p_value);
    return jsonb_build_object('set', true, 'before', u.limits -> p_key, 'after', p_value);
end $$;

-- The newest changes of controls.
create function public.limit_history(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(c)), '[]') from (select * from onetake.limit_changes order by change_id desc limit p_at_most) c;
$$;

-- Blocks, unblocks, invites or disinvites a user; the reason is kept with the change.
create function public.set_user(p_user_id text, p_blocked boolean, p_invited boolean, p_reason text, p_who text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_before onetake.users;
    u onetake.users;
begin
    insert into onetake.users (user_id) values (p_user_id) on conflict (user_id) do update set version = onetake.users.version + 1
        returning * into v_before;
    update onetake.users set blocked = coalesce(p_blocked, blocked), invited = coalesce(p_invited, invited),
            blocked_reason = case when p_blocked then p_reason when p_blocked is null then blocked_reason end
        where user_id = p_user_id returning * into u;
    perform onetake.record_change(p_who, 'user:' || p_user_id,
        jsonb_strip_nulls(jsonb_build_object('blocked', v_before.blocked, 'invited', v_before.invited, 'reason', v_before.blocked_reason)),
        jsonb_strip_nulls(jsonb_build_object('blocked', u.blocked, 'invited', u.invited, 'reason', u.blocked_reason)));
    return to_jsonb(u);
end $$;

-- The newest users, with what they bought.
create function public.list_users(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(x order by x ->> 'created_at'), '[]') from (
        select to_jsonb(u) || jsonb_build_object(
            'videos', (select count(*) from onetake.runs r where r.user_id = u.user_id and r.state in ('saved', 'delivered')),
            'spent_microusd', (select coalesce(sum(r.spent_microusd), 0) from onetake.runs r where r.user_id = u.user_id)) as x
        from onetake.users u order by u.created_at desc limit p_at_most) as newest;
$$;

-- Runs, the newest first.
create function public.list_runs(p_at_most integer, p_state text default null, p_user_id text default null) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.reserved_at desc), '[]') from (
        select * from onetake.runs
            where (p_state is null or state = p_state) and (p_user_id is null or user_id = p_user_id)
            order by reserved_at desc limit p_at_most) as r;
$$;

-- A run's timeline.
create function public.run_events(p_run_id uuid) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(e) - 'call_id' order by e.event_id), '[]') from onetake.events e where e.run_id = p_run_id;
$$;

-- Raises an alert for everything in the ledger that an operator should know, each once: doubts, late jobs, budgets,
-- failures, open breakers, differences, stray answers.
create function public.raise_alerts(p_doubt_seconds double precision) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_now timestamptz := clock_timestamp();
    v_utc timestamp := v_now at time zone 'UTC';
begin
    perform onetake.raise_alert('in_doubt:' || r.ref || ':' || extract(epoch from r.submitting_at)::bigint, 'in_doubt',
            jsonb_build_object('ref', r.ref, 'held_microusd', r.held_microusd, 'doubt', r.doubt))
        from onetake.runs r where r.state in ('submitting', 'uncertain')
          and r.submitting_at <= v_now - make_interval(secs => p_doubt_seconds);
    perform onetake.raise_alert('parked:' || r.ref || ':' || extract(epoch from r.parked_at)::bigint, 'parked',
            jsonb_build_object('ref', r.ref, 'held_microusd', r.held_microusd))
        from onetake.runs r where r.state = 'rendering' and r.parked_at is not null;
    perform onetake.raise_alert('late_job:' || e.event_id, 'late_job',
            jsonb_build_object('ref', r.ref, 'price_microusd', r.price_microusd))
        from onetake.events e join onetake.runs r using (run_id)
        where e.step = 'generate_video' and e.outcome = 'adopted_late' and e.at > v_now - interval '1 day';
    -- 50, 80 and 100 % of each budget, each once a period.
    perform onetake.raise_alert('budget:' || b.period || ':' || share, 'budget',
            jsonb_build_object('period', b.period, 'share', share, 'used_microusd', b.held_microusd + b.spent_microusd, 'limit_microusd', cap))
        from onetake.budgets b
        cross join lateral (select onetake.limit_value(case when length(b.period) = 7 then 'budget_month_microusd'
            else 'budget_day_microusd' end)) as l (cap)
        cross join lateral (select max(s) from unnest(array[50, 80, 100]) as s
            where cap > 0 and (b.held_microusd + b.spent_microusd) * 100 >= cap * s) as m (share)
        where b.period in (v_utc::date::text, to_char(v_utc, 'YYYY-MM')) and share is not null;
    -- Used up before that: an order found no room in the budget as it is now. Once for each amount of a period's budget.
    perform onetake.raise_alert('budget_exhausted:' || b.period || ':' || cap, 'budget_exhausted',
            jsonb_build_object('period', b.period, 'used_microusd', b.held_microusd + b.spent_microusd, 'limit_microusd', cap))
        from (values (v_utc::date::text, 'day', date_trunc('day', v_utc), 'budget_day_microusd'),
                     (to_char(v_utc, 'YYYY-MM'), 'month', date_trunc('month', v_utc), 'budget_month_microusd')) as p (period, name, since, key)
        join onetake.budgets b using (period)
        cross join lateral (select onetake.limit_value(p.key)) as l (cap)
        where exists (select from onetake.events e where e.step = 'check_limits' and e.outcome = 'budget_exhausted'
            and e.detail ->> 'what' = p.name and e.at >= greatest(p.since at time zone 'UTC',
                (select max(c.at) from onetake.limit_changes c where c.key = p.key)));

    -- More than half of at least five runs that ended within the hour failed at the provider.
    perform onetake.raise_alert('failure_rate:' || to_char(v_utc, 'YYYY-MM-DD HH24'), 'failure_rate', jsonb_build_object('failed', failed, 'ended', ended))
        from (select count(*) filter (where r.state = 'failed') as failed, count(*) as ended from onetake.runs r
              where r.state_since > v_now - interval '1 hour' and r.submitting_at is not null
                and r.state in ('failed', 'saved', 'delivered')) as hour
        where ended >= 5 and failed * 2 > ended;
    perform onetake.raise_alert('breaker:' || extract(epoch from b.open_until)::bigint, 'breaker',
            jsonb_build_object('until', b.open_until, 'cause', b.cause))
        from onetake.breakers b where b.scope = 'all' and b.open_until > v_now;
    perform onetake.raise_alert('model_gone:' || r.model || ':' || r.day, 'model_gone',
            jsonb_build_object('model', r.model, 'base_url', r.base_url, 'ref', r.ref, 'detail', r.detail))
        from onetake.runs r where r.state = 'failed' and r.reason = 'not_found' and r.failed_at > v_now - interval '1 day';
    -- What only the people behind the bot can mend, once a day and reason.
    perform onetake.raise_alert('our_side:' || r.reason || ':' || r.day, 'our_side',
            jsonb_build_object('ref', r.ref, 'reason', r.reason, 'detail', r.detail))
        from onetake.runs r where r.state = 'failed' and r.failed_at > v_now - interval '1 day'
          and r.reason in ('unauthorized', 'no_credit', 'forbidden', 'bad_request', 'expired', 'disk_full', 'not_sold_here');
    -- Each difference once, until it is closed and found again. What is in doubt or was adopted late is told above.
    perform onetake.raise_alert('difference:' || d.kind || ':' || d.subject || ':' || extract(epoch from d.first_at)::bigint,
            case when d.kind in ('two_paid_calls', 'perhaps_two_paid_calls') then d.kind else 'audit' end,
            jsonb_build_object('kind', d.kind, 'ref', d.ref, 'job_id', d.job_id, 'words', d.words, 'microusd', d.microusd))
        from onetake.differences d where d.closed_at is null and d.kind not in ('in_doubt', 'late_job');
    perform onetake.raise_alert('stray_answer:' || s.id, 'stray_answer', jsonb_build_object(
            'ref', (select ref from onetake.runs r where r.run_id = s.run_id), 'why', s.why, 'words', left(s.body, 200)))
        from onetake.stray_answers s where s.at > v_now - interval '7 days';
    return jsonb_build_object('raised', true);
end $$;

-- Claims unsent alerts for p_seconds.
create function public.take_alerts(p_seconds double precision) returns jsonb
language sql security definer set search_path = '' as $$
    with taken as (
        update onetake.alerts a set notifying_until = clock_timestamp() + make_interval(secs => p_seconds)
            where a.told_at is null and (a.notifying_until is null or a.notifying_until <= clock_timestamp())
            returning a.*
    )
    select coalesce(jsonb_agg(to_jsonb(taken) order by at), '[]') from taken;
$$;

-- Records that an alert was sent.
create function public.mark_alert_notified(p_key text) returns jsonb
language sql security definer set search_path = '' as $$
    update onetake.alerts a set told_at = clock_timestamp() where a.key = p_key returning to_jsonb(a);
$$;

-- Alerts operators, once a day, that an update from Telegram was skipped as unreadable.
create function public.note_unreadable_update(p_words text) returns jsonb
language sql volatile security definer set search_path = '' as $$
    select onetake.raise_alert('unreadable_update:' || (clock_timestamp() at time zone 'UTC')::date, 'unreadable_update',
                               jsonb_build_object('words', p_words));
    select null::jsonb;
$$;

-- Alerts operators to a broken edit of a prompt template, once per edit.
create function public.template_broken(p_id text, p_edit text, p_words text) returns jsonb
language sql security definer set search_path = '' as $$
    select onetake.raise_alert('template:' || p_id || ':' || p_edit, 'template', jsonb_build_object('id', p_id, 'words', p_words));
    select 'true'::jsonb;
$$;

-- Takes or renews the lease of the one machine that may work. Answers {mine, host, until}.
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

-- Which migrations this database has; a program that connects over REST compares them with its own.
create function public.applied_migrations() returns jsonb
language plpgsql stable security definer set search_path = '' as $$
begin
    return (select coalesce(jsonb_agg(version order by version), '[]') from supabase_migrations.schema_migrations);
end $$;

-- Settling a run in doubt by a person; and audits, which compare the provider's jobs with the ledger and prove up to
-- when nothing was bought twice.

-- "Found", by a person. p_seen: what the provider showed of that job, {status, word, ...}; null if it showed nothing
-- and the person insists: then the user's slot is free at once, and one look decides. Naming the job that a parked run
-- already has confirms it.
create function public.settle_found(
    p_run_id uuid, p_job_id text, p_who text, p_why text default null, p_seen jsonb default null
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_answer jsonb := public.record_submission(p_run_id, p_job_id, 'person');
begin
    if (v_answer ->> 'recorded')::boolean and v_answer ->> 'state' not in ('saved', 'delivered') then
        if p_seen is null then
            update onetake.runs set parked_at = coalesce(parked_at, clock_timestamp()) where run_id = p_run_id;
        else
            update onetake.runs set job_source = 'person' where run_id = p_run_id and state = 'rendering' and parked_at is not null;
        end if;
        perform onetake.note(p_run_id, (select user_id from onetake.runs where run_id = p_run_id), 'settle', 'found',
                             jsonb_strip_nulls(jsonb_build_object('by', p_who, 'why', p_why, 'job', p_job_id, 'seen', p_seen)));
    end if;
    return v_answer;
end $$;

-- "Not charged", by a person. p_shown: what that person saw, {state, job_id}; a decision about something that has changed
-- since is refused. Before p_wait_seconds after the order the job may still turn up: that needs p_early, the person's
-- explicit word. A job id that a person gave and the provider never showed is dropped. Answers {settled, state, why}.
create function public.settle_not_charged(
    p_run_id uuid, p_who text, p_why text default null, p_shown jsonb default null,
    p_wait_seconds double precision default 0, p_early boolean default false
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_slip boolean;
begin
    r := onetake.lock_run(p_run_id);
    if r.run_id is null or not (r.state = 'uncertain' or (r.state = 'rendering' and r.parked_at is not null)) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'state');
    end if;
    if p_shown <> jsonb_build_object('state', r.state, 'job_id', r.job_id) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'changed');
    end if;
    if not p_early and clock_timestamp() < r.submitting_at + make_interval(secs => p_wait_seconds) then
        return jsonb_build_object('settled', false, 'state', r.state, 'why', 'early',
                                  'until', r.submitting_at + make_interval(secs => p_wait_seconds));
    end if;
    v_slip := r.job_source = 'person' and r.progress is null and not exists (
        select from onetake.events where run_id = p_run_id and step = 'run' and outcome = 'parked'
            and detail ->> 'why' in ('content_unreadable', 'disk_full'));       -- those were there to be fetched
    update onetake.runs set reason = 'not_charged', detail = p_why,
            job_id = case when v_slip then null else job_id end, job_source = case when v_slip then null else job_source end
        where run_id = p_run_id;
    perform onetake.move(p_run_id, 'failed', 'released');
    perform onetake.note(p_run_id, r.user_id, 'settle', 'not_charged', jsonb_strip_nulls(jsonb_build_object(
        'by', p_who, 'why', p_why, 'from', r.state, 'job', r.job_id, 'early', case when p_early then true end)));
    return jsonb_build_object('settled', true, 'state', 'failed', 'why', null);
end $$;

-- Takes back a person's last decision: "not charged" while nothing was bought instead, "found" while nothing was
-- downloaded. The run is in doubt again, or rendering if it had a job. Answers {settled, state, why}.
create function public.settle_taken_back(p_run_id uuid, p_who text, p_why text default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    r onetake.runs;
    v_last onetake.events;
begin
    r := onetake.lock_run(p_run_id);
    select * into v_last from onetake.events where run_id = p_run_id and step = 'settle' order by event_id desc limit 1;
    if v_last.outcome = 'not_charged' and r.state = 'failed' and r.reason = 'not_charged' then
        if exists (select from onetake.runs o where o.user_id = r.user_id and o.prompt_hash = r.prompt_hash
                     and o.run_id <> r.run_id and o.reserved_at > r.failed_at
                     and o.state not in ('rejected', 'canceled', 'failed')) then
            return jsonb_build_object('settled', false, 'state', r.state, 'why', 'bought_again');
        end if;
        update onetake.runs set reason = null, detail = null, doubt = coalesce(doubt, 'lost') where run_id = p_run_id;
        r := onetake.move(p_run_id, case when r.job_id is null then 'uncertain' else 'rendering' end, 'held');
        insert into onetake.leases (user_id, prompt_hash, run_id, expires_at)
            values (r.user_id, r.prompt_hash, r.run_id, clock_timestamp()) on conflict do nothing;
    elsif v_last.outcome = 'found' and r.state = 'rendering' and r.job_source = 'person' and r.file is null then
        update onetake.runs set job_id = null, job_source = null, progress = null, failing_since = null, failing_words = null,
                doubt = coalesce(doubt, 'lost'), looks_complete = 0, first_look_at = null, last_look_at = null
            where run_id = p_run_id;
        r := onetake.move(p_run_id, 'uncertain', 'held');
    else
        return jsonb_build_object('settled', false, 'state', r.state, 'why', case when v_last.event_id is null then 'state' else 'fetched' end);
    end if;
    perform onetake.note(p_run_id, r.user_id, 'settle', 'taken_back', jsonb_strip_nulls(jsonb_build_object('by', p_who, 'why', p_why)));
    return jsonb_build_object('settled', true, 'state', r.state, 'why', null);
end $$;

-- Audits.

-- Whether the ledger can explain a difference by now. p_listed: the job ids that the list shows.
create function onetake.is_explained(d onetake.differences, p_listed jsonb) returns boolean
language sql stable set search_path = '' as $$
    select case d.kind
        when 'in_doubt' then r.state not in ('submitting', 'uncertain')
        when 'run_without_job' then p_listed ? onetake.canonical_id(d.job_id) or r.job_id is distinct from d.job_id
        when 'charged_without_clip' then r.file is not null or r.spent_microusd = 0
        when 'charged_but_failed' then r.spent_microusd = 0
        when 'released_but_made' then r.state in ('rendering', 'saved', 'delivered') or r.spent_microusd > 0
        when 'not_as_ordered' then false
        else onetake.owner_of(d.base_url, d.job_id) is not null end
    from (select 1) as one left join onetake.runs r on r.ref = d.ref;
$$;

-- Extends the proved time by an audit that saw every job made before it began to read. The first one must reach back a
-- day; later ones to the end of the last, or thirty days (SINCE_MAX in pipeline/purchase/audit.py).
create function onetake.count_audit(a onetake.audits) returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_until timestamptz;
    v_began timestamptz := a.at - make_interval(secs => coalesce((a.result ->> 'took_seconds')::double precision, 0));
begin
    select until into v_until from onetake.audited
        where base_url = a.base_url and key_fingerprint = a.key_fingerprint for update;
    if a.since > greatest(coalesce(v_until, v_began - interval '1 day'), v_began - interval '30 days') then return; end if;
    insert into onetake.audited (base_url, key_fingerprint, tried_at, until)
        values (a.base_url, a.key_fingerprint, a.at, case when (a.result ->> 'complete')::boolean then v_began end)
        on conflict (base_url, key_fingerprint) do update
            set tried_at = greatest(audited.tried_at, excluded.tried_at), until = greatest(audited.until, excluded.until);
end $$;

-- The runs an audit compares: those that may have bought something at this provider with this key since p_since or ended
-- since, those still open, and for thirty days each run that failed after its request was sent.
create function public.audit_view(p_base_url text, p_key_fingerprint text, p_since timestamptz) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(onetake.run_json(r) order by r.submitting_at), '[]') from onetake.runs r
    where r.base_url = p_base_url and r.key_fingerprint = p_key_fingerprint
      and r.submitting_at >= least(p_since, clock_timestamp() - interval '30 days')
      and (greatest(r.submitting_at, r.saved_at, r.failed_at) >= p_since
           or r.state in ('submitting', 'uncertain', 'rendering')
           or (r.state = 'failed' and r.reason not in ('never_sent', 'never_connected')));
$$;

-- Stores an audit. Closes the differences that the ledger explains by now, then opens the ones found; `differences` of the
-- stored result are all that are open. p_listed: the job ids that the list showed.
create function public.store_audit(
    p_base_url text, p_key_fingerprint text, p_since timestamptz, p_result jsonb, p_listed jsonb
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    a onetake.audits;
    v_found jsonb;
    v_open jsonb;
begin
    update onetake.differences d set closed_at = clock_timestamp(), closed_by = 'ledger'
        where d.base_url = p_base_url and d.key_fingerprint = p_key_fingerprint and d.closed_at is null
          and onetake.is_explained(d, p_listed);
    for v_found in select value from jsonb_array_elements(p_result -> 'differences') loop
        perform onetake.open_difference(p_base_url, p_key_fingerprint, v_found);
    end loop;
    select coalesce(jsonb_agg(jsonb_build_object('kind', d.kind, 'words', d.words, 'ref', d.ref, 'job_id', d.job_id,
            'microusd', d.microusd, 'could_be_ours', d.could_be_ours, 'first_at', d.first_at) order by d.first_at, d.subject), '[]')
        into v_open from onetake.differences d
        where d.base_url = p_base_url and d.key_fingerprint = p_key_fingerprint and d.closed_at is null;
    insert into onetake.audits (base_url, key_fingerprint, since, result, differences)
        values (p_base_url, p_key_fingerprint, p_since, p_result || jsonb_build_object('differences', v_open), jsonb_array_length(v_open))
        returning * into a;
    perform onetake.count_audit(a);
    return to_jsonb(a);
end $$;

-- The newest audits.
create function public.list_audits(p_at_most integer) returns jsonb
language sql security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(a) order by a.id desc), '[]')
    from (select * from onetake.audits order by id desc limit p_at_most) a;
$$;

-- When an audit that continues from the last complete one was last tried, up to when complete ones reach without a gap
-- (null: never), and the database's time.
create function public.last_audit_at(p_base_url text, p_key_fingerprint text) returns jsonb
language sql security definer set search_path = '' as $$
    select jsonb_build_object('at', max(tried_at), 'until', max(until), 'now', clock_timestamp())
    from onetake.audited where base_url = p_base_url and key_fingerprint = p_key_fingerprint;
$$;

-- Closes every open difference of this job id or ref for good, with a person's words. Answers {explained}.
create function public.explain_difference(p_subject text, p_who text, p_why text) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare v_n integer;
begin
    update onetake.differences set closed_at = clock_timestamp(), closed_by = 'person: ' || p_who, closed_why = p_why
        where closed_at is null and (job_id = p_subject or ref = upper(p_subject));
    get diagnostics v_n = row_count;
    if v_n > 0 then
        perform onetake.record_change(p_who, 'difference:' || p_subject, null, to_jsonb(p_why));
    end if;
    return jsonb_build_object('explained', v_n);
end $$;

-- The open differences.
create function public.open_differences() returns jsonb
language sql stable security definer set search_path = '' as $$
    select coalesce(jsonb_agg(to_jsonb(d) order by d.first_at, d.subject), '[]') from onetake.differences d where d.closed_at is null;
$$;

-- Whether a day had a second paid call: {clean, why, until}. The day is the 24 hours before `until`, up to which
-- complete audits reach; `until` may be 25 hours old (audits run once a day). Audits of each order's own provider must
-- reach it. An unexplained second job, or a job without a run that could be one of our orders, makes the day unclean.
create function onetake.clean_day() returns jsonb
language sql stable set search_path = '' as $$
    with sold as (
        select distinct base_url, key_fingerprint from onetake.runs where submitting_at > now() - interval '25 hours'
    ), proven as (
        select coalesce((select min(coalesce(a.until, '-infinity')) from sold
                             left join onetake.audited a using (base_url, key_fingerprint)),
                        (select max(until) from onetake.audited)) as until
    ), day as (
        select until, case when until > now() - interval '25 hours' then until else now() end - interval '1 day' as begins
        from proven
    )
    select case
        when exists (select from onetake.differences where closed_at is null and kind = 'two_paid_calls')
            then jsonb_build_object('clean', false, 'why', 'two_paid_calls', 'until', null)
        when exists (select from onetake.differences where closed_at is null and (kind = 'perhaps_two_paid_calls' or could_be_ours))
            then jsonb_build_object('clean', false, 'why', 'unexplained_job', 'until', null)
        when day.until > now() - interval '25 hours' and not exists (
                select from onetake.runs r left join onetake.audited a using (base_url, key_fingerprint)
                where r.submitting_at > day.begins and r.submitting_at <= day.until
                  and coalesce(a.until, '-infinity') < r.submitting_at)
            then jsonb_build_object('clean', true, 'why', null, 'until', day.until)
        else jsonb_build_object('clean', false, 'why', 'not_audited', 'until', null) end
    from day;
$$;

-- Numbers: statistics, the operators' page, metrics. Past days are counted once, so that these queries stay fast.

-- Upper bounds of the duration histograms, in milliseconds.
create function onetake.bounds_ms() returns integer[]
language sql immutable set search_path = '' as $$
    select array[50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000];
$$;

-- The first moment (UTC) that is not counted yet.
create function onetake.not_counted() returns timestamptz
language sql stable set search_path = '' as $$
    select case when before = '-infinity' then '-infinity'::timestamptz else before::timestamp at time zone 'UTC' end
    from onetake.counted;
$$;

-- Events of a time span by day, step and outcome.
create function onetake.count_events(p_since timestamptz, p_before timestamptz) returns setof onetake.event_days
language sql stable set search_path = '' as $$
    with found as (
        select (at at time zone 'UTC')::date as day, step, outcome, cost_microusd, saved_microusd, ms,
               case when ms is not null then width_bucket(ms - 0.5, onetake.bounds_ms()::numeric[]) end as bucket
        from onetake.events where at >= p_since and at < p_before
    ), bucketed as (
        select day, step, outcome, bucket, count(*) as n, sum(cost_microusd) as cost, sum(saved_microusd) as saved,
               count(ms) as timed, coalesce(sum(ms), 0) as ms
        from found group by day, step, outcome, bucket
    )
    select day, step, outcome, sum(n)::bigint, sum(cost), sum(saved), sum(timed)::bigint, sum(ms),
           array(select coalesce(sum(b.n), 0)::bigint from generate_series(0, cardinality(onetake.bounds_ms())) as i
                 left join bucketed b on b.bucket = i and b.day = o.day and b.step = o.step and b.outcome = o.outcome
                 group by i order by i)
    from bucketed o group by day, step, outcome;
$$;

-- Text model calls of a time span by day and template version.
create function onetake.count_prompts(p_since timestamptz, p_before timestamptz) returns setof onetake.prompt_days
language sql stable set search_path = '' as $$
    select day, step, sha256, count(*), sum(greatest(coalesce(asks, 1) - 1, 0)), sum(cost_microusd)
    from (select (e.at at time zone 'UTC')::date as day, e.step, (e.detail ->> 'asks')::integer as asks, e.cost_microusd,
                 -- one by one: a join, planned for more events than there are, goes through all runs
                 (select r.templates ->> e.step from onetake.runs r where r.run_id = e.run_id) as sha256
          from onetake.events e
          where e.at >= p_since and e.at < p_before and e.step in ('validate_prompt', 'write_caption')) as asked
    where sha256 is not null
    group by day, step, sha256;
$$;

-- Requests of a time span that a run had already answered, by day and skipped step.
create function onetake.count_cached(p_since timestamptz, p_before timestamptz) returns setof onetake.cached_days
language sql stable set search_path = '' as $$
    select (e.at at time zone 'UTC')::date, s.step, count(*)
    from onetake.events e join onetake.runs r using (run_id)
    cross join lateral (values
        ('check_limits', e.outcome = 'replayed'),
        ('validate_prompt', coalesce(r.approved_at, r.rejected_at) < e.at),
        ('generate_video', r.submitting_at < e.at),
        ('write_caption', r.caption is not null and r.saved_at < e.at),
        ('save_video', r.saved_at < e.at),
        ('deliver', r.delivered_at < e.at)) as s (step, spared)
    where e.at >= p_since and e.at < p_before and e.step = 'check_limits' and e.outcome in ('replayed', 'duplicate') and s.spared
    group by 1, 2;
$$;

-- Counts the days that are over, once.
create function onetake.count_days() returns void
language plpgsql volatile set search_path = '' as $$
declare
    v_from timestamptz;
    v_day date := ((clock_timestamp() - interval '1 hour') at time zone 'UTC')::date;
    v_to timestamptz := v_day::timestamp at time zone 'UTC';
begin
    perform from onetake.counted where before < v_day for update skip locked;
    if not found then return; end if;
    v_from := onetake.not_counted();
    insert into onetake.event_days select * from onetake.count_events(v_from, v_to);
    insert into onetake.prompt_days select * from onetake.count_prompts(v_from, v_to);
    insert into onetake.cached_days select * from onetake.count_cached(v_from, v_to);
    update onetake.counted set before = v_day;
end $$;

-- All events by day, step and outcome: past days as counted, the rest as it is now.
create function onetake.all_counts() returns setof onetake.event_days
language sql stable set search_path = '' as $$
    select * from onetake.event_days
    union all
    select c.* from onetake.counted k cross join lateral onetake.count_events(
        case when k.before = '-infinity' then '-infinity'::timestamptz else k.before::timestamp at time zone 'UTC' end,
        'infinity') as c;
$$;

-- Runs that have not ended, and those that wait for a worker: due for longer than a worker leaves a run between two
-- heartbeats (ATTEND_SECONDS is twice 10 s by default).
create function onetake.queue_now() returns jsonb
language sql stable set search_path = '' as $$
    select jsonb_build_object(
        'unfinished', count(*),
        'due', count(*) filter (where late),
        'oldest_due_seconds', coalesce(extract(epoch from clock_timestamp() - min(due_at) filter (where late)), 0))
        from (select due_at, due_at <= clock_timestamp() - interval '15 seconds' as late
              from (select coalesce(next_look_at, state_since) as due_at from onetake.runs
                    where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')) as u) as q;
$$;

-- Money, videos, paid calls and blocked duplicates, today, this month and in all.
create function public.stats() returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_utc timestamp := clock_timestamp() at time zone 'UTC';
    v_runs jsonb;
    v_checks jsonb;
begin
    perform onetake.count_days();
    select jsonb_build_object(
        'total_videos', coalesce(sum(n) filter (where state in ('saved', 'delivered')), 0),
        'total_runs', coalesce(sum(n), 0),
        'states', coalesce(jsonb_object_agg(state, n), '{}'),
        'parked', coalesce(sum(parked) filter (where state in ('uncertain', 'rendering')), 0),
        'held_microusd', coalesce(sum(held), 0), 'spent_microusd', coalesce(sum(spent), 0),
        'released_microusd', coalesce(sum(released), 0), 'text_microusd', coalesce(sum(text_model), 0))
        into v_runs from (
            select state, count(*) as n, count(parked_at) as parked, sum(held_microusd) as held, sum(spent_microusd) as spent,
                   sum(released_microusd) filter (where submitting_at is not null) as released, sum(text_microusd) as text_model
            from onetake.runs group by state) as s;
    select jsonb_build_object(
        'requests', coalesce(sum(times), 0),
        'checks', coalesce(jsonb_object_agg(outcome, times), '{}'),
        'duplicates_blocked', coalesce(sum(times) filter (where outcome in ('duplicate', 'replayed')), 0),
        'money_saved_microusd', coalesce(sum(saved) filter (where outcome in ('duplicate', 'replayed')), 0))
        into v_checks from (
            select outcome, sum(n) as times, sum(saved_microusd) as saved
            from onetake.all_counts() where step = 'check_limits' group by outcome) as c;
    return v_runs || v_checks || jsonb_build_object(
        'paid_calls', (select count(*) from onetake.runs where job_id is not null),
        'paid_states', (select coalesce(jsonb_object_agg(state, n), '{}')
            from (select state, count(*) as n from onetake.runs where job_id is not null group by state) as p),
        'today', (select to_jsonb(b) from onetake.budgets b where period = v_utc::date::text),
        'this_month', (select to_jsonb(b) from onetake.budgets b where period = to_char(v_utc, 'YYYY-MM')),
        'budget_day_microusd', onetake.limit_value('budget_day_microusd'),
        'budget_month_microusd', onetake.limit_value('budget_month_microusd'));
end $$;

-- Everything that the overview page shows.
create function public.page_overview(p_days integer) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_utc timestamp := clock_timestamp() at time zone 'UTC';
    v_week bigint;
begin
    select coalesce(sum(spent_microusd), 0) into v_week from onetake.budgets
        where length(period) = 10 and period > (v_utc::date - 7)::text and period <= v_utc::date::text;
    return jsonb_build_object(
        'now', clock_timestamp(),
        'stats', public.stats(),
        'week_spent_microusd', v_week,
        'blocked', (select coalesce(jsonb_agg(to_jsonb(b) order by b.times desc), '[]') from (
            select outcome, sum(n) as times, sum(saved_microusd) as saved_microusd from onetake.all_counts()
                where step = 'check_limits' and outcome <> 'accepted' group by outcome) b),
        'in_flight', (select coalesce(jsonb_agg(to_jsonb(f)), '[]') from (
            select ref, user_id, state, state_since, reserved_at, progress, parked_at, deferred_by, held_microusd, model, seconds
                from onetake.runs where state in ('reserved', 'approved', 'submitting', 'uncertain', 'rendering')
                order by reserved_at desc limit 50) f),
        'steps', (select coalesce(jsonb_agg(to_jsonb(t) order by t.p95_ms desc), '[]') from (
            select s.step, count(*) as n, percentile_cont(0.5) within group (order by e.ms) as p50_ms,
                   percentile_cont(0.95) within group (order by e.ms) as p95_ms
                from unnest(array['validate_prompt', 'generate_video', 'write_caption', 'save_video']) as s (step)
                cross join lateral (select ms from onetake.events where events.step = s.step and ms is not null
                    order by event_id desc limit 1000) as e
                group by s.step
            union all
            select 'whole', count(*), percentile_cont(0.5) within group (order by took),
                   percentile_cont(0.95) within group (order by took)
                from (select 1000 * extract(epoch from saved_at - submitting_at)::double precision as took from onetake.runs
                    where saved_at > submitting_at order by reserved_at desc limit 1000) as w
                having count(*) > 0) t),
        'queue', onetake.queue_now(),
        'controls', public.controls(),
        'clean_day', onetake.clean_day(),
        'last_audit_at', (select max(at) from onetake.audits),
        'days', (select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]') from (
            select g.day::date as day, coalesce(max(b.spent_microusd), 0) as spent_microusd,
                   coalesce(max(b.held_microusd), 0) as held_microusd,
                   coalesce(sum(c.n) filter (where c.step = 'save_video' and c.outcome = 'saved'), 0) as videos,
                   coalesce(sum(c.n) filter (where c.step = 'validate_prompt' and c.outcome = 'rejected'), 0) as rejected,
                   coalesce(sum(c.n) filter (where c.step = 'check_limits' and c.outcome in ('duplicate', 'replayed')), 0) as blocked
                from generate_series(v_utc::date - p_days + 1, v_utc::date, interval '1 day') as g (day)
                left join onetake.budgets b on b.period = g.day::date::text
                left join onetake.all_counts() c on c.day = g.day::date
                group by g.day) d));
end $$;

-- Runs, newest first, up to p_before. p_filters: any of {state, user_id, ref, since, until, model, template}; `state` may be
-- "doubt" (a person may settle it) or "open" (not ended); `ref` and `template` (a sha256) may be prefixes.
create function public.page_runs(p_filters jsonb, p_at_most integer, p_before timestamptz default null) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_where text := 'true';
    v_found jsonb;
    v_key text;
    v_value text;
begin
    for v_key, v_value in select key, value from jsonb_each_text(p_filters) where value <> '' loop
        v_where := v_where || ' and ' || case v_key
            when 'state' then case v_value
                when 'doubt' then '(state = ''uncertain'' or (state = ''rendering'' and parked_at is not null))'
                when 'open' then 'state in (''reserved'', ''approved'', ''submitting'', ''uncertain'', ''rendering'')'
                else format('state = %L', v_value) end
            when 'user_id' then format('user_id = %L', v_value)
            when 'ref' then format('(ref >= %1$L and ref < %1$L || ''Z~'')', upper(v_value))
            when 'since' then format('reserved_at >= %L', v_value)
            when 'until' then format('reserved_at < %L', v_value)
            when 'model' then format('model = %L', v_value)
            when 'template' then coalesce((
                select '(' || string_agg(format('templates @> %L::jsonb', jsonb_build_object(t.id, t.sha256)), ' or ') || ')'
                from onetake.templates t where starts_with(t.sha256, lower(v_value))), 'false')
            else 'false' end;
    end loop;
    if p_before is not null then v_where := v_where || format(' and reserved_at < %L', p_before); end if;
    execute 'select coalesce(jsonb_agg(onetake.run_json(r) order by r.reserved_at desc), ''[]'') from ('
        || 'select * from onetake.runs where ' || v_where || format(' order by reserved_at desc limit %s) r', p_at_most) into v_found;
    return v_found;
end $$;

-- Everything that the metrics show; each event is counted once.
create function public.page_metrics() returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare v_stats jsonb := public.stats();                -- counts the days that are over
begin
    return jsonb_build_object(
        'stats', v_stats,
        'bounds_ms', to_jsonb(onetake.bounds_ms()),
        'events', (
            with counted as materialized (select * from onetake.all_counts())
            select coalesce(jsonb_agg(to_jsonb(x) order by x.step, x.outcome), '[]') from (
                select step, outcome, sum(n) as n, sum(cost_microusd) as cost_microusd, sum(saved_microusd) as saved_microusd,
                       sum(timed) as timed, sum(ms) as ms,
                       (select jsonb_agg(total order by i) from (
                            select i, sum(b) as total from counted d, unnest(d.buckets) with ordinality as u (b, i)
                            where d.step = a.step and d.outcome = a.outcome and d.timed > 0 group by i) z) as buckets
                from counted a group by step, outcome) x),
        'cached_calls', (
            select jsonb_object_agg(s.step, coalesce(c.n, 0))
            from unnest(array['check_limits', 'validate_prompt', 'generate_video', 'write_caption', 'save_video', 'deliver']) as s (step)
            left join (
                select step, sum(n) as n from (
                    select * from onetake.cached_days
                    union all select * from onetake.count_cached(onetake.not_counted(), 'infinity')) as d
                group by step) as c using (step)),
        'queue', onetake.queue_now(),
        'clean_day', onetake.clean_day(),
        'breakers_open', (select count(*) from onetake.breakers where open_until > clock_timestamp()),
        'paused', (select paused from onetake.control),
        'audit', (select jsonb_build_object('at', a.at, 'complete', a.result -> 'complete', 'differences', a.differences)
            from onetake.audits a order by a.id desc limit 1));
end $$;

-- Runs and text model calls by template version, in the last p_days days.
create function public.template_impact(p_days double precision) returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
    v_since timestamptz := clock_timestamp() - make_interval(secs => p_days * 86400);
    v_whole timestamptz := date_trunc('day', v_since, 'UTC') + interval '24 hours';   -- the first whole day in it
    v_found jsonb;
begin
    perform onetake.count_days();
    with recent as materialized (
        select templates, state, caption_by, count(*) as runs, min(reserved_at) as first_at, max(reserved_at) as last_at
        from onetake.runs where reserved_at > v_since group by templates, state, caption_by
    ), called as (
        select * from onetake.count_prompts(v_since, v_whole)
        union all select * from onetake.prompt_days where day >= (v_whole at time zone 'UTC')::date
        union all select * from onetake.count_prompts(greatest(v_whole, onetake.not_counted()), 'infinity')
    ), asked as (
        select id, sha256, sum(calls) as calls, sum(reasks) as reasks, sum(cost_microusd) as cost_microusd
        from called group by id, sha256
    ), used as (
        select t.key as id, t.value as sha256, u.*
        from recent u cross join lateral jsonb_each_text(u.templates) as t
    )
    select coalesce(jsonb_agg(to_jsonb(i) order by i.id, i.last_used_at desc), '[]') into v_found from (
        select u.id, u.sha256, sum(u.runs) as runs,
               coalesce(sum(u.runs) filter (where u.state in ('saved', 'delivered')), 0) as videos,
               coalesce(sum(u.runs) filter (where u.state = 'rejected'), 0) as rejected,
               coalesce(sum(u.runs) filter (where u.state = 'failed'), 0) as failed,
               coalesce(sum(u.runs) filter (where u.caption_by = 'plain'), 0) as plain_captions,
               coalesce(max(a.calls), 0) as calls, coalesce(max(a.reasks), 0) as reasks,
               coalesce(max(a.cost_microusd), 0) as cost_microusd,
               min(u.first_at) as first_used_at, max(u.last_at) as last_used_at
        from used u left join asked a using (id, sha256)
        group by u.id, u.sha256
    ) as i;
    return v_found;
end $$;

-- Only the service role may call anything, and nobody may read a table. Supabase's roles are absent on a plain PostgreSQL,
-- where the owner is the only caller. A migration that adds a function to `public` calls onetake.restrict with its name;
-- a test reads the catalogue.

-- p_callable: functions of ours in `public`, by name. Functions of the same name that are not ours (not security definer)
-- are left alone.
create function onetake.restrict(p_callable text[]) returns void
language plpgsql set search_path = '' as $$
declare
    v_function record;
    v_role text;
begin
    for v_function in
        select p.oid::regprocedure as signature, n.nspname = 'public' as callable
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'onetake' or (n.nspname = 'public' and p.proname = any (p_callable) and p.prosecdef)
    loop
        execute format('revoke all on function %s from public', v_function.signature);
        foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
            continue when not exists (select from pg_roles where rolname = v_role);
            if v_function.callable and v_role = 'service_role' then
                execute format('grant execute on function %s to %I', v_function.signature, v_role);
            else
                execute format('revoke all on function %s from %I', v_function.signature, v_role);
            end if;
        end loop;
    end loop;
end $$;

select onetake.restrict(array[
    'acquire_turn', 'allowance', 'amend', 'applied_migrations', 'approve', 'audit_view', 'back_to_doubt',
    'begin_notification', 'begin_submission', 'cancel_run', 'clips_of', 'clips_to_drop', 'confirm',
    'controls', 'customer', 'deliver_again', 'doubts_at', 'due_runs', 'explain_difference', 'fail_run',
    'find_key', 'find_run', 'heartbeat', 'is_winner', 'keep_stray_answer', 'keep_template', 'known_before',
    'last_audit_at', 'limit_history', 'list_audits', 'list_runs', 'list_stray_answers', 'list_users',
    'load_run', 'load_runs', 'mark_alert_notified', 'mark_notified', 'mark_uncertain', 'not_stored',
    'note_audience', 'note_clip', 'note_done', 'note_dropped', 'note_failing', 'note_first_notice',
    'note_not_fetched', 'note_not_stored', 'note_shown_otherwise', 'note_stored', 'note_undelivered',
    'note_unreadable_update', 'notify_again', 'notify_later', 'open_differences', 'page_metrics',
    'page_overview', 'page_runs', 'park', 'preview_reserve', 'prompt_of_another', 'raise_alerts',
    'record_caption', 'record_event', 'record_look', 'record_submission', 'reject', 'render_history',
    'reopen_run', 'replace_draft', 'reserve', 'run_events', 'same_clip_as', 'save_run', 'set_limit',
    'set_paused', 'set_preference', 'set_user', 'settle_found', 'settle_not_charged', 'settle_taken_back',
    'show_limits', 'silence_bucket', 'start_attempt', 'stats', 'storage_broken', 'store_audit', 'take_alerts',
    'take_host', 'template_broken', 'template_impact', 'template_text', 'user_videos', 'wait_until',
    'witnesses_near'
]);

do $$
declare v_table regclass;
begin
    for v_table in select c.oid::regclass from pg_class c where c.relnamespace = 'onetake'::regnamespace and c.relkind = 'r' loop
        execute format('alter table %s enable row level security', v_table);
    end loop;
end $$;
