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
    provider        text not null default 'openai',   -- whose protocol is spoken
    model           text not null,                    -- by the provider's own name
    seconds         integer not null check (seconds > 0),
    size            text not null,
    create_body     text not null,
    input           jsonb not null default '{}',      -- what else the model is asked for, by the provider's names
    callback_url    text,                             -- ends in a random token: where the provider may report the job
    callback_job_id text,                             -- the job that it reported, until that was looked at
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
    charged_microusd  bigint check (charged_microusd >= 0),   -- what the provider says that it charged; null: not told

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
    job_source      text check (job_source in ('answer', 'marker', 'list', 'person')),
    job_seen_at     timestamptz,                      -- when the job's own address last showed this job
    done_seen_at    timestamptz,                      -- when it first showed it completed: the clip was made
    shown_otherwise text[] not null default '{}',     -- parts of the order that the answer showed differently
    answered_job_id text, answered_at timestamptz,    -- the id in the real answer, even if another run owns that job
    failed_jobs     jsonb not null default '[]',      -- adopted jobs that failed: this run never adopts them again
    failing_since   timestamptz, failing_words text,  -- the first look that called the job failed or expired
    provider_word   text,                             -- the provider's own status word, as last seen
    progress        integer,
    gateway_attempts integer not null default 0,      -- further requests that a gateway says it sent for ours
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
create unique index runs_callback on onetake.runs (right(callback_url, 32)) where callback_url is not null;
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
