# frozen_string_literal: true

# Copies the template as a Rails application does: one record after the other, each validated and saved.
#
# Connects to the database of DATABASE_URL; the id of the template is the argument. Obeys lines of standard input
# and answers each with a line when it is done:
#
#   begin                         begins a transaction
#   make N                        makes N campaigns
#   end keep, end rollback        ends the transaction
#
# It is kept honest: the template is read with its images preloaded, a few queries a table; a record gets those
# that it belongs to as objects, which are in memory, so that no validation looks them up; schticks come in the order
# in which they need each other, so that none is saved twice. An application's callbacks are no part of it, nor
# what Active Storage does beyond its rows.

require "active_record"
require "pg"
require "securerandom"
require "tsort"

# As in every application that was made with Rails 5 or later.
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

# A campaign in the making.
class Copy
  def initialize(template_id)
    @template = Campaign.find(template_id)
    @became = {}
  end

  def make
    name = "Copy #{SecureRandom.uuid}"
    user = @template.user
    @campaign = imaged(@template, user: user, name: name, is_master_template: false, seeded_at: Time.now)
    in_order(hanging(@template.schticks)).each { |row| hung(row, prerequisite: @became[row.prerequisite_id]) }
    hanging(@template.weapons).each { |row| hung(row) }
    hanging(@template.factions).each { |row| hung(row) }
    hanging(@template.junctures).each { |row| hung(row, faction: @became[row.faction_id]) }
    characters = hanging(@template.characters.where(is_template: true).includes(:character_schticks, :carries))
    characters.each { |row| character(row, user) }
  end

  private

  def hanging(rows)
    rows.where(active: true).with_images.to_a
  end

  # Each after the one that it needs; what is needed and not copied is no matter.
  def in_order(schticks)
    known = schticks.index_by(&:id)
    needed = ->(row, &block) { [known[row.prerequisite_id]].compact.each(&block) }
    TSort.tsort(->(&block) { schticks.each(&block) }, needed)
  end

  def saved(row, changed)
    row.dup.tap do |copy|
      copy.assign_attributes(changed)
      copy.save!
    end
  end

  def imaged(row, changed)
    copy = @became[row.id] = saved(row, changed)
    row.image_positions.each { |position| saved(position, positionable: copy) }
    image = row.image_attachment
    saved(image, record: copy, blob: image.blob) if image
    copy
  end

  def hung(row, changed = {})
    imaged(row, campaign: @campaign, **changed)
  end

  def character(row, user)
    copy = hung(
      row,
      user: user,
      faction: @became[row.faction_id],
      juncture: @became[row.juncture_id],
      equipped_weapon: @became[row.equipped_weapon_id],
      notion_page_id: nil,
    )
    row.character_schticks.each do |known|
      schtick = @became[known.schtick_id]
      saved(known, character: copy, schtick: schtick) if schtick
    end
    row.carries.each do |carried|
      weapon = @became[carried.weapon_id]
      saved(carried, character: copy, weapon: weapon) if weapon
    end
  end
end

def answer
  $stdout.puts "done"
  $stdout.flush
end

def words
  line = $stdin.gets
  exit unless line # whoever ordered this is gone: what is open is rolled back
  line.split
end

ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
template_id = ARGV.fetch(0)
loop do
  words # begin
  ActiveRecord::Base.transaction do
    ActiveRecord::Base.connection.execute("SELECT 1") # a transaction begins with its first statement
    GC.start # as the harness does before what it times
    answer
    command, argument = words
    while command == "make"
      Integer(argument).times { Copy.new(template_id).make }
      answer
      command, argument = words
    end
    raise ActiveRecord::Rollback unless argument == "keep"
  end
  answer
end
