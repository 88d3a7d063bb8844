-- The schema of the sample application, a typical Rails application on Postgres.
--
-- A campaign is the root of a graph of rows. `schticks`, `weapons`, `factions`, `junctures` and `characters`
-- reference it; join tables reference characters; images and their positions reference any of these with a
-- polymorphic pair (type, id), as in Rails. `campaign_memberships`, `fights`, `shots` and `invitations` also
-- reference a campaign, but are user data and not part of a template.
--
-- Foreign keys have no ON DELETE, as in Rails. Only the application enforces rules such as "one master template"
-- and "campaign names are unique per user".

CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  email character varying NOT NULL,
  name character varying NOT NULL,
  first_name character varying DEFAULT '' NOT NULL,
  last_name character varying DEFAULT '' NOT NULL,
  encrypted_password character varying DEFAULT '' NOT NULL,
  gamemaster boolean DEFAULT false NOT NULL,
  admin boolean DEFAULT false NOT NULL,
  active boolean DEFAULT true NOT NULL,
  jti character varying NOT NULL,
  current_campaign_id uuid,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE UNIQUE INDEX index_users_on_jti ON users (jti);
CREATE INDEX index_users_on_current_campaign_id ON users (current_campaign_id);
CREATE INDEX index_users_on_lower_name ON users (lower(name));

CREATE TABLE campaigns (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id),
  name character varying NOT NULL,
  description text,
  is_master_template boolean DEFAULT false NOT NULL,
  active boolean DEFAULT true NOT NULL,
  seeded_at timestamp(6) without time zone,
  image_url character varying,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_campaigns_on_user_id ON campaigns (user_id);
CREATE INDEX index_campaigns_on_active_and_created_at ON campaigns (active, created_at);
CREATE INDEX index_campaigns_on_lower_name ON campaigns (lower(name));
ALTER TABLE users ADD FOREIGN KEY (current_campaign_id) REFERENCES campaigns (id);

CREATE TABLE campaign_memberships (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users (id),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_campaign_memberships_on_user_id_and_campaign_id
  ON campaign_memberships (user_id, campaign_id);
CREATE INDEX index_campaign_memberships_on_campaign_id ON campaign_memberships (campaign_id);

CREATE TABLE schticks (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  category character varying NOT NULL,
  path character varying,
  name character varying NOT NULL,
  description text,
  color character varying,
  bonus boolean DEFAULT false NOT NULL,
  archetypes jsonb DEFAULT '[]' NOT NULL,
  prerequisite_id uuid REFERENCES schticks (id),
  active boolean DEFAULT true NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_schticks_on_category_and_name_and_campaign_id ON schticks (category, name, campaign_id);
CREATE INDEX index_schticks_on_campaign_id_and_active ON schticks (campaign_id, active);
CREATE INDEX index_schticks_on_prerequisite_id ON schticks (prerequisite_id);
CREATE INDEX index_schticks_on_lower_name ON schticks (lower(name));

CREATE TABLE weapons (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  name character varying NOT NULL,
  description text,
  category character varying,
  juncture character varying,
  damage integer NOT NULL,
  concealment integer,
  reload_value integer,
  mook_bonus integer DEFAULT 0 NOT NULL,
  kachunk boolean DEFAULT false NOT NULL,
  active boolean DEFAULT true NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL,
  CONSTRAINT weapons_damage_is_not_negative CHECK (damage >= 0)
);
CREATE UNIQUE INDEX index_weapons_on_campaign_id_and_name ON weapons (campaign_id, name);
CREATE INDEX index_weapons_on_campaign_id_and_active ON weapons (campaign_id, active);
CREATE INDEX index_weapons_on_lower_name ON weapons (lower(name));

CREATE TABLE factions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  name character varying NOT NULL,
  description text,
  active boolean DEFAULT true NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_factions_on_campaign_id_and_active ON factions (campaign_id, active);
CREATE INDEX index_factions_on_lower_name ON factions (lower(name));

CREATE TABLE junctures (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  faction_id uuid REFERENCES factions (id),
  name character varying NOT NULL,
  description text,
  active boolean DEFAULT true NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_junctures_on_campaign_id_and_active ON junctures (campaign_id, active);
CREATE INDEX index_junctures_on_faction_id ON junctures (faction_id);
CREATE INDEX index_junctures_on_lower_name ON junctures (lower(name));

CREATE TABLE characters (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  user_id uuid REFERENCES users (id),
  faction_id uuid REFERENCES factions (id),
  juncture_id uuid REFERENCES junctures (id),
  equipped_weapon_id uuid REFERENCES weapons (id),
  name character varying NOT NULL,
  is_template boolean DEFAULT false NOT NULL,
  active boolean DEFAULT true NOT NULL,
  task boolean DEFAULT false NOT NULL,
  color character varying,
  wealth character varying,
  impairments integer DEFAULT 0 NOT NULL,
  action_values jsonb DEFAULT '{}' NOT NULL,
  skills jsonb DEFAULT '{}' NOT NULL,
  description jsonb DEFAULT '{}' NOT NULL,
  notion_page_id uuid,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_characters_on_campaign_id_and_active ON characters (campaign_id, active);
CREATE INDEX index_characters_on_campaign_id_and_is_template ON characters (campaign_id, is_template);
CREATE INDEX index_characters_on_user_id ON characters (user_id);
CREATE INDEX index_characters_on_faction_id ON characters (faction_id);
CREATE INDEX index_characters_on_juncture_id ON characters (juncture_id);
CREATE INDEX index_characters_on_equipped_weapon_id ON characters (equipped_weapon_id);
CREATE INDEX index_characters_on_lower_name ON characters (lower(name));
CREATE INDEX index_characters_on_created_at ON characters (created_at);
CREATE INDEX index_characters_on_action_values ON characters USING gin (action_values);
CREATE INDEX index_characters_on_skills ON characters USING gin (skills);
CREATE UNIQUE INDEX index_characters_on_notion_page_id ON characters (notion_page_id)
  WHERE notion_page_id IS NOT NULL;

CREATE TABLE character_schticks (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  character_id uuid NOT NULL REFERENCES characters (id),
  schtick_id uuid NOT NULL REFERENCES schticks (id),
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_character_schticks_on_character_id_and_schtick_id
  ON character_schticks (character_id, schtick_id);
CREATE INDEX index_character_schticks_on_schtick_id ON character_schticks (schtick_id);

CREATE TABLE carries (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  character_id uuid NOT NULL REFERENCES characters (id),
  weapon_id uuid NOT NULL REFERENCES weapons (id),
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_carries_on_character_id ON carries (character_id);
CREATE INDEX index_carries_on_weapon_id ON carries (weapon_id);

CREATE TABLE image_positions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  positionable_type character varying NOT NULL,
  positionable_id uuid NOT NULL,
  context character varying NOT NULL,
  x_position double precision DEFAULT 0 NOT NULL,
  y_position double precision DEFAULT 0 NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_image_positions_on_positionable_and_context
  ON image_positions (positionable_type, positionable_id, context);

-- Active Storage, as `rails active_storage:install` creates it for an application with uuid keys.
CREATE TABLE active_storage_blobs (
  id bigserial PRIMARY KEY,
  key character varying NOT NULL,
  filename character varying NOT NULL,
  content_type character varying,
  metadata text,
  service_name character varying NOT NULL,
  byte_size bigint NOT NULL,
  checksum character varying,
  created_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_active_storage_blobs_on_key ON active_storage_blobs (key);

CREATE TABLE active_storage_attachments (
  id bigserial PRIMARY KEY,
  name character varying NOT NULL,
  record_type character varying NOT NULL,
  record_id uuid NOT NULL,
  blob_id bigint NOT NULL REFERENCES active_storage_blobs (id),
  created_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_active_storage_attachments_uniqueness
  ON active_storage_attachments (record_type, record_id, name, blob_id);
CREATE INDEX index_active_storage_attachments_on_blob_id ON active_storage_attachments (blob_id);

-- User data: references a campaign, but is not part of a template.
CREATE TABLE fights (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  name character varying NOT NULL,
  description text,
  sequence integer DEFAULT 0 NOT NULL,
  active boolean DEFAULT true NOT NULL,
  started_at timestamp(6) without time zone,
  ended_at timestamp(6) without time zone,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_fights_on_campaign_id_and_active ON fights (campaign_id, active);

CREATE TABLE shots (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  fight_id uuid NOT NULL REFERENCES fights (id),
  character_id uuid REFERENCES characters (id),
  shot integer,
  count integer DEFAULT 0 NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX index_shots_on_fight_id ON shots (fight_id);
CREATE INDEX index_shots_on_character_id ON shots (character_id);

CREATE TABLE invitations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  campaign_id uuid NOT NULL REFERENCES campaigns (id),
  user_id uuid NOT NULL REFERENCES users (id),
  email character varying NOT NULL,
  maximum_count integer DEFAULT 1 NOT NULL,
  redeemed boolean DEFAULT false NOT NULL,
  created_at timestamp(6) without time zone NOT NULL,
  updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX index_invitations_on_campaign_id_and_email ON invitations (campaign_id, email);
CREATE INDEX index_invitations_on_user_id ON invitations (user_id);
