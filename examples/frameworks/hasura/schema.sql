-- What a small game behind Hasura has: uuid keys, tables of values in place of enums, triggers that keep updated_at,
-- event triggers that log each row in hdb_catalog; and rows of three campaigns.
CREATE SCHEMA hdb_catalog;
CREATE TABLE hdb_catalog.event_log (
    id text DEFAULT gen_random_uuid() PRIMARY KEY, schema_name text NOT NULL, table_name text NOT NULL,
    trigger_name text NOT NULL, payload jsonb NOT NULL, delivered boolean DEFAULT false NOT NULL,
    error boolean DEFAULT false NOT NULL, tries integer DEFAULT 0 NOT NULL,
    created_at timestamp without time zone DEFAULT now()
);
CREATE FUNCTION hdb_catalog.insert_event_log(schema_name text, table_name text, trigger_name text, op text, row_data
    json) RETURNS text LANGUAGE plpgsql AS $$
DECLARE id text;
BEGIN
    id := gen_random_uuid();
    INSERT INTO hdb_catalog.event_log (id, schema_name, table_name, trigger_name, payload)
    VALUES (id, schema_name, table_name, trigger_name, json_build_object('op', op, 'data', row_data));
    RETURN id;
END $$;
CREATE FUNCTION hdb_catalog."notify_hasura_quest_created_INSERT"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hdb_catalog.insert_event_log(CAST(TG_TABLE_SCHEMA AS text), CAST(TG_TABLE_NAME AS text),
    CAST('quest_created' AS text), TG_OP, json_build_object('old', NULL, 'new', row_to_json(NEW)));
    RETURN NULL;
END $$;
CREATE FUNCTION public.set_current_timestamp_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE _new record;
BEGIN
    _new := NEW;
    _new."updated_at" = NOW();
    RETURN _new;
END $$;
CREATE TABLE public.users (
    id text NOT NULL PRIMARY KEY, email text NOT NULL UNIQUE, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE public.campaign_status (value text NOT NULL PRIMARY KEY, comment text);
CREATE TABLE public.campaigns (
    id uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), name text NOT NULL,
    status text NOT NULL DEFAULT 'DRAFT' REFERENCES public.campaign_status (value) ON UPDATE RESTRICT ON DELETE
        RESTRICT,
    is_template boolean NOT NULL DEFAULT false
);
CREATE TABLE public.campaign_users (
    campaign_id uuid NOT NULL REFERENCES public.campaigns (id) ON UPDATE RESTRICT ON DELETE CASCADE,
    user_id text NOT NULL REFERENCES public.users (id) ON UPDATE RESTRICT ON DELETE CASCADE, role text NOT NULL,
    PRIMARY KEY (campaign_id, user_id)
);
CREATE TABLE public.quests (
    id uuid NOT NULL DEFAULT gen_random_uuid() PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    campaign_id uuid NOT NULL REFERENCES public.campaigns (id) ON UPDATE RESTRICT ON DELETE RESTRICT,
    parent_id uuid REFERENCES public.quests (id) ON UPDATE RESTRICT ON DELETE RESTRICT, number serial NOT NULL,
    title text NOT NULL, rewards jsonb NOT NULL DEFAULT jsonb_build_array()
);
CREATE TABLE public.quest_steps (
    quest_id uuid NOT NULL REFERENCES public.quests (id) ON UPDATE RESTRICT ON DELETE CASCADE,
    step integer NOT NULL, text text NOT NULL, PRIMARY KEY (quest_id, step)
);
CREATE INDEX ON public.quests (campaign_id);
CREATE TRIGGER set_public_campaigns_updated_at BEFORE UPDATE ON public.campaigns FOR EACH ROW EXECUTE FUNCTION
    public.set_current_timestamp_updated_at();
CREATE TRIGGER set_public_quests_updated_at BEFORE UPDATE ON public.quests FOR EACH ROW EXECUTE FUNCTION
    public.set_current_timestamp_updated_at();
CREATE TRIGGER "notify_hasura_quest_created_INSERT" AFTER INSERT ON public.quests FOR EACH ROW EXECUTE FUNCTION
    hdb_catalog."notify_hasura_quest_created_INSERT"();
INSERT INTO users (id, email) SELECT 'auth0|' || md5(n::text), n || '@example.org' FROM generate_series(1, 4) n;
INSERT INTO campaign_status VALUES ('DRAFT', NULL), ('PUBLISHED', NULL);
INSERT INTO campaigns (id, name, status, is_template) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid,
    'Campaign ' || n, 'PUBLISHED', n = 1 FROM generate_series(1, 3) n;
INSERT INTO campaign_users SELECT c.id, u.id, 'gamemaster' FROM campaigns c JOIN users u ON right(c.id::text, 1) ||
    '@example.org' = u.email;
INSERT INTO quests (campaign_id, title) SELECT c.id, 'Quest ' || n FROM campaigns c, generate_series(1, 4) n;
UPDATE quests q SET parent_id = p.id FROM quests p WHERE p.campaign_id = q.campaign_id AND p.title = 'Quest 1' AND
    q.title <> 'Quest 1';
INSERT INTO quest_steps SELECT id, n, 'Step ' || n FROM quests, generate_series(1, 2) n;
