-- What Rails' migrations create for a small game: bigserial keys, polymorphic references, Active Storage, Action
-- Text, friendly_id, a join table without foreign keys, single table inheritance; and rows of three campaigns.
-- A domain stands for the type of the extension citext.
CREATE DOMAIN citext AS text;
CREATE TYPE public.campaign_status AS ENUM ('draft', 'live');
CREATE TABLE schema_migrations (version character varying NOT NULL PRIMARY KEY);
CREATE TABLE ar_internal_metadata (
    key character varying NOT NULL PRIMARY KEY, value character varying,
    created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL
);
CREATE TABLE users (
    id bigserial PRIMARY KEY, email citext NOT NULL, created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE TABLE campaigns (
    id bigserial PRIMARY KEY, title citext NOT NULL, user_id bigint, master boolean DEFAULT false NOT NULL,
    status campaign_status DEFAULT 'draft' NOT NULL, characters_count integer DEFAULT 0 NOT NULL,
    lock_version integer DEFAULT 0 NOT NULL, invite_token character varying, discarded_at timestamp(6),
    created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_campaigns_on_invite_token ON campaigns (invite_token);
ALTER TABLE campaigns ADD CONSTRAINT fk_rails_1 FOREIGN KEY (user_id) REFERENCES users(id);
CREATE TABLE memberships (
    id bigserial PRIMARY KEY, campaign_id bigint NOT NULL REFERENCES campaigns,
    user_id bigint NOT NULL REFERENCES users, role integer DEFAULT 0 NOT NULL,
    created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_memberships_on_campaign_id_and_user_id ON memberships (campaign_id, user_id);
CREATE TABLE characters (
    id bigserial PRIMARY KEY, campaign_id bigint NOT NULL REFERENCES campaigns, type character varying,
    name character varying NOT NULL, ancestry character varying, "position" integer,
    created_at timestamp(6) without time zone NOT NULL, updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX ON characters (campaign_id);
CREATE UNIQUE INDEX ON characters (campaign_id, lower(name));
CREATE TABLE friendly_id_slugs (
    id bigserial PRIMARY KEY, slug character varying NOT NULL, sluggable_id integer NOT NULL,
    sluggable_type character varying(50), scope character varying, created_at timestamp without time zone
);
CREATE UNIQUE INDEX ON friendly_id_slugs (slug, sluggable_type);
CREATE TABLE action_text_rich_texts (
    id bigserial PRIMARY KEY, name character varying NOT NULL, body text, record_type character varying NOT NULL,
    record_id bigint NOT NULL, created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX ON action_text_rich_texts (record_type, record_id, name);
CREATE TABLE active_storage_blobs (
    id bigserial PRIMARY KEY, key character varying NOT NULL, filename character varying NOT NULL,
    content_type character varying, metadata text, service_name character varying NOT NULL,
    byte_size bigint NOT NULL, checksum character varying, created_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX ON active_storage_blobs (key);
CREATE TABLE active_storage_attachments (
    id bigserial PRIMARY KEY, name character varying NOT NULL, record_type character varying NOT NULL,
    record_id bigint NOT NULL, blob_id bigint NOT NULL REFERENCES active_storage_blobs,
    created_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX ON active_storage_attachments (record_type, record_id, name, blob_id);
CREATE TABLE versions (
    id bigserial PRIMARY KEY, item_type character varying NOT NULL, item_id bigint NOT NULL,
    event character varying NOT NULL, object text, created_at timestamp(6) without time zone
);
CREATE TABLE characters_skills (character_id bigint NOT NULL, skill_id bigint NOT NULL);
CREATE TABLE skills (
    id bigserial PRIMARY KEY, campaign_id bigint NOT NULL REFERENCES campaigns, name character varying
);
INSERT INTO users (email, created_at, updated_at) SELECT n || '@example.org', now(), now()
FROM generate_series(1, 4) n;
INSERT INTO campaigns (title, user_id, master, status, invite_token, characters_count, created_at, updated_at)
    SELECT 'Campaign ' || n, n, n = 1, 'live', md5(n::text), 4, now(), now() FROM generate_series(1, 3) n;
INSERT INTO memberships (campaign_id, user_id, created_at, updated_at) SELECT n, n, now(), now() FROM
    generate_series(1, 3) n;
INSERT INTO characters (campaign_id, type, name, position, created_at, updated_at) SELECT c.id, CASE n % 2 WHEN 0
    THEN 'Hero' ELSE 'Villain' END, 'c' || n, n, now(), now() FROM campaigns c, generate_series(1, 4) n;
UPDATE characters c SET ancestry = (SELECT min(id)::text FROM characters o WHERE o.campaign_id = c.campaign_id)
    WHERE position > 1;
INSERT INTO friendly_id_slugs (slug, sluggable_id, sluggable_type) SELECT 'c-' || id, id, 'Character' FROM characters;
INSERT INTO action_text_rich_texts (name, body, record_type, record_id, created_at, updated_at) SELECT 'bio',
    '<div>b</div>', 'Character', id, now(), now() FROM characters;
INSERT INTO active_storage_blobs (key, filename, service_name, byte_size, created_at) SELECT md5(id::text), 'f',
    'local', 1, now() FROM characters;
INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at) SELECT 'avatar',
    'Character', id, id, now() FROM characters;
INSERT INTO versions (item_type, item_id, event) SELECT 'Character', id, 'create' FROM characters;
INSERT INTO skills (campaign_id, name) SELECT c.id, 's' || n FROM campaigns c, generate_series(1, 5) n;
INSERT INTO characters_skills SELECT c.id, s.id FROM characters c JOIN skills s USING (campaign_id) WHERE s.name <
    's3';
