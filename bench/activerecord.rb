# frozen_string_literal: true

# Copies the template as a Rails application does: one record at a time, each validated and saved.
#
# Connects to DATABASE_URL; the argument is the id of the template. Reads commands from standard input and replies
# "done" to each:
#
#   begin                         begins a transaction
#   make N                        creates N campaigns
#   end keep, end rollback        ends the transaction
#
# The comparison is fair: the template is read with its images preloaded, in a few queries per table; records get
# their parents as objects in memory, so that no validation loads them; schticks are saved after their prerequisites,
# so that none is saved twice. Callbacks of an application and uploads of Active Storage are excluded.

require "active_record"
require "pg"
require "securerandom"
require "tsort"

# The default of applications created with Rails 5 or later.
ActiveRecord::Base.belongs_to_required_by_default = true

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end

module Imaged
  extend ActiveSupport::Concern

  included do
    has_many :image_positions, as: :positionable
    has_one :image_attachment, -> { where(name: "image") }, class_name: "ActiveStorageAttachment", as: :record
    scope :with_images, -> { includes(:image_positions, image_attachment: :blob) }
  end
end

class User < ApplicationRecord
end

class Campaign < ApplicationRecord
  include Imaged
  belongs_to :user
  has_many :schticks
  has_many :weapons
  has_many :factions
  has_many :junctures
  has_many :characters
  validates :name, presence: true, uniqueness: { scope: :user_id }
end

class Schtick < ApplicationRecord
  include Imaged
  belongs_to :campaign
  belongs_to :prerequisite, class_name: "Schtick", optional: true
  validates :category, presence: true
  validates :name, presence: true, uniqueness: { scope: %i[category campaign_id] }
end

class Weapon < ApplicationRecord
  include Imaged
  belongs_to :campaign
  validates :name, presence: true, uniqueness: { scope: :campaign_id }
  validates :damage, presence: true
end

class Faction < ApplicationRecord
  include Imaged
  belongs_to :campaign
  validates :name, presence: true
end

class Juncture < ApplicationRecord
  include Imaged
  belongs_to :campaign
  belongs_to :faction, optional: true
  validates :name, presence: true
end

class Character < ApplicationRecord
  include Imaged
  belongs_to :campaign
  belongs_to :user, optional: true
  belongs_to :faction, optional: true
  belongs_to :juncture, optional: true
  belongs_to :equipped_weapon, class_name: "Weapon", optional: true
  has_many :character_schticks
  has_many :carries
  validates :name, presence: true
end

class CharacterSchtick < ApplicationRecord
  belongs_to :character
  belongs_to :schtick
  validates :schtick_id, uniqueness: { scope: :character_id }
end

class Carry < ApplicationRecord
  belongs_to :character
  belongs_to :weapon
end

class ImagePosition < ApplicationRecord
  belongs_to :positionable, polymorphic: true
  validates :context, presence: true, uniqueness: { scope: %i[positionable_type positionable_id] }
end

class ActiveStorageBlob < ApplicationRecord
end

class ActiveStorageAttachment < ApplicationRecord
  belongs_to :record, polymorphic: true
  belongs_to :blob, class_name: "ActiveStorageBlob"
  validates :name, presence: true
end

# Creates one copy of the template.
class Copy
  def initialize(template_id)
    @template = Campaign.find(template_id)
    @copies = {}
  end

  def make
    name = "Copy #{SecureRandom.uuid}"
    user = @template.user
    @campaign = copy_with_images(@template, user: user, name: name, is_master_template: false, seeded_at: Time.now)
    prerequisites_first(active(@template.schticks)).each do |row|
      copy_into_campaign(row, prerequisite: @copies[row.prerequisite_id])
    end
    active(@template.weapons).each { |row| copy_into_campaign(row) }
    active(@template.factions).each { |row| copy_into_campaign(row) }
    active(@template.junctures).each { |row| copy_into_campaign(row, faction: @copies[row.faction_id]) }
    characters = active(@template.characters.where(is_template: true).includes(:character_schticks, :carries))
    characters.each { |row| copy_character(row, user) }
  end

  private

  def active(rows)
    rows.where(active: true).with_images.to_a
  end

  # Sorts schticks after their prerequisites; prerequisites that are not copied are ignored.
  def prerequisites_first(schticks)
    by_id = schticks.index_by(&:id)
    prerequisites = ->(row, &block) { [by_id[row.prerequisite_id]].compact.each(&block) }
    TSort.tsort(->(&block) { schticks.each(&block) }, prerequisites)
  end

  def save_copy(row, changed)
    row.dup.tap do |copy|
      copy.assign_attributes(changed)
      copy.save!
    end
  end

  def copy_with_images(row, changed)
    copy = @copies[row.id] = save_copy(row, changed)
    row.image_positions.each { |position| save_copy(position, positionable: copy) }
    image = row.image_attachment
    save_copy(image, record: copy, blob: image.blob) if image
    copy
  end

  def copy_into_campaign(row, changed = {})
    copy_with_images(row, campaign: @campaign, **changed)
  end

  def copy_character(row, user)
    copy = copy_into_campaign(
      row,
      user: user,
      faction: @copies[row.faction_id],
      juncture: @copies[row.juncture_id],
      equipped_weapon: @copies[row.equipped_weapon_id],
      notion_page_id: nil,
    )
    row.character_schticks.each do |character_schtick|
      schtick = @copies[character_schtick.schtick_id]
      save_copy(character_schtick, character: copy, schtick: schtick) if schtick
    end
    row.carries.each do |carry|
      weapon = @copies[carry.weapon_id]
      save_copy(carry, character: copy, weapon: weapon) if weapon
    end
  end
end

def reply
  $stdout.puts "done"
  $stdout.flush
end

def read_command
  line = $stdin.gets
  exit unless line # the bench has exited; the open transaction is rolled back
  line.split
end

ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
template_id = ARGV.fetch(0)
loop do
  read_command # begin
  ActiveRecord::Base.transaction do
    ActiveRecord::Base.connection.execute("SELECT 1") # ActiveRecord begins a transaction with its first statement
    GC.start # as the harness does before the timer starts
    reply
    command, argument = read_command
    while command == "make"
      Integer(argument).times { Copy.new(template_id).make }
      reply
      command, argument = read_command
    end
    raise ActiveRecord::Rollback unless argument == "keep"
  end
  reply
end
